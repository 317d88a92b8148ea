"""Head and tumour as surfaces, for the 3D view: marching cubes on smoothed masks. Knows scikit-image.

The head holds the whole tumour, and that holds its tissues, each in the colour that it has on the slices. Edema has
no surface of its own: it is what lies between the whole tumour and the rest.

Marching cubes: Lewiner et al. 2003, as in ``skimage.measure.marching_cubes``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.measure import marching_cubes

from gliamap.boxes import bounding_box
from gliamap.labels import (
    REGION_NAMES,
    TISSUE_COLOURS,
    TISSUE_NAMES,
    LabelMap,
    Region,
    Tissue,
    region_mask,
    values_in,
)

STEP_MM, HEAD_STEP_MM = 2.0, 3.0
"""Edge of the cubes that are marched through, about: whole voxels are taken together."""

FACES, HEAD_FACES = 14_000, 16_000
"""More triangles than this, and larger cubes are taken."""

SMOOTHING = 0.7
"""Standard deviation of the smoothing, in cubes."""

HEAD_COLOUR, HEAD_OPACITY = "#a9b4bf", 0.1
OUTER_OPACITY, MIDDLE_OPACITY, INNERMOST_OPACITY = 0.16, 0.42, 0.95

_MARCH: Any = marching_cubes  # scikit-image says nothing of its types
_MARGIN = 3  # cubes around a mask, so that its surface closes: the smoothing reaches 4 x 0.7 of them
_LAST_STEP = 65535  # of the quantised positions


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed surface of triangles that turn anticlockwise when seen from outside.

    ``vertices`` ``(V, 3)`` uint16 divide the box from ``lower`` to ``upper`` into 65535 steps along each axis; the box
    is in mm from the centre of voxel 0 of the grid. ``faces`` ``(F, 3)`` are numbers of vertices: so few faces have
    fewer vertices than uint16 can tell. ``colour`` is ``#rrggbb``, ``opacity`` in 0..1.
    """

    name: str
    title: str
    colour: str
    opacity: float
    vertices: NDArray[np.uint16]
    faces: NDArray[np.uint16]
    lower: tuple[float, float, float]
    upper: tuple[float, float, float]

    def describe(self, vertices: str, faces: str) -> dict[str, Any]:
        """What the payload says of the surface, whose two blobs have the names given."""
        return {
            "name": self.name,
            "title": self.title,
            "colour": self.colour,
            "opacity": self.opacity,
            "vertices": vertices,
            "faces": faces,
            "count": len(self.faces),
            "lower": [round(v, 3) for v in self.lower],
            "upper": [round(v, 3) for v in self.upper],
        }


def make_surfaces(
    labels: LabelMap, head: NDArray[np.bool_] | None, spacing: tuple[float, float, float]
) -> tuple[Surface, ...]:
    """The surfaces of a map of tissues and of the head or brain around it, outer ones first.

    ``labels`` and ``head`` are ``(X, Y, Z)`` on one grid in RAS+ with voxels of ``spacing`` mm. In this order: the
    head, the whole tumour, then its tissues in the order of drawing; of a tumour that is one tissue only the whole. An
    empty mask has no surface. An image of one slice has none at all.
    """
    if labels.shape[2] == 1:
        return ()
    found = []
    if head is not None and head.any():
        mesh = _mesh(head, spacing, HEAD_STEP_MM, HEAD_FACES)
        found.append(_surface("head", "head or brain", HEAD_COLOUR, HEAD_OPACITY, mesh))
    whole = region_mask(labels, Region.WT)
    inner = _inner_tissues(labels, whole)
    if whole.any():
        colour = TISSUE_COLOURS[Tissue.ED if inner else Tissue(int(labels[whole][0]))]
        opacity = OUTER_OPACITY if inner else MIDDLE_OPACITY
        found.append(_surface("WT", REGION_NAMES[Region.WT], colour, opacity, _mesh(whole, spacing, STEP_MM, FACES)))
    for tissue in inner:
        opacity = INNERMOST_OPACITY if tissue == inner[-1] else MIDDLE_OPACITY
        mesh = _mesh(labels == tissue, spacing, STEP_MM, FACES)
        found.append(_surface(tissue.name, TISSUE_NAMES[tissue], TISSUE_COLOURS[tissue], opacity, mesh))
    return tuple(found)


def _inner_tissues(labels: LabelMap, whole: NDArray[np.bool_]) -> list[Tissue]:
    """The tissues with a surface of their own, outer ones first; a resection cavity lies beside them all."""
    present = [t for t in TISSUE_COLOURS if t != Tissue.ED and t in values_in(labels)]
    return sorted((t for t in present if np.any(whole != (labels == t))), key=lambda t: t != Tissue.RC)


_Mesh = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Vertices ``(V, 3)`` in mm and triangles ``(F, 3)``."""


def _surface(name: str, title: str, colour: str, opacity: float, mesh: _Mesh) -> Surface:
    points, faces = mesh
    lower, upper = points.min(axis=0), points.max(axis=0)
    vertices = np.rint((points - lower) / (upper - lower) * _LAST_STEP).astype(np.uint16)
    box = tuple(lower.tolist()), tuple(upper.tolist())
    return Surface(name, title, colour, opacity, vertices, faces.astype(np.uint16), *box)


def _mesh(mask: NDArray[np.bool_], spacing: Sequence[float], step: float, most: int) -> _Mesh:
    """The surface of a mask that is not empty, of at most ``most`` triangles, in cubes of about ``step`` mm.

    The surface is drawn where the smoothed mask passes the level above which as much volume lies as the mask has, so
    that thin and small parts keep their size.
    """
    box = bounding_box(mask)
    assert box is not None  # the caller looked
    inside = mask[box.slices]
    while True:
        blocks = [max(1, round(step / edge)) for edge in spacing]
        shares = np.pad(_block_shares(inside, blocks), _MARGIN)
        smooth = gaussian_filter(shares, SMOOTHING)  # the sum of all shares stays: the mask's volume in cubes
        points, faces, _, _ = _MARCH(smooth, _level(smooth), gradient_direction="ascent")
        if len(faces) <= most:
            break
        step = max(step + min(spacing), step * (len(faces) / most) ** 0.5)
    edges = np.array(blocks)
    voxels = (points - _MARGIN) * edges + (edges - 1) / 2 + np.array(box.start)
    return voxels * np.array(spacing), faces


def _block_shares(mask: NDArray[np.bool_], blocks: Sequence[int]) -> NDArray[np.float32]:
    """The share of true voxels in each block of so many voxels along X, Y, Z; beyond the mask there are none."""
    sums = mask.view(np.uint8)
    for axis, block in enumerate(blocks):
        sums = np.add.reduceat(sums, np.arange(0, sums.shape[axis], block), axis=axis, dtype=np.float32)
    return np.asarray(sums / np.float32(np.prod(blocks)))


def _level(field: NDArray[np.float32]) -> float:
    """The value that as many cells exceed as the field's sum says, half way between two cells' values.

    It stays below the highest value, which equal cells may share.
    """
    rank = min(max(1, round(float(field.sum()))), field.size - 1)
    ordered = np.partition(field.ravel(), (field.size - rank - 1, field.size - rank))
    between = ordered[field.size - rank - 1 : field.size - rank + 1].mean()
    return float(min(between, 0.9 * field.max()))
