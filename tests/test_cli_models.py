"""The verb models, and names of shipped models where a model is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import shipped as made
import tiny
from gliamap.cli.serve_verb import _models
from gliamap.models.shipped import shipped_names

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(command: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a line of the command with made models, as if from a terminal of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")
    made.ship(tmp_path / "models", monkeypatch)
    return lambda line: command(*line.split())


def test_the_list_tells_what_each_is_for_and_how_good(run: Run) -> None:
    code, out, err = run("models")
    assert code == 0 and max(map(len, out.splitlines())) <= 100
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "brains-3d volumes t1, t1c, t2, flair WT, TC, ET WT 0.90 [0.88, 0.92] 0.0" in lines
    assert "stripped brains any of them brats2021 labels TC 0.80 [0.78, 0.82]" in lines
    assert "heads-2d slices, volumes t1c WT WT 0.84 [0.82, 0.86] 0.0" in lines
    assert "whole heads binary labels 12 cases" in lines and "patients not known" in lines
    assert "drawn volumes t1, t1c, t2, flair WT, TC, ET not validated 0.0" in lines
    assert "heads-2d For tests. CC BY 4.0, by the tests" in lines
    assert "models show NAME" in err


def test_the_list_as_json(run: Run) -> None:
    first, *_, last = json.loads(run("models --json")[1])
    assert (first["name"], first["dims"], first["foreground"], first["convention"]) == ("brains-2d", 2, "brain", "msd")
    assert first["validated"]["ET"] == {"dice": 0.7, "low": 0.68, "high": 0.72, "patients": 10, "cases": 12}
    assert last["name"] == "heads-2d" and last["licence"] == "CC BY 4.0, by the tests" and last["bytes"] > 1000


def test_one_model_s_card_or_its_description(run: Run) -> None:
    code, out, _ = run("models show heads-2d")
    assert code == 0 and out.split()[0] == "heads-2d" and "|" not in out and "CC BY 4.0" in out
    assert json.loads(run("models show heads-2d --json")[1])["prep"]["foreground"] == "head"
    code, out, err = run("models show nobody")
    assert (code, out) == (2, "") and "brains-2d, brains-3d, drawn, heads-2d" in err


def test_segment_takes_a_name_or_chooses(run: Run, tmp_path: Path) -> None:
    tiny.write_set(tmp_path / "scans", 1)
    code, out, err = run("segment scans -o chosen --no-pictures --engine torch")
    assert code == 0 and "model:" not in out
    assert err.startswith("model: drawn (the only one for volumes of phantoms with t1, t1c, t2, flair)\n")
    code, out, _ = run("segment scans -o named --no-pictures --engine torch --model drawn --json")
    said = json.loads(out)
    assert code == 0 and said["choice"] is None and said["cases"][0]["model"]["name"] == "drawn"
    code, _, err = run("segment scans -o none --modalities dwi")
    assert code == 2 and "drawn: needs t1, t1c, t2, flair" in err and "Traceback" not in err


def test_report_and_export_take_a_name(run: Run, tmp_path: Path) -> None:
    tiny.write_set(tmp_path / "scans", 1)
    assert run("segment scans -o masks --no-pictures --engine torch")[0] == 0
    page = "report scans/Phantom_00001 --prediction masks/Phantom_00001.nii.gz -o page.html --model"
    assert run(f"{page} drawn")[0] == 0
    assert "the only one for volumes of phantoms" in (tmp_path / "page.html").read_text()
    assert "was not made by the model brains-3d" in run(f"{page} brains-3d --overwrite")[2]
    code, out, _ = run("export heads-2d --to pt2 -o network")
    assert code == 0 and "network" in out


def test_a_training_starts_from_a_name(run: Run, tmp_path: Path) -> None:
    tiny.write_store(tmp_path, 4)
    small = "--steps 1 --patch 16 16 16 --batch 1 --workers 0 --precision fp32"
    code, _, err = run(f"train store -o started --init-from drawn {small}")
    assert code == 0, err
    assert json.loads((tmp_path / "started" / "transfer.json").read_text())["source"] == "drawn"


def test_a_training_learns_from_another_data_set_too(run: Run, tmp_path: Path) -> None:
    tiny.write_store(tmp_path, 4)
    assert run("prepare scans -o store-t1c --modality t1c")[0] == 0
    small = "--steps 1 --patch 16 16 16 --batch 1 --workers 0 --precision fp32"
    small += " --recipe any-modality --network unet --widths 4,8"
    code, out, err = run(f"train store -o both {small} --auxiliary store-t1c --auxiliary-share 0.3")
    assert code == 0, err
    said = json.loads((tmp_path / "both" / "auxiliary.json").read_text())
    assert said["share"] == 0.3 and f"and on {len(said['cases'])} case" in out + err and "t1c" in out + err
    code, _, err = run(f"train store -o none {small} --auxiliary-share 0.3")
    assert code == 2 and "no auxiliary data set is named" in err


def test_the_app_offers_all_of_them_or_those_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("models --json")[0] == 0  # now in the folder of the test, with its models
    assert _models([]) == {name: tmp_path / "models" / name for name in shipped_names()}
    for folder in ("a/run/best", "b/run"):
        tiny.write_model(tmp_path / folder)
    named = _models(["drawn", "a/run", "b/run"])
    assert named == {
        "drawn": tmp_path / "models/drawn",
        "run": tmp_path / "a/run/best",
        "run-2": tmp_path / "b/run",
    }
