"""A figure over a cohort: means of patients, and intervals that hold what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from gliamap.scoring.estimate import ENOUGH, differences, estimate, interval, matched, patient_means
from scores import case

VALUES = st.lists(st.floats(-1000, 1000), min_size=2, max_size=12)


def limits(values: NDArray[np.float64] | list[float], seed: int = 0) -> tuple[float, float]:
    low, high = interval(np.array(values), seed=seed)
    assert low is not None and high is not None
    return low, high


def test_patients_count_once_and_in_their_order() -> None:
    values = [("q", 1.0), ("p", 0.0), ("q", 0.5), ("r", None), ("p", 0.5)]
    assert patient_means(values) == {"q": 0.75, "p": 0.25}
    found = estimate(values)
    assert (found.mean, found.median, found.case_mean, found.cases, found.patients) == (0.5, 0.5, 0.5, 4, 2)
    assert (found.low, found.high) == (0.25, 0.75)


def test_no_value_no_estimate() -> None:
    empty, single = estimate([("a", None)]), estimate([("a", 0.5), ("b", None)])
    assert (empty.mean, empty.cases) == (None, 0)
    assert (single.mean, single.low, single.high, single.cases) == (0.5, None, None, 1)


def test_the_interval_is_seeded() -> None:
    values = np.random.default_rng(3).uniform(size=40)
    assert limits(values) == limits(values) != limits(values, seed=1)


@pytest.mark.parametrize("patients", [6, 10, 40])
def test_the_interval_is_as_wide_as_student_s(patients: int) -> None:
    """Of normal values; the plain percentile interval of six is less than two thirds as wide."""
    values = ndtr_inverse(patients)
    low, high = limits(values)
    student = stdtrit(patients - 1, 0.975) * values.std(ddof=1) / np.sqrt(patients)
    assert (high - low) / 2 == pytest.approx(student, rel=0.1)


def ndtr_inverse(count: int) -> NDArray[np.float64]:
    """So many normal values without chance: the middles of equal shares."""
    grid = np.linspace(-5, 5, 100_001)
    return np.interp((np.arange(count) + 0.5) / count, ndtr(grid), grid)


@pytest.mark.parametrize(("patients", "share"), [(6, 0.93), (12, 0.945)])
def test_the_interval_holds_the_mean_about_95_times_in_100(patients: int, share: float) -> None:
    """Of sets drawn from a normal distribution. The plain percentile interval: 86 times with 6, 91 with 12."""
    rng = np.random.default_rng(11)
    held = [low <= 0 <= high for low, high in (limits(rng.normal(size=patients)) for _ in range(1500))]
    assert np.mean(held) == pytest.approx(share, abs=0.015)


def test_fewer_than_enough_cannot() -> None:
    """All five lie on one side of the true mean 2 * 0.5**5 = 6 times in 100, and no resample crosses over."""
    assert 2 * 0.5 ** (ENOUGH - 1) > 0.05 >= 2 * 0.5**ENOUGH
    assert limits([1.0, 2.0, 3.0]) == (1.0, 3.0)


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_the_interval_stays_within_the_values_and_moves_with_them(values: list[float]) -> None:
    low, high = limits(values)
    assert min(values) <= low <= high <= max(values)
    moved = limits([value + 5 for value in values])
    assert moved == pytest.approx((low + 5, high + 5), abs=1e-9)


def test_equal_values_leave_no_doubt() -> None:
    assert limits([0.1] * 7) == (0.1, 0.1)


def test_the_limits_of_few_patients_hardly_depend_on_the_seed() -> None:
    lows, highs = zip(*(limits([0.2, 0.5, 0.7, 0.8, 0.9, 0.95], seed) for seed in range(20)), strict=True)
    assert np.ptp(lows) <= 0.03 and np.ptp(highs) <= 0.01


def test_the_interval_of_a_great_many_patients_is_student_s() -> None:
    """More than all resamples are kept for."""
    values = ndtr_inverse(20_000)
    assert limits(values) == pytest.approx(np.array([-1.96, 1.96]) / np.sqrt(20_000), rel=0.15)


def test_cases_are_matched_by_patient_and_id_in_our_order() -> None:
    ours, others = [case("q/1"), case("p/1"), case("p/2")], [case("p/1"), case("q/1"), case("r/1")]
    assert [(a.case_id, b.case_id) for a, b in matched(ours, others)] == [("q/1", "q/1"), ("p/1", "p/1")]


def test_a_difference_needs_both_values() -> None:
    assert differences([("p", 0.75, 0.5), ("q", None, 0.5), ("r", 0.5, None)]) == [
        ("p", 0.25),
        ("q", None),
        ("r", None),
    ]
