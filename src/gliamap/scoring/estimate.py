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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from gliamap.scoring.text_table import NOTHING

DRAWS = 10_000
"""Bootstrap resamples behind each interval; fewer with more patients than ``_KEPT // DRAWS``, 1677."""

_KEPT = 2**24
"""Bytes that the resamples of a cohort may take."""

_BLOCK = 2**15
"""Patients of as many resamples as are looked at at a time: what is in between stays in the processor's cache."""

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
    return {patient_id: math.fsum(each) / len(each) for patient_id, each in by_patient.items()}


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
    blocks = (block.astype(np.float64) @ (means - centre) for block in _blocks(_resamples(patients, seed)))
    resampled = centre + np.concatenate(list(blocks)) / patients
    # Rounding must not lead out of the values: a limit just below 0 would be shown as -0.
    low, high = np.quantile(resampled, [outside, 1 - outside]).clip(means.min(), means.max())
    return float(low), float(high)


@lru_cache(maxsize=2)  # the figures of one cohort share its resamples
def _resamples(patients: int, seed: int) -> NDArray[np.uint8]:
    """How often each resample (row) draws each patient (column)."""
    rng = np.random.default_rng(seed)
    # A byte is enough: that one of 256 patients or more is drawn 256 times does not happen.
    counts = np.empty((min(DRAWS, _KEPT // patients), patients), np.uint8)
    for block in _blocks(counts):
        drawn = rng.integers(patients, size=block.shape) + patients * np.arange(len(block))[:, np.newaxis]
        block[:] = np.bincount(drawn.ravel(), minlength=block.size).reshape(block.shape)
    counts.flags.writeable = False
    return counts


def _blocks(counts: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Some rows at a time."""
    rows = max(1, _BLOCK // counts.shape[1])
    return (counts[start : start + rows] for start in range(0, len(counts), rows))


def estimate_cell(
    found: Estimate | None, digits: int, *, signed: bool = False, interval: bool = True, of: int | None = None
) -> str:
    """``mean [low, high]``, or the mean alone; without the interval where there is none, '-' where no figure is.

    ``mean [low, high] (n of N)`` where only n of the ``of`` cases have the figure.
    """
    if found is None or found.mean is None:
        return NOTHING
    form = f"{'+' if signed else ''}.{digits}f"
    cell = f"{found.mean:{form}}"
    if interval and found.low is not None and found.high is not None:
        cell += f" [{found.low:{form}}, {found.high:{form}}]"
    return cell if of is None or found.cases == of else f"{cell} ({found.cases:,} of {of:,})"


def estimates_title(title: str, found: Iterable[tuple[Estimate, int]]) -> str:
    """The title of a table of estimates, with what :func:`estimate_cell` means by ``(n of N)`` where that is in it.

    ``found``: each estimate that is shown, and of how many cases it could be.
    """
    partial = any(0 < one.cases < of for one, of in found)
    return f"{title}; (n of N): the n of N cases that have a value" if partial else title
