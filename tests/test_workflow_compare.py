"""The verb 'compare': the same cases for every arm, nothing done twice, and a table that says what was not run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gliamap.comparison.nouns import COMPARED, ArmResult, Budget, CaseFigures, Comparison, from_json
from gliamap.errors import ConfigError, OutputError, TrainingError
from gliamap.io.atomic import read_json, write_json
from gliamap.labels import Region
from gliamap.recipes.recipe import Recipe
from gliamap.sources.splits import read_split
from gliamap.workflows.data.prepare import prepare
from gliamap.workflows.studies import budget as budgets
from gliamap.workflows.studies import compare_run
from gliamap.workflows.studies.compare import CompareOptions, Prepared, compare
from gliamap.workflows.studies.compare_plan import arms_of, plan_data, plan_runs, slug
from gliamap.workflows.studies.elsewhere import Attempt, Match, OtherSet
from gliamap.workflows.studies.fold_work import StudyReport
from studies import CASES, PATIENTS, ArmStub, compared_here, recipe, write_data
from tiny import at_work_in, write_set

WT = Region.WT
A = recipe().model_copy(update={"name": "a"})
B = recipe(loss="tversky").model_copy(update={"name": "b"})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six phantoms of five patients under ``scans``, with folds of their own (0, 2, 7), and their ``store``."""
    root = tmp_path_factory.mktemp("phantoms")
    write_set(root / "scans", 6)
    rows = [f"{c},{p},{f}\n" for (c, p), f in zip(PATIENTS.items(), (0, 0, 0, 2, 2, 7), strict=True)]
    (root / "scans" / "manifest.csv").write_text("case,patient,fold\n" + "".join(rows))
    prepare([root / "scans"], root / "store")
    return root


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> ArmStub:
    return compared_here(monkeypatch)


def run(data: Path, out: Path, **changes: Any) -> Comparison:
    options = CompareOptions.model_validate({"recipes": (A, B), "folds": (0, 2), "closed_folds": (7,)} | changes)
    return compare([Prepared(data / "store", data / "scans")], out=out, options=options)


def row(found: Comparison, arm: str) -> ArmResult:
    return next(one for one in found.arms if one.arm == arm)


def test_all_arms_of_a_seed_and_fold_come_before_the_next_and_divide_alike(
    data: Path, tmp_path: Path, stub: ArmStub
) -> None:
    found = run(data, tmp_path / "out", seeds=2)
    places = [f"{arm}/seed{seed}/fold{fold}" for seed in (0, 1) for fold in (0, 2) for arm in "ab"]
    assert stub.trained == places
    splits = {fold: read_split(tmp_path / "out/scans/a/seed0" / f"fold{fold}/split.json") for fold in (0, 2)}
    assert [splits[fold].test for fold in (0, 2)] == [tuple(CASES[:3]), tuple(CASES[3:5])]
    for place, options in zip(places, stub.options, strict=True):
        fold = int(place[-1])
        assert read_split(tmp_path / "out" / "scans" / place / "split.json") == splits[fold]
        assert options.split_file == tmp_path / "out" / "scans" / place / "split.json" and not options.leaky
        assert options.config["seed"] == int(place[6]) == options.split.seed
        assert options.config.get("loss") == ("tversky" if place[0] == "b" else None)
    assert found.data[0].division == "the data set's own folds 0, 2; closed: 7"
    assert [(one.arm, one.seeds, one.folds, one.runs) for one in found.arms] == [(n, (0, 1), (0, 2), 4) for n in "ab"]


