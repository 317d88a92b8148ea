"""Rows of a comparison: seeds averaged first, differences patient by patient, verdicts by their intervals."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comparisons import estimate
from gliamap.comparison.nouns import (
    COMPARED,
    Budget,
    CaseFigures,
    ComparedData,
    Comparison,
    Cost,
    RunResult,
    as_json,
    from_json,
)
from gliamap.comparison.rows import figures_of, gain_of, over_runs, rows_of, verdict_of
from gliamap.errors import FileError
from gliamap.labels import Region

WT, TC = Region.WT, Region.TC
COST = Cost(steps=100, minutes=2.0, parameters=10, gflops=1.0, seconds_per_case=0.5, peak_mib=300.0)


def case(name: str, dice: float, *regions: Region) -> CaseFigures:
    """A case such as ``p/1``, first scan of the patient p, all of whose figures are ``dice``."""
    figures = {region: dict.fromkeys(COMPARED, dice) for region in regions or (WT,)}
    return CaseFigures(name, name.partition("/")[0], figures)


def run(arm: str, seed: int, fold: int, **dice: float) -> RunResult:
    """A run of ``arm`` that tested cases ``p1`` (first scan of patient p) and so on."""
    cases = tuple(case(f"{name[0]}/{name[1:]}", value) for name, value in dice.items())
    return RunResult(arm, "data", seed, fold, COST, cases)


def test_seeds_are_averaged_before_patients() -> None:
    """Patient p has two scans, q one: a patient counts once, a seed does not make a patient."""
    runs = [run("a", 0, 0, p1=0.2, p2=0.4, q1=1.0), run("a", 1, 0, p1=0.4, p2=0.6, q1=0.8)]
    (row,) = rows_of(runs, "a")
    dice = row.figures[WT]["dice"]
    assert dice.mean == pytest.approx(((0.3 + 0.5) / 2 + 0.9) / 2)
    assert (dice.cases, dice.patients) == (3, 2)
    assert row.each_seed[WT] == pytest.approx(((0.3 + 1.0) / 2, (0.5 + 0.8) / 2))
    assert row.seeds == (0, 1) and row.folds == (0,) and (row.runs, row.runs_wanted) == (2, 2)


def test_a_gain_is_taken_on_the_same_cases_seeds_and_folds() -> None:
    """The baseline has fold 0 alone: what the arm made of fold 1 does not count for the gain."""
    runs = [
        run("base", 0, 0, p1=0.5, q1=0.9),
        run("arm", 0, 0, p1=0.6, q1=0.8),
        RunResult("base", "data", 0, 1, lacking="its process died"),
        run("arm", 0, 1, r1=0.0),
    ]
    base, arm = rows_of(runs, "base")
    assert (base.arm, arm.arm) == ("base", "arm")
    assert arm.gain[WT].mean == pytest.approx(0.0) and arm.gain[WT].patients == 2
    assert arm.figures[WT]["dice"].patients == 3
    assert base.gain == {} and base.verdict == {WT: "baseline"} and arm.verdict == {WT: "not told apart"}
    assert base.lacking == {"seed 0, fold 1": "its process died"} and (base.runs, base.runs_wanted) == (1, 2)


def test_a_seed_that_the_baseline_lacks_does_not_count_for_the_gain() -> None:
    runs = [run("base", 0, 0, p1=0.5), run("arm", 0, 0, p1=0.6), run("arm", 1, 0, p1=1.0)]
    arm = rows_of(runs, "base")[1]
    assert arm.gain[WT].mean == pytest.approx(0.1) and arm.figures[WT]["dice"].mean == pytest.approx(0.8)


def test_an_arm_that_is_higher_for_every_patient_is_higher() -> None:
    """Patients differ by 0.8, the arms by 0.1: the intervals of the means overlap, that of the difference is narrow."""
    base = run("base", 0, 0, p1=0.1, q1=0.3, r1=0.5, s1=0.6, t1=0.7, u1=0.85)
    arm = run("arm", 0, 0, p1=0.2, q1=0.42, r1=0.55, s1=0.7, t1=0.8, u1=0.9)
    row = rows_of([base, arm], "base")[1]
    low, least = row.figures[WT]["dice"].low, row.gain[WT].low
    assert low is not None and low < 0.5 and least is not None and least > 0
    assert row.verdict == {WT: "higher"}
    assert rows_of([base, arm], "arm")[0].verdict == {WT: "lower"}


def test_rows_keep_the_order_asked_for_and_say_what_was_not_run() -> None:
    runs = [
        RunResult("c", "one", 0, 0, lacking="its turn has not come"),
        replace(run("a", 0, 0, p1=0.5, q1=0.5), data="one"),
        replace(run("a", 0, 0, p1=0.9), data="two"),
    ]
    rows = rows_of(runs, "c")
    assert [(row.data, row.arm, row.runs) for row in rows] == [("one", "c", 0), ("one", "a", 1), ("two", "a", 1)]
    assert rows[0].cost is None and rows[0].figures == {} and rows[0].verdict == {WT: "not run"}
    assert rows[1].verdict == {WT: "not run"}  # there is nothing to hold it against


def test_costs_are_means_but_the_highest_memory() -> None:
    one = run("a", 0, 0, p1=0.5)
    other = replace(one, fold=1, cost=replace(COST, minutes=4.0, seconds_per_case=1.5, peak_mib=100.0))
    (row,) = rows_of([one, other], "a")
    assert row.cost == replace(COST, minutes=3.0, seconds_per_case=1.0)


def test_regions_that_only_one_arm_has_are_not_compared() -> None:
    both, wt_alone = [case("p", 0.5, WT, TC)], [case("p", 0.4)]
    assert gain_of(both, wt_alone).keys() == {WT}
    assert figures_of(both).keys() == {WT, TC}
    assert figures_of([*both, *wt_alone]).keys() == {WT}
    assert gain_of(both, [case("q", 0.5)]) == {}


def test_what_no_run_knows_stays_unknown() -> None:
    """A case without a prediction has no volume difference."""
    missing = CaseFigures("p", "p", {WT: dict.fromkeys(COMPARED, 0.0) | {"volume_difference": None}})
    (found,) = over_runs([[missing], [missing]])
    assert found == missing
    (found,) = over_runs([[missing], [case("p", 3.0)]])
    assert found.figures[WT]["volume_difference"] == 3.0 and found.figures[WT]["dice"] == 1.5


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.1, "higher"), (-0.1, -0.01, "lower"), (-0.1, 0.1, "not told apart"), (0.0, 0.1, "not told apart")],
)
def test_a_verdict_needs_an_interval_without_zero(low: float, high: float, verdict: str) -> None:
    assert verdict_of(estimate((low + high) / 2, low, high)) == verdict
    assert verdict_of(estimate((low + high) / 2, low, high, patients=5)) == "not told apart"
    assert verdict_of(estimate(0.2, patients=1)) == "not told apart"
    assert verdict_of(None) == verdict_of(estimate(None)) == "not run"


@given(st.lists(st.tuples(st.sampled_from("pqrs"), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_a_gain_is_the_difference_of_the_means_and_turns_with_the_sides(cases: list[tuple[str, float, float]]) -> None:
    arm = [case(f"{patient}/{n}", a) for n, (patient, a, _) in enumerate(cases)]
    base = [case(f"{patient}/{n}", b) for n, (patient, _, b) in enumerate(cases)]
    there, back = gain_of(arm, base)[WT].mean, gain_of(base, arm)[WT].mean
    means = [figures_of(side)[WT]["dice"].mean for side in (arm, base)]
    assert there is not None and back is not None and means[0] is not None and means[1] is not None
    assert there == pytest.approx(-back, abs=1e-12) == pytest.approx(means[0] - means[1], abs=1e-12)


def test_a_comparison_comes_back_from_json() -> None:
    runs = [run("a", 0, 0, p1=0.5, q1=0.7), RunResult("a", "data", 1, 0, lacking="stopped")]
    data = ComparedData("data", "2 folds", "mm", True, "0123")
    whole = Comparison(Budget("minutes", 0.5), "patient", "a", (data,), rows_of(runs, "a"), (), "machine", "commit")
    text = json.dumps(as_json(whole), allow_nan=False)
    assert from_json(json.loads(text) | {"more": 1}) == whole
    with pytest.raises(FileError, match=r"no comparison.*budget.kind"):
        from_json(json.loads(text) | {"budget": {"kind": "hours", "amount": 1}})


def test_a_budget_in_words() -> None:
    assert [str(Budget("steps", n)) for n in (1, 2000)] == ["1 step", "2000 steps"]
    assert [str(Budget("minutes", n)) for n in (1, 1.5)] == ["1 minute", "1.5 minutes"]
