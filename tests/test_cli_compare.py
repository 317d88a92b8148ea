"""The verb compare on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import studies
from gliamap.errors import TrainingError
from gliamap.recipes.named import write_recipe
from studies import ArmStub, Run, compared_here, recipe

data = studies.data


@pytest.fixture
def run(data: Path, command: Run, tmp_path: Path) -> Run:
    """The verb in this process, with two tiny recipes on folds 0 and 1; exit code, standard output, standard error."""
    write_recipe(tmp_path / "a.json", recipe().model_copy(update={"name": "a"}))
    write_recipe(tmp_path / "b.json", recipe(loss="dice").model_copy(update={"name": "b"}))
    fixed = ["a.json", "b.json", "--data", str(data / "store"), "--scans", str(data / "scans"), "-o", "out"]
    return lambda *words: command("compare", *fixed, "--folds", "0,1", *words)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> ArmStub:
    return compared_here(monkeypatch)


def test_a_comparison_from_recipes_to_tables(run: Run, stub: ArmStub, tmp_path: Path) -> None:
    stub.perfect = lambda place: place.startswith("a")
    code, out, err = run("--budget", "80steps", "--baseline", "b")
    assert code == 0
    assert err.splitlines()[0] == "folds: scans: 4 folds drawn by patient, alike in tumour size and enhancement"
    assert "Equal steps: each training takes 80 steps" in out and "scans: Dice" in out and "baseline" in out
    assert out.endswith("in out; a page in out/comparison.html\n")
    assert stub.trained == ["a/seed0/fold0", "b/seed0/fold0", "a/seed0/fold1", "b/seed0/fold1"]


def test_json_is_all_that_standard_output_holds(run: Run, stub: ArmStub) -> None:
    code, out, _ = run("--json", "--seeds", "2", "--network", "unet", "--loss", "ce", "--loss", "dice")
    found = json.loads(out)
    assert code == 0 and found["out"] == "out" and found["split"] == "patient"
    assert [arm["arm"] for arm in found["arms"]] == ["a, unet, ce", "a, unet, dice", "b, unet, ce", "b, unet, dice"]
    assert {arm["runs"] for arm in found["arms"]} == {4}


def test_a_training_that_fails_ends_with_1(run: Run, stub: ArmStub) -> None:
    stub.fail["b/seed0/fold1"] = TrainingError("the loss became nan at step 3", remedy="a lower rate")
    code, out, err = run()
    assert code == 1 and "1 of 2" in out
    assert "not run b on scans, seed 0, fold 1: the loss became nan at step 3. To do: a lower rate." in err
    code, out, _ = run("--json")
    assert code == 1 and [arm["runs"] for arm in json.loads(out)["arms"]] == [2, 1]


def test_a_division_by_record_is_said_loudly(run: Run, stub: ArmStub) -> None:
    code, out, err = run("--split", "record")
    assert code == 0 and "these scores are too high, on purpose" in err.splitlines()[0]
    assert "drawn by case" in err and "record" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--budget", "15"], "'15' is no budget"),
        (["--folds", "0;1"], "'0;1' is no list of folds"),
        (["--folds", "7"], "scans does not have the folds asked for"),
        (["--baseline", "c"], "no arm is called 'c'"),
        (["--data", "another"], "2 --data and 1 --scans"),
        (["--split", "slice"], "'slice' is not one of"),
    ],
)
def test_wrong_use_is_a_plain_error(run: Run, stub: ArmStub, tmp_path: Path, words: list[str], said: str) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "") and said in " ".join(err.split()).replace("│ ", "")
    assert not stub.trained and not (tmp_path / "out").exists()


def test_an_unknown_recipe_is_a_plain_error(run: Run, stub: ArmStub, tmp_path: Path) -> None:
    (tmp_path / "b.json").unlink()
    code, out, err = run()
    assert (code, out) == (2, "") and "there is no recipe 'b.json'" in err


def test_ctrl_c_says_how_to_go_on(run: Run, stub: ArmStub) -> None:
    stub.fail["b/seed0/fold0"] = KeyboardInterrupt()  # type: ignore[assignment]
    code, out, err = run()
    assert (code, out) == (130, "") and "stopped; the same command goes on in out" in err
    stub.fail.clear()
    assert run()[0] == 0 and stub.trained.count("a/seed0/fold0") == 1
