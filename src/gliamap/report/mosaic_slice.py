"""The slice that shows a case best, cut out of the mosaic that is there of it: no scan is read for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gliamap.report.figures import HEADER
from gliamap.report.sheet import MARGIN
from gliamap.report.thumbnail import SIDE, small_jpeg

_LETTERS = 20  # pixels inside a tile's edges, where the letters of its directions stand
_DARK = 20  # greys up to this are no part of the head
_LARGEST = 50_000_000
"""Pixels of a picture that is still opened; a mosaic has two million."""


def cut_mosaic(mosaic: Path) -> bytes | None:
    """A JPEG of the axial slice with the tumour marked, from a picture of :func:`~gliamap.report.figures.draw_mosaic`.

    Where nothing is marked, of the first slice. ``None`` where the file is no such picture.
    """
    try:
        with Image.open(mosaic, formats=["PNG"]) as picture:
            if picture.width * picture.height > _LARGEST:
                return None
            sheet = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None
    tile = _tile(np.all(np.asarray(sheet) == 0, axis=2))
    if tile is None:
        return None
    left, top, right, bottom = tile
    inner = sheet.crop((left + _LETTERS, top + _LETTERS, right - _LETTERS, bottom - _LETTERS))
    cut = inner.crop(inner.convert("L").point(lambda grey: 255 * (grey > _DARK)).getbbox())
    scale = SIDE / max(cut.size)
    size = (max(1, round(cut.width * scale)), max(1, round(cut.height * scale)))
    return small_jpeg(cut.resize(size, Image.Resampling.LANCZOS))


def _tile(black: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of the tile; ``black`` (rows, columns) are the pixels of tiles, around pictures.

    The first row begins with the plain slice where another one with the tumour follows: it then has an even number.
    """
    inset = MARGIN + 2
    if black.shape[0] <= HEADER or black.shape[1] <= inset:
        return None
    downwards = _runs(black[HEADER:, inset])
    if not downwards:
        return None
    top, bottom = (HEADER + edge for edge in downwards[0])
    tiles = _runs(black[top + 2])
    if not tiles:
        return None
    left, right = tiles[1] if len(tiles) % 2 == 0 else tiles[0]
    return left, top, right, bottom


def _runs(line: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where the stretches that are true begin and end, long enough for a tile."""
    steps = np.diff(np.concatenate(([0], line.astype(np.int8), [0])))
    pairs = zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True)
    return [(int(first), int(stop)) for first, stop in pairs if stop - first > 3 * _LETTERS]
