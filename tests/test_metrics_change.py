"""Changes of a size from visit to visit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliamap.metrics.change import Change, changes_of, percent_change


def test_against_first_previous_and_smallest() -> None:
    assert changes_of([10, 5, 15, 5]) == [
        Change(None, None, None),
        Change(first=-50, previous=-50, smallest=-50),
        Change(first=50, previous=200, smallest=200),
        Change(first=-50, previous=pytest.approx(-100 * 2 / 3), smallest=0),
    ]


def test_of_nothing() -> None:
    assert changes_of([0, 0, 3]) == [Change(), Change(0, 0, 0), Change(None, None, None)]
    assert changes_of([3, 0, 3]) == [Change(), Change(-100, -100, -100), Change(0, None, None)]
    assert changes_of([]) == []


@given(st.floats(0.01, 1e4), st.floats(0.01, 1e4))
def test_there_and_back(then: float, now: float) -> None:
    there, back = percent_change(now, then), percent_change(then, now)
    assert there is not None and back is not None
    assert (1 + there / 100) * (1 + back / 100) == pytest.approx(1)


@given(st.lists(st.floats(0, 1e4), min_size=2))
def test_the_smallest_before_is_never_larger_than_first_or_previous(sizes: list[float]) -> None:
    last = changes_of(sizes)[-1]
    if last.smallest is not None and last.first is not None and last.previous is not None:
        assert last.smallest >= max(last.first, last.previous) - 1e-9
