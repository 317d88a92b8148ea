"""Where the voxels of a viewer lie in the grid of a case.

A viewer's grid runs to the patient's right, to the front and to the head: whole axes of the case's grid, reordered and
reversed, cut to the head, and where a scan is too fine for a page, several voxels taken as one. A grid of one slice is
turned further so that the slice lies across the last axis. A viewer that draws the first axis from right to left and
the second upwards then shows every slice the right way round: the patient's right, or the nose, to the left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape, block_means, whole
from gliamap.volume import Grid, ras_order

Scalar = TypeVar("Scalar", bound=np.generic)

LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))
"""Where the low and the high end of R, A and S look."""

_SLICE_ORDER = {0: (1, 2, 0), 1: (0, 2, 1), 2: (0, 1, 2)}
"""The order of R, A and S in a viewer of one slice, by the one of them that the slice lies across."""


@dataclass(frozen=True)
class Frame:
    """How a viewer's grid is cut out of a case's.

    Turned axis i is native axis ``axes[i]``, reversed where ``flips[i]``; ``native`` is the case's shape. ``box`` is
    what is kept of the turned grid, whose voxels have ``edges`` in the unit of the case. ``steps`` of them along each
    axis make one of the viewer's, at the far end perhaps fewer. ``letters`` says where the low and the high end of each
    axis look; empty for images that do not say.
    """

    native: Shape
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    box: Box
    edges: tuple[float, float, float]
    steps: Shape
    letters: tuple[tuple[str, str], ...]

    @property
    def shape(self) -> Shape:
        """Voxels of the viewer along each axis."""
        x, y, z = (-(-n // step) for n, step in zip(self.box.shape, self.steps, strict=True))
        return (x, y, z)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Edges of the viewer's voxels, in the unit of the case."""
        x, y, z = (edge * step for edge, step in zip(self.edges, self.steps, strict=True))
        return (x, y, z)

    def cut(self, volume: NDArray[Scalar]) -> NDArray[Scalar]:
        """A view of a native ``(X, Y, Z)`` array, turned and cut to the box; its voxels stay as fine as they are."""
        turns = tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)
        return volume.transpose(self.axes)[turns][self.box.slices]

    def averaged(self, volume: NDArray[np.floating]) -> NDArray[np.float32]:
        """A native image or map on the viewer's grid: the mean of the voxels that make up each of the viewer's."""
        return block_means(self.cut(volume), self.steps)

    def middle(self, volume: NDArray[Scalar]) -> NDArray[Scalar]:
        """A native map of labels on the viewer's grid: the middle one of the voxels that make up each of the viewer's.

        Labels have no mean; the middle one keeps volumes on average and borders in place.
        """
        return volume.transpose(self.axes)[np.ix_(*self.numbers)]

    @property
    def numbers(self) -> tuple[NDArray[np.intp], ...]:
        """For each axis of the viewer the numbers, from 0, of its slices in the file; of several the middle one's."""
        found = []
        for axis, flip, start, stop, step in zip(
            self.axes, self.flips, self.box.start, self.box.stop, self.steps, strict=True
        ):
            turned = np.minimum(np.arange(start, stop, step) + (step - 1) // 2, stop - 1)
            found.append(self.native[axis] - 1 - turned if flip else turned)
        return tuple(found)

    @property
    def to_native(self) -> NDArray[np.float64]:
        """The ``(4, 4)`` matrix from places in the viewer's grid to those in the case's, both in voxels."""
        out = np.zeros((4, 4))
        out[3, 3] = 1
        for index, (axis, flip, start, step) in enumerate(
            zip(self.axes, self.flips, self.box.start, self.steps, strict=True)
        ):
            middle = start + (step - 1) / 2
            out[axis, index] = -step if flip else step
            out[axis, 3] = self.native[axis] - 1 - middle if flip else middle
        return out

    def cropped(self, box: Box) -> Frame:
        """The same frame cut to ``box`` of its turned grid."""
        return replace(self, box=box)

    def coarser(self, factor: int) -> Frame:
        """The same box with voxels of about ``factor`` times the shortest edge; longer edges stay while they may."""
        shortest = min(edge for edge, n in zip(self.edges, self.box.shape, strict=True) if n > 1)
        x, y, z = (
            min(n, max(1, round(factor * shortest / edge))) for edge, n in zip(self.edges, self.box.shape, strict=True)
        )
        return replace(self, steps=(x, y, z))


def whole_frame(grid: Grid) -> Frame:
    """The frame that shows all of ``grid``, voxel by voxel. Oblique grids are turned by whole axes only."""
    axes, flips = ras_order(grid.affine)
    order = _SLICE_ORDER[axes.index(2)] if grid.is_2d else (0, 1, 2)
    a, b, c = (axes[i] for i in order)
    f, g, h = (flips[i] for i in order)
    n, edges = grid.shape, grid.spacing
    return Frame(
        native=n,
        axes=(a, b, c),
        flips=(f, g, h),
        box=whole((n[a], n[b], n[c])),
        edges=(edges[a], edges[b], edges[c]),
        steps=(1, 1, 1),
        letters=tuple(LETTERS[i] for i in order) if grid.unit == "mm" else (),
    )
