"""Which lesions are found, and how well: Dice over size, and beneath it what was missed and what was made up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from gliamap.labels import Region
from gliamap.metrics.lesions import Lesion, LesionKind
from gliamap.report.curves import INK, QUIET, REGION_COLOURS
from gliamap.report.plot import as_png, new_diagram

_STRIPS = {LesionKind.MISSED: -0.16, LesionKind.FALSE_POSITIVE: -0.32}
"""Where those lie that have no Dice of their own, below 0."""

_STRIP = 0.05  # to each side, in which they are moved apart
_GOLDEN = 0.6180339887


def draw_lesions(region: Region, lesions: Sequence[Lesion], unit: str) -> bytes:
    """Dice of each lesion of the reference over its volume in ``unit`` (on a logarithmic axis), as PNG.

    Missed lesions and false positives have rows of their own below, lesions too small to count are grey.
    """
    figure, axes = new_diagram(f"{region.value}: lesions", f"volume of the lesion, {unit}", "")
    axes.set_position((0.21, 0.18, 0.74, 0.7))
    colours = {
        LesionKind.TOO_SMALL: "#b4bdc6",
        LesionKind.FOUND: REGION_COLOURS[region],
        LesionKind.MISSED: INK,
        LesionKind.FALSE_POSITIVE: "#a3134f",
    }
    for kind, colour in colours.items():
        _dots(axes, [lesion for lesion in lesions if lesion.kind == kind], kind, colour)
    axes.axhline(-0.06, color="#cbd2d9", linewidth=0.8)
    axes.set_ylim(-0.42, 1.04)
    shares = (0, 0.25, 0.5, 0.75)
    axes.set_yticks([*_STRIPS.values(), *shares, 1], ["missed", "false pos.", *(f"{s:g}" for s in shares), "Dice 1"])
    _volumes(axes, [lesion.volume for lesion in lesions])
    return as_png(figure)


def _dots(axes: Axes, lesions: Sequence[Lesion], kind: LesionKind, colour: str) -> None:
    ranks = np.argsort(np.argsort([lesion.volume for lesion in lesions], kind="stable"), kind="stable")
    strip = _STRIPS.get(kind)
    moved = _STRIP * (2 * (ranks * _GOLDEN % 1) - 1)
    heights = [lesion.dice for lesion in lesions] if strip is None else strip + moved
    axes.scatter(
        [lesion.volume for lesion in lesions], heights, s=float(np.clip(1500 / max(len(lesions), 1), 6, 18)),
        color=colour, alpha=float(np.clip(60 / max(len(lesions), 1), 0.35, 0.8)), linewidths=0.9,
        marker="x" if kind == LesionKind.FALSE_POSITIVE else "o",
    )  # fmt: skip


def _volumes(axes: Axes, volumes: Sequence[float]) -> None:
    """A logarithmic axis from a little below the least to a little above the greatest volume, two decades at least."""
    least, greatest = min(volumes, default=1.0), max(volumes, default=1.0)
    middle, half = math.sqrt(least * greatest), max(10.0, 1.6 * math.sqrt(greatest / least))
    axes.set_xlim(middle / half, middle * half)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=7))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.tick_params(axis="x", colors=QUIET)
