"""The verb 'segment' killed, stopped and resumed: what is whole is kept, what is not is made, nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import kills
import make
import tiny
from gliamap.config import CleanUpConfig
from gliamap.errors import ConfigError, OutputError
from gliamap.io.atomic import write_json
from gliamap.io.checkpoint import read_spec
from gliamap.workflows.prediction import segment as verb
from gliamap.workflows.prediction.segment import SegmentOptions, segment

PLAIN = SegmentOptions(pictures=False)
RESUME = SegmentOptions(pictures=False, resume=True)
NAMES = [f"BraTS2021_{number:05d}" for number in range(3)]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    make.write_brats_set(tmp_path / "scans")
    return tmp_path / "scans"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.write_model(tmp_path / "model")


def manifest(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "segment.json").read_text())
    return content


def whole_files(out: Path) -> dict[str, bytes]:
    """Every file but the manifest, without what differs from run to run: seconds."""
    found = {path.name: path.read_bytes() for path in out.iterdir() if path.name != "segment.json"}
    for name in [name for name in found if name.endswith(".json")]:
        content = json.loads(found[name])
        found[name] = json.dumps({key: content[key] for key in content if key not in ("seconds", "stages")}).encode()
    return found


def test_the_manifest_says_how_all_was_made(scans: Path, model: Path, tmp_path: Path) -> None:
    (scans / NAMES[1] / f"{NAMES[1]}_t2.nii.gz").write_bytes(b"")
    done = segment(scans, tmp_path / "out", model=model, options=PLAIN)
    said = manifest(tmp_path / "out")
    assert done.manifest == said
    assert list(said["cases"]) == [NAMES[0], NAMES[2]] and list(said["failed"]) == [NAMES[1]]
    assert said["finished"] and said["kept"] == []
    assert said["models"] == [{"name": "tiny", "weights_sha256": read_spec(model).weights_sha256}]
    assert said["engine"].keys() == {"name", "precision", "version"} and said["versions"]["gliamap"]
    assert said["peak_memory_bytes"] > 50e6 and said["seconds"] > 0
    case = said["cases"][NAMES[0]]
    assert case["made_from"]["inputs"].keys() == set(make.MODALITIES)
    assert case["stages"].keys() == said["stages"].keys() == {"read", "network", "write"}
    for stage, seconds in said["stages"].items():
        assert seconds == pytest.approx(sum(each["stages"][stage] for each in said["cases"].values()), abs=0.01)
    assert str(tmp_path) not in json.dumps(said["cases"])


def test_overlapping_changes_no_byte(scans: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = SegmentOptions(probabilities=True, precision="fp32")
    segment(scans, tmp_path / "a", model=model, options=options)
    monkeypatch.setattr(verb, "overlapped", partial(verb.overlapped, together=False))
    segment(scans, tmp_path / "b", model=model, options=options)
    assert whole_files(tmp_path / "a") == whole_files(tmp_path / "b")


def test_nothing_is_made_twice(scans: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = segment(scans, out, model=model, options=SegmentOptions())
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    again = segment(scans, out, model=model, options=SegmentOptions(resume=True))
    assert again.cases == first.cases and again.manifest["kept"] == NAMES
    after = {path: path.stat().st_mtime_ns for path in out.iterdir() if path.name.startswith("BraTS")}
    assert after.items() <= before.items()


def other_input(scans: Path, _out: Path, _model: Path) -> SegmentOptions:
    make.write_brats(scans / "other", make.case("flipped", seed=7, case_id=NAMES[1]))
    (scans / "other" / NAMES[1] / f"{NAMES[1]}_t1.nii.gz").replace(scans / NAMES[1] / f"{NAMES[1]}_t1.nii.gz")
    for path in (scans / "other" / NAMES[1]).iterdir():
        path.unlink()
    (scans / "other" / NAMES[1]).rmdir()
    (scans / "other").rmdir()
    return RESUME


def damaged_mask(_scans: Path, out: Path, _model: Path) -> SegmentOptions:
    mask = out / f"{NAMES[1]}.nii.gz"
    mask.write_bytes(mask.read_bytes()[:-1])
    return RESUME


def lost_mask(_scans: Path, out: Path, _model: Path) -> SegmentOptions:
    (out / f"{NAMES[1]}.nii.gz").unlink()
    return RESUME


def damaged_numbers(_scans: Path, out: Path, _model: Path) -> SegmentOptions:
    (out / f"{NAMES[1]}.json").write_text("{")
    return RESUME


def numbers_of_an_earlier_version(_scans: Path, out: Path, _model: Path) -> SegmentOptions:
    (out / f"{NAMES[1]}.json").write_text('{"mask": "x"}')
    return RESUME


def lost_numbers(_scans: Path, out: Path, _model: Path) -> SegmentOptions:
    (out / f"{NAMES[1]}.json").unlink()
    return RESUME


Change = Callable[[Path, Path, Path], SegmentOptions]


@pytest.mark.parametrize(
    "change",
    [other_input, damaged_mask, lost_mask, damaged_numbers, numbers_of_an_earlier_version, lost_numbers],
)
def test_a_case_that_is_not_as_it_was_is_made_anew(scans: Path, model: Path, tmp_path: Path, change: Change) -> None:
    segment(scans, tmp_path / "out", model=model, options=PLAIN)
    options = change(scans, tmp_path / "out", model)
    done = segment(scans, tmp_path / "out", model=model, options=options)
    assert done.manifest["kept"] == [NAMES[0], NAMES[2]]
    segment(scans, tmp_path / "anew", model=model, options=PLAIN)
    assert whole_files(tmp_path / "out") == whole_files(tmp_path / "anew")


def other_weights(model: Path) -> SegmentOptions:
    path = model / read_spec(model).weights_file
    tensors = {name: np.array(array) for name, array in tiny.weights(path).items()}
    save_file({name: array + 1 for name, array in tensors.items()}, path)
    write_json(model / "model.json", json.loads((model / "model.json").read_text()) | {"weights_sha256": None})
    return RESUME


def other_clean_up(model: Path) -> SegmentOptions:
    spec = read_spec(model).model_copy(update={"clean_up": CleanUpConfig(min_size=0.01)})
    write_json(model / "model.json", spec.model_dump(mode="json"))
    return RESUME


def other_labels(_model: Path) -> SegmentOptions:
    return SegmentOptions(pictures=False, resume=True, labels="msd")


def pictures(_model: Path) -> SegmentOptions:
    return SegmentOptions(resume=True)


@pytest.mark.parametrize("change", [other_weights, other_clean_up, other_labels, pictures])
def test_another_way_makes_all_anew(
    scans: Path, model: Path, tmp_path: Path, change: Callable[[Path], SegmentOptions]
) -> None:
    segment(scans, tmp_path / "out", model=model, options=PLAIN)
    done = segment(scans, tmp_path / "out", model=model, options=change(model))
    assert done.manifest["kept"] == [] and len(done.cases) == 3


def test_more_cases_and_other_memory_change_nothing(scans: Path, model: Path, tmp_path: Path) -> None:
    some = PLAIN.model_copy(update={"cases": tuple(NAMES[:2])})
    segment(scans, tmp_path / "out", model=model, options=some)
    options = RESUME.model_copy(update={"max_memory": "3GB", "force": True})
    assert segment(scans, tmp_path / "out", model=model, options=options).manifest["kept"] == NAMES[:2]


def test_resume_or_overwrite(scans: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="say one of them"):
        segment(scans, tmp_path / "out", model=model, options=SegmentOptions(resume=True, overwrite=True))
    segment(scans / NAMES[0], tmp_path / "out", model=model, options=PLAIN)
    with pytest.raises(OutputError, match="--resume to keep what is whole, or --overwrite"):
        segment(scans, tmp_path / "out", model=model, options=PLAIN)


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kills.Nursery]:
    with kills.nursery(tmp_path_factory.mktemp("children")) as children:
        yield children


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Twelve phantoms, of which number 4 cannot be read, and a model."""
    root = tmp_path_factory.mktemp("twelve")
    scans = tiny.write_set(root / "scans", 12)
    bad = scans / "Phantom_00004" / "Phantom_00004_t1ce.nii.gz"
    bad.write_bytes(bad.read_bytes()[:-100])
    return scans, tiny.write_model(root / "model")


