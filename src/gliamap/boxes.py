"""Boxes on a voxel grid, and the windows that cover one. Knows numpy only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]
"""Three spatial sizes ``(X, Y, Z)``; a 2D image has Z = 1."""


@dataclass(frozen=True)
class Box:
    """A half-open box of voxels: ``start`` is inside, ``stop`` is not. It may reach outside its grid."""

    start: Shape
    stop: Shape

    @property
    def shape(self) -> Shape:
        """Sizes along X, Y, Z."""
        return _triple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Slices for an ``(X, Y, Z)`` array; the box must lie inside it."""
        x, y, z = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return (x, y, z)

    def grow(self, margin: int, shape: Shape) -> Box:
        """The box with ``margin`` voxels more on every side, cut to a grid of ``shape``."""
        return Box(
            _triple(max(0, a - margin) for a in self.start),
            _triple(min(n, b + margin) for b, n in zip(self.stop, shape, strict=True)),
        )

    def shift(self, by: Shape) -> Box:
        """The box moved by ``by`` voxels along X, Y, Z."""
        return Box(
            _triple(a + step for a, step in zip(self.start, by, strict=True)),
            _triple(b + step for b, step in zip(self.stop, by, strict=True)),
        )

    def relative_to(self, outer: Box) -> Box:
        """The same box counted from the start of ``outer``: where it lies in an array that holds ``outer``."""
        return self.shift(_triple(-o for o in outer.start))

    def clip(self, shape: Shape) -> Box:
        """The part of the box inside a grid of ``shape``; empty (start = stop) along an axis where it lies outside."""
        return Box(
            _triple(min(max(0, a), n) for a, n in zip(self.start, shape, strict=True)),
            _triple(min(max(0, b), n) for b, n in zip(self.stop, shape, strict=True)),
        )


def _triple(values: Iterable[int]) -> Shape:
    x, y, z = values
    return (x, y, z)


def whole(shape: Shape) -> Box:
    """The box of a whole grid."""
    return Box((0, 0, 0), shape)


def bounding_box(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box that holds every true voxel of an ``(X, Y, Z)`` mask; ``None`` where there is none."""
    start, stop = [], []
    for axis in range(3):
        line = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if line.size == 0:
            return None
        start.append(int(line[0]))
        stop.append(int(line[-1]) + 1)
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def read_padded(array: NDArray[np.generic], box: Box, fill: float = 0) -> NDArray[np.generic]:
    """Copy ``box`` out of ``array`` (last three axes X, Y, Z), with ``fill`` where the box leaves the grid."""
    grid: Shape = (array.shape[-3], array.shape[-2], array.shape[-1])
    inside = box.clip(grid)
    part = array[(..., *inside.slices)]
    if inside == box:
        return np.array(part)
    out = np.full((*array.shape[:-3], *box.shape), fill, dtype=array.dtype)
    out[(..., *inside.relative_to(box).slices)] = part
    return out


def block_means(array: NDArray[np.generic], steps: Sequence[int]) -> NDArray[np.float32]:
    """The mean over each block of ``steps`` voxels along X, Y, Z; of blocks that the far end cuts, over what they hold.

    ``array`` is ``(X, Y, Z)``; the result has a voxel for each block begun.
    """
    out = array.astype(np.float32, copy=False)
    for axis, step in enumerate(steps):
        if step > 1:
            starts = np.arange(0, out.shape[axis], step)
            sizes = np.diff(starts, append=out.shape[axis]).astype(np.float32)
            sums = np.add.reduceat(out, starts, axis=axis)
            out = np.asarray(sums / np.moveaxis(sizes[:, None, None], 0, axis), np.float32)
    return out


def window_boxes(shape: Shape, patch: Shape, overlap: float) -> list[Box]:
    """Windows of size ``patch`` that cover a grid of ``shape``, evenly spread, overlapping by at least ``overlap``.

    ``overlap`` is a share of the patch in 0..1 (1 excluded). Where the grid is smaller than the patch along an
    axis, one window is centred on it and reaches outside.
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap must be in 0..1 (1 excluded), not {overlap}")
    starts = [_axis_starts(n, p, overlap) for n, p in zip(shape, patch, strict=True)]
    return [
        Box((x, y, z), (x + patch[0], y + patch[1], z + patch[2]))
        for x, y, z in product(starts[0], starts[1], starts[2])
    ]


def _axis_starts(size: int, patch: int, overlap: float) -> list[int]:
    if size <= patch:
        return [(size - patch) // 2]
    step = max(1, int(patch * (1 - overlap) + 1e-9))
    count = -(-(size - patch) // step) + 1
    return [round(i * (size - patch) / (count - 1)) for i in range(count)]
