"""A training that is killed and resumed, however often and wherever, ends as one that never was."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

import tiny
from kills import Fault, Nursery, Running, alive, children_of, nursery

pytestmark = pytest.mark.slow

TINY = "--network unet --widths 4,8 --patch 16 16 16 --batch 1 --precision fp32 --learning-rate 0.01 --resume"
LONG = f"{TINY} --steps 100 --validate-every 4"
SHORT = f"{TINY} --steps 4 --validate-every 2 --workers 0"
NO_PICTURES = """
from gliamap.workflows.training import tracking
tracking.draw_curves = tracking.save_example = lambda *_: None
"""  # they take most of the time of so short a run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five prepared phantoms: three to train on, one to validate on, one to test on."""
    return tiny.write_store(tmp_path_factory.mktemp("phantoms"), 5)


@pytest.fixture(scope="module")
def gliamap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with nursery(tmp_path_factory.mktemp("output")) as one:
        yield one


def log_of(run: Path) -> list[dict[str, str]]:
    """The rows of the log without the clock."""
    with (run / "log.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{name: cell for name, cell in row.items() if not name.startswith("seconds")} for row in rows]


def progress_of(run: Path) -> dict[str, Any]:
    """What the state says beside its tensors, without the clock."""
    with safe_open(str(run / "state.safetensors"), framework="np") as file:
        progress: dict[str, Any] = json.loads(file.metadata()["progress"])
    progress.pop("seconds")
    return progress


def record_of(run: Path) -> dict[str, Any]:
    """What ``run.json`` says of the result."""
    record = json.loads((run / "run.json").read_text())
    for free in ("workers", "save_every_minutes"):
        record["settings"]["train"].pop(free)
    return {name: record[name] for name in ("settings", "data")}


def assert_same_run(one: Path, other: Path) -> None:
    """All that two runs left is the same to the last bit, but for clocks and ``resumed``."""
    assert tiny.files_in(one) == tiny.files_in(other)  # names of weights hold their hashes; nothing is left over
    for name in ("last", "best"):
        assert (one / name / "model.json").read_bytes() == (other / name / "model.json").read_bytes()
    for name in ("last", "best", "state.safetensors"):
        assert tiny.same(tiny.weights(one / name), tiny.weights(other / name)), name
    assert progress_of(one) == progress_of(other)
    assert log_of(one) == log_of(other)
    assert record_of(one) == record_of(other)
    for picture in (one / "examples").glob("*"):
        assert picture.read_bytes() == (other / "examples" / picture.name).read_bytes()


def wait_for_saves(child: Running, run: Path, count: int) -> None:
    """Until the state was replaced so often, or the child has ended."""
    state = run / "state.safetensors"
    seen = {state.stat().st_ino if state.exists() else 0}
    deadline = time.monotonic() + 120
    while len(seen) <= count and alive(child.pid):
        assert time.monotonic() < deadline, child.err.read_text()
        if state.exists():
            seen.add(state.stat().st_ino)
        time.sleep(0.002)


PLACES = {
    "saving a model": "save_checkpoint",
    "saving the state": "save_state",
    "validation": "validate.py",
    "log": "track.py",
    "pictures": "tracking.py",
    "step": "step.py",
}


def place_of(trace: str) -> str:
    """Where in the training the frames are."""
    return next((place for place, sign in PLACES.items() if sign in trace), "start")


@pytest.fixture(scope="module")
def straight(gliamap: Nursery, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run of these settings that nothing interrupts."""

    @cache
    def run(settings: str) -> Path:
        folder = tmp_path_factory.mktemp("straight") / "run"
        code, text = gliamap.run(f"train {store} -o {folder} {settings}", setup=NO_PICTURES)
        assert code == 0, text
        return folder

    return run


@pytest.mark.parametrize(
    ("more", "seed"), [("--workers 0 --save-every 1e-9", 1), ("--workers 1 --save-every 0.001", 2)]
)
def test_twenty_kills_at_random_moments_change_nothing(
    gliamap: Nursery, store: Path, tmp_path: Path, straight: Callable[[str], Path], more: str, seed: int
) -> None:
    run = tmp_path / "run"
    rng = np.random.default_rng(seed)
    places: Counter[str] = Counter()
    for _ in range(20):
        saves, pause = int(rng.integers(0, 3)), float(rng.uniform(0, 0.2))
        child = gliamap.start(f"train {store} -o {run} {LONG} {more}", setup=NO_PICTURES)
        wait_for_saves(child, run, saves)
        time.sleep(pause)
        places[place_of(child.kill())] += 1
        assert child.wait() == -9, child.err.read_text()
    code, text = gliamap.run(f"train {store} -o {run} {LONG} {more}", setup=NO_PICTURES)
    assert code == 0, text
    assert places.total() == 20 and len(places) >= 3, places
    assert len(json.loads((run / "run.json").read_text())["resumed"]) >= 10
    assert_same_run(straight(LONG), run)


# With SHORT and a save after every step: 1, 2 with a validation, 3, 4 with a validation.
FAULTS = {
    "the split is written, run.json is not": Fault("gliamap.workflows.common.run_record:write_json"),
    "run.json is written, nothing else": Fault("gliamap.workflows.common.run_record:write_json", when="after"),
    "in the first step": Fault("gliamap.training.step:Stepper._loss", when="after"),
    "after the forward pass": Fault("gliamap.training.step:Stepper._loss", 3, "after"),
    "after the backward pass": Fault("torch.autograd:backward", 3, "after"),
    "weights changed, their average not": Fault("gliamap.training.step:update_average", 3),
    "between a step and its validation": Fault("gliamap.training.step:Stepper.take", 2, "after"),
    "in a validation": Fault("gliamap.training.validate:confusion", 2),
    "weights of the best written, not renamed": Fault("gliamap.io.checkpoint:file_sha256"),
    "weights of the best renamed, model.json not written": Fault("gliamap.io.checkpoint:write_json"),
    "model.json of the best written": Fault("gliamap.io.checkpoint:write_json", when="after"),
    "weights of the next model written": Fault("gliamap.io.checkpoint:file_sha256", 2),
    "the next model renamed, its model.json not written": Fault("gliamap.io.checkpoint:write_json", 2),
    "the next model written": Fault("gliamap.io.checkpoint:write_json", 2, "after"),
    "weights of the last model written": Fault("gliamap.io.checkpoint:file_sha256", 3),
    "the last model renamed, its model.json not written": Fault("gliamap.io.checkpoint:write_json", 3),
    "the last model written": Fault("gliamap.io.checkpoint:write_json", 3, "after"),
    "the best written, no log row": Fault("gliamap.training.track:CsvLog.add"),
    "half a log row": Fault("gliamap.training.track:CsvLog.add", 2, "cut"),
    "a log row, no state": Fault("gliamap.training.track:CsvLog.add", 2, "after"),
    "before the curves": Fault("gliamap.workflows.training.tracking:draw_curves", 2),
    "before the example": Fault("gliamap.workflows.training.tracking:save_example", 2),
    "the state is being written": Fault("gliamap.io.tensors:save_file", 3, "after"),
    "after a state": Fault("gliamap.training.loop:save_state", 2, "after"),
    "after the last state": Fault("gliamap.training.loop:save_state", 4, "after"),
}


RARELY_SAVED = [
    "in the first step",
    "weights changed, their average not",
    "model.json of the best written",
    "a log row, no state",
    "the state is being written",
    "after a state",
]
CASES = [(name, "--save-every 1e-9") for name in FAULTS] + [(name, "--save-every 1000") for name in RARELY_SAVED]


@pytest.mark.parametrize(("where", "save"), CASES)
def test_killed_at_the_worst_moments(
    gliamap: Nursery, store: Path, tmp_path: Path, straight: Callable[[str], Path], where: str, save: str
) -> None:
    fault = FAULTS[where]
    if save.endswith("1000") and "save" in fault.where:
        fault = replace(fault, call=1)  # the only one
    command = f"train {store} -o {tmp_path / 'run'} {SHORT} {save}"
    code, text = gliamap.run(command, fault=fault, setup=NO_PICTURES)
    assert code == -9, text
    code, text = gliamap.run(command, setup=NO_PICTURES)
    assert code == 0, text
    assert_same_run(straight(SHORT), tmp_path / "run")


def test_pictures_are_made_up_for(gliamap: Nursery, store: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        command = f"train {store} -o {tmp_path / name / 'run'} {SHORT} --save-every 1e-9"
        if name == "other":
            code, text = gliamap.run(command, fault=Fault("gliamap.workflows.training.tracking:draw_curves", 2))
            assert code == -9, text
        code, text = gliamap.run(command)
        assert code == 0, text
    assert_same_run(*(tmp_path / name / "run" for name in ("one", "other")))
    names = [f"examples/step_00000{step}.png" for step in (2, 4)]
    assert all((tmp_path / "one" / "run" / name).stat().st_size for name in (*names, "curves.png"))


def test_killed_again_while_resuming(
    gliamap: Nursery, store: Path, tmp_path: Path, straight: Callable[[str], Path]
) -> None:
    command = f"train {store} -o {tmp_path / 'run'} {SHORT} --save-every 1e-9"
    for fault in (
        Fault("gliamap.training.step:update_average", 4),
        Fault("gliamap.workflows.common.run_record:write_json"),
        Fault("gliamap.training.loop:load_state"),
        Fault("gliamap.io.atomic:Path.replace", 3),  # of the log: run.json and split.json come before
        Fault("gliamap.training.step:Stepper.take"),
    ):
        code, text = gliamap.run(command, fault=fault, setup=NO_PICTURES)
        assert code == -9, (fault, text)
    code, text = gliamap.run(command, setup=NO_PICTURES)
    assert code == 0, text
    assert_same_run(straight(SHORT), tmp_path / "run")


def test_workers_end_with_the_training_that_is_killed(gliamap: Nursery, store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    child = gliamap.start(f"train {store} -o {run} {TINY} --steps 1000 --workers 2 --save-every 1e-9")
    wait_for_saves(child, run, 2)
    workers = children_of(child.pid)
    assert len(workers) == 2
    child.kill()
    assert child.wait() == -9
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not [path for path in Path("/dev/shm").glob("torch_*") if path.name.split("_")[1] in map(str, workers)]
    assert "Traceback" not in child.err.read_text()


@pytest.mark.parametrize("sent", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("pause", [0.0, 0.1, 0.25])
def test_a_signal_to_all_processes_stops_without_a_traceback(
    gliamap: Nursery, store: Path, tmp_path: Path, straight: Callable[[str], Path], sent: tuple[int, int], pause: float
) -> None:
    """As a terminal sends Ctrl-C, and a cluster's scheduler SIGTERM: the workers get it, too."""
    run = tmp_path / "run"
    command = f"train {store} -o {run} {LONG} --workers 2 --save-every 1e-9"
    child = gliamap.start(command, setup=NO_PICTURES)
    wait_for_saves(child, run, 1)
    time.sleep(pause)
    os.killpg(child.pid, sent[0])
    assert child.wait() == sent[1]
    said = child.err.read_text()
    assert f"stopped; the same command with --resume goes on in {run}" in said
    assert "Traceback" not in said and "error" not in said
    if pause:
        return
    ended, text = gliamap.run(command, setup=NO_PICTURES)
    assert ended == 0, text
    assert_same_run(straight(LONG), run)


def test_a_worker_that_is_killed_ends_the_training_soundly(
    gliamap: Nursery, store: Path, tmp_path: Path, straight: Callable[[str], Path]
) -> None:
    run = tmp_path / "run"
    command = f"train {store} -o {run} {LONG} --workers 2 --save-every 1e-9"
    child = gliamap.start(command, setup=NO_PICTURES)
    wait_for_saves(child, run, 1)
    os.kill(children_of(child.pid)[0], signal.SIGKILL)
    assert child.wait() == 2
    said = child.err.read_text()
    assert "a process that loads patches was killed" in said and "--resume" in said and "Traceback" not in said
    code, text = gliamap.run(command, setup=NO_PICTURES)
    assert code == 0, text
    assert_same_run(straight(LONG), run)


@pytest.mark.parametrize(("bytes_", "file"), [(30_000, "state.safetensors"), (15_000, "weights-new.safetensors")])
def test_files_that_cannot_grow_end_the_training_soundly(
    gliamap: Nursery, store: Path, tmp_path: Path, straight: Callable[[str], Path], bytes_: int, file: str
) -> None:
    run = tmp_path / "run"
    command = f"train {store} -o {run} {SHORT}"
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes_}, {bytes_}))"
    code, said = gliamap.run(command, setup=NO_PICTURES + limit)
    assert code == 2 and "Traceback" not in said, said
    assert f"{file} cannot be written" in said and "File too large" in said
    assert "free some space" in said and "--resume" in said
    assert not [name for name in tiny.files_in(run) if ".part-" in name]
    code, text = gliamap.run(command, setup=NO_PICTURES)
    assert code == 0, text
    assert_same_run(straight(SHORT), run)
