"""The picture of ``bench/nnunet_slices.py``: both learning curves of every fold over the minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes

from gliamap.io.atomic import atomic_path
from gliamap.report.curves import LOSS, OTHER_COLOURS, QUIET, REGION_COLOURS, clean_axes, spread
from gliamap.report.plot import as_png, font, new_figure, set_title

TITLES = {
    "gliamap": ("gliamap: training loss", "gliamap: Dice, mean over validation cases"),
    "nnU-Net": ("nnU-Net: training loss", "nnU-Net: Dice, validation patches pooled"),
}
"""Of the two diagrams of each system. What they show is not the same: each validates in its own way."""

COLOURS = {**REGION_COLOURS, "ED": OTHER_COLOURS[0], "NCR": OTHER_COLOURS[1]}


def draw_curves(folds: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write a PNG to ``out``: losses above, validated Dice below, a column a system, a line a fold."""
    figure = new_figure(9.6, 5.6)
    longest = max(fold[system]["minutes"] for fold in folds for system in TITLES)
    for column, (system, titles) in enumerate(TITLES.items()):
        curves = [fold[system]["curve"] for fold in folds]
        left, width = 0.05 + 0.5 * column, 0.36
        above = figure.add_axes((left, 0.58, width, 0.34))
        below = figure.add_axes((left, 0.1, width, 0.34))
        for axes, title in zip((above, below), titles, strict=True):
            set_title(axes, title)
            clean_axes(axes)
            axes.set_xlim(0, longest)
        for curve in curves:
            above.plot(curve["minutes"], curve["loss"], color=LOSS, linewidth=1.2, alpha=0.7)
        draw_dice(below, curves, longest)
        below.set_xlabel("minutes", color=QUIET, fontproperties=font(9))
    with atomic_path(out) as part:
        part.write_bytes(as_png(figure))


def draw_dice(axes: Axes, curves: Sequence[Mapping[str, Any]], longest: float) -> None:
    """Dice of what each curve validated, with its name and the mean of the last values at the end."""
    axes.set_ylim(0, 1)
    ends = []
    for name in curves[0]["dice"]:
        last = []
        for curve in curves:
            known = [(x, y) for x, y in zip(curve["validated"], curve["dice"][name], strict=True) if y is not None]
            if known:
                axes.plot(*zip(*known, strict=True), color=COLOURS[name], linewidth=1.2, alpha=0.8)
                last.append(known[-1][1])
        if last:
            ends.append((fmean(last), name))
    for height, (mean, name) in zip(spread([mean for mean, _ in sorted(ends)]), sorted(ends), strict=True):
        words = f"{name} {mean:.2f}"
        axes.annotate(
            words,
            (longest, height),
            xytext=(6, 0),
            textcoords="offset points",
            color=COLOURS[name],
            fontproperties=font(9.5),
            va="center",
            annotation_clip=False,
        )
