"""Do predicted volumes agree with those of the reference? Bland and Altman's diagram, every patient a dot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gliamap.labels import Region
from gliamap.report.curves import INK, QUIET, REGION_COLOURS, spread
from gliamap.report.plot import as_png, font, new_diagram
from gliamap.scoring.agreement import agreement_of


def draw_volumes(region: Region, predicted: Sequence[float], reference: Sequence[float], unit: str) -> bytes:
    """Difference over mean of each patient's two volumes, in ``unit``, as PNG; lines: mean and limits of agreement."""
    title = f"{region.value}: volume predicted − reference, {unit}"
    figure, axes = new_diagram(title, f"mean of predicted and reference, {unit}", "")
    axes.set_position((0.16, 0.18, 0.66, 0.7))
    a, b = np.array(predicted), np.array(reference)
    found = agreement_of(predicted, reference)
    axes.axhline(0, color="#cbd2d9", linewidth=1)
    axes.scatter((a + b) / 2, a - b, s=float(np.clip(900 / max(a.size, 1), 5, 18)), color=REGION_COLOURS[region],
                 alpha=float(np.clip(40 / max(a.size, 1), 0.35, 0.75)), linewidths=0, zorder=2)  # fmt: skip
    lines = {"+1.96 SD": found.high, "mean": found.mean, "−1.96 SD": found.low}
    known = {words: value for words, value in lines.items() if value is not None}
    for words, value in known.items():
        axes.axhline(value, color=INK, linewidth=1.4, linestyle="-" if words == "mean" else (0, (4, 2)), zorder=3)
    high = max([0.0, *(a - b), *known.values()])
    low = min([0.0, *(a - b), *known.values()])
    pad = 0.08 * (high - low) or 0.5
    axes.set_ylim(low - pad, high + pad)
    axes.set_xlim(left=0, right=1.05 * float(max((a + b) / 2, default=0)) or 1)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}".replace("-", "−")))
    _label(axes, known)
    return as_png(figure)


def _label(axes: Axes, lines: dict[str, float]) -> None:
    """What each line is and where it lies, right of the diagram; moved apart where lines are close."""
    low, high = axes.get_ylim()
    upwards = sorted(lines.items(), key=lambda line: line[1])
    heights = spread([(value - low) / (high - low) for _, value in upwards], apart=0.15)
    for (words, value), height in zip(upwards, heights, strict=True):
        axes.text(
            1.03, height, f"{words}\n{signed(value)}", transform=axes.transAxes, va="center",
            color=INK if words == "mean" else QUIET, fontproperties=font(8.5), linespacing=1.1,
        )  # fmt: skip


def signed(value: float) -> str:
    """A difference with its sign: three digits, or all before the point."""
    return (f"{value:+,.0f}" if abs(value) >= 100 else f"{value:+.3g}").replace("-", "−")
