"""The voxel grid: shape, affine, spacing, orientation. Knows numpy only.

Coordinates are RAS+ millimetres (x to the patient's right, y to anterior, z to superior) through a 4x4 affine, as
in NIfTI. A 2D image is a grid with Z = 1 whose unit is the pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Shape

Unit = Literal["mm", "px"]
"""That of distances."""

GRID_TOLERANCE_MM = 1e-2
"""Two affines are the same grid where no corner voxel moves by more than this."""


OBLIQUE_DEGREES = 3.0
"""Beyond this angle whole axes tell the patient's directions only roughly, and pictures and measures say so."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where voxels lie: ``shape`` (X, Y, Z), ``affine`` (4x4, voxel index to RAS+ ``unit``)."""

    shape: Shape
    affine: NDArray[np.float64]
    unit: Unit = "mm"

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Edge lengths of a voxel along X, Y, Z, in ``unit``."""
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return (float(x), float(y), float(z))

    @property
    def is_2d(self) -> bool:
        """One slice only."""
        return self.shape[2] == 1

    @property
    def voxel_size(self) -> float:
        """What one voxel adds to a volume: millilitres, or pixels for an image without spacing."""
        if self.unit == "px":
            return 1.0
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def same_as(self, other: Grid) -> bool:
        """Same shape, and the corners within ``GRID_TOLERANCE_MM``."""
        return self.shape == other.shape and corners_apart(self, other) <= GRID_TOLERANCE_MM

    def describe(self) -> str:
        """Shape, spacing and origin in one line, for messages."""
        shape = "x".join(str(n) for n in self.shape)
        spacing = "x".join(f"{s:.4g}" for s in self.spacing)
        origin = ", ".join(f"{v:.1f}" for v in self.affine[:3, 3])
        return f"{shape} voxels of {spacing} {self.unit}, origin ({origin})"


def volume_unit(unit: Unit) -> Literal["mL", "px"]:
    """The unit of volumes where distances are in ``unit``."""
    return "px" if unit == "px" else "mL"


def corners_apart(a: Grid, b: Grid) -> float:
    """The furthest that a corner voxel of ``a`` lies from the same corner of ``b``, along one world axis."""
    return float(np.abs(_corners(a) - _corners(b)).max())


def _corners(grid: Grid) -> NDArray[np.float64]:
    index = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape], indexing="ij")).reshape(3, -1)
    return np.asarray(grid.affine[:3, :3] @ index + grid.affine[:3, 3:])


def image_grid(shape: Shape) -> Grid:
    """The grid of a 2D image held as (column, row, 1).

    Images of slices are drawn in radiological view: columns run to the patient's left, rows to posterior, hence
    the negative signs.
    """
    return Grid(shape, np.diag([-1.0, -1.0, 1.0, 1.0]), "px")


def orientation(affine: NDArray[np.float64]) -> tuple[tuple[int, int], ...]:
    """For each world axis R, A, S: the voxel axis that runs along it, and +1 or -1 for its sense.

    Each world axis takes a different voxel axis; oblique grids get the assignment with the largest cosines.
    """
    cosines = affine[:3, :3] / np.maximum(np.sqrt((affine[:3, :3] ** 2).sum(axis=0)), 1e-12)
    left = np.abs(cosines).copy()
    axes: list[tuple[int, int]] = [(0, 1)] * 3
    for _ in range(3):
        world, voxel = np.unravel_index(int(np.argmax(left)), left.shape)
        axes[int(world)] = (int(voxel), 1 if cosines[world, voxel] >= 0 else -1)
        left[world, :] = -1
        left[:, voxel] = -1
    return tuple(axes)


def ras_order(affine: NDArray[np.float64]) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """How voxel axes become R, A, S: turned axis i is voxel axis ``axes[i]``, reversed where ``flips[i]``."""
    (a, a_sign), (b, b_sign), (c, c_sign) = orientation(affine)
    return (a, b, c), (a_sign < 0, b_sign < 0, c_sign < 0)


def obliqueness_degrees(affine: NDArray[np.float64]) -> float:
    """The largest angle between a voxel axis and its nearest world axis, in degrees."""
    cosines = affine[:3, :3] / np.maximum(np.sqrt((affine[:3, :3] ** 2).sum(axis=0)), 1e-12)
    return float(np.degrees(np.arccos(np.clip(np.abs(cosines).max(axis=0), 0, 1)).max()))
