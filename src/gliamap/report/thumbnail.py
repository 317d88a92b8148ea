"""One slice of a case as a small JPEG: the one with most of the mask, which is outlined."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from gliamap.report.planes import Cut, Turn, choose_cuts, content_box, display_window, make_turn
from gliamap.volume import Grid

SIDE = 240
"""Pixels of the longer side; shown at half that, for screens with fine pixels."""

LARGEST = 15_000
"""Bytes of a thumbnail at most."""

_OUTLINE = (255, 176, 0)
_WIDTH = 3  # pixels of the outline
_QUALITIES = (85, 70, 50, 30, 10)
_THINNEST = 0.1  # the shorter side as a share of the longer: wrong voxel sizes must not make a hairline


def draw_thumbnail(values: NDArray[np.float32], grid: Grid, mask: NDArray[np.bool_] | None = None) -> bytes:
    """A JPEG of at most ``LARGEST`` bytes from an image ``(X, Y, Z)``, all finite, and a mask on the same grid.

    The slice lies across the axis with the thickest voxels, so that it shows what was scanned.
    """
    turn = make_turn(grid)
    shown = turn.apply(values)
    marked = np.zeros(shown.shape, np.bool_) if mask is None else turn.apply(mask)
    cut = _cut(shown, marked, turn)
    low, high = display_window(shown)
    grey = np.clip((cut.of(shown).astype(np.float32) - low) / (high - low), 0, 1)
    size = _size(cut, turn)
    picture = Image.fromarray((grey * 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    inside = np.asarray(Image.fromarray(cut.of(marked).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)) > 0
    pixels = np.asarray(picture).copy()
    pixels[inside & ~binary_erosion(inside, iterations=_WIDTH)] = _OUTLINE
    return small_jpeg(Image.fromarray(pixels))


def _cut(shown: NDArray[np.float32], marked: NDArray[np.bool_], turn: Turn) -> Cut:
    box = content_box(shown, marked)
    # Axial comes first, and is taken where voxels are equally long.
    cut = max(choose_cuts(marked, box), key=lambda cut: round(turn.spacing[cut.plane.axis], 3))
    if turn.only_plane is not None:
        return Cut(turn.only_plane, 0, box)
    return cut


def _size(cut: Cut, turn: Turn) -> tuple[int, int]:
    wide, high = cut.size(turn.spacing)
    longest = max(wide, high)
    return (
        round(SIDE * max(wide / longest, _THINNEST)),
        round(SIDE * max(high / longest, _THINNEST)),
    )


def small_jpeg(picture: Image.Image) -> bytes:
    """The picture as JPEG of at most ``LARGEST`` bytes, as fine as they allow."""
    for quality in _QUALITIES:
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality, subsampling=0)
        if stream.tell() <= LARGEST:
            break
    return stream.getvalue()
