"""Which slices a picture shows, and which way up. Knows numpy only.

Everything here works on the *shown* grid: voxel axes turned so that they run to the patient's left, to the back and
to the feet. Columns and rows of a picture run the same way, so an axial, coronal or sagittal picture is a plain slice:
patient's right on the left, nose up (axial) or left (sagittal), head up. Oblique grids are turned by whole axes only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape, bounding_box, whole
from gliamap.components import find_components, remove_small
from gliamap.volume import Grid, orientation

Scalar = TypeVar("Scalar", bound=np.generic)

SPECK_SHARE = 0.01
"""Bright parts smaller than this share of all bright voxels are noise, not head."""


class Plane(StrEnum):
    """The three planes of a picture."""

    SAGITTAL = "sagittal"
    CORONAL = "coronal"
    AXIAL = "axial"

    @property
    def axis(self) -> int:
        """The shown axis that the plane cuts across."""
        return tuple(Plane).index(self)

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """Where the picture's left, right, top and bottom edges look."""
        return {
            Plane.SAGITTAL: ("A", "P", "S", "I"),
            Plane.CORONAL: ("R", "L", "S", "I"),
            Plane.AXIAL: ("R", "L", "A", "P"),
        }[self]


@dataclass(frozen=True)
class Turn:
    """How a native grid becomes the shown one: shown axis i is native axis ``axes[i]``, reversed where ``flips[i]``.

    ``shape`` and ``spacing`` (mm, or pixels for an image) are those of the shown grid.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    shape: Shape
    spacing: tuple[float, float, float]

    def apply(self, volume: NDArray[Scalar]) -> NDArray[Scalar]:
        """A view of a native ``(X, Y, Z)`` array on the shown grid."""
        steps = [slice(None, None, -1) if flip else slice(None) for flip in self.flips]
        return volume.transpose(self.axes)[tuple(steps)]

    def native_index(self, plane: Plane, index: int) -> int:
        """The number, from 0, that the slice ``index`` of ``plane`` has in the file."""
        return self.shape[plane.axis] - 1 - index if self.flips[plane.axis] else index

    @property
    def only_plane(self) -> Plane | None:
        """The plane of a grid that has one slice; ``None`` for a volume."""
        return next((plane for plane in Plane if self.axes[plane.axis] == 2 and self.shape[plane.axis] == 1), None)


def make_turn(grid: Grid) -> Turn:
    """The turn of ``grid``. ``orientation`` tells right, anterior, superior; shown axes run against each."""
    found = orientation(grid.affine)
    x, y, z = (axis for axis, _ in found)
    right, anterior, superior = (sense > 0 for _, sense in found)
    shape, spacing = grid.shape, grid.spacing
    return Turn(
        axes=(x, y, z),
        flips=(right, anterior, superior),
        shape=(shape[x], shape[y], shape[z]),
        spacing=(spacing[x], spacing[y], spacing[z]),
    )


@dataclass(frozen=True)
class Cut:
    """One slice: ``index`` on the shown grid across ``plane``, and the ``box`` that the picture is cropped to."""

    plane: Plane
    index: int
    box: Box

    def of(self, volume: NDArray[Scalar]) -> NDArray[Scalar]:
        """The picture ``(rows, columns)`` out of a shown volume."""
        at: list[slice | int] = list(self.box.slices)
        at[self.plane.axis] = self.index
        return volume[tuple(at)].T

    def size(self, spacing: tuple[float, float, float]) -> tuple[float, float]:
        """Width and height of the picture in the unit of ``spacing``."""
        columns, rows = (axis for axis in range(3) if axis != self.plane.axis)
        return self.box.shape[columns] * spacing[columns], self.box.shape[rows] * spacing[rows]


def display_window(values: NDArray[np.floating]) -> tuple[float, float]:
    """Black and white level: percentiles 0.5 and 99.5 of the finite voxels that are not zero; (0, 1) without any."""
    brain = values[np.isfinite(values) & (values != 0)]
    if brain.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(brain, (0.5, 99.5)))
    return (low, high) if high > low else (low - 1.0, high)


def head_of(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Where ``(X, Y, Z)`` shows head or brain: what is brighter than a tenth of the brightest, specks left out.

    That holds for whole heads with noise around them as well as for skull-stripped brains. Dark places inside are not
    filled; an image of zeros has none.
    """
    head = np.zeros(values.shape, np.bool_)
    finite = np.isfinite(values) & (values != 0)
    box = bounding_box(finite)
    if box is not None:
        size = np.abs(np.where(finite[box.slices], values[box.slices], 0))
        bright = size > 0.1 * float(np.percentile(size[finite[box.slices]], 99.5))
        head[box.slices] = remove_small(bright, int(SPECK_SHARE * np.count_nonzero(bright)))
    return head


def content_box(values: NDArray[np.floating], marked: NDArray[np.bool_]) -> Box:
    """The box of head or brain and of all ``marked`` voxels, two voxels wider; the whole grid where both are empty."""
    shape: Shape = (values.shape[0], values.shape[1], values.shape[2])
    box = bounding_box(head_of(values) | marked)
    return box.grow(2, shape) if box else whole(shape)


def choose_cuts(tumour: NDArray[np.bool_], box: Box) -> tuple[Cut, Cut, Cut]:
    """The axial, coronal and sagittal slice to show.

    Axial: where the tumour's area is largest. Coronal and sagittal: through the middle (per-axis median) of its
    largest connected part, so that both hit tumour even where it has several parts. Without tumour: the middle of
    ``box``.
    """
    at = [(a + b - 1) // 2 for a, b in zip(box.start, box.stop, strict=True)]
    if tumour.any():
        labelled, parts = find_components(tumour)
        largest = parts[0]
        inside = np.argwhere(labelled[largest.box.slices] == largest.number)
        at = [int(np.median(inside[:, axis])) + largest.box.start[axis] for axis in range(3)]
        at[2] = int(np.argmax(np.count_nonzero(tumour, axis=(0, 1))))
    return Cut(Plane.AXIAL, at[2], box), Cut(Plane.CORONAL, at[1], box), Cut(Plane.SAGITTAL, at[0], box)


def choose_series(tumour: NDArray[np.bool_], box: Box, count: int) -> tuple[Cut, ...]:
    """``count`` axial slices from the feet upwards, evenly through the tumour, or through ``box`` without tumour.

    The extent is divided into ``count`` equal parts and the middle of each is shown, so that the first and last
    slice hold more than a tip. Stray voxels do not stretch the extent: half a percent of the tumour may lie beyond
    it at either end, and of a box without tumour the outer tenths are left out. An extent of fewer slices grows to
    ``count`` where the box allows it.
    """
    low, high = box.start[2], box.stop[2]
    share = np.cumsum(np.count_nonzero(tumour, axis=(0, 1)))
    first, stop = low + (high - low) // 10, high - (high - low) // 10
    if share[-1]:
        first, stop = (int(np.searchsorted(share, part * share[-1])) for part in (0.005, 0.995))
        stop += 1
    missing = max(0, count - (stop - first))
    first = min(max(low, first - missing // 2), max(low, high - count)) if missing else first
    stop = min(high, first + count) if missing else stop
    steps = min(count, stop - first)
    middles = [first + int((i + 0.5) * (stop - first) / steps) for i in range(steps)]
    return tuple(Cut(Plane.AXIAL, index, box) for index in reversed(middles))
