"""Whether the voxels of an image can be an image: finite, not empty, not constant, not cut off, not a copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from gliamap.boxes import Shape
from gliamap.checks.findings import Finding, gather

CUT_OFF_SHARE = 0.015
"""Images count as cut off from this share of the foreground at one value; clipping at a percentile stays below."""

SAME_CORRELATION = 0.995
"""Two modalities are one image from this correlation on; real pairs stay below 0.8, coarsely rounded copies above."""

_SAMPLES = 2**18
_BACKGROUND_SHARE = 0.05  # of all voxels
_SPIKE, _SPIKE_AT_END = 10, 3  # times as frequent as the values beside it; towards the ends values grow rare
_BESIDE = 7  # values, the middle one included
_MASK_VALUES = 4  # beside the background: as many as label conventions have
_FEWEST = 64  # voxels of foreground, below which nothing is said


@dataclass(frozen=True, eq=False)
class ImageSummary:
    """The little of a volume that is kept once it is checked.

    ``not_finite`` counts NaN and infinite voxels, which count as 0 in all the rest. ``background`` is the most
    frequent value, the brightest excepted; ``None`` where it is too rare to be one. ``sample`` are voxels at places
    that depend on ``shape`` alone: every one of a slice, some hundred thousand of a volume.
    """

    shape: Shape
    not_finite: int
    minimum: float
    maximum: float
    background: float | None
    sample: NDArray[np.float32]


def summarise_image(volume: NDArray[np.float32], not_finite: int) -> ImageSummary:
    """What is kept of ``volume`` (X, Y, Z), in which ``not_finite`` voxels were set to 0."""
    x, y, z = volume.shape
    sample = volume.reshape(-1)[_places(volume.size)]
    lowest, highest = float(volume.min()), float(volume.max())
    values, counts = np.unique(sample[sample < highest], return_counts=True)
    common = counts.size and counts.max() >= _BACKGROUND_SHARE * sample.size
    background = float(values[np.argmax(counts)]) if common else None
    return ImageSummary((x, y, z), not_finite, lowest, highest, background, sample)


def check_images(summaries: Mapping[str, ImageSummary], *, stripped: bool) -> list[Finding]:
    """``not-finite``, ``empty-image``, ``constant-image``, ``saturated`` and ``copied-channel`` among the modalities.

    ``summaries`` by modality; ``stripped`` where they show a brain without its skull. At most one finding a rule; it
    names the modalities that it concerns.
    """
    empty = {name for name, one in summaries.items() if one.minimum == one.maximum == 0}
    few = {name: text for name, one in summaries.items() if name not in empty and (text := _few_values(one))}
    rest = {name: one for name, one in summaries.items() if name not in empty and name not in few}
    not_finite = {name: f"{one.not_finite} voxels" for name, one in summaries.items() if one.not_finite}
    spikes = {name: spike_of(one, stripped=stripped) for name, one in rest.items()}
    cut_off = {
        name: f"{100 * share:.2g} % of the foreground hold the value {value:.6g}"
        for name, (value, share) in spikes.items()
        if share >= CUT_OFF_SHARE
    }
    return [
        *gather("not-finite", not_finite),
        *gather("empty-image", dict.fromkeys((name for name in summaries if name in empty), "every voxel is 0")),
        *gather("constant-image", few),
        *gather("saturated", cut_off),
        *_copies(rest),
    ]


def spike_of(summary: ImageSummary, *, stripped: bool) -> tuple[float, float]:
    """The value that the foreground holds far more often than the values beside it, and its share; share 0 for none.

    Clipping leaves such a spike at the brightest value, or at a dark one. Where images are not ``stripped``, dark
    values are what lies around the head: the foreground is what is brighter than the mean.
    """
    foreground = summary.sample[_foreground(summary)]
    if not stripped and foreground.size:
        foreground = foreground[foreground > foreground.mean()]
    if foreground.size < _FEWEST:
        return 0.0, 0.0
    values, counts = np.unique(foreground, return_counts=True)
    beside = median_filter(counts, _BESIDE, mode="mirror")  # so that a spike at the end is not its own neighbour
    times = np.full(counts.size, _SPIKE)
    times[[0, -1] if stripped else -1] = _SPIKE_AT_END
    spikes = np.where(counts >= times * beside, counts, 0)
    highest = int(np.argmax(spikes))
    return float(values[highest]), float(spikes[highest] / foreground.size)


def _few_values(summary: ImageSummary) -> str | None:
    if summary.minimum == summary.maximum:
        return f"every voxel is {summary.maximum:g}"
    foreground = np.unique(summary.sample[_foreground(summary)])
    if summary.background is None or not 0 < foreground.size <= _MASK_VALUES:
        return None
    return "only the values " + ", ".join(f"{value:g}" for value in (summary.background, *foreground))


def _copies(summaries: Mapping[str, ImageSummary]) -> list[Finding]:
    pairs = []
    for (name, one), (other_name, other) in combinations(summaries.items(), 2):
        if one.shape != other.shape:
            continue
        correlation = _correlation(one, other)
        if correlation is not None and correlation >= SAME_CORRELATION:
            same = "equal" if np.array_equal(one.sample, other.sample) else f"correlation {correlation:.5f}"
            pairs.append(f"{name} and {other_name} ({same})")
    return [Finding("copied-channel", ", ".join(pairs))] if pairs else []


def _correlation(one: ImageSummary, other: ImageSummary) -> float | None:
    """Pearson's correlation where either image is not background; ``None`` for too few such voxels, or no variation."""
    used = _foreground(one) | _foreground(other)
    if int(used.sum()) < _FEWEST:
        return None
    a, b = one.sample[used].astype(np.float64), other.sample[used].astype(np.float64)
    a -= a.mean()
    b -= b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else None


def _foreground(summary: ImageSummary) -> NDArray[np.bool_]:
    """Where the sample is not background."""
    return np.asarray(summary.sample != summary.background)  # nothing equals None


def _places(size: int) -> NDArray[np.int64] | slice:
    if size <= _SAMPLES:
        return slice(None)
    return np.sort(np.random.default_rng(0).integers(0, size, _SAMPLES))
