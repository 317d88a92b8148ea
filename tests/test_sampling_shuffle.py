"""The shuffled order: every number once, another order for another key, no order likelier than another."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gliamap.sampling.shuffle import shuffled

KEYS = st.lists(st.integers(0, 2**40), max_size=3)


@given(st.integers(1, 600), KEYS)
def test_every_number_comes_once(length: int, key: list[int]) -> None:
    assert sorted(shuffled(place, length, key) for place in range(length)) == list(range(length))


@given(st.integers(1, 2**40), KEYS, st.data())
def test_places_of_a_long_order_are_told_apart(length: int, key: list[int], data: st.DataObject) -> None:
    places = data.draw(st.sets(st.integers(0, length - 1), max_size=40))
    found = {shuffled(place, length, key) for place in places}
    assert len(found) == len(places) and all(0 <= number < length for number in found)


def test_it_stays_the_same_order() -> None:
    """A training goes on with the same patches after an update only while these numbers stay."""
    assert [shuffled(place, 10, (7, 1)) for place in range(10)] == [1, 0, 5, 6, 3, 9, 7, 4, 8, 2]
    numpy_key = tuple(np.array([7, 1]))
    assert [shuffled(place, 10, numpy_key) for place in range(10)] == [1, 0, 5, 6, 3, 9, 7, 4, 8, 2]


def test_all_orders_of_four_are_as_likely() -> None:
    found = Counter(tuple(shuffled(place, 4, (key,)) for place in range(4)) for key in range(4800))
    assert len(found) == 24
    assert min(found.values()) > 150 and max(found.values()) < 250  # 200 each, give or take


def test_neighbours_are_torn_apart() -> None:
    order = np.array([shuffled(place, 5000, (1, 2, 3)) for place in range(5000)])
    assert abs(np.corrcoef(np.arange(5000), order)[0, 1]) < 0.05
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.05
