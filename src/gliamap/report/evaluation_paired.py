"""With which patients one set of predictions is better than another: their differences, in order."""

from __future__ import annotations

import numpy as np

from gliamap.labels import Region
from gliamap.report.curves import INK, QUIET
from gliamap.report.plot import as_png, font, new_diagram
from gliamap.scoring.paired import PairedFigure

_BETTER, _WORSE = "#0b6aa2", "#b35c00"


def draw_paired(region: Region, found: PairedFigure) -> bytes:
    """The difference of Dice of every patient, least first, as PNG; their mean is a line, its interval a band."""
    figure, axes = new_diagram(f"{region.value}: difference of Dice", "patients, in order", "")
    axes.set_position((0.13, 0.18, 0.83, 0.7))
    differences = np.sort(list(found.by_patient.values()))
    ranks = np.arange(1, differences.size + 1)
    colours = [_BETTER if value > 0 else _WORSE if value < 0 else QUIET for value in differences]
    axes.vlines(ranks, 0, differences, colors=colours, linewidth=float(np.clip(160 / max(1, ranks.size), 0.5, 2.5)))
    axes.scatter(
        ranks, differences, s=float(np.clip(900 / max(1, ranks.size), 3, 18)), c=colours, linewidths=0, zorder=3
    )
    axes.axhline(0, color=INK, linewidth=1)
    mean = found.difference
    if mean.low is not None and mean.high is not None:
        axes.axhspan(mean.low, mean.high, color=INK, alpha=0.1, linewidth=0)
    if mean.mean is not None:
        axes.axhline(mean.mean, color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
    axes.set_xlim(0.5 - 0.02 * ranks.size, ranks.size + 0.5 + 0.02 * ranks.size)
    axes.set_xticks(sorted({1, ranks.size}))
    reach = 1.1 * float(np.abs([*differences, mean.low or 0, mean.high or 0]).max()) or 0.05
    axes.set_ylim(-reach, reach)
    # Away from the lines, which are lowest on the left and highest on the right.
    for words, across, up, side, colour in (
        (f"better with {found.wins}", 0.02, 0.95, "left", _BETTER),
        (f"worse with {found.losses}", 0.98, 0.05, "right", _WORSE),
    ):
        axes.text(across, up, words, transform=axes.transAxes, ha=side, va="center", color=colour,
                  fontproperties=font(8.5), bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
                  zorder=4)  # fmt: skip
    return as_png(figure)
