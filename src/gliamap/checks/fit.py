"""Whether a mask belongs to its image: would it fit better somewhere else in the brain? Knows arrays only.

The contrast of a place is how much brighter the image is inside the mask than in a layer around it. It is taken for
every shift of the mask at once, by Fourier transforms on a coarse grid. A tumour's own mask is where the contrast is
best; the mask of another case, a flipped or a shifted one is hardly ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from gliamap.boxes import Box, bounding_box
from gliamap.checks.brightness import against_normal, brain_of
from gliamap.checks.findings import Finding
from gliamap.labels import LabelMap, Region, region_mask
from gliamap.volume import Grid, orientation


@dataclass(frozen=True)
class Way:
    """One way to look: which images, for which region, how well the best place elsewhere may at most be matched.

    The mask is doubted where its contrast is below ``share`` of the best elsewhere; it must fill ``cells`` cells.
    """

    modalities: tuple[str, ...]
    region: Region
    share: float
    cells: float


WAYS = (
    Way(("flair", "t2"), Region.WT, 0.9, 2),
    Way(("flair",), Region.WT, 0.6, 2),  # a cyst is dark on FLAIR
    Way(("t1c",), Region.ET, 0.5, 10),  # vessels are as bright as a small tumour
)
"""The first whose modalities are there is taken. T2 alone is no way: ventricles are brighter than any edema."""

ELSEWHERE_CELLS = 3.2
"""Nearer shifts are the same place, seen on a coarse grid."""

_CELL_MM = 4.0
_CELLS_OF_A_SLICE = 60
_LAYER_CELLS = 2
_SIDES = (("right", "left"), ("front", "back"), ("top", "bottom"))
_IN_MASK, _IN_LAYER = 0.9, 0.3  # of the mask and of the layer, what must lie in the brain for a place to count


@dataclass(frozen=True)
class Place:
    """The contrast where the mask is, the best elsewhere, and how far away that is, in cells along X, Y, Z."""

    here: float
    elsewhere: float
    shift: tuple[int, int, int]


def mask_fits(image: NDArray[np.float32], modalities: Sequence[str], labels: LabelMap, grid: Grid) -> Finding | None:
    """A 'mask-does-not-fit' finding where another place in the brain fits the mask better; ``labels`` are tissues.

    For skull-stripped ``(C, X, Y, Z)`` only: in a whole head fat and skin compete. The whole tumour is looked for where
    edema is bright, on FLAIR; without FLAIR the enhancing tumour on T1c, see ``WAYS``. ``None``, which says nothing,
    where the image has neither or the mask is too small.
    """
    way = next((way for way in WAYS if set(way.modalities) <= set(modalities)), None)
    if way is None:
        return None
    mask = region_mask(labels, way.region)
    cells = _cells(grid)
    if int(mask.sum()) < way.cells * cells[0] * cells[1] * cells[2]:
        return None
    place = best_place(image[[modalities.index(name) for name in way.modalities]], mask, cells)
    if place is None or place.here >= way.share * place.elsewhere:
        return None
    return Finding(
        "mask-does-not-fit", f"the {way.region.value} mask would fit better {_direction(place, cells, grid)}"
    )


def best_place(image: NDArray[np.float32], mask: NDArray[np.bool_], cells: tuple[int, int, int]) -> Place | None:
    """How well ``mask`` ``(X, Y, Z)`` fits bright parts of ``(C, X, Y, Z)`` here and elsewhere.

    ``cells`` are the voxels of a cell of the coarse grid along each axis. ``None`` where there is too little brain, or
    no other place.
    """
    brain = brain_of(image)
    box = bounding_box(brain | mask)
    if box is None or not brain.any():
        return None
    part = (slice(None), *_whole_cells(box, cells, brain.shape).slices)
    share, covered = _coarse(brain[part[1:]], cells), _coarse(mask[part[1:]], cells)
    means = np.stack([_coarse(np.where(brain[part[1:]], channel, 0), cells) for channel in image[part]])
    relative = against_normal(np.asarray(means / np.maximum(share, np.float32(1e-6))), share > 0.99)
    if relative is None:
        return None
    bright = np.clip(relative, -3, 4).sum(axis=0) * share
    return _compare(*_contrasts(bright, share, covered))


def _contrasts(
    bright: NDArray[np.float32], share: NDArray[np.float32], mask: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """For every shift (cyclic, negative ones from the end): the contrast, and whether enough lies in the brain."""
    size = [2 * _LAYER_CELLS + 1 if n > 1 else 1 for n in mask.shape]
    layer = ndimage.maximum_filter(mask, size) * (1 - mask)
    shape = [fft.next_fast_len(2 * n, real=True) if n > 1 else 1 for n in mask.shape]
    over_brain, over_bright = fft.rfftn(share, shape), fft.rfftn(bright, shape)
    sums = [
        fft.irfftn(field * np.conj(fft.rfftn(weights, shape)), shape)
        for weights in (mask, layer)
        for field in (over_brain, over_bright)
    ]
    inside, bright_inside, around, bright_around = sums
    contrast = bright_inside / np.maximum(inside, 1e-2) - bright_around / np.maximum(around, 1e-2)
    allowed = (inside > _IN_MASK * mask.sum()) & (around > _IN_LAYER * layer.sum())
    return np.asarray(contrast), np.asarray(allowed)


def _compare(contrast: NDArray[np.float64], allowed: NDArray[np.bool_]) -> Place | None:
    shifts = np.meshgrid(*[(np.arange(n) + n // 2) % n - n // 2 for n in contrast.shape], indexing="ij")
    far = np.sqrt(sum(shift.astype(np.float64) ** 2 for shift in shifts)) > ELSEWHERE_CELLS
    others = np.where(allowed & far, contrast, -np.inf)
    best = int(np.argmax(others))
    if not np.isfinite(others.ravel()[best]):
        return None
    x, y, z = (int(shift.ravel()[best]) for shift in shifts)
    return Place(float(contrast[0, 0, 0]), float(others.ravel()[best]), (x, y, z))


def _cells(grid: Grid) -> tuple[int, int, int]:
    if grid.unit == "px":
        side = max(1, max(grid.shape) // _CELLS_OF_A_SLICE)
        return (side, side, 1)
    x, y, z = (1 if n == 1 else max(1, round(_CELL_MM / s)) for n, s in zip(grid.shape, grid.spacing, strict=True))
    return (x, y, z)


def _whole_cells(box: Box, cells: Sequence[int], shape: Sequence[int]) -> Box:
    """``box`` made larger, or cut where the grid ends, so that it holds whole cells."""
    whole = []
    for start, stop, cell, size in zip(box.start, box.stop, cells, shape, strict=True):
        most = (size - start) // cell
        whole.append(start + cell * min(most, -(-(stop - start) // cell)))
    x, y, z = whole
    return Box(box.start, (x, y, z))


def _coarse(array: NDArray[np.generic], cells: Sequence[int]) -> NDArray[np.float32]:
    """Means over cells; the array holds whole ones."""
    (a, b, c), (x, y, z) = array.shape, cells
    return np.asarray(
        array.reshape(a // x, x, b // y, y, c // z, z).mean(axis=(1, 3, 5), dtype=np.float64).astype(np.float32)
    )


def _direction(place: Place, cells: Sequence[int], grid: Grid) -> str:
    """Where the better place lies: how far along the patient's axis that it differs in most."""
    steps = [shift * cell * spacing for shift, cell, spacing in zip(place.shift, cells, grid.spacing, strict=True)]
    world = [steps[axis] * sign for axis, sign in orientation(grid.affine)]
    axis = int(np.argmax(np.abs(world)))
    towards = _SIDES[axis][0 if world[axis] > 0 else 1]
    return f"{np.linalg.norm(world):.0f} {grid.unit} away, mostly towards the {towards}"
