"""One figure over a cohort: its mean over patients, and how much that depends on who they were.

The cases of one patient are averaged first, so that a patient with many visits (or many slices) counts once. The
interval is a bootstrap over patients, because patients are what was sampled. It says how much the mean depends on
which patients were in the set, not on which model was trained.

The plain percentile interval (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13) is too narrow
for few patients: it knows neither that the spread is estimated nor that it is by n and not n - 1. The *expanded*
percentile interval (Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69, 2015)
takes quantiles further out, at the normal probability of ``sqrt(n / (n - 1)) * t``, ``t`` being Student's quantile with
n - 1 degrees of freedom, so that for normal values it is as wide as Student's interval.

Of 100 sets of normal values it holds the mean of 93 with 6 patients, of 94 with 10, of 95 with 20; the plain one of 86,
90, 93. No bootstrap reaches beyond the values it was given: with fewer than ``ENOUGH`` patients the interval is still
too narrow. So it is where most patients score well and one in ten is missed whole: 81 with 10 patients, 90 with 20, 93
with 40, much as Student's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from gliamap.scoring.text_table import NOTHING

DRAWS = 2000
"""Bootstrap resamples behind each interval."""

_BLOCK = 2**20
"""Patients drawn at a time, which keeps what is in between small."""

ENOUGH = 6
"""Patients. That all of fewer lie on one side of the true mean is chance in more than one set of twenty, 2 * 0.5**5 =
0.06: no interval within their range holds the mean 95 times in 100."""


class _OfPatient(Protocol):
    @property
    def case_id(self) -> str: ...
    @property
    def patient_id(self) -> str: ...


C = TypeVar("C", bound=_OfPatient)


@dataclass(frozen=True)
class Estimate:
    """One figure over a cohort.

    ``mean`` and ``median`` are over patients, whose cases were averaged first; ``low`` and ``high`` bound the 95 %
    bootstrap interval of ``mean`` (``None`` with fewer than two patients); ``case_mean`` is the plain mean over cases.
    All are ``None`` where no case has the figure. ``cases`` and ``patients`` count what went in.
    """

    mean: float | None
    low: float | None
    high: float | None
    median: float | None
    case_mean: float | None
    cases: int
    patients: int


def estimate(values: Iterable[tuple[str, float | None]], *, seed: int = 0) -> Estimate:
    """Average pairs of patient id and a case's value; ``None`` values are left out. ``seed`` draws the resamples."""
    known = [(patient_id, value) for patient_id, value in values if value is not None]
    if not known:
        return Estimate(None, None, None, None, None, cases=0, patients=0)
    means = np.array(list(patient_means(known).values()))
    low, high = interval(means, seed=seed)
    return Estimate(
        mean=float(means.mean()),
        low=low,
        high=high,
        median=float(np.median(means)),
        case_mean=float(np.mean([value for _, value in known])),
        cases=len(known),
        patients=means.size,
    )


def patient_means(values: Iterable[tuple[str, float | None]]) -> dict[str, float]:
    """The mean of each patient's cases, from pairs as for :func:`estimate`, in the order in which patients come."""
    by_patient: dict[str, list[float]] = {}
    for patient_id, value in values:
        if value is not None:
            by_patient.setdefault(patient_id, []).append(value)
    return {patient_id: float(np.mean(each)) for patient_id, each in by_patient.items()}


def differences(values: Iterable[tuple[str, float | None, float | None]]) -> list[tuple[str, float | None]]:
    """What a case's value is above another one of the same case, with the patient's id, as :func:`estimate` takes it.

    ``None`` where a case lacks either.
    """
    return [(patient_id, None if a is None or b is None else a - b) for patient_id, a, b in values]


def matched(ours: Iterable[C], others: Iterable[C]) -> list[tuple[C, C]]:
    """The cases that are in both, by patient and case id, in our order."""
    known = {(case.patient_id, case.case_id): case for case in others}
    keyed = ((case, known.get((case.patient_id, case.case_id))) for case in ours)
    return [(case, other) for case, other in keyed if other is not None]


def interval(means: NDArray[np.float64], *, seed: int = 0) -> tuple[float | None, float | None]:
    """The 95 % expanded percentile interval of the mean of one value a patient; ``None`` with fewer than two."""
    patients = means.size
    if patients < 2:
        return None, None
    outside = ndtr(-math.sqrt(patients / (patients - 1)) * stdtrit(patients - 1, 0.975))
    centre = means.mean()
    resampled = centre + _resamples(patients, seed) @ (means - centre) / patients
    # Rounding must not lead out of the values: a limit just below 0 would be shown as -0.
    low, high = np.quantile(resampled, [outside, 1 - outside]).clip(means.min(), means.max())
    return float(low), float(high)


@lru_cache(maxsize=2)  # the figures of one cohort share its resamples; 16 kB a patient
def _resamples(patients: int, seed: int) -> NDArray[np.float64]:
    """How often each of the ``DRAWS`` resamples (row) draws each patient (column)."""
    rng = np.random.default_rng(seed)
    counts = np.empty((DRAWS, patients))
    for part in np.array_split(counts, -(-counts.size // _BLOCK)):
        drawn = rng.integers(patients, size=part.shape) + patients * np.arange(len(part))[:, np.newaxis]
        part[:] = np.bincount(drawn.ravel(), minlength=part.size).reshape(part.shape)
    counts.flags.writeable = False
    return counts


def estimate_cell(found: Estimate | None, digits: int, *, signed: bool = False, interval: bool = True) -> str:
    """``mean [low, high]``, or the mean alone; without the interval where there is none, '-' where no figure is."""
    if found is None or found.mean is None:
        return NOTHING
    form = f"{'+' if signed else ''}.{digits}f"
    mean = f"{found.mean:{form}}"
    if not interval or found.low is None or found.high is None:
        return mean
    return f"{mean} [{found.low:{form}}, {found.high:{form}}]"
