"""The midline plane of a head, found from the head's own mirror symmetry. Knows arrays only.

A plane is judged by the correlation of the head with its mirror image (Ardekani et al. 1997, Prima et al. 2002 take
the same idea), tumour left out on both sides of the mirror. It is the plane about which the whole head is most
symmetric: where a tumour pushes the brain aside, the anatomical midline bends away from it.

How far the plane can be relied on is told by the head itself: it is fitted again to the front, back, upper and lower
half alone, and how far those planes lie apart is the spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.optimize import minimize

from gliamap.boxes import block_means
from gliamap.volume import Grid

SURE_SYMMETRY = 0.3
"""A head correlates with its mirror image at least this well, or the plane is not sure."""

SURE_SPREAD_MM = 4.0
"""Halves of the head put the plane this far apart at most, or it is not sure."""

_STEP_MM = 4.0  # voxels are taken together to about this size
_POINTS, _FIRST_POINTS = 8_000, 1_500  # of the head that are compared with their mirror images
_FEWEST = 500  # a plane cannot be told from less
_LEAST_KNOWN = 0.05  # of a voxel: what is brighter or darker in less of it cannot be told
_BRIGHTEST = 99.0  # percentile of the head that stands for white: vessels and fat shall not decide
_FIRST_DEGREES, _FIRST_MM = (-24, -16, -8, 0, 8, 16, 24), (-12, -6, 0, 6, 12)
_SIMPLEX = np.array([[0.0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 3]])  # degrees, degrees, mm
_DEGREES_OR_MM = 0.05  # how near the best plane is looked for


@dataclass(frozen=True)
class Midline:
    """The plane ``normal · p = offset`` (RAS+ mm); ``normal`` is a unit vector that points to the patient's right.

    ``symmetry``: the correlation (-1..1) of the head with its mirror image. ``spread_mm``: how far, root mean square
    over the head, planes from halves of the head lie from this one. ``sure``: both are good enough to rely on.
    """

    normal: tuple[float, float, float]
    offset: float
    symmetry: float
    spread_mm: float

    @property
    def sure(self) -> bool:
        """Whether the plane can be relied on."""
        return self.symmetry >= SURE_SYMMETRY and self.spread_mm <= SURE_SPREAD_MM

    def distance(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """How far points ``(..., 3)`` in RAS+ mm lie from the plane, in mm; to the patient's right is positive."""
        return np.asarray(points @ np.array(self.normal) - self.offset)


def find_midline(
    image: NDArray[np.float32], head: NDArray[np.bool_], tumour: NDArray[np.bool_], grid: Grid
) -> Midline | None:
    """The midline of the head in an ``(X, Y, Z)`` image, from the masks of head (or brain) and tumour on its grid.

    ``None`` for an image of one slice or without spacing, and where too little of a head is there. Heads that are
    turned or tilted by more than 30 degrees, and parts of a head that are not symmetric, give planes that are not sure.
    """
    if grid.is_2d or grid.unit == "px":
        return None
    mirror = _prepare(image, head, tumour, grid)
    if len(mirror.points) < _FEWEST:
        return None
    rough = mirror.thinned(_FIRST_POINTS)
    first = min(product(_FIRST_DEGREES, _FIRST_DEGREES, _FIRST_MM), key=rough.cost)
    mirror = mirror.thinned(_POINTS)
    found = mirror.fit(rough.fit(first))
    normal, shift = _plane(found)
    apart = [np.square(mirror.distance(half.fit(found)) - mirror.distance(found)) for half in mirror.halves()]
    return Midline(
        normal=(float(normal[0]), float(normal[1]), float(normal[2])),
        offset=float(normal @ mirror.centre + shift),
        symmetry=-mirror.cost(found),
        spread_mm=float(np.sqrt(np.mean(apart))),
    )


_Place = Sequence[float] | NDArray[np.float64]
"""Where a plane lies: its turn about S and tilt about A in degrees, and its distance from the centre in mm."""


