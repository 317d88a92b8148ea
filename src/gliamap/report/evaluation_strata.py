"""Scores apart for small and large tumours, with and without enhancing tumour: a row a stratum, a mark a region."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from gliamap.labels import Region
from gliamap.report.curves import INK, QUIET, REGION_COLOURS, clean_axes
from gliamap.report.plot import DIAGRAM, as_png, font, new_figure, set_title
from gliamap.scoring.strata import Stratum

_MARKERS = {Region.WT: "o", Region.TC: "s", Region.ET: "D"}
_ROW, _HEAD = 0.36, 0.26  # inches of a stratum, and of what strata are told apart by
_LEFT, _RIGHT, _BELOW, _ABOVE = 1.75, 0.15, 0.7, 0.42  # inches around the rows


def draw_strata(strata: Sequence[Stratum]) -> bytes:
    """Mean Dice with its interval of every region of every stratum as PNG; how many patients stands with its name."""
    heads = list(dict.fromkeys(one.by for one in strata))
    height = _ROW * len(strata) + _HEAD * len(heads)
    wide, high = DIAGRAM[0], height + _BELOW + _ABOVE
    figure = new_figure(wide, high)
    axes = figure.add_axes((_LEFT / wide, _BELOW / high, 1 - (_LEFT + _RIGHT) / wide, height / high))
    set_title(axes, "Dice by stratum")
    clean_axes(axes)
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color="#e9edf0", linewidth=0.8)
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.set_ylim(height, 0)
    place = 0.0
    for head in heads:
        _words(axes, place + _HEAD / 2, head, QUIET)
        place += _HEAD
        for one in (one for one in strata if one.by == head):
            _words(axes, place + _ROW / 2, f"{one.name} ({one.patients})", INK)
            _row(axes, place + _ROW / 2, one)
            place += _ROW
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    regions = list(strata[0].regions) if strata else []
    for region in regions:
        axes.plot([], [], _MARKERS[region], markersize=5, color=REGION_COLOURS[region], label=region.value)
    figure.legend(loc="lower right", ncols=3, frameon=False, prop=font(8.5), labelcolor=INK, bbox_to_anchor=(1, 0))
    return as_png(figure)


def _row(axes: Axes, place: float, one: Stratum) -> None:
    """The regions of a stratum, one a little below the other."""
    step = _ROW / (len(one.regions) + 1)
    for number, (region, figures) in enumerate(one.regions.items(), 1):
        dice, colour, up = figures["dice"], REGION_COLOURS[region], place - _ROW / 2 + step * number
        if dice.low is not None and dice.high is not None:
            axes.plot([dice.low, dice.high], [up, up], color=colour, linewidth=1.4, solid_capstyle="butt")
        if dice.mean is not None:
            axes.plot(dice.mean, up, _MARKERS[region], markersize=4.5, color=colour)


def _words(axes: Axes, place: float, words: str, colour: str) -> None:
    axes.annotate(
        words, (0, place), (-_LEFT * 72 + 6, 0), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
        va="center", color=colour, fontproperties=font(8.5), annotation_clip=False,
    )  # fmt: skip
