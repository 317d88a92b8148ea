"""The verb cross-validate on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import studies
from gliamap.errors import TrainingError
from gliamap.recipes.named import write_recipe
from studies import Run, Stub, recipe, stubbed

data = studies.data


@pytest.fixture
def run(data: Path, command: Run, tmp_path: Path) -> Run:
    """The verb in this process, with a tiny recipe in two folds; exit code, standard output, standard error."""
    write_recipe(tmp_path / "tiny.json", recipe())
    fixed = ["tiny.json", str(data / "store"), str(data / "scans"), "-o", "study", "--folds", "2"]
    return lambda *words: command("cross-validate", *fixed, *words)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    return stubbed(monkeypatch)


def test_a_study_from_recipe_to_scores(run: Run, tmp_path: Path) -> None:
    code, out, err = run()
    assert code == 0
    assert "5 patients, 6 cases" in out and "Dice by fold" in out and "WT: whole tumour" in out
    assert out.endswith("scores of every case in study\n")
    lines = err.splitlines()
    assert lines[0] == "folds: 2 folds drawn by patient, alike in tumour size and enhancement"
    assert lines[1].startswith("repeat 0, fold 0: step 2 of 2, loss ") and "validation Dice WT 0." in lines[1]
    assert (tmp_path / "study" / "scores.csv").is_file()


def test_folds_apart_then_gathered(run: Run, stub: Stub) -> None:
    code, out, err = run("--fold", "1")
    assert (code, out) == (0, "1 fold trained and predicted in study\n")
    assert err.splitlines()[1:] == [
        "  repeat 0, fold 0: not trained",
        "next: do the others with --fold, here or elsewhere, then --gather in its place",
    ]
    code, out, err = run("--gather")
    assert (code, out) == (2, "") and "repeat 0, fold 0: not trained" in err and err.startswith("error ")
    code, out, err = run("--fold", "0")
    assert code == 0 and err.splitlines()[1:] == ["next: the same command with --gather in its place"]
    code, out, err = run("--gather")
    assert code == 0 and "1.000" in out and stub.trained == ["repeat0/fold1", "repeat0/fold0"]


def test_json_is_all_that_standard_output_holds(run: Run, stub: Stub) -> None:
    code, out, _ = run("--json", "--repeats", "2")
    found = json.loads(out)
    assert code == 0 and found.keys() == {"out", "division", "failed", "lacking", "scores", "notes"}
    assert found["scores"]["summary"]["regions"]["WT"]["figures"]["dice"]["mean"] == 1
    assert [(fold["repeat"], fold["fold"]) for fold in found["scores"]["folds"]] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_failed_fold_ends_with_1(run: Run, stub: Stub) -> None:
    stub.fail["repeat0/fold0"] = TrainingError("the loss became nan at step 3", remedy="a lower rate")
    code, out, err = run()
    assert (code, out) == (1, "")
    assert "1 of 2 folds failed, nothing is scored" in err
    assert "repeat 0, fold 0: the loss became nan at step 3. To do: a lower rate." in err
    code, out, err = run("--json")
    assert code == 1 and json.loads(out)["scores"] is None
    assert json.loads(out)["failed"].keys() == {"repeat 0, fold 0"}


def test_given_options_win_over_the_recipe(run: Run, stub: Stub) -> None:
    code, _, _ = run("--steps", "3", "--validate-every", "1", "--workers", "1", "--seed", "4")
    assert code == 0
    config = stub.options[0].config
    assert [config[name] for name in ("steps", "validate_every", "workers", "seed", "batch")] == [3, 1, 1, 4, 1]
    code, out, err = run("--steps", "4", "--seed", "4", "--validate-every", "1")
    assert (code, out) == (2, "") and "this is not the study in study" in err
    assert "settings.recipe.config.steps 4" in err and "cross-validate tiny.json" in err


def test_an_unknown_recipe_is_a_plain_error(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tiny.json").unlink()
    code, out, err = run()
    assert (code, out) == (2, "") and "there is no recipe 'tiny.json'" in err


def test_ctrl_c_says_how_to_go_on(run: Run, stub: Stub) -> None:
    stub.fail["repeat0/fold1"] = KeyboardInterrupt()  # type: ignore[assignment]
    code, out, err = run()
    assert (code, out) == (130, "") and "stopped; the same command goes on" in err
    del stub.fail["repeat0/fold1"]
    assert run()[0] == 0
    assert stub.trained == ["repeat0/fold0", "repeat0/fold1", "repeat0/fold1"]
