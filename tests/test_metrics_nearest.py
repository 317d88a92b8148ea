"""The nearest place of another surface: looked up or searched for, it is the nearest of all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from gliamap.metrics.nearest import nearest

SPACINGS = [(1.0, 1.0, 1.0), (0.3, 0.3, 0.3), (0.5, 1.25, 6.0), (7.0, 0.3, 0.9)]


def every(source: NDArray[np.intp], target: NDArray[np.intp], spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """The definition: each place against all others."""
    apart = (source[:, None] - target[None]) * np.array(spacing)
    return np.asarray(np.linalg.norm(apart, axis=2).min(axis=1))


def test_three_places_by_eye() -> None:
    source, target = np.array([[0, 0], [2, 1], [9, 0]]), np.array([[0, 0], [2, 3]])
    np.testing.assert_array_equal(nearest(source, target, (1.0, 0.5)), [0, 1, np.hypot(7, 1.5)])


def test_nothing_is_infinitely_far_and_nothing_asks_nothing() -> None:
    none, one = np.zeros((0, 3), np.intp), np.ones((1, 3), np.intp)
    np.testing.assert_array_equal(nearest(one, none, (1.0, 1.0, 1.0)), [np.inf])
    assert nearest(none, one, (1.0, 1.0, 1.0)).shape == (0,)


places = hnp.array_shapes(min_dims=1, max_dims=1, max_side=12).flatmap(
    lambda size: hnp.arrays(np.intp, (size[0], 3), elements=st.integers(0, 15))
)


@given(places, places, st.sampled_from(SPACINGS))
def test_every_distance_is_that_to_the_nearest_of_all(
    source: NDArray[np.intp], target: NDArray[np.intp], spacing: tuple[float, float, float]
) -> None:
    np.testing.assert_allclose(nearest(source, target, spacing), every(source, target, spacing), rtol=1e-12)


@pytest.mark.parametrize("reach", [1, 2, 4])
def test_how_far_is_looked_up_changes_nothing(reach: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(reach)
    source, target = rng.integers(0, 14, (300, 3)), rng.integers(0, 14, (40, 3))
    usual = nearest(source, target, (0.7, 1.0, 2.5))
    monkeypatch.setattr("gliamap.metrics.nearest._REACH", reach)
    np.testing.assert_allclose(nearest(source, target, (0.7, 1.0, 2.5)), usual, rtol=1e-12)


@given(places, places, st.sampled_from(SPACINGS))
def test_searched_or_transformed_is_the_same(
    source: NDArray[np.intp], target: NDArray[np.intp], spacing: tuple[float, float, float]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gliamap.metrics.nearest._MANY", 0)
        patch.setattr("gliamap.metrics.nearest._REACH", 0)
        for axes in (2, 3):
            near = nearest(source[:, :axes], target[:, :axes], spacing[:axes])
            np.testing.assert_allclose(near, every(source[:, :axes], target[:, :axes], spacing[:axes]), rtol=1e-12)
