"""The verb 'cross-validate': nobody is predicted by a model that knows them, and nothing is scored by halves."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import make
import studies
import tiny
from gliamap.errors import ConfigError, FileError, LayoutError, OutputError, TrainingError
from gliamap.io.atomic import read_json, write_json
from gliamap.io.checkpoint import read_spec
from gliamap.io.lock import alone
from gliamap.io.store import read_store
from gliamap.labels import Region
from gliamap.sources.splits import read_split
from gliamap.workflows.common.apart import Ended
from gliamap.workflows.common.folds import CrossValidateOptions, plan_folds
from gliamap.workflows.data.prepare import prepare
from gliamap.workflows.prediction.segment import Segmented, SegmentOptions
from gliamap.workflows.studies import fold_work
from gliamap.workflows.studies.cross_validate import CrossValidated, cross_validate
from gliamap.workflows.studies.fold_work import StudyReport
from studies import CASES, PATIENTS, Stub, recipe, stubbed


def options(**changes: Any) -> CrossValidateOptions:
    return CrossValidateOptions.model_validate({"recipe": recipe(), "folds": 2} | changes)


data = studies.data


@pytest.fixture(scope="module")
def told() -> list[StudyReport]:
    """What an observer of ``study`` was told."""
    return []


@pytest.fixture(scope="module")
def study(data: Path, tmp_path_factory: pytest.TempPathFactory, told: list[StudyReport]) -> CrossValidated:
    """A study in one go."""
    out = tmp_path_factory.mktemp("one") / "out"
    return cross_validate(data / "store", data / "scans", out=out, options=options(), observe=told.append)


@pytest.fixture
def folded(data: Path, tmp_path: Path) -> Path:
    """The phantoms with folds of their own: 0 for the first three, 2 for the next two, 7 for the last."""
    shutil.copytree(data / "scans", tmp_path / "own" / "scans")
    rows = [f"{c},{p},{f}\n" for (c, p), f in zip(PATIENTS.items(), (0, 0, 0, 2, 2, 7), strict=True)]
    (tmp_path / "own" / "scans" / "manifest.csv").write_text("case,patient,fold\n" + "".join(rows))
    prepare([tmp_path / "own" / "scans"], tmp_path / "own" / "store")
    return tmp_path / "own"


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    return stubbed(monkeypatch)


def run(data: Path, out: Path, **changes: Any) -> CrossValidated:
    return cross_validate(data / "store", data / "scans", out=out, options=options(**changes))


def dice(done: CrossValidated, region: Region = Region.WT) -> Any:
    assert done.scores is not None
    return done.scores.summary.regions[region].figures["dice"]


def test_every_case_is_predicted_once_by_a_model_that_never_saw_its_patient(study: CrossValidated) -> None:
    model_of = {}
    for fold in study.folds:
        split = read_split(fold.run / "split.json")
        known = {PATIENTS[case_id] for case_id in (*split.train, *split.val)}
        assert split.train and split.val and split.test
        for case_id in split.test:
            assert PATIENTS[case_id] not in known
            assert case_id not in model_of
            model_of[case_id] = read_spec(fold.run / "best").weights_sha256
    assert sorted(model_of) == CASES
    for case_id, weights in model_of.items():
        assert read_json(study.out / "repeat0" / "masks" / f"{case_id}.json")["model"]["weights_sha256"] == weights


def test_the_folder_explains_itself(study: CrossValidated, data: Path) -> None:
    assert not study.failed and not study.lacking
    assert study.division == "2 folds drawn by patient, alike in tumour size and enhancement"
    about = read_json(study.out / "study.json")
    assert about["data"] == {"fingerprint": read_store(data / "store").fingerprint, "cases": 6}
    assert about["settings"]["folds"] == [0, 1] and about["settings"]["recipe"]["config"]["steps"] == 2
    assert [place["split"] for place in about["folds"]] == [
        read_json(fold.split_file)["fingerprint"] for fold in study.folds
    ]
    assert {"command", "versions", "recipe"} < about.keys()
    scores = read_json(study.out / "scores.json")
    assert (scores["recipe"], scores["data"], scores["notes"]) == ("tiny", about["data"]["fingerprint"], [])
    assert (scores["summary"]["cases"], scores["summary"]["patients"], scores["summary"]["missing"]) == (6, 5, 0)
    with (study.out / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted({row["case_id"] for row in rows}) == CASES and len(rows) == 6 * 3
    assert str(study.out.parent) not in (study.out / "scores.json").read_text()


def test_folds_done_apart_and_gathered_are_as_in_one_go(study: CrossValidated, data: Path, tmp_path: Path) -> None:
    """Each on a machine of its own, so to say, then copied together."""
    for number in (1, 0):
        done = run(data, tmp_path / f"machine{number}", only=(number,))
        assert done.scores is None and not (tmp_path / f"machine{number}" / "scores.json").exists()
        assert done.lacking == {f"repeat 0, fold {1 - number}": "not trained"}
        shutil.copytree(tmp_path / f"machine{number}", tmp_path / "all", dirs_exist_ok=True)
    done = run(data, tmp_path / "all", gather=True)
    assert done.scores == study.scores
    for name in ("scores.json", "scores.csv"):
        assert (tmp_path / "all" / name).read_bytes() == (study.out / name).read_bytes()
    for fold in study.folds:
        other = tmp_path / "all" / fold.run.relative_to(study.out)
        assert tiny.same(tiny.weights(fold.run / "last"), tiny.weights(other / "last"))


def test_an_interrupted_study_goes_on_where_it_stopped(study: CrossValidated, data: Path, tmp_path: Path) -> None:
    def stop(report: StudyReport) -> None:
        if report.done > 1 and report.step is not None and report.step.step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cross_validate(data / "store", data / "scans", out=tmp_path / "out", options=options(), observe=stop)
    seen: list[StudyReport] = []
    done = cross_validate(data / "store", data / "scans", out=tmp_path / "out", options=options(), observe=seen.append)
    assert {report.note for report in seen if report.step} == {"repeat 0, fold 1"}
    assert done.scores == study.scores
    assert tiny.same(*(tiny.weights(s.folds[1].run / "last") for s in (study, done)))
    seen.clear()
    cross_validate(data / "store", data / "scans", out=tmp_path / "out", options=options(), observe=seen.append)
    assert {report.doing for report in seen} == {"divide", "evaluate"}


def test_the_scores_by_hand(folded: Path, tmp_path: Path, stub: Stub) -> None:
    """Fold 0 (p twice, q) is found to the voxel, fold 2 (r, s) not at all; fold 7 is closed."""
    stub.perfect = lambda fold: fold == "repeat0/fold0"
    done = run(folded, tmp_path / "out", folds=None, closed_folds=(7,))
    assert (dice(done).mean, dice(done).case_mean, dice(done).patients) == (2 / 4, 3 / 5, 4)
    assert done.scores is not None
    assert [(f.fold, f.patients, f.dice(Region.WT).mean) for f in done.scores.folds] == [(0, 2, 1), (2, 2, 0)]
    assert done.scores.summary.regions[Region.WT].figures["hd95"].mean > 0


def test_the_folds_of_the_data_set_are_taken_where_they_fit(folded: Path, tmp_path: Path, stub: Stub) -> None:
    done = run(folded, tmp_path / "out", folds=None, closed_folds=(7,))
    assert done.division == "the data set's own folds 0, 2; closed: 7"
    assert stub.trained == ["repeat0/fold0", "repeat0/fold2"]
    assert [fold.split.test for fold in done.folds] == [tuple(CASES[:3]), tuple(CASES[3:5])]
    assert all(CASES[5] in fold.split.left_out for fold in done.folds)
    info = read_store(folded / "store")
    assert plan_folds(info, tmp_path, options(folds=None))[1] == "the data set's own folds 0, 2, 7"
    assert plan_folds(info, tmp_path, options(folds=3))[1] == "the data set's own folds 0, 2, 7"
    assert plan_folds(info, tmp_path, options(folds=2))[1].startswith("2 folds drawn by patient")
    drawn, words = plan_folds(info, tmp_path, options(folds=2, closed_folds=(2,)))
    assert words == "the data set's own folds 0, 7; closed: 2" and len(drawn) == 2
    drawn, words = plan_folds(info, tmp_path, options(folds=3, closed_folds=(7,)))
    assert words == "3 folds drawn by patient, alike in tumour size and enhancement; closed: 7"
    assert all(CASES[5] in fold.split.left_out for fold in drawn)


def test_own_folds_are_not_taken_where_a_case_has_none(data: Path, folded: Path, tmp_path: Path) -> None:
    info = read_store(folded / "store")
    last = info.cases[-1].model_copy(update={"fold": None})
    torn = info.model_copy(update={"cases": (*info.cases[:-1], last)})
    assert plan_folds(torn, tmp_path, options(folds=None))[1].startswith("4 folds drawn")
    assert plan_folds(read_store(data / "store"), tmp_path, options(folds=None))[1].startswith("4 folds drawn")


def test_repeats_are_averaged_by_patient_and_have_seeds_of_their_own(data: Path, tmp_path: Path, stub: Stub) -> None:
    stub.perfect = lambda fold: fold.startswith("repeat0")
    done = run(data, tmp_path / "out", repeats=2, seed=5)
    assert stub.trained == [f"repeat{r}/fold{k}" for r in (0, 1) for k in (0, 1)]
    assert [o.config["seed"] for o in stub.options] == [5, 5, 6, 6] == [o.split.seed for o in stub.options]
    assert (dice(done).mean, dice(done).low, dice(done).high, dice(done).cases) == (0.5, 0.5, 0.5, 6)
    assert done.scores is not None
    assert done.scores.spread(Region.WT, "dice") == pytest.approx(0.5**0.5)
    assert done.folds[0].split.test != done.folds[2].split.test
    assert {case for fold in done.folds[2:] for case in fold.split.test} == set(CASES)


def test_a_fold_that_fails_does_not_stop_the_others_and_nothing_is_scored(
    data: Path, tmp_path: Path, stub: Stub
) -> None:
    stub.fail["repeat0/fold0"] = TrainingError("the loss became nan at step 3")
    done = run(data, tmp_path / "out", folds=3)
    assert stub.trained == ["repeat0/fold0", "repeat0/fold1", "repeat0/fold2"]
    assert done.failed == {"repeat 0, fold 0": "the loss became nan at step 3."}
    assert done.scores is None and not (tmp_path / "out" / "scores.json").exists()
    with pytest.raises(FileError, match="repeat 0, fold 0: not trained"):
        run(data, tmp_path / "out", folds=3, gather=True)
    del stub.fail["repeat0/fold0"], stub.trained[:]
    assert dice(run(data, tmp_path / "out", folds=3)).mean == 1
    assert stub.trained == ["repeat0/fold0"]


def test_what_nobody_foresaw_leaves_its_traceback(data: Path, tmp_path: Path, stub: Stub) -> None:
    stub.fail["repeat0/fold1"] = ZeroDivisionError("oh")
    done = run(data, tmp_path / "out")
    error = tmp_path / "out" / "repeat0" / "fold1" / "error.txt"
    assert done.failed == {"repeat 0, fold 1": f"unexpected ZeroDivisionError: oh; see {error}"}
    assert "Traceback" in error.read_text() and error.read_text().endswith("ZeroDivisionError: oh\n")
    stub.fail.clear()
    assert not run(data, tmp_path / "out").failed and not error.exists()


def test_what_every_fold_would_meet_ends_the_study(data: Path, tmp_path: Path, stub: Stub) -> None:
    stub.fail["repeat0/fold0"] = OutputError("the disk is full")
    with pytest.raises(OutputError, match="the disk is full"):
        run(data, tmp_path / "out")
    assert stub.trained == ["repeat0/fold0"]


def test_gathering_names_what_is_missing(data: Path, tmp_path: Path, stub: Stub) -> None:
    with pytest.raises(FileError, match="holds no study to gather"):
        run(data, tmp_path / "out", gather=True)
    assert not (tmp_path / "out").exists()
    done = run(data, tmp_path / "out", only=(0,), repeats=2)
    case_id = done.folds[0].split.test[0]
    (tmp_path / "out" / "repeat0" / "masks" / f"{case_id}.nii.gz").unlink()
    count = len(done.folds[0].split.test)
    with pytest.raises(FileError) as raised:
        run(data, tmp_path / "out", gather=True, repeats=2)
    assert raised.value.found == (
        f"repeat 0, fold 0: 1 of {count} cases not predicted; "
        "repeat 0, fold 1: not trained; repeat 1, fold 1: not trained"
    )
    assert raised.value.remedy is not None and "--fold" in raised.value.remedy


def test_a_mask_of_another_model_is_not_taken(data: Path, tmp_path: Path, stub: Stub) -> None:
    done = run(data, tmp_path / "out")
    case_id = done.folds[1].split.test[0]
    path = tmp_path / "out" / "repeat0" / "masks" / f"{case_id}.json"
    first = read_spec(done.folds[0].run / "best").weights_sha256
    write_json(path, read_json(path) | {"model": {"weights_sha256": first}})  # of one that was trained on the case
    stub.predicted.clear()
    run(data, tmp_path / "out")
    assert stub.predicted == [case_id]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"recipe": recipe(steps=7)}, r"recipe\.config\.steps 7"),
        ({"recipe": recipe().model_copy(update={"output": "classes"})}, r"recipe\.output classes"),
        ({"folds": 3}, r"folds \[0, 1, 2\]"),
        ({"repeats": 2}, r"repeats 2"),
        ({"seed": 1}, r"seed 1"),
    ],
)
def test_another_study_in_the_same_folder_is_refused(
    data: Path, tmp_path: Path, stub: Stub, changes: dict[str, Any], name: str
) -> None:
    run(data, tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=f"not the study in .*{name}"):
        run(data, tmp_path / "out", **changes)
    assert before == {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}


def test_other_data_are_refused(data: Path, folded: Path, tmp_path: Path, stub: Stub) -> None:
    run(data, tmp_path / "out", folds=4)
    with pytest.raises(ConfigError, match=r"data\.fingerprint"):
        run(folded, tmp_path / "out", folds=4)


def test_what_does_not_change_the_result_may_change(data: Path, tmp_path: Path, stub: Stub) -> None:
    run(data, tmp_path / "out", only=(0,))
    other = recipe(workers=1, save_every_minutes=1.0).model_copy(update={"name": "new", "description": "d"})
    assert dice(run(data, tmp_path / "out", recipe=other)).mean == 1


def test_a_split_changed_by_hand_is_refused(data: Path, tmp_path: Path, stub: Stub) -> None:
    done = run(data, tmp_path / "out")
    first = done.folds[0].split_file
    shutil.copy(done.folds[1].split_file, first)
    with pytest.raises(ConfigError, match="divided in another way"):
        run(data, tmp_path / "out")


def test_wrong_wishes_are_refused_before_anything_is_written(data: Path, tmp_path: Path, stub: Stub) -> None:
    for changes, words in (
        ({"only": (0, 5)}, "folds 0, 1.*folds 0, 5"),
        ({"only": (0,), "gather": True}, "--gather scores all folds"),
        ({"folds": 6}, "cannot be dealt to 6 folds"),
        ({"closed_folds": (3,)}, "does not have the folds asked for"),
        ({"recipe": recipe(patch=(16, 16, 15))}, "the patch 16x16x15 does not fit"),
        ({"recipe": recipe(stepz=2)}, "no setting called 'stepz'"),
    ):
        with pytest.raises(ConfigError, match=words):
            run(data, tmp_path / "out", **changes)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        run(data, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and not stub.trained


def test_processes_that_share_one_training_are_refused(
    data: Path, tmp_path: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Two:
        processes = 2

    monkeypatch.setattr(fold_work, "open_devices", Two)
    with pytest.raises(ConfigError, match=r"torchrun.*--jobs"):
        run(data, tmp_path / "out")


def test_scans_that_lack_a_case_are_noticed_before_hours_of_training(data: Path, tmp_path: Path, stub: Stub) -> None:
    make.write_brats(tmp_path / "few", tiny.phantom(1))
    with pytest.raises(ConfigError, match=r"few does not hold all cases.*5 without"):
        cross_validate(data / "store", tmp_path / "few", out=tmp_path / "out", options=options())
    (tmp_path / "none").mkdir()
    with pytest.raises(LayoutError):
        cross_validate(data / "store", tmp_path / "none", out=tmp_path / "out", options=options())
    assert not (tmp_path / "out").exists()


def test_a_fold_that_another_process_is_at_is_left_to_it(data: Path, tmp_path: Path, stub: Stub) -> None:
    with tiny.at_work_in(tmp_path / "out" / "repeat0" / "fold0"):
        done = run(data, tmp_path / "out")
        assert done.failed == {"repeat 0, fold 0": "another process is at it"}
        assert stub.trained == ["repeat0/fold1"] and done.scores is None
    assert dice(run(data, tmp_path / "out")).mean == 1  # however the other one ended


def test_a_file_system_without_locks_is_no_reason_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.lockf", refuse)
    with alone(tmp_path / "a") as free:
        assert free


def test_cases_that_cannot_be_predicted_fail_their_fold(
    data: Path, tmp_path: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some(_scans: Path, _out: Path, *, options: SegmentOptions, **_: Any) -> Segmented:
        assert options.cases is not None
        return Segmented([], {options.cases[0]: "its file is damaged"})

    monkeypatch.setattr(fold_work, "segment", some)
    done = run(data, tmp_path / "out")
    why = done.failed["repeat 0, fold 0"]
    count = len(done.folds[0].split.test)
    assert why.startswith(f"1 of {count} cases could not be predicted") and "its file is damaged" in why


def test_reports_tell_how_far_the_whole_study_is(study: CrossValidated, told: list[StudyReport]) -> None:
    assert [report.note for report in told if report.doing == "divide"] == [study.division] == [told[0].note]
    assert [(r.note, r.done, r.total) for r in told if r.step] == [
        *(("repeat 0, fold 0", 0.5, 2), ("repeat 0, fold 0", 1.0, 2)),
        *(("repeat 0, fold 1", 1.5, 2), ("repeat 0, fold 1", 2.0, 2)),
    ]
    done = [report.done for report in told]
    assert done == sorted(done) and told[-1].note.startswith("repeat 0: 6 of 6 scored")


@pytest.mark.slow
def test_folds_side_by_side(data: Path, study: CrossValidated, tmp_path: Path) -> None:
    seen: list[StudyReport] = []
    done = cross_validate(
        data / "store", data / "scans", out=tmp_path / "out", options=options(jobs=2), observe=seen.append
    )
    assert not done.failed and done.scores is not None and study.scores is not None
    assert done.scores.summary.cases == study.scores.summary.cases == 6
    assert seen[1].note == "2 folds side by side"
    assert {r.note for r in seen if r.note.endswith("ready")} == {"repeat 0, fold 0: ready", "repeat 0, fold 1: ready"}
    steps = [r for r in seen if r.step and r.step.dice]  # a validation is always told of
    assert len(steps) == 2 and all(r.step and r.step.example is None for r in steps)
    assert [r.done for r in seen] == sorted(r.done for r in seen) and seen[-1].done == 2


LONG = """
    from pathlib import Path
    from gliamap.workflows.studies.cross_validate import cross_validate
    from gliamap.workflows.common.folds import CrossValidateOptions
    from studies import recipe

    if __name__ == "__main__":
        options = CrossValidateOptions(recipe=recipe(steps=100_000, validate_every=50_000), folds=3, jobs=2)
        cross_validate(Path(r"{data}/store"), Path(r"{data}/scans"), out=Path("out"), options=options)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_all_folds_with_their_state_saved(data: Path, tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "long.py").write_text(textwrap.dedent(LONG.format(data=data)))
    surroundings = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    logs = [tmp_path / "out" / "repeat0" / f"fold{k}" / "run" / "log.csv" for k in (0, 1)]
    with tiny.listening_to_ctrl_c(), (tmp_path / "said").open("w") as said:
        job = subprocess.Popen([sys.executable, "long.py"], cwd=tmp_path, env=surroundings, stderr=said)
    try:
        deadline = time.monotonic() + 300
        while not all(log.is_file() and len(log.read_text().splitlines()) > 1 for log in logs):
            assert job.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        job.send_signal(number)
        job.wait(timeout=60)
    finally:
        job.kill()
        job.wait()
    for log in logs:
        assert log.with_name("state.safetensors").is_file()
        with alone(log.parent.parent) as free:
            assert free  # nobody is at it any more
    assert not (tmp_path / "out" / "repeat0" / "fold2" / "run").exists()


def test_a_process_that_dies_is_told(data: Path, tmp_path: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    def died(*_: Any, **__: Any) -> Iterator[Ended[str]]:
        yield from (Ended(1, ""), Ended[str](0, None))

    monkeypatch.setattr(fold_work, "each_apart", died)
    done = run(data, tmp_path / "out", jobs=2)
    assert done.failed == {"repeat 0, fold 0": "its process died, for want of memory perhaps"}


def test_json_files_are_json(study: CrossValidated) -> None:
    for path in study.out.rglob("*.json"):
        json.loads(path.read_text())
