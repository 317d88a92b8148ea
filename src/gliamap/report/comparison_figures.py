"""The figures of a comparison, each a small picture of its own, so that a page can lay them out on any screen.

Arms stand in the order in which they were asked for, each with its name above its line, because names are long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gliamap.comparison.nouns import ArmResult, Comparison, Verdict
from gliamap.comparison.tables import arms_on, regions_on
from gliamap.labels import Region
from gliamap.report.comparison_pareto import draw_pareto
from gliamap.report.curves import FONT, INK, QUIET, clean_axes
from gliamap.report.plot import as_png, font, new_figure, set_title, shortened
from gliamap.scoring.estimate import Estimate
from gliamap.scoring.text_table import NOT_RUN

_VERDICT_COLOURS: Mapping[Verdict, str] = {
    "baseline": INK,
    "higher": "#0b6aa2",
    "lower": "#b35c00",
    "not told apart": "#5b6570",
    "not run": QUIET,
}
_SEED = "#3b6fb6"
_WIDE = 4.3  # inches, and around the rows:
_LEFT, _RIGHT, _BELOW, _ABOVE = 0.12, 0.12, 0.5, 0.42
_ROW = 0.42
_NAME = 48  # characters of a name that fit beside the verdict


def draw_figures(comparison: Comparison, data: str) -> dict[str, bytes]:
    """Every figure of the arms on a data set as PNG, by a name fit for a file: three a region."""
    arms = arms_on(comparison, data)
    figures: dict[str, bytes] = {}
    for region in regions_on(comparison, data):
        figures[f"gain-{region.value}"] = draw_gains(arms, region)
        figures[f"dice-{region.value}"] = draw_dice(arms, region)
        figures[f"pareto-{region.value}"] = draw_pareto(arms, region)
    return figures


def draw_gains(arms: Sequence[ArmResult], region: Region) -> bytes:
    """What each arm gains over the baseline, patient by patient, with its interval and a line at zero."""
    figure, axes = _rows(len(arms), f"{region.value}: difference to the baseline", "difference of Dice")
    axes.axvline(0, color=INK, linewidth=1)
    for row, arm in enumerate(arms):
        verdict = arm.verdict.get(region, "not run")
        colour = _VERDICT_COLOURS[verdict]
        _name(axes, row, arm.arm, INK)
        _aside(axes, row, verdict, colour)
        if verdict == "baseline":
            axes.plot(0, row, marker="D", markersize=5, color=INK)
        elif region in arm.gain:
            _estimate(axes, row, arm.gain[region], colour, filled=verdict != "not told apart")
    _limits(axes, [0, *chain.from_iterable(_ends(arm.gain.get(region)) for arm in arms)])
    return as_png(figure)


def draw_dice(arms: Sequence[ArmResult], region: Region) -> bytes:
    """Each arm's mean Dice with its interval, and the mean of each seed where there are several."""
    several = any(len(arm.each_seed.get(region, ())) > 1 for arm in arms)
    title = "Dice, and that of each seed" if several else "Dice"
    figure, axes = _rows(len(arms), f"{region.value}: {title}", "Dice")
    for row, arm in enumerate(arms):
        dice = arm.figures.get(region, {}).get("dice")
        baseline = arm.verdict.get(region) == "baseline"
        _name(axes, row, arm.arm, INK)
        _aside(axes, row, NOT_RUN if dice is None else "baseline" if baseline else "", QUIET)
        if dice is not None:
            _estimate(axes, row, dice, INK, filled=True)
        each = arm.each_seed.get(region, ())
        if len(each) > 1:
            axes.plot(each, [row + 0.18] * len(each), "o", markersize=4, color=_SEED, alpha=0.75, markeredgewidth=0)
    means = (mean for arm in arms for mean in arm.each_seed.get(region, ()))
    ends = (_ends(arm.figures.get(region, {}).get("dice")) for arm in arms)
    _limits(axes, [*means, *chain.from_iterable(ends)])
    return as_png(figure)


def _rows(count: int, title: str, across: str) -> tuple[Figure, Axes]:
    """A figure with a row for each arm, the first at the top, and axes from the left to the right."""
    height = _ROW * count
    high = height + _BELOW + _ABOVE
    figure = new_figure(_WIDE, high)
    axes = figure.add_axes((_LEFT / _WIDE, _BELOW / high, 1 - (_LEFT + _RIGHT) / _WIDE, height / high))
    set_title(axes, title)
    axes.set_xlabel(across, color=QUIET, fontproperties=font(9))
    clean_axes(axes)
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color="#e9edf0", linewidth=0.8)
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.set_ylim(count - 0.55, -0.8)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    return figure, axes


def _name(axes: Axes, row: int, words: str, colour: str) -> None:
    _words(axes, 0, row, shortened(words, _NAME), colour)


def _aside(axes: Axes, row: int, words: str, colour: str) -> None:
    _words(axes, 1, row, words, colour)


def _words(axes: Axes, x: float, row: int, words: str, colour: str) -> None:
    """Above a row, at its left (0) or right (1) end, on white so that no line goes through the letters."""
    axes.text(
        x, row - 0.22, words, transform=axes.get_yaxis_transform(), ha="right" if x else "left", va="bottom",
        color=colour, fontproperties=font(8.5), parse_math=False, zorder=4,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
    )  # fmt: skip


def _estimate(axes: Axes, row: int, found: Estimate, colour: str, *, filled: bool) -> None:
    """A mean and its interval, where there is one; the mark is hollow where not ``filled``."""
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [row, row], color=colour, linewidth=1.8, solid_capstyle="butt")
    if found.mean is not None:
        axes.plot(found.mean, row, "o", markersize=6, color=colour, markerfacecolor=colour if filled else "white")


def _ends(found: Estimate | None) -> tuple[float, ...]:
    """The mean and the ends of the interval, as far as there are any."""
    return () if found is None else tuple(x for x in (found.mean, found.low, found.high) if x is not None)


def _limits(axes: Axes, values: Sequence[float]) -> None:
    """From a little before the least to a little after the greatest value; something to see where there is none."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    pad = 0.06 * (high - low) or 0.05
    axes.set_xlim(low - pad, high + pad)
    axes.tick_params(axis="x", labelfontfamily=FONT)
