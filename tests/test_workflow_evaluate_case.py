"""Many cases at a time: the same scores for any number of processes, and however often they were interrupted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import make
from gliamap.errors import FileError, GridError, LabelError
from gliamap.io.cases import write_mask, write_probabilities
from gliamap.labels import from_tissue, get_convention
from gliamap.workflows.scores import evaluate_case
from gliamap.workflows.scores.evaluate import EvaluateOptions, evaluate
from gliamap.workflows.scores.evaluate_case import KEPT, Job, Scored

IDS = [f"BraTS2021_{number:05d}" for number in range(3)]


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take most of the time of so small an evaluation."""
    monkeypatch.setattr("gliamap.workflows.scores.evaluate_files.draw_figures", lambda _found: {})


@pytest.fixture
def references(tmp_path: Path) -> Path:
    """Three BraTS 2021 cases, the first without enhancing tumour."""
    make.write_brats_set(tmp_path / "references")
    return tmp_path / "references"


@pytest.fixture
def predictions(references: Path, tmp_path: Path) -> Path:
    """A slipped prediction of the first case, a false alarm and a speck for the second, none of the third."""
    folder = tmp_path / "predictions"
    for number, kind in enumerate(make.KINDS[:2]):
        labels = make.labels(make.SHAPES[kind], enhancing=True)
        labels = np.roll(labels, 1 + number, axis=number)
        labels[0, 0, 0] = 3
        path = references / IDS[number] / f"{IDS[number]}_seg.nii.gz"
        write_mask(folder / f"{IDS[number]}.nii.gz", from_tissue(labels, get_convention("brats2021")), path)
    return folder


def score(predictions: Path, references: Path, out: Path, **settings: object) -> dict[str, bytes]:
    """What an evaluation leaves, lesions and all."""
    options = EvaluateOptions.model_validate({"protocol": "brats2023-gli"} | settings)
    evaluate(predictions, references, out=out, options=options)
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


class Counting:
    """Stands for ``score_job``; counts, and fails at call number ``fail``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail: int = 0) -> None:
        self.done: list[str] = []
        self._fail = fail
        self._honest = evaluate_case.score_job
        monkeypatch.setattr(evaluate_case, "score_job", self)

    def __call__(self, job: Job) -> Scored:
        if len(self.done) + 1 == self._fail:
            raise KeyboardInterrupt
        self.done.append(job.pair.case_id)
        return self._honest(job)


def test_any_number_of_processes_leaves_the_same_files(predictions: Path, references: Path, tmp_path: Path) -> None:
    one = score(predictions, references, tmp_path / "one")
    assert score(predictions, references, tmp_path / "two", workers=2) == one
    assert {"scores.csv", "scores.json"} <= one.keys() and not any(KEPT in name for name in one)


def test_an_interrupted_evaluation_goes_on(
    predictions: Path, references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score(predictions, references, tmp_path / "whole")
    for stop in (1, 2, 3):
        out = tmp_path / f"stopped{stop}"
        with monkeypatch.context() as patch:
            counting = Counting(patch, fail=stop)
            with pytest.raises(KeyboardInterrupt):
                score(predictions, references, out)
            assert counting.done == IDS[: stop - 1]
        assert not (out / "scores.json").exists()
        with monkeypatch.context() as patch:
            counting = Counting(patch)
            assert score(predictions, references, out) == whole
            assert counting.done == IDS[stop - 1 :]


def interrupted(predictions: Path, references: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of three cases are scored."""
    with monkeypatch.context() as patch:
        Counting(patch, fail=3)
        with pytest.raises(KeyboardInterrupt):
            score(predictions, references, out)


