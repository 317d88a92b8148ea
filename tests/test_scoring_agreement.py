"""Limits of agreement, worked by hand, and how they move with the volumes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliamap.scoring.agreement import AGREEMENT_FROM, Agreement, agreement_of

VOLUMES = st.lists(st.tuples(st.floats(0, 300), st.floats(0, 300)), min_size=AGREEMENT_FROM, max_size=20)


def test_limits_are_1_96_standard_deviations_from_the_mean() -> None:
    # Differences -1, 0, 1, 2, 3: mean 1, sum of squares around it 10, variance 10 / 4.
    found = agreement_of([9, 20, 31, 42, 53], [10, 20, 30, 40, 50])
    assert (found.mean, found.pairs) == (1, 5)
    assert found.low == pytest.approx(1 - 1.96 * 2.5**0.5) and found.high == pytest.approx(1 + 1.96 * 2.5**0.5)


def test_few_pairs_have_no_limits_and_none_no_mean() -> None:
    assert agreement_of([1, 2, 3, 4], [0, 0, 0, 0]) == Agreement(2.5, None, None, 4)
    assert agreement_of([], []) == Agreement(None, None, None, 0)
    with pytest.raises(ValueError, match="shorter"):
        agreement_of([1.0], [])


@given(VOLUMES)
def test_exchanging_the_two_turns_the_limits_round(pairs: list[tuple[float, float]]) -> None:
    one, other = ([pair[n] for pair in pairs] for n in (0, 1))
    there, back = agreement_of(one, other), agreement_of(other, one)
    assert there.mean is not None and there.low is not None and there.high is not None
    assert there.low <= there.mean <= there.high
    assert back.mean == pytest.approx(-there.mean)
    assert back.low == pytest.approx(-there.high) and back.high == pytest.approx(-there.low)
