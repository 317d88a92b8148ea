"""Surfaces as border voxels, each counted once: the plain variants that MONAI's functions give, and the boundary Dice.

The border of a mask is the mask less its erosion: its voxels that share a face (in a single slice an edge) with a
voxel outside; the grid's outside counts as background. Distances are those between the centres of border voxels. HD,
ASSD and surface Dice are then the functions of :mod:`gliamap.metrics.surface` with every voxel weighing 1; only the
percentile has a definition of its own.

These figures differ from the area-weighted ones of the same name: a border voxel of a thin plate counts once here and
shows area on both sides there, and a coarse voxel counts as much as a fine one. Never compare across definitions.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from gliamap.metrics import overlap
from gliamap.metrics.surface import ROUNDING, TOLERANCE, Surface, SurfaceDistances, in_common_box, measure
from gliamap.metrics.undefined import hd95_when_undefined


def voxel_distances(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> SurfaceDistances:
    """Measure the border voxels of two ``(X, Y, Z)`` masks against each other, in the unit of ``spacing``.

    In a grid of one slice borders lie in its plane. ``ValueError`` where the shapes differ.
    """
    masks = in_common_box(prediction, reference)
    places = [np.argwhere(_border(mask, _faces(mask.ndim))) for mask in masks]
    first, second = (Surface(each, np.ones(len(each))) for each in places)
    return measure(first, second, spacing[: masks[0].ndim])


def hd95_voxels(found: SurfaceDistances, *, worst: float) -> float:
    """The 95th percentile of the distances of border voxels, the larger of both directions; in their unit.

    Interpolated linearly between neighbouring voxels, as ``numpy.percentile`` does. Empty masks as
    :func:`gliamap.metrics.surface.hd95`.
    """
    masks = found.prediction, found.reference
    if found.prediction.empty or found.reference.empty:
        return hd95_when_undefined(prediction_empty=masks[0].empty, reference_empty=masks[1].empty, worst=worst)
    return max(float(np.percentile(mask.distances, 95)) for mask in masks)


def boundary_dice(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    *,
    tolerance: float = TOLERANCE,
) -> float:
    """Dice of the inner borders of two ``(X, Y, Z)`` masks, 0..1: Boundary IoU (Cheng et al. 2021) in Dice's form.

    An inner border is the part of a mask that lies within ``tolerance`` of its outside: the voxels whose centre is no
    further than that, in the unit of ``spacing``, from the centre of a voxel outside; where voxels are coarser, those
    that share a face with the outside. Empty masks as Dice.
    """
    masks = in_common_box(prediction, reference)
    steps = np.array(spacing[: masks[0].ndim])
    reach = np.floor(tolerance * (1 + ROUNDING) / steps).astype(int)
    ball = np.array(list(product(*(range(-n, n + 1) for n in reach))))
    ball = ball[np.sqrt(((ball * steps) ** 2).sum(axis=1)) <= tolerance * (1 + ROUNDING)]
    around = np.unique(np.concatenate([ball, _faces(steps.size)]), axis=0)
    first, second = (_border(mask, around) for mask in masks)
    return overlap.dice(overlap.count(first, second))


def _faces(axes: int) -> NDArray[np.int64]:
    """The offsets to the neighbours across a face (an edge in the plane)."""
    one = np.eye(axes, dtype=np.int64)
    return np.concatenate([one, -one])


def _border(mask: NDArray[np.bool_], around: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The voxels of ``mask`` that have a voxel outside at one of the offsets ``around``."""
    reach = int(np.abs(around).max())
    padded = np.pad(mask, reach)
    inner = mask.copy()
    for offset in around.tolist():
        inner &= padded[tuple(slice(reach + o, reach + o + n) for o, n in zip(offset, mask.shape, strict=True))]
    border: NDArray[np.bool_] = mask & ~inner
    return border
