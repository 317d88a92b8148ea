"""A line is drawn only through arms that are told apart."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from comparisons import arm, four, not_run
from gliamap.comparison.frontier import frontier, gain_interval
from gliamap.comparison.nouns import ArmResult
from gliamap.labels import Region

Gain = tuple[float, float, float]


def names(*arms: ArmResult) -> list[str]:
    return [one.arm for one in frontier(arms, Region.WT)]


def test_the_frontier_by_eye() -> None:
    # 0.1 s lraspp is lower, 0.2 s the baseline, 0.3 s not told apart from it, 0.4 s higher.
    assert names(*four().arms) == ["lraspp", "unet", "dynunet"]


def test_there_is_no_frontier_where_nothing_is_told_apart() -> None:
    assert names(arm("a", seconds=0.1), arm("b", 0.61, (0.01, -0.01, 0.03), seconds=0.2)) == []
    assert names(arm("a", seconds=0.2), arm("b", 0.61, (0.02, 0.01, 0.03), seconds=0.1)) == []  # faster and better
    assert names(arm("a")) == names(arm("a"), not_run("b")) == names() == []


def test_two_arms_whose_gains_overlap_do_not_both_count() -> None:
    b, c = arm("b", 0.62, (0.02, 0.01, 0.03), seconds=0.3), arm("c", 0.63, (0.03, 0.02, 0.04), seconds=0.4)
    assert names(arm("a"), b, c) == ["a", "b"]


def test_an_arm_without_an_interval_does_not_count() -> None:
    b = arm("b", 0.9, (0.3, 0.2, 0.4), seconds=0.3)
    b = replace(b, gain={Region.WT: replace(b.gain[Region.WT], low=None, high=None)})
    assert gain_interval(b, Region.WT) is None
    assert names(arm("a"), b) == []


def test_an_arm_of_few_patients_does_not_count() -> None:
    b = arm("b", 0.9, (0.3, 0.2, 0.4), seconds=0.3)
    few = replace(b, gain={Region.WT: replace(b.gain[Region.WT], patients=5)})
    assert names(arm("a"), b) == ["a", "b"] and names(arm("a"), few) == []


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 0.2), st.floats(0.01, 10)), max_size=8))
def test_every_step_is_slower_and_surely_higher(found: list[tuple[float, float, float]]) -> None:
    arms = [arm(f"{n}", 0.5, (mean, mean - half, mean + half), seconds=s) for n, (mean, half, s) in enumerate(found)]
    steps = frontier([arm("base"), *arms], Region.WT)
    assert len(steps) != 1
    for before, after in pairwise(steps):
        assert before.cost is not None and after.cost is not None
        assert before.cost.seconds_per_case <= after.cost.seconds_per_case
        low, high = gain_interval(after, Region.WT), gain_interval(before, Region.WT)
        assert low is not None and high is not None and low[0] > high[1]
