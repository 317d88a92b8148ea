"""The verb 'train': from a store to a run folder that explains itself, and back into it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import make
import tiny
from gliamap.errors import ConfigError, FileError, OutputError
from gliamap.io.store import read_store, write_store
from gliamap.sources.splits import Split, SplitOptions, read_split, write_split
from gliamap.training.progress import StepReport
from gliamap.workflows.common.run_record import command_line, is_finished
from gliamap.workflows.training import train as verb
from gliamap.workflows.training.train import TrainOptions, train


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five prepared phantoms: three to train on, one to validate on, one to test on."""
    return tiny.write_store(tmp_path_factory.mktemp("phantoms"), 5)


def with_folds(store: Path, copy: Path, folds: dict[int, int]) -> Path:
    """The store again, with a fold for each phantom."""
    info = read_store(store)
    cases = tuple(entry.model_copy(update={"fold": folds[number]}) for number, entry in enumerate(info.cases, start=1))
    copy.mkdir()
    (copy / "cases").symlink_to(store / "cases")
    write_store(copy, info.model_copy(update={"cases": cases}))
    return copy


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The jobs that would be run, for tests that need no training."""
    jobs: list[Any] = []

    def note(job: Any, **_: Any) -> Any:
        jobs.append(job)
        return job.spec

    monkeypatch.setattr(verb, "run_training", note)
    return jobs


def interrupted(store: Path, run: Path, options: TrainOptions, *, at: int = 4) -> None:
    def observe(report: StepReport) -> None:
        if report.step == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(store, run, options=options, observe=observe)


def test_the_run_folder_explains_itself(store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = train(store, run, options=tiny.options())
    assert sorted(path.name for path in run.iterdir()) == [
        *(".lock", "best", "curves.png", "examples", "last", "log.csv", "run.json", "split.json", "state.safetensors")
    ]
    assert done.run == run and done.split == read_split(run / "split.json") and is_finished(run)
    record = json.loads((run / "run.json").read_text())
    assert record["settings"]["train"]["steps"] == 6 and record["settings"]["network"]["widths"] == [4, 8]
    split = json.loads((run / "split.json").read_text())["fingerprint"]
    assert record["data"] == {"fingerprint": read_store(store).fingerprint, "cases": 5, "split": split}
    assert record["versions"].keys() >= {"gliamap", "torch", "monai", "python"}
    assert record.keys() == {
        *("settings", "data", "command", "at", "versions", "commit", "machine", "processes", "resumed"),
        *("recipe", "leaky", "init_from"),
    }
    assert record["resumed"] == [] and record["processes"] == 1
    assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?", record["commit"])
    assert done.spec.metrics["step"] in (3, 6) and 0 <= done.spec.metrics["validation_dice_WT"] <= 1
    assert (done.spec.name, done.spec.phantom_only, done.spec.planes) == ("run", True, ())
    assert done.spec.training_data["fingerprint"] == record["data"]["fingerprint"]


def test_interrupted_and_resumed_is_as_in_one_go(store: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one" / "run", tmp_path / "two" / "run"
    straight = train(store, one, options=tiny.options())
    interrupted(store, two, tiny.options())
    resumed = train(store, two, options=tiny.options(), resume=True)
    assert tiny.same(tiny.weights(one / "last"), tiny.weights(two / "last"))
    assert resumed.spec == straight.spec and resumed.split == straight.split
    steps = [line.split(",")[0] for line in (two / "log.csv").read_text().splitlines()]
    assert steps == ["step", "3", "6"]
    assert (two / "curves.png").stat().st_size > 0


def test_a_run_is_never_overwritten(store: Path, tmp_path: Path, stubbed: list[Any]) -> None:
    run = tmp_path / "run"
    train(store, run, options=tiny.options())
    before = (run / "run.json").read_bytes()
    with pytest.raises(OutputError, match=r"holds a run already.*--resume"):
        train(store, run, options=tiny.options(steps=7))
    assert (run / "run.json").read_bytes() == before and len(stubbed) == 1
    with pytest.raises(OutputError, match="is a prepared data set"):
        train(store, store, options=tiny.options())
    with pytest.raises(OutputError, match="is a file"):
        train(store, run / "run.json", options=tiny.options())


@pytest.mark.parametrize(
    ("other", "name"),
    [
        (tiny.options(steps=7), "train.steps 7"),
        (tiny.options(seed=1), "train.seed 1"),
        (tiny.options().model_copy(update={"widths": (4, 4, 8)}), r"network.widths \[4, 4, 8\]"),
        (tiny.options().model_copy(update={"output": "classes"}), "output.kind classes"),
        (tiny.options().model_copy(update={"overlap": 0.25}), "window.overlap 0.25"),
        (tiny.options().model_copy(update={"split": SplitOptions(seed=3)}), "split.seed 3"),
    ],
)
def test_resuming_with_other_settings_is_refused(
    store: Path, tmp_path: Path, stubbed: list[Any], other: TrainOptions, name: str
) -> None:
    train(store, tmp_path / "run", options=tiny.options())
    before = tiny.files_in(tmp_path), (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(ConfigError, match=name):
        train(store, tmp_path / "run", options=other, resume=True)
    assert before == (tiny.files_in(tmp_path), (tmp_path / "run" / "run.json").read_bytes())


def test_what_does_not_change_the_result_may_change_on_resuming(
    store: Path, tmp_path: Path, stubbed: list[Any]
) -> None:
    train(store, tmp_path / "run", options=tiny.options())
    train(store, tmp_path / "run", options=tiny.options(workers=1, save_every_minutes=1.0), resume=True)
    assert [job.config.workers for job in stubbed] == [0, 1]


def test_changes_that_are_accepted_are_noted(store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    interrupted(store, run, tiny.options(), at=4)
    changed = tiny.options(steps=7, learning_rate=1e-3)
    with pytest.raises(ConfigError, match=r"train\.steps 7.*train\.steps 6.*--accept-changes"):
        train(store, run, options=changed, resume=True)
    done = train(store, run, options=changed, resume=True, accept_changes=True)
    record = json.loads((run / "run.json").read_text())
    assert record["settings"]["train"]["steps"] == 7
    assert [entry["changes"] for entry in record["resumed"]] == [
        {"train.learning_rate": [0.01, 0.001], "train.steps": [6, 7]}
    ]
    assert record["resumed"][0].keys() >= {"command", "at", "versions", "machine", "commit", "processes"}
    steps = [line.split(",")[0] for line in (run / "log.csv").read_text().splitlines()]
    assert steps == ["step", "3", "6", "7"] and done.spec.metrics["step"] in (3, 6, 7)
    train(store, run, options=changed, resume=True)  # the settings are those of the run from now on
    with pytest.raises(ConfigError, match=r"train\.steps 6"):
        train(store, run, options=tiny.options(), resume=True)


def test_another_division_may_be_accepted(store: Path, tmp_path: Path, stubbed: list[Any]) -> None:
    run = tmp_path / "run"
    train(store, run, options=tiny.options())
    other = tiny.options().model_copy(update={"split": SplitOptions(seed=3)})
    split = train(store, run, options=other, resume=True, accept_changes=True).split
    assert read_split(run / "split.json") == split and stubbed[1].val_ids == split.val
    changes = json.loads((run / "run.json").read_text())["resumed"][0]["changes"]
    assert changes["split.seed"] == [0, 3]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"widths": (4, 4, 8)}, r"network\.widths"),
        ({"output": "classes"}, r"output\.kind"),
        ({"mirror": True}, "inputs"),
    ],
)
def test_what_the_weights_were_made_for_cannot_change(
    store: Path, tmp_path: Path, stubbed: list[Any], change: dict[str, Any], name: str
) -> None:
    run = tmp_path / "run"
    train(store, run, options=tiny.options())
    before = (run / "run.json").read_bytes()
    with pytest.raises(ConfigError, match=name) as refused:
        train(store, run, options=tiny.options().model_copy(update=change), resume=True, accept_changes=True)
    assert "--accept-changes" not in str(refused.value) and (run / "run.json").read_bytes() == before


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_other_versions_and_threads_are_warned_of(
    store: Path, tmp_path: Path, stubbed: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    train(store, run, options=tiny.options())
    train(store, run, options=tiny.options(), resume=True)
    assert caplog.messages == []
    edit(run / "run.json", lambda record: record["versions"].update(torch="1.0"))
    edit(run / "run.json", lambda record: record["machine"].update(threads=99))
    train(store, run, options=tiny.options(), resume=True)
    [said] = caplog.messages
    assert re.search(r"machine\.threads \d+ instead of 99, versions\.torch \S+ instead of 1\.0; .* last bits", said)


def test_a_run_of_an_earlier_version_goes_on(store: Path, tmp_path: Path, stubbed: list[Any]) -> None:
    """Its record lacks what was not known then, all of which is off unless asked for."""
    run = tmp_path / "run"
    train(store, run, options=tiny.options())

    def as_before(record: dict[str, Any]) -> None:
        for name in ("inputs", "prep", "teachers"):
            record["settings"].pop(name)
        for name in ("micro_batch", "balance", "modality_dropout", "soft_weight"):
            record["settings"]["train"].pop(name)
        for name in ("elastic", "low_resolution", "ghosting", "spikes", "motion"):
            record["settings"]["train"]["augment"].pop(name)
        for name in ("commit", "processes", "resumed", "at"):
            record.pop(name)
        record["data"].pop("split")

    edit(run / "run.json", as_before)
    with pytest.raises(ConfigError, match=r"train\.balance cases.*train\.balance regions"):
        train(store, run, options=tiny.options(balance="cases"), resume=True)
    train(store, run, options=tiny.options(), resume=True)
    assert len(stubbed) == 2 and len(json.loads((run / "run.json").read_text())["resumed"]) == 1


def test_a_run_of_a_later_version_is_refused_by_name(store: Path, tmp_path: Path, stubbed: list[Any]) -> None:
    run = tmp_path / "run"
    train(store, run, options=tiny.options())
    edit(run / "run.json", lambda record: record["settings"]["train"].update(sharpness=2))
    with pytest.raises(ConfigError, match=r"train\.sharpness 2"):
        train(store, run, options=tiny.options(), resume=True)


@pytest.mark.parametrize("content", ["[]", "{}", '{"settings": {}, "data": 3}'])
def test_a_record_of_something_else_is_said(store: Path, tmp_path: Path, stubbed: list[Any], content: str) -> None:
    train(store, tmp_path / "run", options=tiny.options())
    (tmp_path / "run" / "run.json").write_text(content)
    with pytest.raises(FileError, match=r"run\.json does not describe a run"):
        train(store, tmp_path / "run", options=tiny.options(), resume=True)


def test_resuming_with_other_data_is_refused(store: Path, tmp_path: Path, stubbed: list[Any]) -> None:
    train(store, tmp_path / "run", options=tiny.options())
    changed = with_folds(store, tmp_path / "other", dict.fromkeys(range(1, 6), 0))
    with pytest.raises(ConfigError, match=r"data\.fingerprint"):
        train(changed, tmp_path / "run", options=tiny.options(), resume=True)


def test_resuming_with_another_division_is_refused(store: Path, tmp_path: Path, stubbed: list[Any]) -> None:
    options = tiny.options().model_copy(update={"split_file": tmp_path / "split.json"})
    ids = [f"Phantom_{n:05d}" for n in range(1, 6)]
    write_split(tmp_path / "split.json", Split(train=tuple(ids[:3]), val=(ids[3],), test=(ids[4],), seed=0))
    train(store, tmp_path / "run", options=options)
    write_split(tmp_path / "split.json", Split(train=tuple(ids[:2]), val=(ids[3],), test=(ids[4],), seed=0))
    with pytest.raises(ConfigError, match="divided in another way"):
        train(store, tmp_path / "run", options=options, resume=True)


def test_resuming_where_nothing_began_begins(store: Path, tmp_path: Path) -> None:
    train(store, tmp_path / "one", options=tiny.options())
    train(store, tmp_path / "two", options=tiny.options(), resume=True)
    assert tiny.same(tiny.weights(tmp_path / "one" / "last"), tiny.weights(tmp_path / "two" / "last"))


def test_two_processes_do_not_train_in_one_folder(store: Path, tmp_path: Path, stubbed: list[Any]) -> None:
    train(store, tmp_path / "run", options=tiny.options())
    before = (tmp_path / "run" / "run.json").read_bytes()
    with tiny.at_work_in(tmp_path / "run"), pytest.raises(OutputError, match="another process is training in"):
        train(store, tmp_path / "run", options=tiny.options(), resume=True)
    assert (tmp_path / "run" / "run.json").read_bytes() == before and len(stubbed) == 1
    train(store, tmp_path / "run", options=tiny.options(), resume=True)  # the other one was killed
    assert len(stubbed) == 2


def test_a_run_that_is_trained_for_longer_is_not_finished(store: Path, tmp_path: Path) -> None:
    train(store, tmp_path / "run", options=tiny.options())

    def stop(report: StepReport) -> None:
        raise KeyboardInterrupt

    longer = tiny.options(steps=9)
    with pytest.raises(KeyboardInterrupt):
        train(store, tmp_path / "run", options=longer, resume=True, accept_changes=True, observe=stop)
    assert not is_finished(tmp_path / "run")
    train(store, tmp_path / "run", options=longer, resume=True)
    assert is_finished(tmp_path / "run")


def test_a_damaged_state_is_said(store: Path, tmp_path: Path) -> None:
    interrupted(store, tmp_path / "run", tiny.options(), at=1)
    (tmp_path / "run" / "state.safetensors").write_bytes(b"damaged")
    with pytest.raises(FileError, match=r"state\.safetensors is damaged.*another folder"):
        train(store, tmp_path / "run", options=tiny.options(), resume=True)


def test_the_test_fold_and_the_closed_fold_are_kept_away(store: Path, tmp_path: Path, stubbed: list[Any]) -> None:
    folded = with_folds(store, tmp_path / "folded", {1: 0, 2: 0, 3: 1, 4: 2, 5: 0})
    options = tiny.options().model_copy(update={"split": SplitOptions(test_fold=1, closed_folds=(2,))})
    split = train(folded, tmp_path / "run", options=options).split
    assert sorted((*split.train, *split.val)) == ["Phantom_00001", "Phantom_00002", "Phantom_00005"]
    assert split.test == ("Phantom_00003",)
    assert split.left_out == {"Phantom_00004": "fold 2 is closed"}
    assert {*stubbed[0].train_ids, *stubbed[0].val_ids} == {*split.train, *split.val}


def test_a_split_file_is_taken_as_it_is(store: Path, tmp_path: Path, stubbed: list[Any]) -> None:
    wanted = Split(train=("Phantom_00004",), val=("Phantom_00001",), test=("Somebody",), seed=7)
    write_split(tmp_path / "split.json", wanted)
    options = tiny.options().model_copy(update={"split_file": tmp_path / "split.json"})
    assert train(store, tmp_path / "run", options=options).split == wanted
    assert (stubbed[0].train_ids, stubbed[0].val_ids) == (("Phantom_00004",), ("Phantom_00001",))


def test_a_split_that_tears_a_patient_apart_is_refused_unless_asked_for(
    store: Path, tmp_path: Path, stubbed: list[Any]
) -> None:
    leaky = tmp_path / "store"
    shutil.copytree(store, leaky)
    info = read_store(leaky)
    entries = [entry.model_copy(update={"patient_id": "one and the same"}) for entry in info.cases[:2]]
    write_store(leaky, info.model_copy(update={"cases": (*entries, *info.cases[2:])}))
    names = [entry.case_id for entry in info.cases]
    write_split(tmp_path / "split.json", Split(train=(names[0],), val=(), test=(names[1],), seed=0))
    options = tiny.options().model_copy(update={"split_file": tmp_path / "split.json"})
    with pytest.raises(ConfigError, match=r"same patients in more than one part.*one and the same \(train, test\)"):
        train(leaky, tmp_path / "run", options=options)
    assert not (tmp_path / "run").exists()
    train(leaky, tmp_path / "run", options=options.model_copy(update={"leaky": True}))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["leaky"] is True


@pytest.mark.parametrize(
    ("split", "options", "message"),
    [
        (("Phantom_00001", "Phantom_00004"), {"closed_folds": (2,)}, "Phantom_00004: fold 2 is closed"),
        (("Phantom_00001", "Somebody"), {}, "does not have.*Somebody"),
        (("Phantom_00001",), {"test_fold": 1}, "--split and --test-fold"),
        (("Phantom_00001",), {"closed_folds": (9,)}, "folds asked for"),
        ((), {}, "no case to train on"),
    ],
)
def test_a_split_file_that_contradicts_the_rest_is_refused(
    store: Path, tmp_path: Path, split: tuple[str, ...], options: dict[str, Any], message: str
) -> None:
    folded = with_folds(store, tmp_path / "folded", {1: 0, 2: 0, 3: 1, 4: 2, 5: 0})
    write_split(tmp_path / "split.json", Split(train=split, val=("Phantom_00002",), test=(), seed=0))
    chosen = tiny.options().model_copy(
        update={"split": SplitOptions.model_validate(options), "split_file": tmp_path / "split.json"}
    )
    with pytest.raises(ConfigError, match=message):
        train(folded, tmp_path / "run", options=chosen)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "config", "message"),
    [
        ({}, {"steps": 0}, "'steps' does not fit.*Found: 0.*greater than or equal to 1"),
        ({}, {"patch": (0, 0, 0)}, "'patch' does not fit"),
        ({}, {"stepz": 3}, "no setting called 'stepz'"),
        ({}, {"precision": "fp16"}, "'precision' does not fit.*'fp32' or 'bf16'"),
        ({"widths": (16,)}, {}, "at least two levels"),
        ({"widths": (16, 0)}, {}, "'widths' does not fit"),
        ({"overlap": 1.0}, {}, "'overlap' does not fit"),
        ({"network": "vit"}, {}, "no network called 'vit'"),
        ({}, {"patch": (15, 16, 16)}, "divisible by 2"),
        ({"dims": 2}, {}, "third size of 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_written(
    store: Path, tmp_path: Path, changes: dict[str, Any], config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(store, tmp_path / "run", options=tiny.options(**config).model_copy(update=changes))
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="gliamap prepare"):
        train(make.write_pairs(tmp_path / "pairs"), tmp_path / "run")


def test_the_command_is_named_as_a_user_types_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for program, said in (("/opt/bin/gliamap", "gliamap"), ("/lib/gliamap/__main__.py", "gliamap"), ("my.py", "my.py")):
        monkeypatch.setattr("sys.argv", [program, "train", "store"])
        assert command_line() == [said, "train", "store"]
