"""The command line, used as a newcomer would, and then wrongly on purpose."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import make
import tiny
from gliamap.config import InputConfig

TINY = "--network unet --widths 4,8 --patch 16 16 16 --batch 1 --workers 0 --precision fp32 --validate-every 2"
VERBS = ("prepare", "train", "segment", "evaluate", "phantom", "demo")


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str


Command = Callable[..., Ran]


@pytest.fixture
def gliamap(command: Callable[..., tuple[int, str, str]]) -> Command:
    """Run a line of the command, as if from an 80-column terminal."""
    return lambda line, *more: Ran(*command(*line.split(), *more))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms, their store, and a model of phantoms."""
    root = tmp_path_factory.mktemp("made")
    tiny.write_set(root / "scans", 4)
    from gliamap.workflows.data.prepare import prepare  # noqa: PLC0415

    prepare([root / "scans"], root / "store")
    tiny.write_model(root / "model", tiny.spec(phantom_only=True))
    return root


def assert_plain_error(ran: Ran, *words: str) -> None:
    """Exit code 2, a message with these words and what to do, nothing on standard output, no traceback."""
    assert ran.code == 2, ran
    assert ran.out == "" and "Traceback" not in ran.err
    assert ran.err.startswith("error     ")
    for word in words:
        assert word in ran.err
    assert "to do     " in ran.err or "expected  " in ran.err


def test_four_verbs_from_scans_to_scores(gliamap: Command, made: Path, tmp_path: Path) -> None:
    scans = made / "scans"
    ran = gliamap(f"prepare {scans} -o store")
    assert ran.code == 0 and ran.out.startswith("4 cases (4 patients) in store\n")
    assert ran.err == "next: gliamap train store -o run\n"
    ran = gliamap(f"train store -o run --steps 4 {TINY}")
    assert ran.code == 0 and ran.out.startswith("trained on 2 cases; model, log and curves in run\n")
    assert "best validation Dice (1 case, step " in ran.out and "WT 0." in ran.out
    assert "step 2: loss" in ran.err and "next: gliamap segment SCANS -o masks --model run" in ran.err
    ran = gliamap(f"segment {scans} -o masks --model run --part test")
    assert ran.code == 0 and "WT mL" in ran.out and "labels: brats2021 (the input's layout)" in ran.out
    ran = gliamap(f"evaluate masks {scans} --split run/split.json --part test -o scores")
    assert ran.code == 0 and "WT: whole tumour" in ran.out
    assert (tmp_path / "scores" / "scores.csv").is_file()