@dataclass(frozen=True, eq=False)
class _Mirror:
    """A head to be mirrored, on coarse voxels.

    ``known`` ``(X, Y, Z)`` is the share of each voxel that is not tumour, ``light`` that share times its brightness in
    0..1, 0 outside the head. ``to_voxel`` ``(3, 4)`` leads there from mm around ``centre`` (RAS+), and ``points``
    ``(N, 3)`` are the head's voxels in mm around the centre.
    """

    light: NDArray[np.float32]
    known: NDArray[np.float32]
    to_voxel: NDArray[np.float64]
    centre: NDArray[np.float64]
    points: NDArray[np.float64]

    def thinned(self, count: int) -> _Mirror:
        """With at most ``count`` of the points, evenly chosen."""
        return replace(self, points=self.points[:: -(-len(self.points) // count)])

    def halves(self) -> list[_Mirror]:
        """With the points of the front, back, upper and lower half alone."""
        sides = [sign * self.points[:, axis] for axis in (1, 2) for sign in (1, -1)]
        return [replace(self, points=self.points[side > np.median(side)]) for side in sides]

    def distance(self, at: _Place) -> NDArray[np.float64]:
        """How far the points lie from a plane, in mm."""
        normal, shift = _plane(at)
        return np.asarray(self.points @ normal - shift)

    def cost(self, at: _Place) -> float:
        """Minus the correlation of the head with its mirror image about a plane; 0 where nothing can be compared."""
        normal, _ = _plane(at)
        mirrored = self.points - 2 * self.distance(at)[:, None] * normal
        (here, certain), (there, as_certain) = self._here, self._look(mirrored)
        weights = certain * as_certain
        total = float(weights.sum())
        if total < 1:
            return 0.0
        here, there = (values - float(weights @ values) / total for values in (here, there))
        spread = float(weights @ here**2) * float(weights @ there**2)
        return -float(weights @ (here * there)) / spread**0.5 if spread > 0 else 0.0

    def fit(self, start: Sequence[float]) -> tuple[float, float, float]:
        """The plane with the lowest cost near ``start``."""
        found = minimize(
            self.cost,
            np.asarray(start, float),
            method="Nelder-Mead",
            options={"initial_simplex": start + _SIMPLEX, "xatol": _DEGREES_OR_MM, "fatol": 1e-6, "maxiter": 120},
        )
        turn, tilt, shift = found.x.tolist()
        return turn, tilt, shift

    @cached_property
    def _here(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._look(self.points)

    def _look(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Brightness, and the share that is not tumour, at points in mm around the centre; outside dark and known."""
        at = self.to_voxel[:, :3] @ points.T + self.to_voxel[:, 3:]
        known = map_coordinates(self.known, at, order=1, output=np.float32, cval=1.0)
        light = map_coordinates(self.light, at, order=1, output=np.float32)
        return np.asarray(light / np.maximum(known, _LEAST_KNOWN)), known


def _prepare(image: NDArray[np.float32], head: NDArray[np.bool_], tumour: NDArray[np.bool_], grid: Grid) -> _Mirror:
    steps = [max(1, round(_STEP_MM / edge)) for edge in grid.spacing]
    inside = block_means(head, steps) > 0.5
    known = 1 - block_means(tumour, steps)
    light = block_means(np.where(head & ~tumour, np.nan_to_num(image), 0), steps)
    bright = light / np.maximum(known, _LEAST_KNOWN)
    black, white = np.percentile(bright[inside], (0, _BRIGHTEST)) if inside.any() else (0.0, 1.0)
    black = min(black, 0)  # of normalised images: what lies outside is the darkest
    light = (np.minimum(bright, white) - black) / max(white - black, 1e-30) * known
    linear = grid.affine[:3, :3] * steps
    first = grid.affine[:3, :3] @ ((np.array(steps) - 1) / 2) + grid.affine[:3, 3]
    points = np.argwhere(inside) @ linear.T + first
    centre = points.mean(axis=0) if len(points) else first
    back = np.linalg.inv(linear)
    to_voxel = np.column_stack([back, back @ (centre - first)])
    light[block_means(head, steps) == 0] = 0
    return _Mirror(light.astype(np.float32), known, to_voxel, centre, points - centre)


def _plane(at: _Place) -> tuple[NDArray[np.float64], float]:
    """The normal of a plane, and its distance from the centre."""
    turn, tilt = np.radians(at[:2])
    return np.array([np.cos(turn) * np.cos(tilt), np.sin(turn) * np.cos(tilt), np.sin(tilt)]), float(at[2])
