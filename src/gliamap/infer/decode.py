"""From probabilities to labels, once they are back on the native grid."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gliamap.components import remove_small
from gliamap.config import CleanUpConfig, ModelSpec, OutputConfig
from gliamap.labels import LabelMap, Region, decode_classes, decode_regions, get_convention, region_mask
from gliamap.volume import Unit


def decode(
    probabilities: Iterable[NDArray[np.floating]], output: OutputConfig, clean_up: CleanUpConfig, voxel_size: float
) -> LabelMap:
    """Labels ``(X, Y, Z)`` (tissues) from probabilities: an array ``(R, X, Y, Z)``, or R times ``(X, Y, Z)`` in turn.

    Regions are cut at 0.5; classes take the largest, which must beat background: where all are zero (outside the
    crop) it is background. Then it is cleaned up (:func:`clean`); ``voxel_size`` is one voxel's, mL or pixels.
    """
    if output.kind == "regions":
        masks = (channel > 0.5 for channel in probabilities)
        labels = decode_regions(masks, output.regions, get_convention(output.convention))
    else:
        labels = decode_classes(probabilities, output.tissues)
    clean(labels, clean_up, voxel_size)
    return labels


def clean_up_for(spec: ModelSpec, unit: Unit) -> CleanUpConfig:
    """How a model cleans up scans of this unit.

    Where it was trained on scans of the other one, not at all: so many pixels of a slice are not so many mL.
    """
    alike = spec.seen is None or spec.seen.unit == unit
    return spec.clean_up if alike else CleanUpConfig()


def clean(labels: LabelMap, clean_up: CleanUpConfig, voxel_size: float) -> None:
    """Remove connected parts of tumour smaller than ``clean_up.min_size`` from ``labels`` ``(X, Y, Z)``, in place.

    The size is in mL, or pixels for an image; ``voxel_size`` is one voxel's.
    """
    if clean_up.min_size > 0:
        # Rounded first: 0.07 mL is 70 voxels of 0.001 mL, not the 70.00000000000001 of the division.
        min_voxels = math.ceil(round(clean_up.min_size / voxel_size, 6))
        tumour = region_mask(labels, Region.WT)
        labels[tumour & ~remove_small(tumour, min_voxels)] = 0