GOOD = [f"Phantom_{number:05d}" for number in range(1, 13) if number != 4]
DEADLY = [
    kills.Fault("gliamap.workflows.prediction.segment_case:write_json", call=6),  # its files are written, not moved
    kills.Fault("gliamap.workflows.prediction.segment_case:CaseWork._convention", call=9),
    kills.Fault("gliamap.infer.predictor:Predictor.run", call=6, when="after"),
]


@pytest.mark.parametrize("fault", DEADLY, ids=lambda fault: fault.where.rpartition(":")[2])
def test_killed_in_the_middle_and_resumed(
    nursery: kills.Nursery, twelve: tuple[Path, Path], tmp_path: Path, fault: kills.Fault
) -> None:
    scans, model = twelve
    out = tmp_path / "masks"
    line = ("segment", str(scans), "-o", str(out), "--model", str(model), "--no-pictures")
    code, said = nursery.run(*line, fault=fault)
    assert code == -9, said
    there = sorted(path.name.removesuffix(".json") for path in out.glob("Phantom*.json"))
    assert 0 < len(there) < 11
    times = {path: path.stat().st_mtime_ns for name in there for path in out.glob(f"{name}*")}
    code, said = nursery.run(*line, "--resume")
    assert code == 1 and "1 of 12 cases failed" in said and f"{len(there)} cases kept" in said, said
    expected = [f"{name}{end}" for name in GOOD for end in (".json", ".nii.gz")]
    assert tiny.files_in(out) == sorted([*expected, "labels.ctbl", "labels.label", "segment.json"])
    assert times == {path: path.stat().st_mtime_ns for path in times}, "made twice"
    told = manifest(out)
    assert sorted(told["cases"]) == GOOD and told["kept"] == there and list(told["failed"]) == ["Phantom_00004"]


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_asked_to_stop_it_leaves_whole_cases(
    nursery: kills.Nursery, twelve: tuple[Path, Path], tmp_path: Path, number: str, code: int
) -> None:
    scans, model = twelve
    out = tmp_path / "masks"
    setup = f"""
import os, signal
from gliamap.infer.predictor import Predictor
honest, calls = Predictor.run, []
def run(self, *more):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.{number})
    return honest(self, *more)
Predictor.run = run
"""
    ended = nursery.run("segment", str(scans), "-o", str(out), "--model", str(model), "--no-pictures", setup=setup)
    assert ended[0] == code and "stopped; the same command with --resume goes on" in ended[1], ended
    there = sorted(path.name.removesuffix(".json") for path in out.glob("Phantom*.json"))
    assert there in (GOOD[:1], GOOD[:2])  # the second was being written
    expected = [f"{name}{end}" for name in there for end in (".json", ".nii.gz")]
    assert tiny.files_in(out) == sorted([*expected, "segment.json"])
    assert not manifest(out)["finished"] and sorted(manifest(out)["cases"]) == there
