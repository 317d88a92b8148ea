"""Do probabilities mean what they say? What share of the voxels is inside, over the probability said of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import FuncFormatter, NullLocator

from gliamap.labels import Region
from gliamap.metrics.calibration import BINS, Reliability, expected_calibration_error
from gliamap.report.curves import INK, QUIET, REGION_COLOURS, clean_axes
from gliamap.report.plot import DIAGRAM, as_png, font, new_figure, set_title

_MARKERS = "osD"  # beside the colours, for eyes that tell these badly
_WIDE, _HIGH = DIAGRAM[0], 3.9  # inches


def draw_reliability(found: Mapping[Region, Reliability]) -> bytes:
    """The reliability diagram of each region as PNG, below it how many of its voxels each bin holds (logarithmic).

    Bins without voxels have no dot. On the diagonal, of the voxels called 70 % as many are inside; below it the
    network is too sure of them.
    """
    figure = new_figure(_WIDE, _HIGH)
    above = figure.add_axes((0.14, 0.4, 0.82, 0.52))
    below = figure.add_axes((0.14, 0.13, 0.82, 0.19), sharex=above)
    set_title(above, "Reliability")
    above.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 2)))
    edges = np.linspace(0, 1, BINS + 1)
    for (region, one), marker in zip(found.items(), _MARKERS, strict=False):
        voxels = np.array(one.voxels)
        full = voxels > 0
        error = expected_calibration_error(one)
        above.plot(
            np.array(one.said)[full] / voxels[full], np.array(one.inside)[full] / voxels[full], marker=marker,
            markersize=4, linewidth=1.4, color=REGION_COLOURS[region],
            label=f"{region.value}{'' if error is None else f', ECE {error:.3f}'}",
        )  # fmt: skip
        below.stairs(100 * voxels / max(1, voxels.sum()), edges, color=REGION_COLOURS[region], linewidth=1.4)
    above.set_ylim(-0.02, 1.02)
    above.set_xlim(-0.02, 1.02)
    above.set_ylabel("inside the reference", color=QUIET, fontproperties=font(9))
    below.set_yscale("log")
    low, high = below.get_ylim()
    below.set_ylim(10.0 ** np.floor(np.log10(low)), 10.0 ** np.ceil(np.log10(high)))
    below.yaxis.set_minor_locator(NullLocator())
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    below.set_ylabel("voxels, %", color=QUIET, fontproperties=font(9))
    below.set_xlabel("probability said", color=QUIET, fontproperties=font(9))
    for axes in (above, below):
        clean_axes(axes)
    above.tick_params(labelbottom=False)
    above.legend(loc="upper left", frameon=False, prop=font(8.5), labelcolor=INK)
    return as_png(figure)
