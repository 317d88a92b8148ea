"""Masks grown by their neighbours, line by line: far sooner done than with a structure of 27 voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def dilate(mask: NDArray[np.bool_], times: int) -> NDArray[np.bool_]:
    """Dilate an ``(X, Y, Z)`` mask ``times`` times by the 18 voxels that share a face or an edge.

    The structure is ``scipy.ndimage.generate_binary_structure(3, 2)``. It is the union of three squares of 3 x 3
    voxels, one in each plane, and each square is one line after the other: that is what makes it fast.
    """
    for _ in range(times):
        along_x, along_y = spread(mask, 0), spread(mask, 1)
        mask = spread(along_x, 1) | spread(along_x | along_y, 2)
    return mask


def spread(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """An ``(X, Y, Z)`` mask and both neighbours of each of its voxels along ``axis``."""
    out = mask.copy()
    ahead, behind = np.moveaxis(out, axis, 0), np.moveaxis(mask, axis, 0)
    ahead[1:] |= behind[:-1]
    ahead[:-1] |= behind[1:]
    return out
