"""A predicted Dice: what a model says of its own masks, and how such a prediction is learned.

A line for each region through the entropy, the disagreement and the volume of cases that the model had not seen,
fitted by ridge regression. Each patient counts once. The interval is that of conformal prediction (Vovk et al., "Cross-
conformal predictors", Annals of Mathematics and Artificial Intelligence 74, 2015; Barber et al., "Predictive inference
with the jackknife+", Annals of Statistics 49, 2021): what was found, less what a line learned without that patient
said. It holds for patients like those; nothing is said of others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gliamap.case import Uncertainty
from gliamap.config import DiceFeature, DiceLine, ModelSpec
from gliamap.labels import Region

ENOUGH_PATIENTS = 10
"""With fewer no line is learned."""

_OUTSIDE = 0.05  # on either side of a 90 % interval
_ROUNDING = 1e-9
_RIDGE = 1.0  # the penalty of a slope of one standard deviation, against one for each patient


def predict_dice(
    spec: ModelSpec, uncertainty: Uncertainty, volumes: Mapping[Region, float]
) -> dict[Region, tuple[float, float, float]]:
    """The Dice that a prediction probably has in each region: estimate, low and high end of its 90 % interval.

    ``volumes`` are those predicted, in mL (pixels for images). A region has none where nothing was learned for it, or
    for predictions in which it is (or is not) empty; no region has where the model was shown the scan in another way
    than when it was learned.
    """
    known = spec.dice_predictor
    if known is None or known.mode != spec.window.mode or known.flips != (uncertainty.disagreement is not None):
        return {}
    said = {}
    for region, volume in volumes.items():
        line = (known.found if volume > 0 else known.none).get(region)
        if line is not None:
            said[region] = on_line(line, features_of(uncertainty, region, volume))
    return said


def features_of(uncertainty: Uncertainty, region: Region, volume: float) -> dict[DiceFeature, float]:
    """What the Dice of a region is predicted from; ``volume`` in mL, or pixels. Nothing where the region is empty.

    There, entropy tells hardly anything of whether the emptiness is right.
    """
    if volume == 0:
        return {}
    found: dict[DiceFeature, float] = {
        "entropy": uncertainty.entropy[region],
        "log_volume": math.log1p(volume),
    }
    if uncertainty.disagreement is not None:
        found["disagreement"] = uncertainty.disagreement[region]
    return found


def on_line(line: DiceLine, features: Mapping[DiceFeature, float]) -> tuple[float, float, float]:
    """Estimate, low, high, all in 0..1."""
    middle = line.intercept + sum(slope * features[name] for name, slope in line.slopes.items())
    low, middle, high = (min(1.0, max(0.0, value)) for value in (middle + line.low, middle, middle + line.high))
    return middle, low, high


@dataclass(frozen=True)
class Known:
    """A case whose Dice is known; ``features`` as in :func:`features_of`, the same for all cases."""

    patient_id: str
    features: Mapping[DiceFeature, float]
    dice: float


@dataclass(frozen=True)
class Learned:
    """A line, and for each case that it was learned from what was ``said`` of it without its patient.

    ``held``: the share of cases whose Dice lies in the interval that the errors of the other patients make; each
    patient counts once.
    """

    line: DiceLine
    said: tuple[float, ...]
    held: float


def learn_line(cases: Sequence[Known]) -> Learned | None:
    """The line through ``cases``; ``None`` with fewer than ``ENOUGH_PATIENTS`` patients.

    With fewer than 19 patients the interval goes from the worst to the best error, and holds in (n - 1) / (n + 1) of
    cases: in 82 % with 10 patients. It always holds the estimate.
    """
    patients = np.array([case.patient_id for case in cases])
    each, inverse, counts = np.unique(patients, return_inverse=True, return_counts=True)
    if each.size < ENOUGH_PATIENTS:
        return None
    names = tuple(cases[0].features)
    x = np.array([[case.features[name] for name in names] for case in cases], np.float64).reshape(len(cases), -1)
    y = np.array([case.dice for case in cases])
    weights = 1 / counts[inverse]
    said = np.empty_like(y)
    for number in range(each.size):
        out = inverse == number
        slopes, intercept = _ridge(x[~out], y[~out], weights[~out])
        said[out] = np.clip(x[out] @ slopes + intercept, 0, 1)
    slopes, intercept = _ridge(x, y, weights)
    error = y - said
    low, high = _interval(error, weights)
    line = DiceLine(
        slopes=dict(zip(names, slopes.tolist(), strict=True)),
        intercept=intercept,
        low=low,
        high=high,
        error=float(np.average(np.abs(error), weights=weights)),
        patients=int(each.size),
        cases=len(cases),
    )
    return Learned(line, tuple(said.tolist()), _held(error, weights, inverse))


def _held(errors: NDArray[np.float64], weights: NDArray[np.float64], patient: NDArray[np.intp]) -> float:
    """The share of errors, by weight, inside the interval of the errors of all other patients."""
    inside = np.zeros(errors.shape, np.bool_)
    for number in range(int(patient.max()) + 1):
        own = patient == number
        low, high = _interval(errors[~own], weights[~own])
        inside[own] = (errors[own] >= low - _ROUNDING) & (errors[own] <= high + _ROUNDING)
    return float(np.average(inside, weights=weights))


def _interval(errors: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    """What bounds 90 % of the errors of new patients; 0 lies within."""
    return min(0.0, _tail(errors, weights)), max(0.0, -_tail(-errors, weights))


def _ridge(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Slopes and intercept of weighted ridge regression (Hoerl & Kennard 1970) on standardised features ``(N, F)``."""
    middle, level = np.average(x, axis=0, weights=weights), np.average(y, weights=weights)
    spread = np.sqrt(np.average((x - middle) ** 2, axis=0, weights=weights))
    spread[spread < 1e-9] = np.inf  # a constant feature says nothing: its slope becomes 0
    standard = (x - middle) / spread
    penalty = _RIDGE * np.eye(x.shape[1])
    weighted = standard.T * weights
    slopes = np.linalg.solve(weighted @ standard + penalty, weighted @ (y - level)) / spread
    return slopes, float(level - middle @ slopes)


def _tail(errors: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """The error that at most ``_OUTSIDE`` of those of new patients lie below; the least there is where n is too small.

    ``weights`` add up to the number n of patients. With one case each, it is error number ``floor(0.05 (n + 1))``.
    """
    order = np.argsort(errors, kind="stable")
    passed = np.cumsum(weights[order])
    rank = np.searchsorted(passed, _OUTSIDE * (passed[-1] + 1) + _ROUNDING, side="right") - 1
    return float(errors[order][max(0, rank)])
