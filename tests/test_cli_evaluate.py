"""The verb evaluate on the command line."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import make
from gliamap.io.cases import read_mask_file, write_mask
from gliamap.workflows.scores import evaluate_case
from gliamap.workflows.scores.evaluate_case import Job, Scored
from kills import Fault, nursery

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Three BraTS 2023 cases in ``scans``, predicted well in ``ours``; in ``theirs`` slipped, and one is missing."""
    for folder in make.write_brats_set(tmp_path / "scans", convention="brats2023"):
        mask = folder / f"{folder.name}-seg.nii.gz"
        values = read_mask_file(mask)[0].astype(np.uint8)
        write_mask(tmp_path / "ours" / f"{folder.name}.nii.gz", values, mask)
        write_mask(tmp_path / "theirs" / f"{folder.name}.nii.gz", np.roll(values, 1, axis=0), mask)
    (tmp_path / "theirs" / "BraTS-GLI-00002-000.nii.gz").rename(tmp_path / "theirs" / "stranger.nii.gz")
    return tmp_path


@pytest.fixture
def evaluate(command: Run, folders: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The verb in this process, without figures, which take most of the time of so small an evaluation."""
    monkeypatch.setattr("gliamap.workflows.scores.evaluate_files.draw_figures", lambda _found: {})
    return lambda *words: command("evaluate", *words, "--workers", "1")


def test_what_is_printed(evaluate: Run) -> None:
    code, out, err = evaluate("theirs", "scans", "-o", "scores", "--protocol", "brats2023-gli")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("3 patients, 3 cases; (n of N)") and "Lesion by lesion" in out
    assert lines[-4:] == [
        "missing, scored worst: BraTS-GLI-00002-000 (1)",
        "without a reference: stranger (1)",
        "labels: predictions brats2023, references brats2023; protocol: brats2023-gli",
        "page, tables and scores of every case in scores",
    ]


def test_one_folder_against_another(evaluate: Run, folders: Path) -> None:
    code, out, err = evaluate("ours", "scans", "-o", "scores", "--against", "theirs")
    assert code == 0 and "ours is ours, other is theirs" in out and "Holm" in out
    assert err == "note: theirs: 1 without a prediction, scored worst: BraTS-GLI-00002-000\n"
    assert (folders / "scores" / "other.csv").is_file()


def test_json_is_all_that_standard_output_holds(evaluate: Run, folders: Path) -> None:
    code, out, _ = evaluate("ours", "scans", "-o", "scores", "--against", "theirs", "--json")
    found = json.loads(out)
    assert code == 0 and found["protocol"] == "legacy" and found["paired"]["cases"] == 3
    written = json.loads((folders / "scores" / "scores.json").read_text())
    assert found == written and "gliamap" in found["versions"]


def test_wrong_input_ends_with_2(evaluate: Run) -> None:
    for words, told in (
        (("ours", "scans", "--protocol", "brats"), "there is no protocol 'brats'"),
        (("ours", "scans", "--against", "nowhere"), "nowhere is not a folder"),
        (("ours", "scans", "--against", "."), "holds no prediction for any of the 3 references"),
    ):
        code, out, err = evaluate(*words)
        assert (code, out) == (2, "") and told in err


def test_a_stop_says_how_to_go_on(evaluate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, done = evaluate_case.score_job, []

    def stop_at_two(job: Job) -> Scored:
        if done:
            raise KeyboardInterrupt
        done.append(job.pair.case_id)
        return honest(job)

    with monkeypatch.context() as patch:
        patch.setattr(evaluate_case, "score_job", stop_at_two)
        code, out, err = evaluate("ours", "scans", "-o", "scores")
        assert (code, out) == (130, "") and "stopped; the same command goes on" in err
    with monkeypatch.context() as patch:
        patch.setattr(evaluate_case, "score_job", lambda job: honest(job) if job.pair.case_id not in done else None)
        code, out, _ = evaluate("ours", "scans", "-o", "scores")
        assert code == 0 and "1.000" in out
    code, _, err = evaluate("ours", "scans", "-o", "scores")
    assert code == 2 and "holds scores already" in err


@pytest.mark.slow
def test_killed_without_warning_it_goes_on_to_the_same_bytes(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folders)

    def left(out: str) -> dict[str, bytes]:
        paths = [path for path in sorted((folders / out).rglob("*")) if path.is_file()]
        return {str(path.relative_to(folders / out)): path.read_bytes() for path in paths}

    with nursery(folders) as gliamap:
        line = "evaluate ours scans --against theirs --protocol brats2023-met --workers 1"
        assert gliamap.run(f"{line} -o whole")[0] == 0
        for number, place in enumerate(("before", "after")):
            fault = Fault("gliamap.workflows.scores.evaluate_case:write_json", call=3, when=place)
            assert gliamap.run(f"{line} -o killed{number}", fault=fault)[0] == -signal.SIGKILL
            assert len(list((folders / f"killed{number}" / ".scored").glob("*.json"))) == 2 + number
            assert gliamap.run(f"{line} -o killed{number}")[0] == 0
            assert left(f"killed{number}") == left("whole")