def test_the_figures_by_hand(data: Path, tmp_path: Path, stub: ArmStub) -> None:
    """Arm b finds nothing in fold 2 (patients r and s), all else is found to the voxel."""
    stub.perfect = lambda place: not place.startswith("b") or place.endswith("fold0")
    found = run(data, tmp_path / "out")
    assert row(found, "a").figures[WT]["dice"].mean == 1.0
    assert row(found, "b").figures[WT]["dice"].mean == row(found, "b").each_seed[WT][0] == 2 / 4
    assert row(found, "b").gain[WT].mean == -2 / 4
    assert row(found, "a").verdict[WT] == "baseline" and found.baseline == "a"
    cost = row(found, "a").cost
    assert cost is not None
    assert (cost.steps, cost.minutes, cost.seconds_per_case) == (2, 2.0, 2.0)  # 90 s and a validation of 30
    assert cost.parameters > 100 and cost.gflops > 0 and cost.peak_mib > 50
    assert from_json(read_json(tmp_path / "out" / "comparison.json")) == found
    assert run(data, tmp_path / "out", baseline="b").arms[0].gain[WT].mean == 2 / 4


def test_what_is_done_is_not_done_again_and_more_may_come(data: Path, tmp_path: Path, stub: ArmStub) -> None:
    before = run(data, tmp_path / "out", folds=(0,))
    assert len(stub.trained) == len(stub.predicted) / 3 == 2
    assert run(data, tmp_path / "out", folds=(0,), jobs=2) == before and len(stub.trained) == 2
    other = recipe(batch=2).model_copy(update={"name": "c"})
    found = run(data, tmp_path / "out", recipes=(other, A), folds=(0,), seeds=2)
    assert stub.trained[2:] == ["c/seed0/fold0", "c/seed1/fold0", "a/seed1/fold0"]
    assert [one.arm for one in found.arms] == ["c", "a"]
    settings = read_json(tmp_path / "out" / "settings.json")["settings"]
    assert list(settings["arms"]) == ["a", "b", "c"]  # b is still there for the next call


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipes": (A, recipe(batch=2).model_copy(update={"name": "b"}))}, r"arms\.b\.config\.batch 2"),
        ({"budget": Budget("steps", 100)}, r"budget\.amount 100"),
        ({"closed_folds": ()}, "closed_folds"),
        ({"split": "record", "folds": (0,)}, "split record"),
    ],
)
def test_another_comparison_is_refused(
    data: Path, tmp_path: Path, stub: ArmStub, changes: dict[str, Any], words: str
) -> None:
    run(data, tmp_path / "out", folds=(0,))
    with pytest.raises(ConfigError, match=f"this is not the comparison in.*{words}"):
        run(data, tmp_path / "out", **{"folds": (0,)} | changes)
    assert len(stub.trained) == 2


def test_settings_of_the_machine_may_change(data: Path, tmp_path: Path, stub: ArmStub) -> None:
    run(data, tmp_path / "out", folds=(0,))
    moved = tuple(one.model_copy(update={"config": one.config | {"workers": 1}}) for one in (A, B))
    run(data, tmp_path / "out", recipes=moved)
    assert len(stub.trained) == 4


def test_a_training_that_fails_is_told_and_done_the_next_time(data: Path, tmp_path: Path, stub: ArmStub) -> None:
    stub.fail["b/seed0/fold0"] = TrainingError("the loss became nan at step 3")
    stub.fail["b/seed0/fold2"] = ConfigError("this loss needs distances")
    found = run(data, tmp_path / "out")
    assert stub.trained == ["a/seed0/fold0", "b/seed0/fold0", "a/seed0/fold2", "b/seed0/fold2"]
    assert row(found, "a").runs == 2 and row(found, "b").verdict[WT] == "not run"
    assert row(found, "b").lacking == {
        "seed 0, fold 0": "the loss became nan at step 3.",
        "seed 0, fold 2": "this loss needs distances.",
    }
    stub.fail.clear()
    assert row(run(data, tmp_path / "out"), "b").runs == 2


def test_a_result_of_other_weights_does_not_count(data: Path, tmp_path: Path, stub: ArmStub) -> None:
    run(data, tmp_path / "out", folds=(0,))
    path = tmp_path / "out/scans/a/seed0/fold0/result.json"
    good = read_json(path)
    write_json(path, good | {"of": good["of"] | {"weights_sha256": "another"}})
    stub.predicted.clear()
    assert row(run(data, tmp_path / "out", folds=(0,)), "a").runs == 1
    assert not stub.predicted and read_json(path) == good  # only scored again


