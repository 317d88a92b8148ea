"""A sheet of training patches: groups under headings, small tiles beside each other, tissues outlined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import whole
from gliamap.labels import LabelMap
from gliamap.report import canvas as ink
from gliamap.report.canvas import Canvas, tissues_in
from gliamap.report.layout import Place
from gliamap.report.planes import Cut, Plane, make_turn
from gliamap.report.sheet import HEADING, MARGIN, draw_key
from gliamap.volume import Grid

COLUMNS = 8
WIDTH = 1600

HEADER = 56
GAP = 12
LINE = 19
FOOTER = 44


@dataclass(frozen=True, eq=False)
class PatchItem:
    """One patch on the prepared grid: grey values and tissues ``(X, Y, Z)`` in RAS+, and what stands under it.

    ``window``: black and white level. ``spacing``: edge lengths of a voxel. ``lines``: the first one stands out.
    """

    image: NDArray[np.float32]
    labels: LabelMap
    window: tuple[float, float]
    spacing: tuple[float, float, float]
    lines: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class PatchGroup:
    """Patches under a heading, which says so where there are none."""

    heading: str
    items: tuple[PatchItem, ...]


def draw_patch_sheet(groups: Sequence[PatchGroup], out: Path, *, title: str, about: str) -> None:
    """Write the sheet as a PNG to ``out``, ``COLUMNS`` patches beside each other.

    Of a patch of a volume the axial slice with most that is labelled is shown, the middle one without any. ``title``
    and ``about`` stand at the top, left and right.
    """
    side = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS
    heights = [HEADING + _rows(group) * _height(group, side) for group in groups]
    canvas = Canvas(WIDTH, round(HEADER + sum(heights) + FOOTER))
    canvas.text((MARGIN, 32), title, ink.VALUE)
    canvas.text((WIDTH - MARGIN, 32), about, ink.QUIET, align="right")
    top = float(HEADER)
    for group, height in zip(groups, heights, strict=True):
        heading = group.heading if group.items else f"{group.heading}: none"
        canvas.text((MARGIN, top + HEADING / 2), heading, ink.HEADING)
        for number, item in enumerate(group.items):
            row, column = divmod(number, COLUMNS)
            x, y = MARGIN + column * (side + GAP), top + HEADING + row * _height(group, side)
            _draw_item(canvas, item, Place(x, y, side, side))
        top += height
    present = {tissue for group in groups for item in group.items for tissue in tissues_in(item.labels)}
    draw_key(canvas, present, (MARGIN, top + FOOTER / 2))
    canvas.text((WIDTH - MARGIN, top + FOOTER / 2), "research use only", ink.NOTICE, align="right")
    canvas.save(out)


def _rows(group: PatchGroup) -> int:
    return -(-len(group.items) // COLUMNS)


def _height(group: PatchGroup, side: float) -> float:
    """Of a row of the group: tile, lines, and a gap below."""
    return side + LINE * max((len(item.lines) for item in group.items), default=0) + GAP


def _draw_item(canvas: Canvas, item: PatchItem, tile: Place) -> None:
    x, y, z = item.labels.shape
    turn = make_turn(Grid((x, y, z), np.diag([*item.spacing, 1.0])))
    labels = turn.apply(item.labels)
    marked = np.count_nonzero(labels, axis=(0, 1))
    cut = Cut(Plane.AXIAL, int(np.argmax(marked)) if marked.any() else z // 2, whole(turn.shape))
    canvas.tile(tile)
    wide, high = cut.size(turn.spacing)
    scale = min(tile.width / wide, tile.height / high)
    middle = tile.middle
    place = Place(middle[0] - scale * wide / 2, middle[1] - scale * high / 2, scale * wide, scale * high)
    canvas.picture(place, cut.of(turn.apply(item.image)), item.window)
    canvas.tissues(place, cut.of(labels))
    for number, line in enumerate(item.lines):
        at = (tile.x, tile.bottom + LINE * (number + 0.7))
        canvas.text(at, line, ink.QUIET if number else ink.HEADING)
