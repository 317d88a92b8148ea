"""Where the next training patch is cut: which case, which box. Knows the index, no pixels and no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gliamap.boxes import Box, Shape
from gliamap.case import TumourIndex
from gliamap.labels import Region


def group_by_region(voxels: Mapping[str, Mapping[Region, int]]) -> dict[Region | None, list[str]]:
    """Case ids by the region they have; under ``None`` all of them. ``voxels`` maps case ids to voxels a region.

    Regions that no case has do not appear.
    """
    groups: dict[Region | None, list[str]] = {None: list(voxels)}
    for region in Region:
        having = [case_id for case_id, counts in voxels.items() if counts.get(region, 0) > 0]
        if having:
            groups[region] = having
    return groups


def choose_case(
    rng: np.random.Generator, groups: Mapping[Region | None, Sequence[str]], foreground_share: float
) -> tuple[str, Region | None]:
    """A case, and the region that its patch shall hold (``None``: anywhere).

    With probability ``foreground_share`` a region is drawn, each as likely, then a case that has it: drawing the
    region first keeps rare ones (ET) frequent. Otherwise any case, each as likely.
    """
    regions = [region for region in groups if region is not None]
    region = regions[int(rng.integers(len(regions)))] if regions and rng.random() < foreground_share else None
    ids = groups[region]
    return ids[int(rng.integers(len(ids)))], region


def choose_box(
    rng: np.random.Generator, shape: Shape, patch: Shape, index: TumourIndex | None, region: Region | None
) -> Box:
    """A box of size ``patch`` on a grid of ``shape``: around a voxel of ``region``, or anywhere.

    The voxel falls into the middle half of the box along each axis, as far as the box stays inside the grid. Where
    the grid is smaller than the patch, the box reaches outside on both sides by a random share.
    """
    centre = None
    if region is not None and index is not None and region in index.samples:
        points = index.samples[region]
        centre = points[rng.integers(len(points))]
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