def test_changed_files_are_scored_anew(
    predictions: Path, references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    interrupted(predictions, references, out, monkeypatch)
    mask = predictions / f"{IDS[0]}.nii.gz"
    write_mask(mask, np.zeros(make.SHAPES["plain"], np.uint8), references / IDS[0] / f"{IDS[0]}_seg.nii.gz")
    truth = references / IDS[1] / f"{IDS[1]}_seg.nii.gz"
    os.utime(truth, ns=(1, 1))
    counting = Counting(monkeypatch)
    found = score(predictions, references, out)
    assert counting.done == IDS
    assert found == score(predictions, references, tmp_path / "anew")


@pytest.mark.parametrize("settings", [{"protocol": "legacy"}, {"labels": "brats2021"}])
def test_other_settings_are_scored_anew(
    predictions: Path, references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    interrupted(predictions, references, tmp_path / "out", monkeypatch)
    counting = Counting(monkeypatch)
    score(predictions, references, tmp_path / "out", **settings)
    assert counting.done == IDS


def test_what_was_kept_may_be_damaged(
    predictions: Path, references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    interrupted(predictions, references, out, monkeypatch)
    for path, text in zip(sorted((out / KEPT).iterdir()), ("{", '{"case": 1, "convention": null}'), strict=True):
        path.write_text(text)
    counting = Counting(monkeypatch)
    assert score(predictions, references, out) == score(predictions, references, tmp_path / "anew")
    assert counting.done == IDS + IDS


@pytest.mark.parametrize("wrong", ["regions", "case_id"])
def test_what_was_kept_of_something_else_does_not_count(
    predictions: Path, references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    out = tmp_path / "out"
    interrupted(predictions, references, out, monkeypatch)
    for path in (out / KEPT).iterdir():
        kept = json.loads(path.read_text())
        if wrong == "regions":
            del kept["case"]["score"]["regions"]["ET"]
        else:
            kept["case"]["case_id"] = "somebody"
        path.write_text(json.dumps(kept))
    counting = Counting(monkeypatch)
    assert score(predictions, references, out) == score(predictions, references, tmp_path / "anew")
    assert counting.done == IDS + IDS


def test_scores_of_an_earlier_meaning_do_not_count(
    predictions: Path, references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(predictions, references, tmp_path / "out", monkeypatch)
    monkeypatch.setattr(evaluate_case, "_MEANING", evaluate_case._MEANING + 1)
    counting = Counting(monkeypatch)
    score(predictions, references, tmp_path / "out")
    assert counting.done == IDS


def test_only_what_was_kept_is_removed(predictions: Path, references: Path, tmp_path: Path) -> None:
    kept = tmp_path / "out" / KEPT
    kept.mkdir(parents=True)
    for name in ("mine.json", f"{'0' * 64}.json", f"{'0' * 64}.txt"):
        (kept / name).write_text("1")
    score(predictions, references, tmp_path / "out")
    assert {path.name for path in kept.iterdir()} == {"mine.json", f"{'0' * 64}.txt"}


def test_errors_come_whole_out_of_other_processes(predictions: Path, references: Path, tmp_path: Path) -> None:
    values = np.full(make.SHAPES["oblique"], 7, np.uint8)
    write_mask(predictions / f"{IDS[2]}.nii.gz", values, references / IDS[2] / f"{IDS[2]}_seg.nii.gz")
    told = []
    for workers in (1, 2):
        with pytest.raises(LabelError) as error:
            score(predictions, references, tmp_path / "out", workers=workers)
        told.append((error.value.what, error.value.found, error.value.expected, error.value.remedy))
    assert told[0] == told[1] and IDS[2] in told[0][0] and None not in told[0]


def test_a_case_that_ends_its_process(
    predictions: Path, references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate_case, "in_parallel", lambda *_, **__: iter([(0, None)]))
    with pytest.raises(FileError, match=f"{IDS[0]} cannot be scored.*too little memory"):
        score(predictions, references, tmp_path / "out")


def test_all_other_grids_are_told_before_any_case_is_scored(
    predictions: Path, references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    for number in (1, 2):
        (predictions / f"{IDS[number]}.nii.gz").write_bytes((predictions / f"{IDS[0]}.nii.gz").read_bytes())
    with pytest.raises(GridError, match=rf"{IDS[1]}\.nii\.gz does not lie .* 1 other prediction does not either"):
        score(predictions, references, tmp_path / "out")
    assert counting.done == [] and not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", ["channels", "grid"])
def test_wrong_probabilities_are_told_before_any_case_is_scored(
    predictions: Path, references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    counting = Counting(monkeypatch)
    of = 1 if wrong == "channels" else 2
    probs = np.zeros((1, *make.SHAPES[make.KINDS[of]]), np.float32)
    truth = references / IDS[of] / f"{IDS[of]}_seg.nii.gz"
    write_probabilities(predictions / f"{IDS[1]}_probabilities.nii.gz", probs, truth)
    named = ["WT", "TC"] if wrong == "channels" else ["WT"]
    (predictions / f"{IDS[1]}.json").write_text(json.dumps({"probability_channels": named}))
    with pytest.raises(FileError if wrong == "channels" else GridError, match=rf"{IDS[1]}_probabilities.* does not"):
        score(predictions, references, tmp_path / "out")
    assert counting.done == [] and not (tmp_path / "out").exists()
