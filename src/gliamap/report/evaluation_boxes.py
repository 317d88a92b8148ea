"""How the scores of patients spread: a box for each region, every patient a dot, the mean with its interval beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import NDArray

from gliamap.labels import Region
from gliamap.report.curves import INK, REGION_COLOURS
from gliamap.report.plot import as_png, font, new_diagram
from gliamap.scoring.estimate import Estimate

BOX_FROM = 5
"""Patients from which on quartiles are drawn: with fewer the dots say all there is."""

_GOLDEN = 0.6180339887  # of the golden ratio: neighbours in rank are moved far apart
_DOTS, _SPREAD = -0.16, 0.24  # from a region's place to the middle of its dots, and how far they are moved from there
_MEAN = 0.2  # from a region's place to its mean
_DISTANCES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def draw_boxes(
    title: str, patients: Mapping[Region, Sequence[float]], means: Mapping[Region, Estimate], *, share: bool
) -> bytes:
    """The values of the patients of each region as PNG, and their mean with its interval.

    A ``share`` goes from 0 to 1; a distance is from 0 up, drawn in steps of its logarithm beyond 1. The box holds the
    middle half, its line is the median, whiskers reach to the last value within 1.5 times its length.
    """
    figure, axes = new_diagram(title, "", "")
    axes.set_position((0.09, 0.13, 0.88, 0.75))
    for place, (region, values) in enumerate(patients.items()):
        _box(axes, place + _DOTS, np.array(values), REGION_COLOURS[region])
        _mean(axes, place + _MEAN, means[region])
    axes.set_xlim(-0.5, len(patients) - 0.5)
    axes.set_xticks(range(len(patients)), [f"{r.value} ({len(v)})" for r, v in patients.items()])
    axes.tick_params(axis="x", labelcolor=INK)
    if share:
        axes.set_ylim(-0.03, 1.03)
    else:
        _distances(axes, max((max(values, default=0.0) for values in patients.values()), default=0.0))
    return as_png(figure)


def _box(axes: Axes, place: float, values: NDArray[np.float64], colour: str) -> None:
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    moved = place + _SPREAD * (2 * (ranks * _GOLDEN % 1) - 1)
    many = len(values)
    axes.scatter(
        moved, values, s=float(np.clip(700 / max(many, 1), 5, 16)), color=colour, linewidths=0,
        alpha=float(np.clip(40 / max(many, 1), 0.35, 0.75)), zorder=2, clip_on=False,
    )  # fmt: skip
    if many >= BOX_FROM:
        line = {"color": INK, "linewidth": 0.9}
        axes.boxplot(
            [values], positions=[place], widths=0.38, showfliers=False, manage_ticks=False, zorder=3, boxprops=line,
            whiskerprops=line, capprops=line, medianprops={"color": INK, "linewidth": 1.8},
        )  # fmt: skip


def _mean(axes: Axes, place: float, found: Estimate) -> None:
    if found.low is not None and found.high is not None:
        axes.plot([place, place], [found.low, found.high], color=INK, linewidth=1.6, solid_capstyle="butt", zorder=4)
    if found.mean is not None:
        axes.plot(place, found.mean, "D", markersize=4.5, color=INK, markerfacecolor="white", zorder=5)
        axes.annotate(
            f"{found.mean:.2f}" if found.mean < 10 else f"{found.mean:.0f}", (place, found.mean), (5, 0),
            textcoords="offset points", va="center", color=INK, fontproperties=font(8), zorder=5,
        )  # fmt: skip


def _distances(axes: Axes, most: float) -> None:
    """An axis upwards that is even to 1 and logarithmic from there: most distances are small, the worst is 374 mm."""
    axes.set_yscale("symlog", linthresh=1, linscale=0.4)
    axes.set_yticks([tick for tick in _DISTANCES if tick <= max(1, most)])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(-0.15, max(1.0, most) * 1.25)
