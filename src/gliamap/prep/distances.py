"""Signed distances of a prepared case to the surfaces of its regions, for the boundary loss. Knows no files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from gliamap.boxes import bounding_box


def signed_distances(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> NDArray[np.float16]:
    """How far each voxel of an ``(X, Y, Z)`` mask is from the nearest on the other side of its surface.

    In the unit of ``spacing``, negative inside the mask. All that lies outside the grid is outside the mask; in a slice
    (Z = 1) that is what lies beside it. Of an empty mask, which has no surface, 0 everywhere. float16 holds distances
    to 1 in 2000.
    """
    box = bounding_box(mask)
    if box is None:
        return np.zeros(mask.shape, np.float16)
    distances = np.asarray(distance_transform_edt(~mask, sampling=spacing))
    beside = (1, 1, 0 if mask.shape[2] == 1 else 1)
    within = np.pad(mask[box.slices], [(n, n) for n in beside])
    inner = np.asarray(distance_transform_edt(within, sampling=spacing))
    distances[box.slices] -= inner[tuple(slice(n, size - n) for n, size in zip(beside, inner.shape, strict=True))]
    return distances.astype(np.float16)
