"""How unsure a model is: the entropy of its probabilities, and how far flips and models disagree. Floats in 0..1.

All of it is of regions (WT, TC, ET), whatever the network's channels are: the probability of a region is that of its
channel, or of its tissues together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gliamap.case import Uncertainty
from gliamap.config import OutputConfig
from gliamap.labels import REGION_TISSUES, Region

IN_QUESTION = 0.3
"""Voxels with at least this probability of a region count for its mean. Over the whole grid the background, all of it
rightly near 0, would drown every difference between two cases, the more the larger the grid is; so it would from less
on where a temperature far above 1 moves it towards one half."""

_SLAB = 2**22
"""Voxels that are looked at at a time."""


def measure(raw: NDArray[np.floating], output: OutputConfig) -> Uncertainty:
    """Mean entropy and, where ``raw`` tells it, mean disagreement of each region.

    ``raw`` is ``(R, X, Y, Z)`` probabilities, or ``(2R, X, Y, Z)`` with their standard deviations after them. Means are
    over the voxels with at least ``IN_QUESTION``; 0 where there is none: nothing there is in doubt.
    """
    regions = output.regions
    told = _spread_told(raw, output)
    entropy, apart, voxels = (np.zeros(len(regions)) for _ in range(3))
    for part in _slabs(raw):
        for number, region in enumerate(regions):
            probability = _probability(part, output, region)
            counted = probability >= IN_QUESTION
            voxels[number] += np.count_nonzero(counted)
            entropy[number] += _entropy(probability[counted]).sum(dtype=np.float64)
            if told:
                apart[number] += _spread(part, output, region)[counted].sum(dtype=np.float64)
    means = np.maximum(voxels, 1)
    return Uncertainty(
        entropy=dict(zip(regions, (entropy / means).tolist(), strict=True)),
        disagreement=dict(zip(regions, (apart / means).tolist(), strict=True)) if told else None,
    )


def entropy_map(raw: NDArray[np.floating], output: OutputConfig) -> NDArray[np.float32]:
    """The entropy ``(X, Y, Z)``, in bits, of the region that is most in doubt; ``raw`` as for :func:`measure`.

    ``-p log2(p) - (1 - p) log2(1 - p)`` of the probability p of a region: 0 where it is 0 or 1, 1 where it is one half.
    """
    slabs = [
        np.max([_entropy(_probability(part, output, region)) for region in output.regions], axis=0)
        for part in _slabs(raw)
    ]
    return np.concatenate(slabs)


def disagreement_map(raw: NDArray[np.floating], output: OutputConfig) -> NDArray[np.float32] | None:
    """The standard deviation ``(X, Y, Z)`` of the region that flips and models disagree on most.

    ``None`` where ``raw``, as for :func:`measure`, does not tell it.
    """
    if not _spread_told(raw, output):
        return None
    slabs = [np.max([_spread(part, output, region) for region in output.regions], axis=0) for part in _slabs(raw)]
    return np.concatenate(slabs)


def _spread_told(raw: NDArray[np.floating], output: OutputConfig) -> bool:
    channels = len(output.channels)
    if len(raw) not in (channels, 2 * channels):
        raise ValueError(f"{len(raw)} channels are neither {channels} nor twice as many")
    return len(raw) > channels


def _slabs(raw: NDArray[np.floating]) -> Iterator[NDArray[np.float32]]:
    """Some planes along X at a time, so that no second stack of the size of ``raw`` is ever there."""
    width = raw.shape[1]
    thick = max(1, _SLAB // raw[0, 0].size)
    for start, stop in pairwise([*range(0, width, thick), width]):
        yield raw[:, start:stop].astype(np.float32, copy=False)


def _probability(part: NDArray[np.float32], output: OutputConfig, region: Region) -> NDArray[np.float32]:
    return np.asarray(part[_channels(output, region)].sum(axis=0), np.float32)


def _spread(part: NDArray[np.float32], output: OutputConfig, region: Region) -> NDArray[np.float32]:
    """That of the region's only channel, or of the background for all tissues together, which is the same as theirs.

    Of several tissues, but not all, it is not known: taken as if they varied independently.
    """
    channels = _channels(output, region)
    if output.kind == "classes" and len(channels) == len(output.channels) - 1:
        channels = [0]
    own = part[len(output.channels) :][channels]
    return np.asarray(own[0] if len(channels) == 1 else np.sqrt((own * own).sum(axis=0)), np.float32)


def _channels(output: OutputConfig, region: Region) -> Sequence[int]:
    if output.kind == "regions":
        return [output.regions.index(region)]
    return [number for number, tissue in enumerate(output.tissues, 1) if tissue in REGION_TISSUES[region]]


def _entropy(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    p = np.clip(probability, 0, 1)
    q = 1 - p
    # 0 log 0 is 0: the smallest float stands for 0 in the logarithm.
    tiny = np.finfo(np.float32).tiny
    return np.asarray(-(p * np.log2(np.maximum(p, tiny)) + q * np.log2(np.maximum(q, tiny))), np.float32)
