"""What the small figures of pages share: size, letters, titles, and PNG without a date."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from gliamap.report.curves import FONT, INK, QUIET, clean_axes

DIAGRAM = (4.3, 2.8)
"""Inches of a diagram."""

_DPI = 200


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure of so many inches."""
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def new_diagram(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    """A figure of one diagram with a title and named axes."""
    figure = new_figure(*DIAGRAM)
    axes = figure.add_axes((0.14, 0.18, 0.8, 0.7))
    set_title(axes, title)
    axes.set_xlabel(across, color=QUIET, fontproperties=font(9), parse_math=False)
    axes.set_ylabel(up, color=QUIET, fontproperties=font(9), parse_math=False)
    clean_axes(axes)
    axes.tick_params(axis="x", pad=6)
    return figure, axes


def set_title(axes: Axes, words: str) -> None:
    """A title at the upper left; nothing in it is taken for a formula."""
    axes.set_title(words, loc="left", color=INK, parse_math=False, fontproperties=font(10.5))


def hide_frame(axes: Axes) -> None:
    """Numbers without strokes, and no frame."""
    axes.tick_params(colors=QUIET, labelsize=9, length=0, labelfontfamily=FONT)
    for spine in axes.spines.values():
        spine.set_visible(False)


def font(size: float) -> FontProperties:
    """The letters of every figure, in points."""
    return FontProperties(family=FONT, size=size)


def as_png(figure: Figure) -> bytes:
    """The figure as PNG, with no date or program version in it."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})
    return stream.getvalue()


def write_figures(folder: Path, figures: Sequence[Mapping[str, bytes]]) -> None:
    """Write the figures of each data set, PNG by name; those of several into folders of their own, ``1`` and so on.

    ``folder`` is made; it lies where :func:`~gliamap.io.atomic.atomic_files` moves it from.
    """
    for number, drawn in enumerate(figures, 1):
        place = folder if len(figures) == 1 else folder / str(number)
        place.mkdir(parents=True)
        for name, png in drawn.items():
            (place / f"{name}.png").write_bytes(png)


def shortened(words: str, longest: int) -> str:
    """``words``, of which no more than ``longest`` characters are shown: beginning and end, which often differ."""
    if len(words) <= longest:
        return words
    end = (longest - 1) * 2 // 3
    return f"{words[: longest - 1 - end]}…{words[-end:]}"