def test_json_is_all_that_standard_output_holds(gliamap: Command, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gliamap.sources.phantom.PHANTOM_SHAPES", (tiny.SHAPE,))
    monkeypatch.setattr("gliamap.workflows.demo.shipped_model", lambda _name: made / "model")
    expected = {
        "phantom -n 1 phantoms": {"out", "cases"},
        f"prepare {made / 'scans'} -o store": {
            *("store", "cases", "patients", "reused", "convention", "failed", "notes")
        },
        f"train store -o run --steps 2 {TINY}": {"run", "best", "cases"},
        "segment phantoms -o masks --model run": {"out", "cases", "failed", "notes", "choice"},
        "evaluate masks phantoms": {
            *("format", "predictions", "references", "protocol", "prediction_conventions", "reference_conventions"),
            *("missing", "surplus", "notes", "summary", "cases", "strata", "other", "paired", "versions"),
        },
        "demo -o demo": {"mask", "picture", "report", "case", "scores"},
    }
    assert {line.split()[0] for line in expected} == set(VERBS)
    for line, keys in expected.items():
        ran = gliamap(line, "--json")
        assert ran.code == 0, ran
        assert json.loads(ran.out).keys() == keys, line


def test_json_of_a_run_with_failures_still_parses(gliamap: Command, made: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    for number in (1, 2):
        make.write_brats(scans, tiny.phantom(number))
    (scans / "Phantom_00001" / "Phantom_00001_t2.nii.gz").write_bytes(b"")
    ran = gliamap(f"segment {scans} -o masks --model {made / 'model'} --no-pictures", "--json")
    assert ran.code == 1 and list(json.loads(ran.out)["failed"]) == ["Phantom_00001"]
    ran = gliamap(f"prepare {scans} -o store", "--json")
    assert ran.code == 1 and list(json.loads(ran.out)["failed"]) == ["Phantom_00001"]


TABLES = ("labels.ctbl", "labels.label")


def test_failed_cases_are_listed_and_end_with_1(gliamap: Command, made: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    for number in (1, 2, 3):
        make.write_brats(scans, tiny.phantom(number))
    broken = scans / "Phantom_00002" / "Phantom_00002_t1ce.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-100])
    lost = scans / "Phantom_00003"
    for path in lost.glob("*[!g].nii.gz"):  # all but _seg
        path.unlink()
    ran = gliamap(f"segment {scans} -o masks --model {made / 'model'} --no-pictures")
    assert ran.code == 1 and "Traceback" not in ran.err
    assert "2 of 3 cases failed" in ran.err and str(broken) in ran.err and "Phantom_00003" in ran.err
    assert tiny.files_in(tmp_path / "masks") == ["Phantom_00001.json", "Phantom_00001.nii.gz", *TABLES, "segment.json"]
    ran = gliamap(f"prepare {scans} -o store")
    assert ran.code == 1 and "2 of 3 cases failed" in ran.err and "1 case (1 patient) in store" in ran.out


def test_some_modalities_and_flips(gliamap: Command, made: Path, tmp_path: Path) -> None:
    network = tiny.spec().network.model_copy(update={"in_channels": 8})
    wanted = tiny.spec(network=network, inputs=InputConfig(presence=True), may_be_missing=make.MODALITIES)
    tiny.write_model(tmp_path / "any", wanted)
    line = f"segment {made / 'scans' / 'Phantom_00001'} -o masks --model any --no-pictures --flips --json"
    (case,) = json.loads(gliamap(line, "--modalities", "T1ce, t2").out)["cases"]
    assert (case["modalities"], case["flips"]) == (["t1c", "t2"], ["x", "y", "z"])
    ran = gliamap(f"segment {made / 'scans' / 'Phantom_00002'} -o masks --model any --modalities t1,t1c,t2")
    assert ran.code == 0 and "modality: flair" in " ".join(ran.out.replace("│", " ").split())


def test_names_with_brackets_are_printed_as_they_are(gliamap: Command, made: Path, tmp_path: Path) -> None:
    scans = tmp_path / "[bold]scans[/]"
    make.write_brats(scans, tiny.phantom(1, case_id="Phantom_[1]"))
    ran = gliamap("prepare -o [red]store", str(scans))
    assert ran.code == 0 and "in [red]store" in ran.out
    ran = gliamap(f"segment -o [masks] --no-pictures --model {made / 'model'}", str(scans))
    assert ran.code == 0 and "Phantom_[1]" in ran.out and "in [masks]" in ran.out
    ran = gliamap(f"segment -o [masks] --model {made / 'model'}", str(scans))
    assert_plain_error(ran, "[masks]/Phantom_[1]")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("prepare EMPTY -o out", ("EMPTY", "an empty folder")),
        ("prepare nowhere -o out", ("nowhere does not exist",)),
        ("prepare SCANS -o out --labels foo", ("no label convention called 'foo'", "brats2021")),
        ("prepare SCANS -o out --spacing 0 1 1", ("'spacing' does not fit",)),
        ("prepare SCANS SCANS -o out", ("occurs in more than one source",)),
        ("train SCANS -o out", ("not a prepared data set", "gliamap prepare")),
        ("train STORE -o out --steps 0", ("'steps' does not fit", "greater than or equal to 1")),
        ("train STORE -o out --batch 0", ("'batch' does not fit",)),
        ("train STORE -o out --learning-rate -1", ("'learning_rate' does not fit",)),
        ("train STORE -o out --validate-every 0", ("'validate_every' does not fit",)),
        ("train STORE -o out --workers -1", ("'workers' does not fit",)),
        ("train STORE -o out --patch 0 0 0", ("'patch' does not fit",)),
        ("train STORE -o out --patch 17 16 16 --network unet --widths 4,8", ("17x16x16", "--patch")),
        ("train STORE -o out --widths 16", ("at least two levels",)),
        ("train STORE -o out --widths 16,32", ("at least 3 levels",)),
        ("train STORE -o out --network foo", ("no network called 'foo'", "unet")),
        ("train STORE -o out --test-fold 3", ("folds",)),
        ("train STORE -o out --split nowhere.json", ("nowhere.json",)),
        ("train STORE -o out --micro-batch 3", ("a batch of 2 patches", "--micro-batch")),
        ("train STORE -o out --lessons nowhere", ("holds no lessons", "gliamap teach")),
        ("teach STORE nowhere -o out", ("there is no model at nowhere",)),
        ("train STORE -o STORE", ("is a prepared data set",)),
        ("segment EMPTY -o out --model MODEL", ("EMPTY", "an empty folder")),
        ("segment STORE -o out --model MODEL", ("STORE is a prepared data set",)),
        ("segment SCANS -o out --model nowhere", ("no model at nowhere", "--model")),
        ("segment SCANS -o out --model SCANS", ("SCANS is not a model",)),
        ("segment SCANS -o out --model MODEL --part test", ("no split.json", "--part")),
        ("segment SCANS -o out --model MODEL --labels binary", ("binary", "--lossy")),
        ("segment SCANS -o out --model MODEL --modalities t1,dwi", ("no modality 'dwi'", "t1, t1c, t2, flair")),
        ("segment SCANS -o out --model MODEL --modalities ,", ("no modality is named", "t1, t1c, t2, flair")),
        ("segment SCANS -o out --model MODEL --modalities t1ce,flair", ("cannot do without t1, t2", "any-modality")),
        ("segment REAL -o out --model MODEL", ("trained on phantoms", "train a model on real cases")),
        ("evaluate EMPTY SCANS -o out", ("EMPTY",)),
        ("evaluate nowhere SCANS -o out", ("nowhere",)),
        ("demo -o SCANS", ("something else than a demonstration",)),
        ("phantom SCANS", ("already exists", "--overwrite")),
    ],
)
def test_wrong_input_ends_with_2_and_leaves_nothing(
    gliamap: Command, made: Path, tmp_path: Path, line: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "empty").mkdir()
    make.write_brats(tmp_path / "real", make.case())
    places = {
        "SCANS": str(made / "scans"),
        "STORE": str(made / "store"),
        "MODEL": str(made / "model"),
        "EMPTY": "empty",
        "REAL": "real",
    }
    before = tiny.files_in(tmp_path), tiny.files_in(made)
    for place, path in places.items():
        line = line.replace(place, path)
        words = tuple(word.replace(place, path) for word in words)
    assert_plain_error(gliamap(line), *words)
    assert before == (tiny.files_in(tmp_path), tiny.files_in(made))


def single(how: str, folder: Path) -> str:
    """Break the only case; what the message should name."""
    t2 = folder / f"{folder.name}_t2.nii.gz"
    if how == "missing modality":
        t2.unlink()
        return "lacks t2"
    if how == "not NIfTI":
        t2.write_bytes(b"not a scan" * 100)
    elif how == "truncated":
        t2.write_bytes(t2.read_bytes()[:-100])
    elif how == "differing grids":
        nib.Nifti1Image(np.ones((5, 6, 7), np.int16), np.eye(4)).to_filename(t2)
    else:
        seg = folder / f"{folder.name}_seg.nii.gz"
        image = nib.Nifti1Image.from_filename(seg)
        nib.Nifti1Image(np.full(image.shape, 9, np.uint8), image.affine).to_filename(seg)
        return str(seg)
    return str(t2)


@pytest.mark.parametrize("how", ["missing modality", "not NIfTI", "truncated", "differing grids"])
def test_bad_input_of_a_single_case(gliamap: Command, made: Path, tmp_path: Path, how: str) -> None:
    folder = make.write_brats(tmp_path / "scans", tiny.phantom())
    named = single(how, folder)
    before = tiny.files_in(tmp_path)
    ran = gliamap(f"segment {folder} -o masks --model {made / 'model'}")
    assert_plain_error(ran, named, "to do     ")
    assert tiny.files_in(tmp_path) == before


@pytest.mark.parametrize("how", ["not NIfTI", "truncated", "differing grids", "labels outside"])
def test_bad_input_of_the_only_case_to_prepare(gliamap: Command, tmp_path: Path, how: str) -> None:
    folder = make.write_brats(tmp_path / "scans", tiny.phantom())
    named = single(how, folder)
    ran = gliamap("prepare scans -o store")
    assert_plain_error(ran, Path(named).name, "to do     ")
    assert [path for path in tiny.files_in(tmp_path) if path.startswith("store")] == []


def test_files_named_in_another_way(gliamap: Command, made: Path, tmp_path: Path) -> None:
    """A pattern leads prepare, segment and evaluate through files that no layout fits."""
    for folder in (made / "scans").iterdir():
        for path in folder.iterdir():
            case_id, _, part = path.name.rpartition("_")
            target = tmp_path / "clinic" / part.removesuffix(".nii.gz") / f"{case_id}.nii.gz"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    pattern = "--pattern {modality}/{case}.nii.gz"
    ran = gliamap(f"prepare clinic -o store {pattern} --labels brats2021")
    assert ran.code == 0 and ran.out.startswith("4 cases") and "labels brats2021" in ran.out
    ran = gliamap(f"segment clinic -o masks --model {made / 'model'} --no-pictures {pattern}")
    assert ran.code == 0 and "Phantom_00004" in ran.out
    ran = gliamap(f"evaluate masks clinic {pattern} --reference-labels brats2021", "--json")
    assert ran.code == 0, ran
    assert len(json.loads(ran.out)["cases"]) == 4 and json.loads(ran.out)["missing"] == []


@pytest.mark.parametrize(
    ("error", "words"),
    [(MemoryError("cannot allocate"), "not enough memory"), (OSError(28, "No space", "x.bin"), "x.bin cannot be used")],
)
def test_what_the_system_refuses_is_told_plainly(
    gliamap: Command, made: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("gliamap.workflows.prediction.segment_model.load_predictor", refuse)
    assert_plain_error(gliamap(f"segment {made / 'scans'} -o masks --model {made / 'model'}"), words, "to do     ")


def test_existing_output_is_kept(gliamap: Command, made: Path, tmp_path: Path) -> None:
    line = f"segment {made / 'scans' / 'Phantom_00001'} -o masks --model {made / 'model'} --no-pictures"
    assert gliamap(line).code == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "masks").iterdir()}
    assert_plain_error(gliamap(line), "are there already", "--overwrite")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "masks").iterdir()}
    assert gliamap(line + " --overwrite").code == 0
    assert before != {path: path.stat().st_mtime_ns for path in (tmp_path / "masks").iterdir()}


