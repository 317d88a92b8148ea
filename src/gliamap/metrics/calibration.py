"""Calibration: do the probabilities of a region mean what they say? Brier score and expected calibration error.

Both are taken over the voxels near the region: those within ``MARGIN`` along each axis of a voxel that the reference
holds or that has a probability of one half or more. Over the whole grid the background, all of it rightly near 0,
would drown every difference between two models, the more the larger the grid is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import bounding_box
from gliamap.metrics.dilation import spread
from gliamap.metrics.surface import ROUNDING

BINS = 15
"""Bins of equal width that probabilities are sorted into (as in Guo et al. 2017)."""

MARGIN = 5.0
"""How far around the region voxels count, in mm (images: pixels)."""


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram, as sums that add up over cases.

    For each of the ``BINS`` bins of probability, ``[0, 1/15)`` first and ``[14/15, 1]`` last: ``voxels`` in it, how
    many of these are ``inside`` the reference, and the sum of what was ``said``, their probabilities. ``squares`` is
    the sum of squared differences between probability and truth (1 inside, 0 outside), over all bins.
    """

    voxels: tuple[int, ...]
    inside: tuple[int, ...]
    said: tuple[float, ...]
    squares: float

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(
            tuple(a + b for a, b in zip(self.voxels, other.voxels, strict=True)),
            tuple(a + b for a, b in zip(self.inside, other.inside, strict=True)),
            tuple(a + b for a, b in zip(self.said, other.said, strict=True)),
            self.squares + other.squares,
        )


def reliability(
    probabilities: NDArray[np.floating], reference: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> Reliability:
    """Count ``(X, Y, Z)`` probabilities of one region, in 0..1, against its reference mask.

    ``spacing`` is in the unit of the grid. Where the reference is empty and no probability reaches one half, no voxel
    counts. ``ValueError`` where the shapes differ.
    """
    if probabilities.shape != reference.shape:
        raise ValueError(f"probabilities {probabilities.shape} and reference {reference.shape} must have one shape")
    around, near = near_voxels(reference | (probabilities >= 0.5), spacing)
    said, inside = probabilities[around][near].astype(np.float64), reference[around][near]
    place = np.minimum((said * BINS).astype(np.intp), BINS - 1)
    return Reliability(
        voxels=tuple(np.bincount(place, minlength=BINS).tolist()),
        inside=tuple(np.bincount(place[inside], minlength=BINS).tolist()),
        said=tuple(np.bincount(place, said, minlength=BINS).tolist()),
        squares=float(((said - inside) ** 2).sum()),
    )


def near_voxels(
    core: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> tuple[tuple[slice, slice, slice], NDArray[np.bool_]]:
    """The voxels within ``MARGIN`` along each axis of one of ``core`` ``(X, Y, Z)``: a box, and which voxels in it.

    ``spacing`` is in the unit of the grid. Where ``core`` is empty, so is the box.
    """
    box = bounding_box(core)
    if box is None:
        nowhere = (slice(0), slice(0), slice(0))
        return nowhere, core[nowhere]
    steps = [math.floor(MARGIN * (1 + ROUNDING) / step) for step in spacing]
    around = box.grow(max(steps), core.shape).slices
    return around, _grown(core[around], steps)


def brier(found: Reliability) -> float | None:
    """Mean squared difference between probability and truth, 0 (perfect) to 1 (Brier 1950). No voxels: ``None``."""
    voxels = sum(found.voxels)
    return found.squares / voxels if voxels else None


def expected_calibration_error(found: Reliability) -> float | None:
    """How far probabilities are from the share of voxels that are inside, 0 (perfect) to 1. No voxels: ``None``.

    The difference between the mean probability of a bin and the share of its voxels inside the reference, averaged
    over the bins by their voxels (Naeini et al. 2015, Guo et al. 2017; here of the probability that a voxel is inside,
    not of the confidence in whichever answer was given).
    """
    voxels = sum(found.voxels)
    return sum(abs(s - i) for s, i in zip(found.said, found.inside, strict=True)) / voxels if voxels else None


def _grown(mask: NDArray[np.bool_], steps: Sequence[int]) -> NDArray[np.bool_]:
    """The mask and all voxels at most so many steps from it along every axis."""
    for axis, count in enumerate(steps):
        for _ in range(count):
            mask = spread(mask, axis)
    return mask
