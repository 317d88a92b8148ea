"""How good the images of a case look: four properties, and an index that compares them with the rest of the data set.

Nothing here is a standard of image quality: the index finds the cases that differ from the usual ones of their set.
Knows arrays only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FEWEST = 200
"""Voxels that a property is measured in at least."""

RING_VOXELS = 5
"""How far the surroundings of a tumour reach, in voxels."""

_SHARP_PERCENT = 95
_LEAST = 1e-4  # standard deviations; below it all counts the same, so that a logarithm exists


class Measure(StrEnum):
    """What is measured of an image whose foreground has mean 0 and standard deviation 1."""

    NOISE = "noise"
    SHARPNESS = "sharpness"
    CONTRAST = "contrast"
    CUT_OFF = "cut off"


_AS_LOGARITHM = (Measure.NOISE, Measure.SHARPNESS)
_LEAST_SPREAD = {Measure.NOISE: 0.05, Measure.SHARPNESS: 0.05, Measure.CONTRAST: 0.05, Measure.CUT_OFF: 0.005}


@dataclass(frozen=True)
class Property:
    """A measure of one modality; of contrast, the modality is left empty: it is that of the one with most."""

    measure: Measure
    modality: str = ""

    def __str__(self) -> str:
        return f"{self.measure} in {self.modality}" if self.modality else str(self.measure)


@dataclass(frozen=True)
class Score:
    """How a case compares with its data set: 0 is usual in every property, -2 already rare in one.

    ``index`` is the lowest score of its properties; ``weakest`` has it, with the ``value`` here and what is ``usual``.
    """

    index: float
    weakest: Property
    value: float
    usual: float


def noise(image: NDArray[np.floating], inner: NDArray[np.bool_], through: int) -> float | None:
    """The standard deviation of noise in ``(X, Y, Z)``, estimated slice by slice across the axis ``through``.

    Immerkaer (1996), Fast noise variance estimation: the mean absolute response to the difference of two Laplacians,
    which edges and slopes hardly excite, times the square root of pi/2, over 6. Fine texture counts as noise, and
    what was smoothed has little. ``None`` where fewer than ``FEWEST`` voxels are ``inner``.
    """
    a, b = (axis for axis in range(3) if axis != through)
    if min(image.shape[a], image.shape[b]) < 3:
        return None
    response = np.diff(np.diff(image, 2, axis=a), 2, axis=b)
    used = np.moveaxis(np.moveaxis(inner, through, 0)[:, 1:-1, 1:-1], 0, through)
    if int(used.sum()) < FEWEST:
        return None
    return float(np.abs(response[used]).mean(dtype=np.float64) * math.sqrt(math.pi / 2) / 6)


def sharpness(image: NDArray[np.floating], inner: NDArray[np.bool_], spacing: tuple[float, ...]) -> float | None:
    """How steep the steeper edges of ``(X, Y, Z)`` are, per mm (pixel for images), along the axis where least so.

    The 95th percentile of the absolute central difference: an image made of thick slices or smoothed has little.
    ``None`` where fewer than ``FEWEST`` voxels are ``inner``.
    """
    steepness = []
    for axis, edge in enumerate(spacing):
        if image.shape[axis] < 3:
            continue
        lines, used = np.moveaxis(image, axis, 0), np.moveaxis(inner, axis, 0)[1:-1]
        if int(used.sum()) < FEWEST:
            return None
        steps = np.abs(lines[2:][used] - lines[:-2][used])
        steepness.append(float(np.percentile(steps, _SHARP_PERCENT)) / (2 * edge))
    return min(steepness, default=None)


def contrast(image: NDArray[np.floating], inside: NDArray[np.bool_], tumour: NDArray[np.bool_]) -> float | None:
    """How differently bright ``tumour`` and its surroundings are, in the channel of ``(C, X, Y, Z)`` with most of it.

    From 0, alike, to 1, no value in common: the Kolmogorov-Smirnov distance of the two. Surroundings are the rest of
    the foreground (``inside``) within ``RING_VOXELS``. ``None`` where either has fewer than 10 voxels.
    """
    ring = ndimage.maximum_filter(tumour, 2 * RING_VOXELS + 1, mode="constant") & inside & ~tumour
    if min(int(tumour.sum()), int(ring.sum())) < 10:
        return None
    return max(_apart(channel[tumour], channel[ring]) for channel in image)


def _apart(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """The largest difference between the shares of two samples up to a value."""
    one, other = np.sort(one), np.sort(other)
    values = np.concatenate([one, other])
    up_to = [np.searchsorted(sample, values, side="right") / sample.size for sample in (one, other)]
    return float(np.abs(up_to[0] - up_to[1]).max())


def inner_part(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels of ``(X, Y, Z)`` whose neighbours, diagonal ones too, are ``inside`` as well."""
    size = [3 if n > 1 else 1 for n in inside.shape]
    return np.asarray(ndimage.minimum_filter(inside, size, mode="constant"))


def score_cases(cases: Sequence[Mapping[Property, float]]) -> list[Score | None]:
    """The score of each case beside all of them; ``None`` for a case without properties.

    A property's score is how far it lies from the median of the set on its bad side, in robust standard deviations
    (1.4826 times the median absolute deviation, and not less than a step that nobody sees). Noise and sharpness are
    compared as logarithms. A case is as good as its worst property; that it is not cut off is no merit beside others.
    """
    columns: dict[Property, list[float]] = {}
    for case in cases:
        for key, value in case.items():
            columns.setdefault(key, []).append(_scaled(key.measure, value))
    usual = {key: _middle_and_spread(key.measure, values) for key, values in columns.items()}
    return [_score(case, usual) for case in cases]


def _score(case: Mapping[Property, float], usual: Mapping[Property, tuple[float, float]]) -> Score | None:
    if not case:
        return None
    scores = {key: _better(key.measure, _scaled(key.measure, value), *usual[key]) for key, value in case.items()}
    telling = [key for key in scores if key.measure != Measure.CUT_OFF or scores[key] < 0] or list(scores)
    weakest = min(telling, key=lambda key: scores[key])
    return Score(scores[weakest], weakest, case[weakest], _unscaled(weakest.measure, usual[weakest][0]))


def _middle_and_spread(measure: Measure, values: Sequence[float]) -> tuple[float, float]:
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(np.array(values) - middle)))
    return middle, max(spread, _LEAST_SPREAD[measure])


def _better(measure: Measure, scaled: float, middle: float, spread: float) -> float:
    sign = 1 if measure in (Measure.SHARPNESS, Measure.CONTRAST) else -1
    return sign * (scaled - middle) / spread


def _scaled(measure: Measure, value: float) -> float:
    return math.log(max(value, _LEAST)) if measure in _AS_LOGARITHM else value


def _unscaled(measure: Measure, scaled: float) -> float:
    return math.exp(scaled) if measure in _AS_LOGARITHM else scaled