def test_a_damaged_prediction_is_named(gliamap: Command, made: Path, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "Phantom_00001.nii.gz").write_bytes(b"\x1f\x8bdamaged")
    assert_plain_error(gliamap(f"evaluate masks {made / 'scans'}"), "masks/Phantom_00001.nii.gz")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("", "Usage"),
        ("tran store", "No such command"),
        ("train", "Missing"),
        ("train store -o run --widths a,b", "a,b"),
        ("train store -o run --steps many", "--steps"),
        ("segment scans", "--out"),
        ("segment scans -o out --model run --overlap 2", "--overlap"),
        ("phantom -n 0 out", "--count"),
    ],
)
def test_wrong_usage_ends_with_2(gliamap: Command, line: str, word: str) -> None:
    ran = gliamap(line)
    assert ran.code == 2 and word in ran.out + ran.err and "Traceback" not in ran.err


@pytest.mark.parametrize("verb", VERBS)
def test_every_help_shows_an_example(gliamap: Command, verb: str) -> None:
    ran = gliamap(f"{verb} --help")
    assert ran.code == 0 and f"gliamap {verb}" in ran.out.split("Examples:", 1)[1]
    assert max(len(line) for line in ran.out.splitlines()) <= 80


def test_long_paths_are_not_broken(gliamap: Command, made: Path, tmp_path: Path) -> None:
    long = "a-folder-with-a-name-that-is-longer-than-a-terminal-is-wide-" * 3
    ran = gliamap(f"prepare {made / 'scans'} -o {tmp_path / long}")
    assert str(tmp_path / long) in ran.out
    ran = gliamap(f"segment {tmp_path / long} -o masks --model {made / 'model'}")
    assert str(tmp_path / long) in ran.err


