"""Where the next training patch is cut: which case, which box. Knows the index, no pixels and no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape
from gliamap.case import TumourIndex
from gliamap.labels import Region

Balance = Literal["cases", "regions", "sizes"]

SPECK_VOXELS = 10
"""Lesions below this are specks of a mask more often than lesions; they are drawn only where there is nothing else."""


class Size(StrEnum):
    """A third of the cases with tumour, by the size of their tumour."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


Want = Region | Size | None
"""What a patch shall hold: a region, a lesion of a case of that size, or anything."""


def group_cases(voxels: Mapping[str, Mapping[Region, int]], balance: Balance) -> dict[Want, list[str]]:
    """Case ids by what their patches shall hold; under ``None`` all of them. ``voxels``: voxels a region and case.

    ``cases`` has one group, the cases with tumour; ``regions`` one for each region, the cases that have it; ``sizes``
    one for each :class:`Size`. Groups that would be empty do not appear.
    """
    groups: dict[Want, list[str]] = {None: list(voxels)}
    if balance == "sizes":
        return groups | dict(_by_size({case_id: counts.get(Region.WT, 0) for case_id, counts in voxels.items()}))
    for region in Region if balance == "regions" else (Region.WT,):
        having = [case_id for case_id, counts in voxels.items() if counts.get(region, 0) > 0]
        if having:
            groups[region] = having
    return groups


def _by_size(voxels: Mapping[str, int]) -> dict[Size, list[str]]:
    ranked = sorted((case_id for case_id in voxels if voxels[case_id] > 0), key=lambda case_id: voxels[case_id])
    thirds = np.array_split(np.array(ranked, dtype=object), len(Size))
    return {size: list(third) for size, third in zip(Size, thirds, strict=True) if len(third)}


def choose_case(
    rng: np.random.Generator, groups: Mapping[Want, Sequence[str]], foreground_share: float
) -> tuple[str, Want]:
    """A case, and what its patch shall hold (``None``: anything).

    With probability ``foreground_share`` a group is drawn, each as likely, then one of its cases: drawing the group
    first keeps rare regions (ET) and small lesions frequent. Otherwise any case, each as likely.
    """
    wants = [want for want in groups if want is not None]
    want = wants[int(rng.integers(len(wants)))] if wants and rng.random() < foreground_share else None
    ids = groups[want]
    return ids[int(rng.integers(len(ids)))], want


def choose_box(rng: np.random.Generator, shape: Shape, patch: Shape, index: TumourIndex | None, want: Want) -> Box:
    """A box of size ``patch`` on a grid of ``shape``: around a voxel of what is wanted, or anywhere.

    The voxel falls into the middle half of the box along each axis, as far as the box stays inside the grid. Where
    the grid is smaller than the patch, the box reaches outside on both sides by a random share.
    """
    centre = _centre(rng, index, want) if index is not None else None
    start = []
    for axis in range(3):
        size, width = shape[axis], patch[axis]
        low, high = min(0, size - width), max(0, size - width)
        at = int(rng.integers(low, high + 1))
        if centre is not None and size > width:
            # Rounded down: in a patch of one voxel (slices of a volume) it must stay that voxel.
            at = int(np.clip(centre[axis] - int(width * rng.uniform(0.25, 0.75)), low, high))
        start.append(at)
    x, y, z = start
    return Box((x, y, z), (x + patch[0], y + patch[1], z + patch[2]))


def _centre(rng: np.random.Generator, index: TumourIndex, want: Want) -> NDArray[np.int32] | None:
    """A voxel of the region, or of one of the lesions, each as likely; ``None`` where there is none."""
    region = Region.WT if isinstance(want, Size) else want
    if region is None or region not in index.samples:
        return None
    points = index.samples[region]
    if isinstance(want, Size):
        lesions = [lesion for lesion in index.lesions if lesion.voxels >= SPECK_VOXELS] or index.lesions
        box = lesions[int(rng.integers(len(lesions)))].box
        inside = points[((points >= box.start) & (points < box.stop)).all(axis=1)]
        if not len(inside):  # a small lesion beside a large one may have no sample: the middle of its box then
            return np.array([(a + b) // 2 for a, b in zip(box.start, box.stop, strict=True)], np.int32)
        points = inside
    return np.asarray(points[rng.integers(len(points))])
