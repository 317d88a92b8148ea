"""Rows of slices on a sheet: tiles, captions, orientation letters, scale bar. What they show is decided elsewhere."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gliamap.labels import TISSUE_COLOURS, TISSUE_NAMES, LabelMap, Tissue
from gliamap.report import canvas as ink
from gliamap.report.canvas import Canvas
from gliamap.report.layout import Frame, Place, RowPlaces, place_row
from gliamap.report.planes import Cut, Plane, Turn
from gliamap.volume import Unit

BAR_MM = 50
MARGIN = 24
HEADING = 38
CAPTION = 26


@dataclass(frozen=True, eq=False)
class Volume:
    """The grey values on the shown grid, their black and white level, and where they come from."""

    values: NDArray[np.float32]
    window: tuple[float, float]
    turn: Turn
    unit: Unit


@dataclass(frozen=True, eq=False)
class Panel:
    """One slice, over it the ``tissues`` of a shown label map or ``both``: outlines of a prediction and a reference.

    Its caption is the slice's number and the ``note``; an image without spacing has the note alone.
    """

    cut: Cut
    note: str = ""
    tissues: LabelMap | None = None
    both: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None


@dataclass(frozen=True, eq=False)
class Row:
    """Panels at one scale under a heading, each picture at most ``max_height`` pixels high.

    In a ``small`` row the letters R and L stand beside the caption, so that the pictures lie close together.
    """

    heading: str
    panels: tuple[Panel, ...]
    max_height: float
    small: bool = False


def place_rows(rows: Sequence[Row], volume: Volume, top: float, width: float) -> list[RowPlaces]:
    """Lay out all rows below each other from ``top`` on; each leaves room for its heading and captions."""
    placed: list[RowPlaces] = []
    for row in rows:
        pad = 24 if volume.unit == "mm" and not row.small else 5
        frame = Frame(width, MARGIN, 8 if row.small else 12, pad, row.max_height)
        sizes = [panel.cut.size(volume.turn.spacing) for panel in row.panels]
        placed.append(place_row(sizes, top + (HEADING if row.heading else 8), frame))
        top = placed[-1].bottom + CAPTION
    return placed


def draw_row(canvas: Canvas, row: Row, places: RowPlaces, volume: Volume) -> None:
    """Draw one row where :func:`place_rows` put it."""
    y = places.tiles[0].y - 16
    canvas.text((MARGIN, y), row.heading, ink.HEADING)
    if volume.unit == "mm":
        length = BAR_MM * places.scale
        right = places.tiles[-1].right
        width = canvas.text((right, y), f"{BAR_MM} mm", ink.QUIET, align="right")
        canvas.line((right - width - 10 - length, y), length, colour=ink.WHITE)
    for panel, tile, place in zip(row.panels, places.tiles, places.pictures, strict=True):
        canvas.tile(tile)
        canvas.picture(place, panel.cut.of(volume.values), volume.window)
        _draw_marks(canvas, panel, place)
        at = (tile.middle[0], tile.bottom + 14)
        if volume.unit == "px":
            canvas.text(at, panel.note, ink.QUIET, align="center")
            continue
        number = f"{panel.cut.plane.value} {volume.turn.native_index(panel.cut.plane, panel.cut.index)}"
        canvas.text(at, " · ".join(filter(None, (number, panel.note))), ink.QUIET, align="center")
        if row.small:
            _draw_side_letters(canvas, panel.cut.plane, tile)
        else:
            draw_letters(canvas, panel.cut.plane, tile)


def _draw_marks(canvas: Canvas, panel: Panel, place: Place) -> None:
    if panel.tissues is not None:
        canvas.tissues(place, panel.cut.of(panel.tissues))
    if panel.both is not None:
        prediction, reference = (panel.cut.of(mask) for mask in panel.both)
        canvas.outline(place, prediction, colour=ink.PREDICTION)
        canvas.outline(place, reference, colour=ink.REFERENCE, dashed=True)


def _draw_side_letters(canvas: Canvas, plane: Plane, tile: Place) -> None:
    left, right, _, _ = plane.letters
    y = tile.bottom + 14
    canvas.text((tile.x + 4, y), left, ink.LETTER)
    canvas.text((tile.right - 4, y), right, ink.LETTER, align="right")


def draw_letters(canvas: Canvas, plane: Plane, tile: Place) -> None:
    """Where the picture's four edges look, just inside its tile."""
    left, right, top, bottom = plane.letters
    x, y = tile.middle
    for letter, at in (
        (left, (tile.x + 12, y)),
        (right, (tile.right - 12, y)),
        (top, (x, tile.y + 12)),
        (bottom, (x, tile.bottom - 12)),
    ):
        canvas.text(at, letter, ink.LETTER, align="center")


def draw_key(canvas: Canvas, tissues: Container[Tissue], at: tuple[float, float]) -> float:
    """What the colours of ``tissues`` mean, in a line from ``at`` on; returns where the line may go on."""
    x, y = at
    for tissue in (tissue for tissue in TISSUE_COLOURS if tissue in tissues):
        canvas.tile(Place(x, y - 6, 12, 12), TISSUE_COLOURS[tissue])
        x += 20 + canvas.text((x + 20, y), TISSUE_NAMES[tissue], ink.BODY) + 26
    return x
