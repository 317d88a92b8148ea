"""Which arms are worth their time, as far as they can be told apart."""

from __future__ import annotations

from collections.abc import Sequence

from gliamap.comparison.nouns import ArmResult
from gliamap.labels import Region
from gliamap.scoring.estimate import ENOUGH


def frontier(arms: Sequence[ArmResult], region: Region) -> tuple[ArmResult, ...]:
    """From the fastest arm on, each slower one whose Dice is told to be higher than that of the last; else nothing.

    Faster is what needs fewer seconds a case. Two arms are told apart where the intervals of what they gain over the
    baseline, patient by patient, have no point in common; the baseline's own is zero. Arms that were not run, those
    without an interval and those of fewer than ``ENOUGH`` patients do not count. Empty where fewer than two
    are left: there is nothing to draw a line through.
    """
    found: list[ArmResult] = []
    known = [arm for arm in arms if arm.cost is not None and gain_interval(arm, region) is not None]
    for arm in sorted(known, key=_seconds):
        if not found or _surely_above(arm, found[-1], region):
            found.append(arm)
    return tuple(found) if len(found) > 1 else ()


def gain_interval(arm: ArmResult, region: Region) -> tuple[float, float] | None:
    """The interval of what an arm gains over the baseline; zero for the baseline, ``None`` where there is none.

    Nor is there one where its patients are too few to tell anything apart.
    """
    if arm.verdict.get(region) == "baseline":
        return 0.0, 0.0
    gain = arm.gain.get(region)
    if gain is None or gain.patients < ENOUGH or gain.low is None or gain.high is None:
        return None
    return gain.low, gain.high


def _surely_above(arm: ArmResult, other: ArmResult, region: Region) -> bool:
    one, before = gain_interval(arm, region), gain_interval(other, region)
    return one is not None and before is not None and one[0] > before[1]


def _seconds(arm: ArmResult) -> float:
    return arm.cost.seconds_per_case if arm.cost is not None else float("inf")
