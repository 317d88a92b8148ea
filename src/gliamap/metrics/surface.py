"""HD95 as DeepMind's surface-distance defines it, which every official BraTS script uses. Own implementation.

The definition (Nikolov et al., "Clinically applicable segmentation of head and neck anatomy", 2021, and the
documentation of surface-distance): around each corner where eight voxels meet (four pixels in 2D), the voxels that
are inside form one of 256 (16) patterns. Where they are neither all inside nor all outside, a *surface element* sits
at that corner; its area (length) is that of the marching-cubes surface through the cube between the eight voxel
centres. The grid's outside counts as background. The distance of an element is that to the nearest element of the
other mask; each direction's percentile is taken over the cumulated area, and HD95 is the larger of the two.

surface-distance holds the areas as a table of triangle normals. Here they are derived: the cuts through the twelve
edges of the cube are joined to loops along its faces, and each loop is filled with triangles. Two choices complete
the definition, and give the areas of that table for all 256 patterns and any spacing: on a face whose inside corners
lie diagonally, each inside corner is cut off alone (with five and more inside, each outside corner); a loop that is
not flat is filled as a fan from the corner that makes its area largest on a cubic grid.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from gliamap.boxes import Shape, bounding_box
from gliamap.metrics.undefined import hd95_when_undefined

_CORNERS: tuple[Shape, ...] = tuple(product((0, 1), (0, 1), (0, 1)))
"""The eight voxels around a corner of the grid; the voxel at place i is bit i of a pattern."""

_BOX_PER_QUERY = 32
"""A search tree pays where the box has more places than this for each one asked about."""


def hd95(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    *,
    spacing: tuple[float, float, float],
    worst: float,
) -> float:
    """The 95th percentile Hausdorff distance of two ``(X, Y, Z)`` masks, in the unit of ``spacing``.

    ``worst`` is the value where one mask alone is empty (:func:`gliamap.metrics.undefined.worst_hd95`); both empty
    is 0. A grid of one slice is measured in its plane, by contour length.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} must have one shape")
    boxes = bounding_box(prediction), bounding_box(reference)
    if boxes[0] is None or boxes[1] is None:
        return hd95_when_undefined(prediction_empty=boxes[0] is None, reference_empty=boxes[1] is None, worst=worst)
    start = np.minimum(boxes[0].start, boxes[1].start)
    stop = np.maximum(boxes[0].stop, boxes[1].stop)
    around = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    if prediction.shape[2] == 1:
        sizes = _lengths(spacing[0], spacing[1])
        patterns = [_patterns(mask[around][..., 0]) for mask in (prediction, reference)]
    else:
        sizes = _areas(spacing)
        patterns = [_patterns(mask[around]) for mask in (prediction, reference)]
    return _farther_percentile(patterns[0], patterns[1], sizes, np.array(spacing[: patterns[0].ndim]))


def _farther_percentile(
    first: NDArray[np.uint8], second: NDArray[np.uint8], sizes: NDArray[np.float64], spacing: NDArray[np.float64]
) -> float:
    everything = 255 if first.ndim == 3 else 15
    on_first, on_second = ((p != 0) & (p != everything) for p in (first, second))
    there = _directed(on_first, on_second, sizes[first[on_first]], spacing)
    back = _directed(on_second, on_first, sizes[second[on_second]], spacing)
    return max(there, back)


def _directed(
    source: NDArray[np.bool_], target: NDArray[np.bool_], sizes: NDArray[np.float64], spacing: NDArray[np.float64]
) -> float:
    """The distance from ``source`` elements to the nearest of ``target`` that 95 % of their area does not exceed."""
    distances = np.zeros(sizes.size)
    apart = ~target[source]
    if apart.any():
        distances[apart] = _nearest(source & ~target, target, spacing)
    order = np.argsort(distances)
    share = np.cumsum(sizes[order]) / sizes.sum()
    # The slack keeps shares that meet 95 % exactly from depending on the order in which they were added up.
    return float(distances[order[np.searchsorted(share, 0.95 - 1e-9)]])


