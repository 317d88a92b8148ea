"""A dark sheet measured in pixels, on which pictures, contours and text are placed exactly. Knows matplotlib.

One matplotlib axes covers the whole sheet, so that a place on it is a pixel and equal millimetres stay equal.
matplotlib's objects are used directly: nothing global is touched, and equal input gives equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from gliamap.io.atomic import atomic_path
from gliamap.labels import TISSUE_COLOURS, LabelMap, Tissue, values_in
from gliamap.report.layout import Place

DPI = 100
FONT = "DejaVu Sans"
FILL_ALPHA = 0.2
BEHIND_IMAGES = -1

BACKGROUND = "#101317"
TILE = "#000000"
WHITE = "#f2f4f6"
GREY = "#9aa4af"
BLUE = "#7db7ee"
AMBER = "#f0b35a"
PREDICTION = "#ffb000"
REFERENCE = "#4fd2ff"

Align = Literal["left", "center", "right"]
LineStyle = Literal["solid", "dashed"]


@dataclass(frozen=True)
class Style:
    """How words look; ``size`` in pixels."""

    size: float
    colour: str
    bold: bool = False


TITLE = Style(23, WHITE, bold=True)
VALUE = Style(18, WHITE)
HEADING = Style(14, WHITE)
BODY = Style(13, WHITE)
QUIET = Style(13, GREY)
LETTER = Style(14, BLUE, bold=True)
NOTICE = Style(13, AMBER)


class Canvas:
    """The sheet. Draw on it, then :meth:`save` it once."""

    def __init__(self, width: float, height: float) -> None:
        self._figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=BACKGROUND)
        FigureCanvasAgg(self._figure)
        self._axes: Axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set_xlim(0, width)
        self._axes.set_ylim(height, 0)
        self._axes.set_autoscale_on(False)

    def text(self, at: tuple[float, float], words: str, style: Style, *, align: Align = "left") -> float:
        """Words whose middle line is at ``at``; returns their width in pixels."""
        written = self._axes.text(
            *at,
            drawable(words),
            color=style.colour,
            fontsize=style.size * 72 / DPI,
            fontfamily=FONT,
            fontweight="bold" if style.bold else "normal",
            horizontalalignment=align,
            verticalalignment="center_baseline",
            parse_math=False,
        )
        return float(written.get_window_extent().width)

    def tile(self, place: Place, colour: str = TILE) -> None:
        """A filled rectangle."""
        corner = (place.x, place.y)
        # Patches would lie above images otherwise.
        self._axes.add_patch(
            Rectangle(corner, place.width, place.height, facecolor=colour, linewidth=0, zorder=BEHIND_IMAGES)
        )

    def line(self, start: tuple[float, float], length: float, *, colour: str, dashed: bool = False) -> None:
        """A horizontal line, ``length`` pixels to the right from ``start``."""
        x, y = start
        style: LineStyle = "dashed" if dashed else "solid"
        self._axes.add_line(
            Line2D((x, x + length), (y, y), color=colour, linewidth=2, linestyle=style, solid_capstyle="butt")
        )

    def picture(self, place: Place, values: NDArray[np.floating], window: tuple[float, float]) -> None:
        """Grey values ``(rows, columns)`` between the black and white level of ``window``, smoothly enlarged."""
        grey = np.clip((np.nan_to_num(values) - window[0]) / (window[1] - window[0]), 0, 1)
        self._image(place, np.repeat(grey[:, :, None], 3, axis=2), "bicubic")

    def tissues(self, place: Place, labels: LabelMap) -> None:
        """A faint fill and a contour for each tissue in a slice ``(rows, columns)``, in the order of drawing."""
        present = tissues_in(labels)
        fill = np.zeros((*labels.shape, 4), np.float32)
        for tissue in present:
            fill[labels == tissue] = (*to_rgb(TISSUE_COLOURS[tissue]), FILL_ALPHA)
        if present:
            self._image(place, fill, "nearest")
        for tissue in present:
            self.outline(place, labels == tissue, colour=TISSUE_COLOURS[tissue])

    def outline(self, place: Place, mask: NDArray[np.bool_], *, colour: str, dashed: bool = False) -> None:
        """The contour of a mask ``(rows, columns)``, halfway between voxels inside and outside."""
        if not mask.any():
            return
        rows, columns = mask.shape
        x = place.x + (np.arange(-1, columns + 1) + 0.5) * place.width / columns
        y = place.y + (np.arange(-1, rows + 1) + 0.5) * place.height / rows
        padded = np.pad(mask, 1).astype(np.float32)
        style: LineStyle = "dashed" if dashed else "solid"
        self._axes.contour(x, y, padded, levels=[0.5], colors=[colour], linewidths=1.1, linestyles=style)

    def save(self, out: Path) -> None:
        """Write the sheet as PNG, with no date or program version in it."""
        with atomic_path(out) as path:
            self._figure.savefig(path, format="png", dpi=DPI, facecolor=BACKGROUND, metadata={"Software": None})

    def _image(self, place: Place, values: NDArray[np.floating], interpolation: str) -> None:
        extent = (place.x, place.right, place.bottom, place.y)
        self._axes.imshow(values, extent=extent, interpolation=interpolation, aspect="auto")


def tissues_in(labels: LabelMap) -> list[Tissue]:
    """The tissues present, in the order of drawing."""
    present = values_in(labels)
    return [tissue for tissue in TISSUE_COLOURS if tissue in present]


def drawable(words: str) -> str:
    """``words`` with a question mark for each character that the font lacks: file names may hold any."""
    font = FT2Font(findfont(FontProperties(family=FONT)))
    return "".join(c if c.isprintable() and font.get_char_index(ord(c)) else "?" for c in words)
