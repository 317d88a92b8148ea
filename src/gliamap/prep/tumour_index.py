"""The tumour index: where the tumour is in a prepared case, found once. Knows no files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gliamap.case import Lesion, TumourIndex
from gliamap.components import find_components
from gliamap.labels import LabelMap, Region, region_mask

SAMPLES_PER_REGION = 2000
"""Enough positions for millions of patches to differ, few enough to keep an index at some tens of kilobytes."""


def build_tumour_index(labels: LabelMap, voxel_size: float, rng: np.random.Generator) -> TumourIndex:
    """Sample positions of every region, its voxel count, and the lesions of the whole tumour.

    ``voxel_size`` is mL (or pixels) a voxel, for the lesions' sizes. Regions without voxels do not appear in
    ``samples`` and count 0 in ``voxels``.
    """
    samples: dict[Region, NDArray[np.int32]] = {}
    voxels: dict[Region, int] = {}
    for region in Region:
        flat = np.flatnonzero(region_mask(labels, region))
        voxels[region] = len(flat)
        if len(flat):
            chosen = rng.choice(flat, min(len(flat), SAMPLES_PER_REGION), replace=False)
            samples[region] = np.stack(np.unravel_index(np.sort(chosen), labels.shape), axis=1).astype(np.int32)
    _, components = find_components(region_mask(labels, Region.WT))
    lesions = tuple(Lesion(c.box, c.voxels, c.voxels * voxel_size) for c in components)
    return TumourIndex(samples, voxels, lesions)
