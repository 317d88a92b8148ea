"""A sheet of many cases, one slice each, with the outlines of prediction and reference: for pages about results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliamap.case import Case
from gliamap.labels import LabelMap, Region, region_mask
from gliamap.report import canvas as ink
from gliamap.report.canvas import Canvas
from gliamap.report.figures import choose_channel
from gliamap.report.layout import Place
from gliamap.report.planes import Cut, Plane, choose_cuts, content_box, display_window, make_turn
from gliamap.report.sheet import MARGIN

GAP = 12
CAPTION = 50
FOOTER = 40


@dataclass(frozen=True, eq=False)
class GalleryItem:
    """One case of a gallery: its maps of tissues on the native grid, and two short lines to stand under it."""

    case: Case
    labels: LabelMap
    reference: LabelMap | None
    title: str
    note: str = ""


def draw_gallery(
    items: Sequence[GalleryItem], out: Path, *, region: Region = Region.WT, columns: int = 6, width: int = 1600
) -> None:
    """Write a sheet of ``items`` as a PNG to ``out``, ``columns`` beside each other, each cropped to its head.

    Of a volume the axial slice with most of ``region`` in either map is shown. Tiles are equally large, so scales
    differ between cases. ``ValueError`` without items.
    """
    if not items:
        raise ValueError("a gallery needs at least one item")
    side = (width - 2 * MARGIN - (columns - 1) * GAP) / columns
    rows = -(-len(items) // columns)
    bottom = MARGIN + rows * (side + CAPTION)
    canvas = Canvas(width, round(bottom + FOOTER))
    for number, item in enumerate(items):
        row, column = divmod(number, columns)
        tile = Place(MARGIN + column * (side + GAP), MARGIN + row * (side + CAPTION), side, side)
        _draw_item(canvas, item, tile, region)
    x, y = float(MARGIN), bottom + FOOTER / 2 - 6
    for name, colour, dashed in (("prediction", ink.PREDICTION, False), ("reference", ink.REFERENCE, True)):
        canvas.line((x, y), 26, colour=colour, dashed=dashed)
        x += 34 + canvas.text((x + 34, y), name, ink.BODY) + 26
    canvas.text((width - MARGIN, y), "research use only", ink.NOTICE, align="right")
    canvas.save(out)


def _draw_item(canvas: Canvas, item: GalleryItem, tile: Place, region: Region) -> None:
    case, turn = item.case, make_turn(item.case.grid)
    maps = [item.labels] if item.reference is None else [item.labels, item.reference]
    values = turn.apply(case.image[case.modalities.index(choose_channel(case, maps))])
    masks = [turn.apply(region_mask(tissues, region)) for tissues in maps]
    either: NDArray[np.bool_] = np.logical_or.reduce(masks)
    box = content_box(values, either)
    plane = turn.only_plane
    cut = Cut(plane, 0, box) if plane and plane is not Plane.AXIAL else choose_cuts(either, box)[0]
    canvas.tile(tile)
    wide, high = cut.size(turn.spacing)
    scale = min(tile.width / wide, tile.height / high)
    x, y = tile.middle
    place = Place(x - scale * wide / 2, y - scale * high / 2, scale * wide, scale * high)
    canvas.picture(place, cut.of(values), display_window(values))
    canvas.outline(place, cut.of(masks[0]), colour=ink.PREDICTION)
    if len(masks) == 2:
        canvas.outline(place, cut.of(masks[1]), colour=ink.REFERENCE, dashed=True)
    canvas.text((tile.x, tile.bottom + 15), item.title, ink.HEADING)
    canvas.text((tile.x, tile.bottom + 33), item.note, ink.QUIET)
