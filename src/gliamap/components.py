"""Connected components of a mask. Knows numpy and cc3d only."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box


@dataclass(frozen=True)
class Component:
    """One connected component: its number in the component map, its voxel count, its box, its mean voxel position."""

    number: int
    voxels: int
    box: Box
    centre: tuple[float, float, float]


def label_components(mask: NDArray[np.bool_]) -> NDArray[np.integer]:
    """Number the 26-connected components of an ``(X, Y, Z)`` mask from 1; 0 is background."""
    labelled: NDArray[np.integer] = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=26)
    return labelled


def describe_components(labelled: NDArray[np.integer]) -> list[Component]:
    """The components of an ``(X, Y, Z)`` component map, largest first; every number from 1 on must occur."""
    stats = cc3d.statistics(labelled)
    found = []
    for number in range(1, int(labelled.max(initial=0)) + 1):
        x, y, z = stats["bounding_boxes"][number]
        box = Box((x.start, y.start, z.start), (x.stop, y.stop, z.stop))
        a, b, c = stats["centroids"][number].tolist()
        found.append(Component(number, int(stats["voxel_counts"][number]), box, (a, b, c)))
    return sorted(found, key=lambda one: (-one.voxels, one.number))


def find_components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.integer], list[Component]]:
    """The component map of an ``(X, Y, Z)`` mask and its components, largest first."""
    labelled = label_components(mask)
    return labelled, describe_components(labelled)


def remove_small(mask: NDArray[np.bool_], min_voxels: int) -> NDArray[np.bool_]:
    """The mask without its 26-connected components of fewer than ``min_voxels`` voxels."""
    if min_voxels <= 1 or not mask.any():
        return mask
    labelled = label_components(mask)
    keep = np.bincount(labelled.ravel()) >= min_voxels
    keep[0] = False
    kept: NDArray[np.bool_] = keep[labelled]
    return kept
