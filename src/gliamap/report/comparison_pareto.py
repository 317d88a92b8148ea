"""Dice against seconds a case: what an arm gives, and what it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from gliamap.comparison.frontier import frontier
from gliamap.comparison.nouns import ArmResult
from gliamap.labels import Region
from gliamap.report.curves import INK, QUIET, clean_axes
from gliamap.report.plot import as_png, font, new_figure, set_title, shortened
from gliamap.scoring.text_table import NOT_RUN

_DOT = "#3b6fb6"
_LINE = "#b35c00"
_WIDE, _HIGH = 4.3, 2.5  # inches of the diagram with its axes, and around it:
_LEFT, _RIGHT, _BELOW, _ABOVE = 0.62, 0.2, 0.52, 0.4
_KEY = 0.19  # inches of a line of the key
_SHORT, _LONG = 30, 62  # characters of an arm in the key, where two stand beside each other, and alone
_FIGURE_SPACE = "\u2007"
_FAR = 8  # times as slow, from which on seconds are shown on a logarithmic axis
_AROUND = [
    (radius, angle) for radius in (11, 16, 22, 29, 37, 46) for angle in (35, 325, 145, 215, 0, 180, 60, 300, 120, 240)
]
"""Where a number may stand: so many points from its dot, in this direction; the first free place is taken."""


def draw_pareto(arms: Sequence[ArmResult], region: Region) -> bytes:
    """Dice with its interval over seconds a case, numbered in the order of ``arms``, with a key below.

    The line is :func:`~gliamap.comparison.frontier.frontier`: only through arms that are told apart.
    """
    key = _key(arms, region)
    columns = 2 if all(len(words) <= _SHORT for words in key) else 1
    lines = -(-len(key) // columns)
    high = _HIGH + _KEY * lines + 0.12
    figure = new_figure(_WIDE, high)
    bottom = high - _HIGH
    axes = figure.add_axes(
        (_LEFT / _WIDE, (bottom + _BELOW) / high, 1 - (_LEFT + _RIGHT) / _WIDE, (_HIGH - _BELOW - _ABOVE) / high)
    )
    set_title(axes, f"{region.value}: Dice against seconds a case")
    axes.set_xlabel("seconds a case, from files to mask", color=QUIET, fontproperties=font(9))
    axes.set_ylabel("Dice", color=QUIET, fontproperties=font(9))
    clean_axes(axes)
    points = [_point(number, arm, region) for number, arm in enumerate(arms, 1)]
    shown = [point for point in points if point is not None]
    _scale(axes, shown)
    _line(axes, frontier(arms, region), region)
    for point in shown:
        axes.plot([point.seconds] * 2, [point.low, point.high], color=_DOT, linewidth=1.2, alpha=0.6)
        axes.plot(point.seconds, point.dice, "o", markersize=5, color=_DOT)
    _numbers(figure, axes, shown)
    for place, (words, arm) in enumerate(zip(key, arms, strict=True)):
        x = 0.12 / _WIDE + place // lines / columns
        y = (bottom - _KEY * (place % lines + 0.6)) / high
        colour = QUIET if arm.cost is None else INK
        figure.text(x, y, words, color=colour, va="center", fontproperties=font(8.5), parse_math=False)
    return as_png(figure)


@dataclass(frozen=True)
class _Point:
    """An arm in the diagram; without an interval ``low`` and ``high`` are the mean."""

    number: int
    seconds: float
    dice: float
    low: float
    high: float


def _point(number: int, arm: ArmResult, region: Region) -> _Point | None:
    dice = arm.figures.get(region, {}).get("dice")
    if arm.cost is None or dice is None or dice.mean is None:
        return None
    low, high = (dice.mean if end is None else end for end in (dice.low, dice.high))
    return _Point(number, arm.cost.seconds_per_case, dice.mean, low, high)


def _scale(axes: Axes, points: Sequence[_Point]) -> None:
    """Limits with room for numbers; seconds on a logarithmic axis where they lie far apart."""
    if not points:
        axes.text(0.5, 0.5, NOT_RUN, transform=axes.transAxes, ha="center", color=QUIET, fontproperties=font(10))
        axes.set_xticks([])
        axes.set_yticks([])
        return
    seconds = [point.seconds for point in points]
    low, high = min(point.low for point in points), max(point.high for point in points)
    pad = 0.1 * (high - low) or 0.05
    axes.set_ylim(low - pad, high + pad)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if min(seconds) > 0 and max(seconds) / min(seconds) >= _FAR:
        axes.set_xscale("log")
        axes.set_xlim(min(seconds) / 1.4, max(seconds) * 1.4)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="x", which="minor", length=0)
    else:
        axes.set_xlim(0, 1.15 * max(seconds) or 1)
        axes.xaxis.set_major_locator(MaxNLocator(6))


def _line(axes: Axes, arms: Sequence[ArmResult], region: Region) -> None:
    """The frontier as steps: up to the next arm the last one is as good as it gets."""
    points = [point for arm in arms for point in [_point(0, arm, region)] if point is not None]
    if points:
        right = axes.get_xlim()[1]
        axes.plot(
            [*(point.seconds for point in points), right], [*(point.dice for point in points), points[-1].dice],
            drawstyle="steps-post", color=_LINE, linewidth=1.4, linestyle=(0, (4, 2)),
        )  # fmt: skip


def _numbers(figure: Figure, axes: Axes, points: Sequence[_Point]) -> None:
    """The number of each arm beside its dot."""
    points_an_inch = 72 / figure.dpi
    x0, y0 = (end * points_an_inch for end in axes.transAxes.transform((0, 0)))
    x1, y1 = (end * points_an_inch for end in axes.transAxes.transform((1, 1)))

    def place(point: _Point, dice: float) -> tuple[float, float]:
        x, y = axes.transData.transform((point.seconds, dice))
        return float(x * points_an_inch), float(y * points_an_inch)

    dots = [place(point, point.dice) for point in points]
    bars = [(place(point, point.low), place(point, point.high)) for point in points]
    offsets = place_numbers(dots, bars, (x0, y0, x1, y1))
    for point, (right, up) in zip(points, offsets, strict=True):
        far = math.hypot(right, up) > _AROUND[0][0]
        arrow = {"arrowstyle": "-", "color": QUIET, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3} if far else None
        number = axes.annotate(
            str(point.number), (point.seconds, point.dice), (right, up), textcoords="offset points", ha="center",
            va="center", color=INK, fontproperties=font(8.5), arrowprops=arrow, annotation_clip=False, zorder=5,
        )  # fmt: skip
        number.set_path_effects([Stroke(linewidth=2.5, foreground="white"), Normal()])


def place_numbers(
    dots: Sequence[tuple[float, float]],
    bars: Sequence[tuple[tuple[float, float], tuple[float, float]]],
    box: tuple[float, float, float, float],
) -> list[tuple[float, float]]:
    """For each dot how far right and up its number goes, all in points: off dots, upright ``bars`` and other numbers.

    The first free place around the dot and inside ``box`` (left, bottom, right, top); where none is free, the one with
    the fewest things in its way.
    """
    placed: list[tuple[float, float]] = []
    found = []
    for x, y in dots:
        offsets = [
            (radius * math.cos(math.radians(angle)), radius * math.sin(math.radians(angle)))
            for radius, angle in _AROUND
        ]
        trouble = [_in_the_way((x + right, y + up), dots, bars, placed, box) for right, up in offsets]
        best = offsets[trouble.index(min(trouble))]
        placed.append((x + best[0], y + best[1]))
        found.append(best)
    return found


def _in_the_way(
    at: tuple[float, float],
    dots: Sequence[tuple[float, float]],
    bars: Sequence[tuple[tuple[float, float], tuple[float, float]]],
    placed: Sequence[tuple[float, float]],
    box: tuple[float, float, float, float],
) -> int:
    """How much a number at ``at`` would cover; numbers of two digits are 12 points wide and 9 high."""
    x, y = at
    outside = not (box[0] + 5 < x < box[2] + 8 and box[1] + 5 < y < box[3] + 4)
    numbers = sum(abs(x - a) < 12.5 and abs(y - b) < 9.5 for a, b in placed)
    marks = sum(abs(x - a) < 8.5 and abs(y - b) < 7 for a, b in dots)
    lines = sum(abs(x - a) < 7 and low - 4 < y < high + 4 for (a, low), (_, high) in bars)
    return 200 * outside + 100 * numbers + 4 * marks + lines


def _key(arms: Sequence[ArmResult], region: Region) -> list[str]:
    """The number and the name of each arm, and what else there is to say of it; numbers take the same room."""
    found = []
    for number, arm in enumerate(arms, 1):
        more = f", {NOT_RUN}" if arm.cost is None else ", baseline" if arm.verdict.get(region) == "baseline" else ""
        name = shortened(arm.arm, _LONG - len(more) - 4)
        found.append(f"{str(number).rjust(len(str(len(arms))), _FIGURE_SPACE)}  {name}{more}")
    return found
