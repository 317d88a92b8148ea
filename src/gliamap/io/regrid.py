"""A volume brought onto another grid by their affines: scanner coordinates, no registration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gliamap.volume import Grid


def onto_grid(volume: NDArray[np.float32], own: Grid, target: Grid) -> NDArray[np.float32]:
    """``volume`` (X, Y, Z) on ``own``, linearly interpolated at the voxel centres of ``target``; 0 outside."""
    raise NotImplementedError
