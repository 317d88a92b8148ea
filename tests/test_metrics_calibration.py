"""Brier score and calibration error, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gliamap.metrics.calibration import BINS, brier, expected_calibration_error, reliability

UNIT = (1.0, 1.0, 1.0)


def test_four_voxels_by_hand() -> None:
    said = np.array([0.9, 0.9, 0.6, 0.1], np.float32).reshape(4, 1, 1)
    inside = np.array([True, False, True, False]).reshape(4, 1, 1)
    found = reliability(said, inside, UNIT)
    filled = {place: n for place, n in enumerate(found.voxels) if n}
    assert filled == {1: 1, 9: 1, 13: 2}  # 0.1, 0.6 and 0.9 in fifteenths
    assert (found.inside[1], found.inside[9], found.inside[13]) == (0, 1, 1)
    assert brier(found) == pytest.approx((0.01 + 0.81 + 0.16 + 0.01) / 4)
    # 0.1 said, none true; 0.6 said, all true; 0.9 said of two, half true
    assert expected_calibration_error(found) == pytest.approx((0.1 + 0.4 + 2 * 0.4) / 4)


def test_certainty_that_is_right_is_perfect_and_wrong_is_worst() -> None:
    inside = np.zeros((6, 6, 6), bool)
    inside[:3] = True
    for said, expected in ((inside, 0), (~inside, 1)):
        found = reliability(said.astype(np.float32), inside, UNIT)
        assert brier(found) == expected_calibration_error(found) == expected
        assert sum(found.voxels) == found.voxels[0] + found.voxels[BINS - 1] == 6**3


def test_only_what_is_near_counts_by_millimetres() -> None:
    said, inside = np.zeros((40, 40, 5), np.float32), np.zeros((40, 40, 5), bool)
    inside[20, 20, 2] = True
    found = reliability(said, inside, (1.0, 2.5, 9.0))
    assert sum(found.voxels) == 11 * 5  # 5 mm are five voxels, two voxels, and less than one
    assert brier(found) == pytest.approx(1 / 55)
    said[2, 2, 2] = 0.5  # called inside: its surroundings count as well, as far as the grid reaches
    assert sum(reliability(said, inside, (1.0, 2.5, 9.0)).voxels) == 55 + 8 * 5


@pytest.mark.parametrize(("step", "reach"), [(3.0, 1), (2.5000001, 2), (1.0000001, 5), (0.9, 5), (5.1, 0)])
def test_never_further_than_the_margin(step: float, reach: int) -> None:
    """Two voxels of 3 mm are 6 mm; a spacing that a header rounds up is the one that was meant."""
    inside = np.zeros((30, 1, 1), bool)
    inside[15] = True
    found = reliability(np.zeros(inside.shape, np.float32), inside, (step, step, step))
    assert sum(found.voxels) == 1 + 2 * reach


def test_more_background_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    said, inside = rng.random((12, 12, 12)).astype(np.float32), rng.random((12, 12, 12)) < 0.5
    room = np.pad(said, 30), np.pad(inside, 30)
    wide = np.pad(said, 8), np.pad(inside, 8)
    assert reliability(*room, UNIT) == reliability(*wide, UNIT)


def test_a_rightly_empty_region_has_no_figure() -> None:
    found = reliability(np.full((5, 5, 5), 0.4, np.float32), np.zeros((5, 5, 5), bool), UNIT)
    assert brier(found) is None and expected_calibration_error(found) is None


def test_diagrams_add_up() -> None:
    rng = np.random.default_rng(1)
    said, inside = rng.random((20, 4, 3)).astype(np.float32), rng.random((20, 4, 3)) < 0.7
    # two halves, far enough apart not to reach into each other
    both = reliability(np.insert(said, [10] * 20, 0, axis=0), np.insert(inside, [10] * 20, False, axis=0), UNIT)
    apart = [np.pad(part, ((0, 10), (0, 0), (0, 0))) for part in (said[:10], inside[:10])]
    rest = [np.pad(part, ((10, 0), (0, 0), (0, 0))) for part in (said[10:], inside[10:])]
    added = reliability(apart[0], apart[1], UNIT) + reliability(rest[0], rest[1], UNIT)
    assert added.voxels == both.voxels and added.inside == both.inside
    assert added.said == pytest.approx(both.said) and added.squares == pytest.approx(both.squares)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="one shape"):
        reliability(np.zeros((2, 2, 2), np.float32), np.zeros((2, 2, 3), bool), UNIT)