def _nearest(source: NDArray[np.bool_], target: NDArray[np.bool_], spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distance from each place of ``source`` to the nearest of ``target``."""
    # A tree is asked place by place, a transform fills the box whatever is asked; measured, they break even about here.
    if np.count_nonzero(source) * _BOX_PER_QUERY < source.size:
        return np.asarray(cKDTree(np.argwhere(target) * spacing).query(np.argwhere(source) * spacing)[0])
    return np.asarray(distance_transform_edt(~target, sampling=spacing))[source]


def _patterns(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The pattern at every grid corner: one place more than the mask along each of its two or three axes."""
    padded = np.pad(mask, 1).astype(np.uint8)
    out = np.zeros([n + 1 for n in mask.shape], np.uint8)
    for bit, corner in enumerate(product((0, 1), repeat=mask.ndim)):
        out |= padded[tuple(slice(c, c + n) for c, n in zip(corner, out.shape, strict=True))] << np.uint8(bit)
    return out


def _lengths(dx: float, dy: float) -> NDArray[np.float64]:
    """Contour length of each of the 16 patterns of four pixels (0,0), (0,1), (1,0), (1,1)."""
    corner = float(np.hypot(dx, dy)) / 2
    out = np.full(16, corner)
    out[[0, 15]] = 0.0
    out[[0b0110, 0b1001]] = 2 * corner
    out[[0b0011, 0b1100]] = dy
    out[[0b0101, 0b1010]] = dx
    return out


def _areas(spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Surface area of each of the 256 patterns of eight voxels."""
    dx, dy, dz = spacing
    return np.asarray(np.linalg.norm(_normals() * (dy * dz, dx * dz, dx * dy), axis=2).sum(axis=1))


@lru_cache(maxsize=1)
def _normals() -> NDArray[np.float64]:
    """Normals (256, 4, 3) of each pattern's triangles, as long as their area on a cubic grid; unused ones are 0."""
    out = np.zeros((256, 4, 3))
    for pattern in range(1, 255):
        inside = [bool(pattern >> bit & 1) for bit in range(8)]
        if sum(inside) > 4:
            inside = [not value for value in inside]
        triangles = np.concatenate([_fill(loop) for loop in _loops(dict(zip(_CORNERS, inside, strict=True)))])
        out[pattern, : len(triangles)] = triangles
    return out


def _loops(inside: dict[Shape, bool]) -> list[NDArray[np.float64]]:
    """The closed lines ``(N, 3)`` in which the surface meets the faces of the cube."""
    follows: dict[tuple[float, ...], tuple[float, ...]] = {}
    for face in _faces():
        for at in range(4):
            if not inside[face[at - 1]] and inside[face[at]]:
                last = at
                while inside[face[(last + 1) % 4]]:
                    last += 1
                follows[_middle(face[last % 4], face[(last + 1) % 4])] = _middle(face[at - 1], face[at])
    loops = []
    while follows:
        point, after = follows.popitem()
        loop = [point]
        while after != loop[0]:
            loop.append(after)
            after = follows.pop(after)
        loops.append(np.array(loop))
    return loops


def _faces() -> list[list[Shape]]:
    """The corners of each face of the cube, in the same sense of rotation seen from outside."""
    faces = []
    for axis, side in product(range(3), (0, 1)):
        ring = [np.roll((side, u, v), axis) for u, v in ((0, 0), (1, 0), (1, 1), (0, 1))]
        corners: list[Shape] = [(int(x), int(y), int(z)) for x, y, z in ring]
        faces.append(corners if side else corners[::-1])
    return faces


def _middle(a: Shape, b: Shape) -> tuple[float, ...]:
    return tuple((i + j) / 2 for i, j in zip(a, b, strict=True))


def _fill(loop: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normals ``(N - 2, 3)`` of the fan of triangles over ``loop`` with the largest area."""
    fans = []
    for first in range(len(loop)):
        spokes = np.roll(loop, -first, axis=0)[1:] - loop[first]
        fans.append(np.array([np.cross(a, b) / 2 for a, b in pairwise(spokes)]))
    return max(fans, key=lambda normals: float(np.linalg.norm(normals, axis=1).sum()))
