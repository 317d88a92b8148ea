"""HD95, HD, ASSD and surface Dice as DeepMind's surface-distance defines them. Every official BraTS script takes its
HD95. Own code.

The definition (Nikolov et al., "Clinically applicable segmentation of head and neck anatomy", 2021, and the
documentation of surface-distance): around each corner where eight voxels meet (four pixels in 2D), the voxels that
are inside form one of 256 (16) patterns. Where they are neither all inside nor all outside, a *surface element* sits
at that corner; its area (length) is that of the marching-cubes surface through the cube between the eight voxel
centres. The grid's outside counts as background. The distance of an element is that to the nearest element of the
other mask; each direction's percentile is taken over the cumulated area, and HD95 is the larger of the two. The
surface Dice is the share of the area of both surfaces that lies within a tolerance of the other.

surface-distance holds the areas as a table of triangle normals. Here they are derived: the cuts through the twelve
edges of the cube are joined to loops along its faces, and each loop is filled with triangles. Two choices complete
the definition, and give the areas of that table for all 256 patterns and any spacing: on a face whose inside corners
lie diagonally, each inside corner is cut off alone (with five and more inside, each outside corner); a loop that is
not flat is filled as a fan from the corner that makes its area largest on a cubic grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape, bounding_box
from gliamap.metrics.nearest import nearest
from gliamap.metrics.undefined import hd95_when_undefined, overlap_when_undefined

TOLERANCE = 1.0
"""How far surfaces may lie apart in the surface Dice, in mm (images: pixels): a voxel of BraTS, whose 2024 challenge
takes it, too."""

ROUNDING = 1e-6
"""A spacing of 1 mm is often 1.0000001 in a header: a voxel next to the surface shall be within 1 mm all the same."""

_CORNERS: tuple[Shape, ...] = tuple(product((0, 1), (0, 1), (0, 1)))
"""The eight voxels around a corner of the grid; the voxel at place i is bit i of a pattern."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Where the surface elements of one mask are, voxel indices ``(N, axes)``, and their ``(N,)`` sizes."""

    places: NDArray[np.intp]
    sizes: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Elements:
    """The surface elements of one mask: how far each is from the other mask's surface, ascending, and its size.

    ``distances`` and ``sizes`` are ``(N,)``; none where the mask is empty. To an empty mask it is infinitely far.
    """

    distances: NDArray[np.float64]
    sizes: NDArray[np.float64]

    @property
    def empty(self) -> bool:
        """The mask has no surface, which is that it is empty."""
        return self.sizes.size == 0


@dataclass(frozen=True)
class SurfaceDistances:
    """The elements of both masks, in the unit of the grid: measured once, for every figure of the surface."""

    prediction: Elements
    reference: Elements


def surface_distances(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> SurfaceDistances:
    """Measure the surfaces of two ``(X, Y, Z)`` masks against each other, in the unit of ``spacing``.

    A grid of one slice is measured in its plane, by contour length.
    """
    first, second = in_common_box(prediction, reference)
    return measure(find_surface(first, spacing), find_surface(second, spacing), spacing[: first.ndim])


def find_surface(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> Surface:
    """The surface elements of an ``(X, Y, Z)`` mask, or the contour elements of an ``(X, Y)`` mask."""
    table = _lengths(spacing[0], spacing[1]) if mask.ndim == 2 else _areas(spacing)
    patterns = _patterns(mask)
    surface = (patterns != 0) & (patterns != table.size - 1)
    return Surface(np.argwhere(surface), table[patterns[surface]])


def measure(prediction: Surface, reference: Surface, spacing: Sequence[float]) -> SurfaceDistances:
    """Measure two surfaces against each other; ``spacing`` has a step for each of their axes."""
    first, second = prediction.places, reference.places
    return SurfaceDistances(
        _ascending(nearest(first, second, spacing), prediction.sizes),
        _ascending(nearest(second, first, spacing), reference.sizes),
    )


def in_common_box(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Both ``(X, Y, Z)`` masks cut to the box that holds them, without the third axis where the grid is one slice.

    ``ValueError`` where the shapes differ.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} must have one shape")
    box = bounding_box(prediction | reference) or Box((0, 0, 0), (0, 0, 0))
    if prediction.shape[2] == 1:
        x, y, _ = box.slices
        return prediction[x, y, 0], reference[x, y, 0]
    return prediction[box.slices], reference[box.slices]


def hd95(found: SurfaceDistances, *, worst: float) -> float:
    """The 95th percentile Hausdorff distance, in the unit of the distances.

    ``worst`` is the value where one mask alone is empty (:func:`gliamap.metrics.undefined.worst_hd95`); both empty
    is 0.
    """
    prediction, reference = found.prediction, found.reference
    if prediction.empty or reference.empty:
        return hd95_when_undefined(prediction_empty=prediction.empty, reference_empty=reference.empty, worst=worst)
    return max(_percentile(prediction), _percentile(reference))


def hd(found: SurfaceDistances, *, worst: float) -> float:
    """The Hausdorff distance, the farthest that any element lies from the other surface; empty masks as :func:`hd95`.

    One stray voxel decides it.
    """
    prediction, reference = found.prediction, found.reference
    if prediction.empty or reference.empty:
        return hd95_when_undefined(prediction_empty=prediction.empty, reference_empty=reference.empty, worst=worst)
    return float(max(prediction.distances[-1], reference.distances[-1]))


def assd(found: SurfaceDistances, *, worst: float) -> float:
    """The average symmetric surface distance, in the unit of the distances; empty masks as :func:`hd95`.

    The mean distance of the elements of both masks, weighted by size (Heimann et al. 2009, with area in place of
    number): the larger surface counts for more.
    """
    prediction, reference = found.prediction, found.reference
    if prediction.empty or reference.empty:
        return hd95_when_undefined(prediction_empty=prediction.empty, reference_empty=reference.empty, worst=worst)
    total = sum(float((mask.distances * mask.sizes).sum()) for mask in (prediction, reference))
    return total / sum(float(mask.sizes.sum()) for mask in (prediction, reference))


def surface_dice(found: SurfaceDistances, *, tolerance: float = TOLERANCE) -> float:
    """The share of both surfaces that lies within ``tolerance`` of the other, 0..1: normalised surface distance (NSD).

    Sum of the sizes of the elements of both masks that are near enough, over that of all. Empty masks:
    :func:`gliamap.metrics.undefined.overlap_when_undefined`.
    """
    masks = found.prediction, found.reference
    if found.prediction.empty or found.reference.empty:
        return overlap_when_undefined(prediction_empty=masks[0].empty, reference_empty=masks[1].empty)
    limit = tolerance * (1 + ROUNDING)
    near = sum(float(mask.sizes[mask.distances <= limit].sum()) for mask in masks)
    return near / sum(float(mask.sizes.sum()) for mask in masks)


def _percentile(elements: Elements) -> float:
    """The distance that 95 % of the elements' area does not exceed."""
    share = np.cumsum(elements.sizes) / elements.sizes.sum()
    # The slack keeps shares that meet 95 % exactly from depending on the order in which they were added up.
    return float(elements.distances[np.searchsorted(share, 0.95 - 1e-9)])


def _ascending(distances: NDArray[np.float64], sizes: NDArray[np.float64]) -> Elements:
    order = np.argsort(distances)
    return Elements(distances[order], sizes[order])


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