def test_tables_fit_80_columns(gliamap: Command, made: Path) -> None:
    ran = gliamap(f"segment {made / 'scans'} -o masks --model {made / 'model'} --no-pictures")
    assert max(len(line) for line in ran.out.splitlines() if "│" in line or "─" in line) <= 80
    ran = gliamap(f"evaluate masks {made / 'scans'}")
    tables = [line for line in ran.out.splitlines() if not line.endswith(".")]  # sentences are the terminal's to wrap
    assert "…" not in ran.out and max(map(len, tables)) <= 80


def test_resume_from_the_command_line(gliamap: Command, made: Path, tmp_path: Path) -> None:
    line = f"train {made / 'store'} -o run --steps 4 {TINY}"
    assert gliamap(line).code == 0
    assert_plain_error(gliamap(line), "holds a run already", "--resume")
    assert_plain_error(gliamap(line + " --resume --seed 1"), "train.seed 1", "train.seed 0", f"gliamap {line}")
    before = tiny.weights(tmp_path / "run" / "last")
    assert gliamap(line + " --resume").code == 0
    assert tiny.same(tiny.weights(tmp_path / "run" / "last"), before)


def wait_for(what: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("workers", [0, 1])
def test_ctrl_c_saves_the_state_and_the_same_command_goes_on(
    gliamap: Command, made: Path, tmp_path: Path, workers: int
) -> None:
    settings = TINY.replace("--workers 0", f"--workers {workers}").replace("--validate-every 2", "--validate-every 10")
    line = f"train {made / 'store'} --steps 60 {settings}"
    command = [str(Path(sys.executable).parent / "gliamap"), *line.split(), "-o", "broken"]
    with tiny.listening_to_ctrl_c():
        process = subprocess.Popen(
            command, cwd=tmp_path, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    log = tmp_path / "broken" / "log.csv"
    wait_for(lambda: log.is_file() and log.read_text().count("\n") > 2, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: workers get it, too
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command with --resume goes on in broken" in err and "Traceback" not in err
    assert (tmp_path / "broken" / "state.safetensors").is_file() and not (tmp_path / "broken" / "last").exists()
    assert gliamap(f"{line} -o broken --resume").code == 0
    assert gliamap(f"{line} -o straight").code == 0
    runs = [tmp_path / name for name in ("broken", "straight")]
    assert tiny.same(*(tiny.weights(run / "last") for run in runs))
    steps = [[row.split(",")[0] for row in (run / "log.csv").read_text().splitlines()] for run in runs]
    assert steps[0] == steps[1] == ["step", "10", "20", "30", "40", "50", "60"]


def test_teach_then_train(gliamap: Command, made: Path, tmp_path: Path) -> None:
    ran = gliamap(f"teach {made / 'store'} {made / 'model'} -o lessons --json")
    assert json.loads(ran.out) == {"lessons": "lessons", "teachers": 1, "cases": 4}
    line = f"train {made / 'store'} -o run --lessons lessons --test-share 0 --val-share 0.5 --steps 2 --json"
    ran = gliamap(f"{line} --network unet --widths 4,8 --patch 16 16 16 --workers 0 --precision fp32")
    assert ran.code == 0, ran
    assert json.loads(ran.out)["cases"] == {"train": 2, "val": 2, "test": 0, "left_out": 0}
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert len(settings["teachers"]) == 1 and settings["network"]["widths"] == [4, 8]
