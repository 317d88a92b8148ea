"""The picture of a training: loss and validated Dice over the steps, from the run's CSV log."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gliamap.errors import FileError
from gliamap.io.atomic import atomic_path

FONT = "DejaVu Sans"
INK = "#22272e"
QUIET = "#7b8794"
LOSS = "#3b6fb6"
REGION_COLOURS: Mapping[str, str] = {"WT": "#0f9d75", "TC": "#d9480f", "ET": "#b98900"}
OTHER_COLOURS = ("#7048e8", "#1c7ed6", "#495057")


@dataclass(frozen=True)
class TrainingLog:
    """What a training CSV holds: loss by step, Dice by region and step, seconds at the last row.

    A step that occurs twice, as after resuming from a checkpoint, counts as it was logged last.
    """

    loss: Mapping[int, float]
    dice: Mapping[str, Mapping[int, float]]
    seconds: float


def read_log(path: Path) -> TrainingLog:
    """Read a training CSV with the columns ``step``, ``seconds``, ``loss`` and any ``dice_<REGION>``.

    Empty and not finite cells are passed over. ``FileError`` where the file is missing, is no such table, or holds
    no step.
    """
    expected = "a CSV file with the columns step, seconds, loss, learning_rate and dice_<REGION>"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        regions = [name for name in (rows[0] if rows else ()) if name and name.startswith("dice_")]
        loss = _column(rows, "loss")
        dice = {name.removeprefix("dice_"): _column(rows, name) for name in regions}
        seconds = _column(rows, "seconds")
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError) as error:
        raise FileError(f"{path} cannot be read as a training log", found=str(error), expected=expected) from error
    if not loss and not any(dice.values()):
        remedy = "train for at least one step first"
        raise FileError(f"{path} holds no training step", expected=expected, remedy=remedy)
    return TrainingLog(loss, dice, max(seconds.values(), default=0.0))


def _column(rows: Iterable[Mapping[str, str | None]], name: str) -> dict[int, float]:
    cells = ((int(row["step"] or ""), row[name]) for row in rows)
    values = {step: float(cell) for step, cell in cells if cell}
    return {step: values[step] for step in sorted(values) if math.isfinite(values[step])}


def smooth(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """The running mean over ``window`` neighbours, over fewer at the ends; same length."""
    ones = np.ones(min(window, len(values)))
    total = np.convolve(values, ones, mode="same")
    return np.asarray(total / np.convolve(np.ones(len(values)), ones, mode="same"))


def draw_curves(log_csv: Path, out: Path) -> None:
    """Write loss (raw and smoothed) above Dice per region as a PNG to ``out``; see :func:`read_log` for errors."""
    log = read_log(log_csv)
    figure = Figure(figsize=(10, 7), dpi=120, facecolor="white")
    FigureCanvasAgg(figure)
    above = figure.add_axes((0.075, 0.53, 0.855, 0.355))
    below = figure.add_axes((0.075, 0.085, 0.855, 0.355), sharex=above)
    _draw_loss(above, log)
    _draw_dice(below, log)
    for axes in (above, below):
        clean_axes(axes)
    figure.text(0.03, 0.95, _summary(log), color=INK, fontsize=13, fontfamily=FONT, parse_math=False)
    with atomic_path(out) as path:
        figure.savefig(path, format="png", dpi=120, facecolor="white", metadata={"Software": None})


def _draw_loss(axes: Axes, log: TrainingLog) -> None:
    steps = np.array(list(log.loss))
    values = np.array(list(log.loss.values()))
    window = max(1, len(values) // 25)
    if window > 1:
        axes.plot(steps, values, color=LOSS, alpha=0.25, linewidth=0.8)
    if len(values):
        axes.plot(steps, smooth(values, window), color=LOSS, linewidth=1.8, marker="o" if len(values) == 1 else "")
        # A single early spike must not press everything else flat.
        top = float(np.percentile(values, 99.5))
        low = float(values.min())
        pad = 0.06 * max(top - low, 1e-6)
        axes.set_ylim(low - pad, top + pad)
    label = "training loss" if window == 1 else f"training loss, raw and mean of {window} entries"
    axes.set_title(label, loc="left", color=QUIET, fontsize=10, fontfamily=FONT)


def _draw_dice(axes: Axes, log: TrainingLog) -> None:
    axes.set_title("validation Dice", loc="left", color=QUIET, fontsize=10, fontfamily=FONT)
    axes.set_xlabel("step", color=QUIET, fontsize=10, fontfamily=FONT)
    axes.set_ylim(0, 1)
    spare = iter(OTHER_COLOURS * len(log.dice))
    ends = []
    for name, series in log.dice.items():
        if not series:
            continue
        colour = REGION_COLOURS.get(name) or next(spare)
        axes.plot(list(series), list(series.values()), color=colour, linewidth=1.8, marker="o", markersize=4)
        last = max(series)
        ends.append((series[last], last, f"{name} {series[last]:.2f}", colour))
    if not ends:
        axes.annotate(
            "not validated yet",
            (0.5, 0.5),
            xycoords="axes fraction",
            color=QUIET,
            fontsize=11,
            fontfamily=FONT,
            ha="center",
        )
    for y, (_, step, words, colour) in zip(spread([end[0] for end in sorted(ends)]), sorted(ends), strict=True):
        axes.annotate(
            words,
            (step, y),
            xytext=(8, 0),
            textcoords="offset points",
            color=colour,
            fontsize=10,
            fontfamily=FONT,
            va="center",
            annotation_clip=False,
        )


def spread(heights: list[float], apart: float = 0.07) -> list[float]:
    """``heights`` (ascending, 0..1), moved so that labels there are at least ``apart`` from each other."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + apart) if placed else height)
    over = max(0.0, placed[-1] - 1) if placed else 0.0
    return [height - over for height in placed]


def clean_axes(axes: Axes) -> None:
    """No frame but the two axes, faint lines across, quiet numbers."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#cbd2d9")
    axes.grid(axis="y", color="#e9edf0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, labelsize=9, length=0, labelfontfamily=FONT)


def _summary(log: TrainingLog) -> str:
    parts = [f"{max([*log.loss, *(s for d in log.dice.values() for s in d)])} steps", f"{log.seconds / 60:.1f} min"]
    shared = set.intersection(*(set(series) for series in log.dice.values())) if log.dice else set()
    means = {step: sum(series[step] for series in log.dice.values()) / len(log.dice) for step in shared}
    if means:
        best = max(sorted(means), key=lambda step: means[step])
        parts.append(f"best mean Dice {means[best]:.3f} at step {best}")
    return " · ".join(parts)
