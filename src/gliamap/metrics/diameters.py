"""The longest diameter of a lesion in a slice and the longest one perpendicular to it. Knows arrays only.

The two lines are those of Macdonald et al. 1990 and of the RANO criteria (Wen et al. 2010; RANO 2.0, Wen et al. 2023):
the longest diameter of the lesion in an axial slice, the longest one in the same slice at a right angle to it, and
their product; of all slices, the one where the product is largest. What those papers leave open is settled here:

- The outline of a lesion passes half way between a voxel centre inside and its neighbour outside, along rows and
  columns: a row of five voxels of 1 mm is 5 mm long and 1 mm wide. The longest line finds the outline's farthest steps:
  of disks of 10 to 40 voxels it is 0.7 voxels too long on average, the perpendicular one 0.4 (a test measures it).
  Between voxel corners these would be 1.2 and 0.6; between voxel centres a thin lesion would have no width at all.
- Lines run between two points of the outline's convex hull, as callipers would measure. They may cross a necrotic hole
  or a bay of the outline; RANO does not ask that they lie inside.
- Of several longest diameters the one with the longest perpendicular counts, of equal products the first slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

_EQUAL = 1e-9  # diameters that differ by this share of their length are equal


@dataclass(frozen=True)
class Diameters:
    """The two diameters, in the unit of the grid, and the slice (index along the last axis) in which both lie."""

    longest: float
    perpendicular: float
    slice: int

    @property
    def product(self) -> float:
        """Longest times perpendicular: the bidimensional product, in the unit squared."""
        return self.longest * self.perpendicular


def largest_diameters(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> Diameters | None:
    """The diameters of one lesion ``(X, Y, Z)``, whose slices lie across the last axis; ``None`` where it is empty.

    ``spacing`` gives the edges of a voxel; rows and columns are taken to be at right angles. Parts that do not touch
    are measured as one: pass one connected part.
    """
    best: Diameters | None = None
    widths, heights = (
        _extent(np.asarray(mask.any(axis=axis))) * edge for axis, edge in ((1, spacing[0]), (0, spacing[1]))
    )
    # Two perpendicular lines in a hull span half their product, and the hull lies in its box.
    most = 2 * widths * heights
    for index in np.argsort(-most, kind="stable").tolist():
        if most[index] == 0 or (best is not None and most[index] < best.product):
            break
        longest, perpendicular = _diameters(outline(mask[:, :, index]) * spacing[:2])
        if best is None or (longest * perpendicular, -index) > (best.product, -best.slice):
            best = Diameters(longest, perpendicular, index)
    return best


def outline(plane: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Points ``(N, 2)`` in voxels, among them all corners of the convex hull of a plane's outline.

    Those half a voxel beyond the first and the last voxel inside of each row and of each column.
    """
    points = []
    for turned, order in ((plane, [0, 1]), (plane.T, [1, 0])):
        lines = np.flatnonzero(turned.any(axis=1))
        first = np.argmax(turned[lines], axis=1)
        last = turned.shape[1] - 1 - np.argmax(turned[lines, ::-1], axis=1)
        points += [np.stack([lines, ends], axis=1)[:, order] for ends in (first - 0.5, last + 0.5)]
    return np.concatenate(points)


def _extent(lines: NDArray[np.bool_]) -> NDArray[np.intp]:
    """From the first to the last true place of each column ``(N, Z)``, both counted; 0 where there is none."""
    first, last = np.argmax(lines, axis=0), len(lines) - np.argmax(lines[::-1], axis=0)
    return np.where(lines.any(axis=0), last - first, 0)


def _diameters(points: NDArray[np.float64]) -> tuple[float, float]:
    """The longest line between two of the points ``(N, 2)``, and the longest in their hull at a right angle to it."""
    corners = points[ConvexHull(points).vertices]
    apart = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    longest = float(apart.max())
    equal = np.argwhere(np.triu(apart >= longest * (1 - _EQUAL)))
    return longest, max(_perpendicular(corners, int(i), int(j)) for i, j in equal)


def _perpendicular(corners: NDArray[np.float64], start: int, end: int) -> float:
    """The longest line in a convex polygon at a right angle to its diameter from ``start`` to ``end``.

    The diameter divides the corners into two sides. The polygon's height over it, on both sides together, is linear
    between corners, so that the longest line passes through one.
    """
    along = (corners[end] - corners[start]) / np.linalg.norm(corners[end] - corners[start])
    moved = corners - corners[start]
    at, above = moved @ along, moved @ np.array([-along[1], along[0]])
    above[[start, end]] = 0
    height = np.zeros(len(at))
    for side in (above >= 0, above <= 0):
        order = np.argsort(at[side], kind="stable")
        height += np.abs(np.interp(at, at[side][order], above[side][order]))
    return float(height.max())
