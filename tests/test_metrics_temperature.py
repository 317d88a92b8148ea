"""The temperature: found again where it is known, and what it does to a likelihood, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from gliamap.metrics.temperature import TEMPERATURES, best_temperature, likelihood_curve

ONE = int(np.flatnonzero(TEMPERATURES == 1)[0])


def test_the_likelihood_of_two_voxels_by_hand() -> None:
    said = np.array([[0.2, 0.5], [0.8, 0.5]])
    curve = likelihood_curve(said, np.array([1, 0]))
    assert curve[ONE] == pytest.approx(-(np.log(0.8) + np.log(0.5)) / 2)
    two = int(np.flatnonzero(TEMPERATURES == 2)[0])  # square roots: 0.8 becomes 2 / 3
    assert curve[two] == pytest.approx(-(np.log(2 / 3) + np.log(0.5)) / 2)


@settings(max_examples=20)
@given(st.floats(0.4, 5.0), st.integers(0, 3))
def test_a_temperature_that_is_known_is_found_again(true: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3 * true, 20_000)
    inside = rng.random(logits.size) < expit(logits / true)
    said = expit(logits)
    found = best_temperature(likelihood_curve(np.stack([1 - said, said]), inside.astype(int)))
    assert found == pytest.approx(true, rel=0.1)


def test_that_of_classes_is_found_likewise() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (4, 20_000))
    truth = (rng.random(20_000) > softmax(logits / 1.7, axis=0).cumsum(axis=0)).sum(axis=0)
    assert best_temperature(likelihood_curve(softmax(logits, axis=0), truth)) == pytest.approx(1.7, rel=0.05)


def test_who_is_always_right_cannot_be_too_sure_and_who_is_always_wrong_not_too_unsure() -> None:
    said = np.array([[0.3], [0.7]])
    assert best_temperature(likelihood_curve(said, np.array([1]))) == TEMPERATURES[0]
    assert best_temperature(likelihood_curve(said, np.array([0]))) == TEMPERATURES[-1]


def test_certainty_that_is_wrong_costs_much_but_not_all() -> None:
    curve = likelihood_curve(np.array([[1.0], [0.0]]), np.array([1]))
    assert np.isfinite(curve).all() and curve[ONE] == pytest.approx(-np.log(1e-7))


def test_no_voxel_tells_nothing() -> None:
    with pytest.raises(ValueError, match="no voxel"):
        likelihood_curve(np.zeros((2, 0)), np.zeros(0, int))
