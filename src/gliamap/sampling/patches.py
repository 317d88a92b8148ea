"""The rows of a patch table: what every patch of a case holds. Knows no files.

A patch is a stretch along each axis, so counts are taken axis by axis: in the stretches along X, then of what is left
in those along Y, then along Z. No voxel and no patch is visited by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape, bounding_box
from gliamap.case import PreparedCase
from gliamap.components import find_components
from gliamap.io.patch_table import Columns, PatchTableInfo, tissue_column
from gliamap.labels import REGION_TISSUES, LabelMap, Region, region_mask

Stretches = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Where patches lie along X, Y and Z: starts and stops ``(N, 2)`` each."""


def patch_stretches(shape: Shape, size: Shape, stride: int) -> Stretches:
    """Where patches of ``size`` lie along each axis of a grid, so that together they cover every voxel.

    They start at 0, ``stride``, twice that and so on; the last one is moved back to end at the edge. Along an axis
    where the patch is narrower than the stride (slices) they lie side by side. Where the grid is smaller than the
    patch, one is centred on it and reaches outside, as in :func:`gliamap.boxes.window_boxes`. ``ValueError`` where
    ``stride`` is below 1.
    """
    if stride < 1:
        raise ValueError(f"stride must be 1 or more, not {stride}")
    x, y, z = (_along(n, width, min(stride, width)) for n, width in zip(shape, size, strict=True))
    return x, y, z


def patch_rows(case: PreparedCase, info: PatchTableInfo, *, inside: NDArray[np.bool_]) -> Columns:
    """The rows of one case with labels: its patches in the order of X, then Y, then Z, without number and ids.

    ``inside``: the voxels ``(X, Y, Z)`` that show the patient. Columns are those of :mod:`gliamap.io.patch_table`.
    """
    assert case.labels is not None
    stretches = patch_stretches(case.record.shape, info.size, info.stride)
    corners = np.stack(np.meshgrid(*(along[:, 0] for along in stretches), indexing="ij"), axis=-1).reshape(-1, 3)
    lows, highs = case.record.native_boxes(corners, corners + info.size)
    rows: dict[str, NDArray[np.generic]] = {}
    for names, places in (
        (("x", "y", "z"), corners),
        (("native_x", "native_y", "native_z"), lows),
        (("native_to_x", "native_to_y", "native_to_z"), highs),
    ):
        rows |= dict(zip(names, places.T, strict=True))
    # What is not background lies in a small part of the grid: nothing else need be counted.
    box = bounding_box(np.asarray(case.labels != 0)) or Box((0, 0, 0), (1, 1, 1))
    labels = case.labels[box.slices]
    near = [along - start for along, start in zip(stretches, box.start, strict=True)]
    tissues = _over(np.add, np.stack([labels == tissue for tissue in info.tissues]), near)
    tumour = tissues[[tissue in REGION_TISSUES[Region.WT] for tissue in info.tissues]].sum(axis=0)
    voxels = math.prod(info.size)
    rows |= {"tumour": tumour > 0, "tumour_fraction": tumour / voxels}
    rows |= {tissue_column(tissue): counts for tissue, counts in zip(info.tissues, tissues, strict=True)}
    (rows["largest_lesion"],) = _over(np.maximum, _lesion_sizes(labels, case.record.voxel_size)[None], near)
    (rows["brain_fraction"],) = _over(np.add, inside[None], stretches) / voxels
    return rows


def _along(size: int, width: int, step: int) -> NDArray[np.int64]:
    """Starts and stops along one axis."""
    spare = size - width
    starts = np.array([*range(0, spare, step), spare if spare > 0 else spare // 2], np.int64)
    return np.stack([starts, starts + width], axis=1)


def _lesion_sizes(labels: LabelMap, voxel_size: float) -> NDArray[np.float32]:
    """The size of the lesion that a voxel belongs to; 0 where it is no tumour."""
    numbers, lesions = find_components(region_mask(labels, Region.WT))
    sizes = np.zeros(len(lesions) + 1, np.float32)
    for lesion in lesions:
        sizes[lesion.number] = lesion.voxels * voxel_size
    return np.asarray(sizes[numbers])


def _over(reduce: np.ufunc, values: NDArray[Any], stretches: Sequence[NDArray[np.int64]]) -> NDArray[Any]:
    """``reduce`` of ``(C, X, Y, Z)`` over each patch: ``(C, N)``, patches in the order of X, then Y, then Z.

    0 where a patch lies outside of ``values``.
    """
    kind = np.int32 if values.dtype == np.bool_ else values.dtype
    for axis, along in enumerate(stretches, 1):
        lines = values.swapaxes(0, axis)
        within = np.maximum(along, 0).tolist()
        parts = [reduce.reduce(lines[start:stop], axis=0, initial=0, dtype=kind) for start, stop in within]
        values = np.array(parts).swapaxes(0, axis)
    return values.reshape(len(values), -1)
