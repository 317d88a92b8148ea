"""Does a model know how good it is? The Dice that it predicted of its masks, and the Dice that these have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from gliamap.config import DiceLine
from gliamap.labels import Region
from gliamap.report.curves import INK, QUIET, REGION_COLOURS, clean_axes
from gliamap.report.plot import as_png, font, new_figure, set_title

_SIDE = 3.1  # inches of a panel, without what stands around it
_LEFT, _GAP, _RIGHT, _BELOW, _ABOVE = 0.6, 0.45, 0.2, 0.95, 0.4
_MANY = 200  # dots, from which on they are drawn fainter


@dataclass(frozen=True)
class Panel:
    """One region: pairs of predicted and true Dice, of predictions that have some of it, and of the others.

    ``line`` is that of the first, with its interval; ``None`` where too few told of one.
    """

    region: Region
    line: DiceLine | None
    found: Sequence[tuple[float, float]]
    none: Sequence[tuple[float, float]]


def draw_confidence(panels: Sequence[Panel]) -> bytes:
    """A square for each region as PNG: a dot a case, on the diagonal where the prediction is right.

    The band is the 90 % interval around what is predicted of masks that are not empty. Hollow dots are empty masks,
    whose Dice is 1 or 0.
    """
    wide = _LEFT + len(panels) * (_SIDE + _GAP) - _GAP + _RIGHT
    high = _BELOW + _SIDE + _ABOVE
    figure = new_figure(wide, high)
    for number, panel in enumerate(panels):
        left = _LEFT + number * (_SIDE + _GAP)
        axes = figure.add_axes((left / wide, _BELOW / high, _SIDE / wide, _SIDE / high))
        _draw(axes, panel)
        if number == 0:
            axes.set_ylabel("true Dice", color=QUIET, fontproperties=font(9))
    words = "dots: cases, predicted without their patient\nhollow: empty masks; band: 90 % interval"
    figure.text(_LEFT / wide, 0.12 / high, words, color=QUIET, fontproperties=font(8.5))
    return as_png(figure)


def _draw(axes: Axes, panel: Panel) -> None:
    colour = REGION_COLOURS[panel.region]
    set_title(axes, panel.region.value)
    clean_axes(axes)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("predicted Dice", color=QUIET, fontproperties=font(9))
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 2)))
    if panel.line is not None:
        across = np.linspace(0, 1, 101)
        low, high = (np.clip(across + reach, 0, 1) for reach in (panel.line.low, panel.line.high))
        axes.fill_between(across, low, high, color=colour, alpha=0.1, linewidth=0)
        _say(axes, f"mean error {panel.line.error:.2f}")
    elif not panel.none:
        _say(axes, "too few patients")
    alpha = 0.35 if len(panel.found) + len(panel.none) > _MANY else 0.7
    for pairs, face in ((panel.found, colour), (panel.none, "none")):
        if pairs:
            x, y = np.array(pairs).T
            axes.scatter(x, y, s=16, facecolors=face, edgecolors=colour, linewidths=0.8, alpha=alpha, zorder=3)


def _say(axes: Axes, words: str) -> None:
    axes.text(0.04, 0.94, words, transform=axes.transAxes, va="top", color=INK, fontproperties=font(9), zorder=4)
