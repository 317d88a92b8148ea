"""A volume brought onto another grid by their affines: scanner coordinates, no registration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gliamap.boxes import Box, Shape
from gliamap.errors import GridError
from gliamap.volume import Grid

_SLAB_VOXELS = 2**20
"""So many voxels are placed at a time: temporary arrays stay small beside the result."""

_ON_THE_EDGE = 1e-3
"""Voxels; affines are stored in single precision, so a place this close to an edge counts as inside."""

_NO_SMOOTHING = 0.125
"""Below this sigma the kernel of ``gaussian_filter`` is a single voxel."""


def onto_grid(volume: NDArray[np.float32], own: Grid, target: Grid) -> NDArray[np.float32]:
    """``volume`` (X, Y, Z) on ``own``, linearly interpolated at the voxel centres of ``target``; 0 outside.

    The volume reaches to the outer edges of its voxels, half a voxel beyond the outer centres; there the nearest
    value holds. Where a step of ``target`` is longer than a voxel of ``own`` the volume is smoothed first along that
    axis (Gaussian of half of what is more than a voxel, as in ``prep.steps.resample``), so that detail does not
    alias. Equal grids return ``volume`` itself. ``GridError`` for images in pixels: their place is not known.
    """
    if own.same_as(target):
        return volume
    if "px" in (own.unit, target.unit):
        raise GridError(
            "images of different sizes cannot be brought onto one grid",
            found=f"{own.describe()} and {target.describe()}",
            expected="files that say where their voxels lie, such as NIfTI",
            remedy="bring the images to one size first, so that their pixels correspond",
        )
    to_own: NDArray[np.float64] = np.linalg.inv(own.affine) @ target.affine
    out = np.zeros(target.shape, np.float32)
    wanted = _reach(np.linalg.inv(target.affine) @ own.affine, own.shape).clip(target.shape)
    if 0 in wanted.shape:
        return out
    sigma = _sigma(to_own, own.shape)
    margin = 1 + int(4 * sigma.max() + 0.5)
    needed = _reach(_from(to_own, wanted.start), wanted.shape).grow(margin, own.shape)
    part = volume[needed.slices]
    part = ndimage.gaussian_filter(part, sigma, mode="nearest") if sigma.any() else part
    box = out[wanted.slices]
    rows = max(1, _SLAB_VOXELS // (box.shape[1] * box.shape[2]))
    for row in range(0, box.shape[0], rows):
        to_part = _from(to_own, (wanted.start[0] + row, *wanted.start[1:]))
        to_part[:3, 3] -= needed.start
        _fill(box[row : row + rows], part, to_part)
    _clear_outside(box, _from(to_own, wanted.start), own.shape)
    return out


def _from(to_own: NDArray[np.float64], start: Shape) -> NDArray[np.float64]:
    """The same mapping of voxel indices, for a grid that begins at voxel ``start``."""
    moved = to_own.copy()
    moved[:3, 3] += to_own[:3, :3] @ start
    return moved


def _reach(mapping: NDArray[np.float64], shape: Shape) -> Box:
    """The voxels of the grid mapped to whose centres can lie within a grid of ``shape``, edges included."""
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in shape], indexing="ij")).reshape(3, -1)
    there = mapping[:3, :3] @ corners + mapping[:3, 3:]
    a, b, c = (int(n) for n in np.ceil(there.min(axis=1) - _ON_THE_EDGE))
    x, y, z = (int(n) + 1 for n in np.floor(there.max(axis=1) + _ON_THE_EDGE))
    return Box((a, b, c), (x, y, z))


def _sigma(to_own: NDArray[np.float64], shape: Shape) -> NDArray[np.float64]:
    """How strongly to smooth along each axis of the volume, in its voxels; 0 where the target is not coarser."""
    steps = np.sqrt((to_own[:3, :3] ** 2).sum(axis=1))  # of the target, seen along the volume's axes
    sigma = np.clip(0.5 * (steps - 1), 0, np.array(shape) / 4)  # wider than the volume itself blurs no more
    return np.where(sigma < _NO_SMOOTHING, 0.0, sigma)


def _fill(slab: NDArray[np.float32], part: NDArray[np.float32], to_part: NDArray[np.float64]) -> None:
    turned = to_part[:3, :3]
    straight = not (turned - np.diag(np.diag(turned))).any()
    matrix = np.diag(turned) if straight else turned  # a diagonal is done axis by axis, much faster
    ndimage.affine_transform(part, matrix, to_part[:3, 3], output=slab, order=1, mode="nearest")


def _clear_outside(box: NDArray[np.float32], to_own: NDArray[np.float64], shape: Shape) -> None:
    """Set to 0, plane by plane, what lies beyond the outer edges of the volume's voxels."""
    y, z = (np.arange(n)[:, None] if axis == 0 else np.arange(n) for axis, n in enumerate(box.shape[1:]))
    for x, plane in enumerate(box):
        for axis, size in enumerate(shape):
            place = to_own[axis, 0] * x + to_own[axis, 1] * y + to_own[axis, 2] * z + to_own[axis, 3]
            plane[(place < -0.5 - _ON_THE_EDGE) | (place > size - 0.5 + _ON_THE_EDGE)] = 0
