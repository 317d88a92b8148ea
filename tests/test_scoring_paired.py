"""Two sets of predictions of the same cases, patient by patient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliamap.scoring.paired import BETTER, CHANGES, Paired, compare_paired, holm
from gliamap.scoring.summary import ScoredCase
from scores import ET, TC, WT, case, region


def cases(dice: Sequence[float]) -> list[ScoredCase]:
    return [case(f"p{number}", WT=value) for number, value in enumerate(dice)]


def compare(ours: Sequence[float], others: Sequence[float]) -> Paired:
    return compare_paired(cases(ours), cases(others))


def test_a_comparison_by_hand() -> None:
    """Ours is better with five patients, worse with one, equal with one.

    Sizes of differences 1 to 6 (in 64ths), the worse one is 3: ranks against us sum to 3. Of 2**6 signs, the sums 0,
    1, 2, 3 come about in 1, 1, 1, 2 ways: p = 2 * 5 / 64.
    """
    change = [1, 2, -3, 4, 5, 6, 0]
    found = compare([(32 + c) / 64 for c in change], [0.5] * 7).regions[WT]["dice"]
    assert (found.wins, found.losses, found.ties) == (5, 1, 1)
    assert found.p == pytest.approx(10 / 64) == found.p_holm
    assert found.difference.mean == pytest.approx(15 / 64 / 7)
    assert found.by_patient == {f"p{n}": c / 64 for n, c in enumerate(change)}
    assert found.ours.mean == pytest.approx(0.5 + 15 / 64 / 7) and found.other.mean == 0.5


def test_a_lower_distance_is_better() -> None:
    ours, others = ([case(f"p{n}", WT=region(hd95=value)) for n in range(6)] for value in (3.0, 4.0))
    found = compare_paired(ours, others).regions[WT]["hd95"]
    assert (found.wins, found.losses, found.difference.mean) == (6, 0, -1)
    assert found.p == pytest.approx(2 / 2**6)


def test_a_patient_counts_once_in_every_figure() -> None:
    ours = [case("p/1", WT=1.0), case("p/2", WT=0.0), case("q/1", WT=0.5)]
    others = [case("q/1", WT=0.25), case("p/2", WT=0.5), case("p/1", WT=0.5)]
    found = compare_paired(ours, others)
    dice = found.regions[WT]["dice"]
    assert dice.by_patient == {"p": 0.0, "q": 0.25}
    assert (dice.wins, dice.losses, dice.ties, found.patients, found.cases) == (1, 0, 1, 2, 3)


def test_rounding_is_no_difference() -> None:
    found = compare([0.1 + 0.2] * 8, [0.3] * 8).regions[WT]["dice"]
    assert (found.wins, found.ties, found.p) == (0, 8, None)


@pytest.mark.parametrize(("apart", "tested"), [(5, False), (6, True)])
def test_fewer_than_six_patients_who_differ_have_no_p(apart: int, tested: bool) -> None:
    found = compare([0.6 + n / 50 for n in range(apart)] + [0.5] * 4, [0.5] * (apart + 4)).regions[WT]["dice"]
    assert (found.p is not None) is tested is (found.p_holm is not None) and found.ties == 4


def test_regions_are_adjusted_together() -> None:
    """TC is better with all eight patients, WT with seven of eight; ET is the same and is not tested."""
    ours = [case(f"p{n}", WT=0.6 + n / 50 if n else 0.45, TC=0.6 + n / 50, ET=0.5) for n in range(8)]
    found = compare_paired(ours, [case(f"p{n}", WT=0.5, TC=0.5, ET=0.5) for n in range(8)]).regions
    wt, tc = (found[r]["dice"] for r in (WT, TC))
    assert tc.p == pytest.approx(2 / 2**8) and tc.p_holm == pytest.approx(4 / 2**8)
    assert wt.p == pytest.approx(4 / 2**8) == wt.p_holm
    assert found[ET]["dice"].p_holm is None


def test_what_one_side_lacks_is_left_out() -> None:
    ours = [case("a", WT=0.5, ET=0.5), case("b", WT=region(0.75, lesion_dice=0.5)), case("c", WT=0.5)]
    others = [case("b", WT=0.25, ET=0.5), case("a", WT=0.25), case("d", WT=0.5)]
    found = compare_paired(ours, others)
    assert found.unmatched == ("c", "d") and found.cases == 2 and list(found.regions) == [WT]
    assert "lesion_dice" not in found.regions[WT] and found.regions[WT].keys() <= BETTER.keys()


def test_means_are_over_the_cases_that_have_the_figure_in_both() -> None:
    ours = [case("a", WT=region(lesion_dice=0.5)), case("b", WT=region(lesion_dice=1.0))]
    found = compare_paired(ours, [case("a", WT=region(lesion_dice=0.25)), case("b", WT=1.0)]).regions[WT]["lesion_dice"]
    assert (found.ours.mean, found.other.mean, found.difference.mean, found.ours.cases) == (0.5, 0.25, 0.25, 1)


def test_a_missing_prediction_counts_at_its_worst() -> None:
    found = compare_paired([case("a", WT=0.75)], [case("a", missing=True, WT=0.0)])
    assert found.regions[WT]["dice"].difference.mean == 0.75 and found.changed[0].change == 0.75


def test_nothing_in_common_is_refused() -> None:
    with pytest.raises(ValueError, match="in common"):
        compare_paired(cases([0.5]), [case("else", WT=0.5)])
    with pytest.raises(ValueError, match="one unit"):
        compare_paired(cases([0.5]), [case("p0", unit="px", WT=0.5)])


def test_the_cases_that_changed_most_come_first_each_once() -> None:
    ours = [case("same", WT=0.5, ET=0.5), case("little", WT=0.5, ET=0.75), case("much", WT=0.0, ET=0.75)]
    changed = compare_paired(ours, [case(one.case_id, WT=0.5, ET=0.5) for one in ours]).changed
    assert [(one.case_id, one.region, one.change) for one in changed] == [("much", WT, -0.5), ("little", ET, 0.25)]
    assert len(compare([1.0] * 40, [0.0] * 40).changed) == CHANGES


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_lies_between_p_and_bonferroni_and_keeps_the_order(values: list[float]) -> None:
    found = holm(values)
    assert all(p <= q <= min(1, len(values) * p) + 1e-12 for p, q in zip(values, found, strict=True))
    ordered = sorted(zip(values, found, strict=True))
    assert all(a <= b for (_, a), (_, b) in pairwise(ordered))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=9))
def test_turning_the_sides_turns_every_figure(drawn: list[tuple[float, float]]) -> None:
    ours, others = zip(*drawn, strict=True)
    there, back = (one.regions[WT]["dice"] for one in (compare(ours, others), compare(others, ours)))
    assert (there.wins, there.losses, there.ties) == (back.losses, back.wins, back.ties)
    assert there.difference.mean is not None and back.difference.mean is not None
    assert math.isclose(there.difference.mean, -back.difference.mean, abs_tol=1e-12)
    assert (there.p is None and back.p is None) or there.p == pytest.approx(back.p)