def test_a_lost_mask_is_predicted_again(data: Path, tmp_path: Path, stub: ArmStub) -> None:
    before = run(data, tmp_path / "out", folds=(0,))
    (tmp_path / "out/scans/a/seed0/fold0/masks" / f"{CASES[0]}.nii.gz").unlink()
    stub.predicted.clear()
    assert run(data, tmp_path / "out", folds=(0,)) == before
    assert stub.predicted == [CASES[0]] and len(stub.trained) == 2


def test_a_comparison_names_every_machine_and_commit(
    data: Path, tmp_path: Path, stub: ArmStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folds, where, version in (((0,), "a PC", "c1"), ((0, 2), "a server", "c2")):
        monkeypatch.setattr(compare_run, "machine", lambda where=where: where)
        monkeypatch.setattr(compare_run, "commit", lambda version=version: version)
        found = run(data, tmp_path / "out", folds=folds)
    assert (found.machine, found.commit) == ("a PC; a server", "c1 c2")


def test_records_tear_patients_apart(data: Path, tmp_path: Path, stub: ArmStub) -> None:
    found = run(data, tmp_path / "out", split="record", folds=(), closed_folds=())
    assert found.split == "record" and found.data[0].division.startswith("3 folds drawn by case")
    assert all(options.leaky and options.split.unit == "case" for options in stub.options)
    tested = [read_split(tmp_path / f"out/scans/a/seed0/fold{k}/split.json") for k in range(3)]
    assert sorted(i for split in tested for i in split.test) == CASES and all(not split.left_out for split in tested)


def test_networks_and_losses_make_arms() -> None:
    three = recipe().model_copy(update={"widths": (4, 8, 16), "name": "r"})
    arms = arms_of(CompareOptions(recipes=(three,), networks=("unet", "dynunet"), losses=("dice", "ce")))
    assert list(arms) == ["r, unet, dice", "r, unet, ce", "r, dynunet, dice", "r, dynunet, ce"]
    assert arms["r, unet, ce"] == three.model_copy(update={"config": three.config | {"loss": "ce"}})
    based = three.model_copy(update={"base": Recipe(config={"steps": 3})})
    (arm,) = arms_of(CompareOptions(recipes=(based,), losses=("ce",))).values()
    assert arm.base is not None and arm.base.config == {"steps": 3, "loss": "ce"}
    dynunet = arms["r, dynunet, dice"]
    assert (dynunet.network, dynunet.widths, dynunet.deep_supervision) == ("dynunet", (4, 8, 16), None)
    two = arms_of(CompareOptions(recipes=(recipe(),), networks=("dynunet",)))  # it needs three levels
    assert two["tiny, dynunet"].widths is None


@pytest.mark.parametrize(
    ("name", "folder"), [("msd-t1gd, unet++", "msd-t1gd-unet-plus-plus"), ("A  b/../c", "a-b-..-c"), ("..", "arm")]
)
def test_folders_have_plain_names(name: str, folder: str) -> None:
    assert slug(name) == folder


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipes": (A, A)}, "two arms are called 'a'"),
        ({"baseline": "c"}, "no arm is called 'c'.*a; b"),
        ({"networks": ("resnet",)}, "no network called 'resnet'"),
        ({"losses": ("mse",)}, "the setting 'loss' does not fit"),
        ({"folds": (0, 5)}, "scans does not have the folds asked for.*folds 0, 2.*folds 0, 5"),
        ({"closed_folds": (9,)}, "does not have the folds asked for"),
        (
            {"recipes": (A, recipe(patch=(16, 16, 15)).model_copy(update={"name": "c"}))},
            "c on scans: the patch 16x16x15",
        ),
    ],
)
def test_wrong_wishes_are_refused_before_anything_is_written(
    data: Path, tmp_path: Path, stub: ArmStub, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        run(data, tmp_path / "out", **changes)
    assert not stub.trained and not (tmp_path / "out").exists()


def test_two_processes_do_not_compare_in_one_folder(data: Path, tmp_path: Path, stub: ArmStub) -> None:
    with at_work_in(tmp_path / "out"), pytest.raises(OutputError, match="another process is comparing"):
        run(data, tmp_path / "out")


def test_data_sets_of_one_name_cannot_be_told_apart(data: Path, tmp_path: Path, stub: ArmStub) -> None:
    source = Prepared(data / "store", data / "scans")
    with pytest.raises(ConfigError, match="two data sets are called 'scans'"):
        compare([source, source], out=tmp_path / "out", options=CompareOptions(recipes=(A,)))


def test_a_budget_of_steps_is_the_same_for_all(data: Path, tmp_path: Path, stub: ArmStub) -> None:
    found = run(data, tmp_path / "out", folds=(0,), budget=Budget("steps", 80))
    assert [(options.config["steps"], options.config["validate_every"]) for options in stub.options] == [(80, 10)] * 2
    assert found.budget == Budget("steps", 80)


def test_a_budget_of_time_becomes_steps_by_a_pace_that_is_measured_once(
    data: Path, tmp_path: Path, stub: ArmStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def pace(task: Any, stage: Recipe) -> budgets.Pace:
        measured.append(task.fold.name)
        if stage.name == "c":
            raise TrainingError("the loss became nan")
        return budgets.Pace({"a": 0.1, "b": 0.5}[stage.name], 0.0)

    monkeypatch.setattr(budgets, "pace_of", pace)
    third = recipe(batch=2).model_copy(update={"name": "c"})
    for folds in ((0,), (0, 2)):
        found = run(data, tmp_path / "out", recipes=(A, B, third), folds=folds, budget=Budget("minutes", 1))
    assert [options.config["steps"] for options in stub.options] == [600, 120, 600, 120]
    assert measured == ["a on scans", "b on scans", "c on scans", "c on scans"]
    assert list(row(found, "c").lacking.values()) == ["its pace could not be measured: the loss became nan."] * 2
    with pytest.raises(ConfigError, match="threads"):
        monkeypatch.setattr("gliamap.workflows.studies.compare_plan.default_workers", lambda: 64)
        run(data, tmp_path / "out", folds=(0,), budget=Budget("minutes", 1))


def test_patients_of_another_data_set_are_left_out_of_training_and_tested_there(
    data: Path, tmp_path: Path, stub: ArmStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(data / "scans" / CASES[3], tmp_path / "one" / CASES[3])
    tried: list[str] = []

    def attempt(run: Path, other: OtherSet, out: Path, **_: Any) -> Attempt:
        tried.append(f"{'/'.join(run.parts[-4:-1])} on {other.name}")
        if len(tried) == 2:
            raise TrainingError("the disk is slow")
        about = Match(("q",), (), "brain", "brain", {"t1c": "t1c"})
        figures: Mapping[Region, Mapping[str, float | None]] = {WT: dict.fromkeys(COMPARED, 0.25)}
        return Attempt(about, (WT,), (CaseFigures("q", "q", figures),))

    monkeypatch.setattr(compare_run, "try_elsewhere", attempt)
    how: dict[str, Any] = {"folds": (0,), "closed_folds": ()}
    found = run(data, tmp_path / "out", **how, test_on=(tmp_path / "one", data / "scans"))
    split = read_split(tmp_path / "out/scans/a/seed0/fold0/split.json")
    assert split.left_out[CASES[3]] == "same patient as a case of one, which is tested on"
    assert CASES[3] not in (*split.train, *split.val)
    assert found.data[0].division.endswith("; 1 of the cases are not trained on, as patients of one")
    a, b = found.elsewhere
    assert (a.arm, a.trained_on, a.tested_on, a.runs, a.figures[WT]["dice"].mean) == ("a", "scans", "one", 1, 0.25)
    assert b.lacking == "the disk is slow." and row(found, "b").runs == 1
    again = run(data, tmp_path / "out", **how, test_on=(tmp_path / "one",))
    assert tried == ["a/seed0/fold0 on one", "b/seed0/fold0 on one", "b/seed0/fold0 on one"]
    assert not again.elsewhere[1].lacking and len(stub.trained) == 2


def test_a_fold_is_closed_in_the_data_sets_that_have_it(data: Path, tmp_path: Path) -> None:
    """The other set has no folds of its own: it is dealt, and nothing of it is closed."""
    shutil.copytree(data / "scans", tmp_path / "unfolded")
    (tmp_path / "unfolded" / "manifest.csv").unlink()
    prepare([tmp_path / "unfolded"], tmp_path / "store")
    both = [Prepared(data / "store", data / "scans"), Prepared(tmp_path / "store", tmp_path / "unfolded")]
    with_folds, without = plan_data(both, tmp_path / "out", CompareOptions(recipes=(A,), closed_folds=(7,)))
    assert with_folds.division.words == "the data set's own folds 0, 2; closed: 7"
    assert "closed" not in without.division.words
    parts = without.division.splits[0]
    assert {*parts.train, *parts.val, *parts.test} == set(CASES)


def test_a_data_set_of_the_same_patients_is_no_other(data: Path, tmp_path: Path, stub: ArmStub) -> None:
    shutil.copytree(data / "scans", tmp_path / "twin")
    with pytest.raises(ConfigError, match=r"nobody is left to train on without the patients of twin.*6 of 6 cases"):
        run(data, tmp_path / "out", test_on=(tmp_path / "twin",))
    assert not stub.trained and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_comparison_in_processes_of_their_own_stopped_and_gone_on_with(tmp_path: Path) -> None:
    """Two arms, two folds, two seeds; stopped while the second training is at work."""
    root = write_data(tmp_path)
    source, seen = Prepared(root / "store", root / "scans"), list[StudyReport]()
    options = CompareOptions(recipes=(A, B), folds=(0, 1), seeds=2, budget=Budget("steps", 16))

    def stop(report: StudyReport) -> None:
        if report.done > 1.1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare([source], out=tmp_path / "out", options=options, observe=stop)
    first = from_json(read_json(tmp_path / "out" / "comparison.json"))
    assert [one.runs for one in first.arms] == [1, 0]
    found = compare([source], out=tmp_path / "out", options=options.model_copy(update={"jobs": 2}), observe=seen.append)
    assert [one.runs for one in found.arms] == [4, 4] and not any(one.lacking for one in found.arms)
    assert {one.cost.steps for one in found.arms if one.cost} == {16}
    assert all(one.cost and one.cost.peak_mib > 100 and one.cost.minutes > 0 for one in found.arms)
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} >= {
        "settings.json", "comparison.json", "comparison.csv", "comparison.md", "comparison.html",
    }  # fmt: skip
    assert [report.done for report in seen] == sorted(report.done for report in seen) and seen[-1].done == 8


@pytest.mark.slow
def test_a_pace_is_measured(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "_MEASURED_SECONDS", 0.1)
    options = CompareOptions(recipes=(A,))
    found = plan_data([Prepared(data / "store", data / "scans")], tmp_path, options)
    task = plan_runs({"a": A}, found, options)[0].task
    assert budgets.measure_pace(replace(task, fold=replace(task.fold, folder=tmp_path / "arm")), lambda _: None) == ""
    (pace,) = budgets.paces_in(tmp_path / "arm")
    assert 0 < pace.step < 60 and 0 < pace.validation < 600
    assert sorted(path.name for path in (tmp_path / "arm").iterdir()) == [".lock", "pace.json"]
