"""The bench that compares trainings: what it averages, and the table made of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tables

BENCH = Path(__file__).resolve().parent.parent / "bench"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    import study  # noqa: PLC0415

    return study


def experiment(study: ModuleType) -> Any:
    return study.Experiment(
        title="t",
        data=("d",),
        prepare="",
        common="--closed-fold 3",
        arms={"plain": ["--steps 5"], "two": ["--steps 3", "--init-from {before}"]},
        seeds=(0, 1),
        folds=(0, 1),
    )


def row(arm: str, seed: int, dice: dict[str, float], *, minutes: float = 1.0, stages: int = 1) -> dict[str, Any]:
    """Cases are named PATIENT-NUMBER."""
    stage = {"cpu_seconds": 60 * minutes, "peak_mib": 10.0 * minutes, "steps": 5, "commit": "c" * 40}
    cases = [{"case_id": name, "patient_id": name[0], "dice": {"WT": value}} for name, value in dice.items()]
    options = {"plain": ["--steps 5"], "two": ["--steps 3", "--init-from {before}"]}[arm]
    row = {"arm": arm, "seed": seed, "fold": 0, "options": options, "machine": "m"}
    return row | {"stages": [stage] * stages, "cases": cases}


def test_every_arm_of_a_seed_is_run_before_the_next_seed(study: ModuleType, tmp_path: Path) -> None:
    runs = list(study.runs_of(experiment(study), tmp_path))
    assert [(run.seed, run.fold, run.arm) for run in runs] == [
        (seed, fold, arm) for seed in (0, 1) for fold in (0, 1) for arm in ("plain", "two")
    ]
    assert len({run.folder for run in runs}) == len(runs)


def test_cases_are_averaged_over_seeds_then_patients_and_the_gain_is_paired(study: ModuleType) -> None:
    rows = [
        row("plain", 0, {"a-1": 0.2, "a-2": 0.4, "b-1": 0.9}),
        row("plain", 1, {"a-1": 0.4, "a-2": 0.6, "b-1": 0.7}),
        row("two", 0, {"a-1": 0.5, "a-2": 0.5, "b-1": 1.0}, minutes=2, stages=2),
    ]
    plain, two = study.summary_of(experiment(study), rows)
    assert plain["dice"]["WT"]["mean"] == pytest.approx((0.4 + 0.8) / 2)  # a: mean of 0.3 and 0.5
    assert plain["each_seed"]["WT"] == pytest.approx([0.6, 0.6])
    assert plain["gain"] == {}
    assert two["dice"]["WT"]["mean"] == pytest.approx((0.5 + 1.0) / 2)
    assert two["gain"]["WT"]["mean"] == pytest.approx((0.2 + 0.1) / 2)  # seed 0 alone has both
    assert two["core_minutes"] == 4 and two["peak_mib"] == 20


def test_the_table_says_what_is_missing(study: ModuleType) -> None:
    rows = [row("plain", 0, {"a-1": 0.2, "b-1": 0.4}), row("two", 0, {"a-1": 0.4, "b-1": 0.6})]
    result = {
        "arms": study.summary_of(experiment(study), rows),
        "prepare": "",
        "common": "--closed-fold 3",
        "machine": "m",
        "commit": "c" * 40,
        "runs": 2,
        "runs_wanted": 8,
    }
    text = tables.arms_table([("x", result), ("y", None)])
    assert "| two | 5 | 1.0 | 0.500 [0.400, 0.600] | 0.200 [0.200, 0.200] | 0.500 |" in text
    assert "2 cases of 2 patients" in text and "2 of 8 runs" in text
    assert "| y | Dice |" in text and "not run" in text


def test_recipes_stand_in_one_table_with_costs_and_further_figures(study: ModuleType) -> None:
    one = row("plain", 0, {"a-1": 0.2, "b-1": 0.4}, minutes=3)
    for case, iou in zip(one["cases"], (0.5, 0.7), strict=True):
        case["further"] = {"accuracy": 0.9, "mean_iou": iou}
    result = {
        "data": ["d"],
        "arms": study.summary_of(experiment(study), [one]),
        "common": "--closed-fold 3",
        "machine": "m",
        "commit": "c" * 40,
    }
    rows = [line.split(" | ") for line in tables.recipes_table([("x", result), ("y", None)]).splitlines()[2:4]]
    recipe = ["| plain", "d", "`--steps 5 --closed-fold 3`", "5", "3.0", "30"]
    assert rows[0] == [*recipe, "0.300 [0.200, 0.400]", "-", "-", "0.600", "0.900", "2 |"]
    assert rows[1] == ["| y", *["not run"] * 10, "not run |"]


def test_what_was_written_is_not_done_again_unless_it_was_something_else(study: ModuleType, tmp_path: Path) -> None:
    out, wanted = tmp_path / "out.json", experiment(study)
    rows = [row("plain", 0, {"a-1": 0.2, "b-1": 0.4}), row("two", 0, {"a-1": 0.4}, stages=2)]
    assert study.rows_in(out, wanted) == []
    study.write(out, wanted, rows, 8)
    assert study.rows_in(out, wanted) == rows
    arms = wanted.arms | {"two": ["--steps 4", "--init-from {before}"]}
    assert study.rows_in(out, replace(wanted, arms=arms)) == rows[:1]
    assert study.rows_in(out, replace(wanted, common="")) == []
