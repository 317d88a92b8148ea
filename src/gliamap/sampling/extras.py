"""What a training is shown beside images and masks of its own cases, for the losses and trainings that need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gliamap.boxes import Box, read_padded
from gliamap.components import find_components
from gliamap.io.pages import announce
from gliamap.io.soft import STEPS, open_soft
from gliamap.io.store import open_distances
from gliamap.labels import LabelMap, Region
from gliamap.sampling.auxiliary import Auxiliary


@dataclass(frozen=True)
class Extras:
    """Which of them: teachers' probabilities from the folder ``soft``, distances to surfaces, weights by lesion; and
    patches of an ``auxiliary`` data set, which no teacher has spoken of.
    """

    soft: Path | None = None
    distances: bool = False
    weights: bool = False
    auxiliary: Auxiliary | None = None


def read_soft(folder: Path, case_id: str, box: Box) -> Tensor:
    """The teachers' probabilities in ``box``, ``(R, *box.shape)`` float32, 0 outside the grid."""
    return torch.from_numpy(read_padded(open_soft(folder, case_id), box).astype(np.float32) / STEPS)


def read_distances(store: Path, case_id: str, regions: Sequence[Region], box: Box) -> Tensor:
    """The signed distances of ``regions`` in ``box``, ``(R, *box.shape)`` float32.

    Outside the grid no tumour can be: there it is as far as anywhere in the box, see :func:`farthest`.
    """
    parts = []
    for region in regions:
        array = open_distances(store, case_id, region)
        announce(array, box)
        parts.append(read_padded(array, box, fill=-np.inf).astype(np.float32))
    distances = torch.from_numpy(np.stack(parts))
    return torch.where(distances.isinf(), farthest(distances), distances)


def farthest(distances: Tensor) -> Tensor:
    """The largest of each region's distances ``(R, X, Y, Z)``, at least 1, as ``(R, 1, 1, 1)``.

    0 of a region without a surface, whose distances are 0, as no others are.
    """
    largest = distances.amax(dim=(1, 2, 3), keepdim=True)
    return torch.where(largest == 0, largest, largest.clamp_min(1))


def lesion_weights(masks: LabelMap, first: int = 0) -> NDArray[np.float32]:
    """Weights of voxels by inverse lesion size for masks ``(R, X, Y, Z)``, the same shape.

    A lesion is a 26-connected component of one channel. Of n lesions with V voxels together, each voxel of one with v
    voxels weighs V / (n * v): all lesions weigh the same, together as much as before, and a lesion alone weighs 1, as
    all the rest does. (Shirokikh et al. 2020 take the background for one more lesion, so that it weighs far less than 1
    a voxel.) The channels before ``first`` (the background of classes) weigh 1. What the patch cuts off is not counted.
    """
    weights = np.ones(masks.shape, np.float32)
    for mask, weight in zip(masks[first:], weights[first:], strict=True):
        labelled, lesions = find_components(mask.astype(np.bool_))
        if len(lesions) > 1:
            each = sum(lesion.voxels for lesion in lesions) / len(lesions)
            factors = np.ones(len(lesions) + 1, np.float32)
            for lesion in lesions:
                factors[lesion.number] = each / lesion.voxels
            weight[...] = factors[labelled]
    return weights
