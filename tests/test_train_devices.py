"""Several processes share a training: the same curve, one writer, one end for all, and a way to go on."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

import processes
import tiny
from gliamap.cli.launched import one_voice
from gliamap.errors import ConfigError
from gliamap.io.atomic import write_json
from gliamap.io.store import read_store, write_store
from gliamap.sources.splits import Split, write_split
from gliamap.training import fabric
from gliamap.training.devices import Devices
from processes import Task, share, together

# Gradients are added up in another order where more than two are shared in another way. Measured after 40 steps on
# such data: losses to their last printed digit, weights within 4e-6 of their tensor's largest.
LOSS_TOLERANCE = 1e-5
WEIGHT_TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five prepared phantoms: three to train on, one to validate on, one to test on."""
    return tiny.write_store(tmp_path_factory.mktemp("phantoms"), 5)


def log_of(run: Path) -> list[dict[str, str]]:
    """The rows of the log without the clock."""
    with (run / "log.csv").open(newline="") as stream:
        return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in csv.DictReader(stream)]


def steps_saved(run: Path) -> int:
    """The steps done in the saved state."""
    with safe_open(str(run / "state.safetensors"), framework="np") as file:
        return int(json.loads(file.metadata()["progress"])["step"])


def assert_same(one: Path, other: Path) -> None:
    """Weights of last and best, optimiser, losses and Dice are the same to the last bit."""
    for name in ("last", "best", "state.safetensors"):
        state, again = tiny.weights(one / name), tiny.weights(other / name)
        assert tiny.same(state, again), name
    assert log_of(one) == log_of(other)


def assert_close(one: Path, other: Path) -> None:
    """Losses and weights agree within the tolerances."""
    for row, again in zip(log_of(one), log_of(other), strict=True):
        assert float(row["loss"]) == pytest.approx(float(again["loss"]), rel=LOSS_TOLERANCE)
    weights, others = tiny.weights(one / "last"), tiny.weights(other / "last")
    for name, value in weights.items():
        assert np.abs(value - others[name]).max() <= WEIGHT_TOLERANCE * np.abs(value).max(), name


def test_two_processes_do_to_the_last_bit_what_one_does_that_adds_up(store: Path, tmp_path: Path) -> None:
    names = [f"Phantom_{number:05d}" for number in range(1, 6)]
    write_split(tmp_path / "split.json", Split(train=tuple(names[:2]), val=tuple(names[2:]), test=(), seed=0))
    options = tiny.options(batch=2, micro_batch=1, workers=1).model_copy(update={"split_file": tmp_path / "split.json"})
    one, two = (Task(store, tmp_path / name / "run", options, deny=tmp_path) for name in ("one", "two"))
    assert together(1, one) == ["done"]
    assert together(2, two) == ["done", "done"]  # the second could write nothing
    assert_same(one.run, two.run)
    assert tiny.files_in(one.run) == tiny.files_in(two.run)
    assert json.loads((two.run / "run.json").read_text())["processes"] == 2


def test_two_processes_rest_and_wake_an_encoder_as_one_does(store: Path, tmp_path: Path) -> None:
    """To the last bit, over the step from which on it moves."""
    options = tiny.options(batch=2, micro_batch=1, freeze_encoder_steps=3, transferred_rate=0.5)
    options = options.model_copy(update={"init_from": tiny.write_model(tmp_path / "source")})
    one, two = (Task(store, tmp_path / name / "run", options) for name in ("one", "two"))
    assert together(1, one) == ["done"]
    assert together(2, two) == ["done", "done"]
    assert_same(one.run, two.run)
    source, last = tiny.weights(tmp_path / "source"), tiny.weights(two.run / "last")
    assert (source["down.0.0.weight"] != last["down.0.0.weight"]).all()


def test_a_process_that_dies_stops_the_others_which_save(store: Path, tmp_path: Path) -> None:
    straight = Task(store, tmp_path / "straight" / "run", tiny.options(batch=2))
    broken = replace(straight, run=tmp_path / "broken" / "run", trouble=processes.die)
    assert together(2, straight) == ["done", "done"]
    first, second = together(2, broken)
    assert second == "exit code -9"
    assert first.startswith("another process of this training has ended.") and "--resume" in first
    assert steps_saved(broken.run) == 4
    assert not list(broken.run.rglob(".part-*"))
    assert together(2, replace(broken, resume=True, trouble=None)) == ["done", "done"]
    assert_same(straight.run, broken.run)


@pytest.mark.slow
def test_a_stopped_training_goes_on_with_any_number_of_processes(store: Path, tmp_path: Path) -> None:
    task = Task(store, tmp_path / "run", tiny.options(batch=6, micro_batch=1, steps=8, validate_every=4))
    for number in (1, 2):
        assert together(number, replace(task, run=tmp_path / f"straight-{number}" / "run")) == ["done"] * number
    straight = tmp_path / "straight-2" / "run"
    assert_close(tmp_path / "straight-1" / "run", straight)
    # The signal reaches the second process alone; both stop after the same step, and the first saves.
    broken = replace(task, run=tmp_path / "broken" / "run", trouble=processes.ask_to_stop)
    assert together(2, broken) == ["interrupted", "interrupted"]
    assert steps_saved(broken.run) == 5
    for number in (1, 2, 3):
        copy = tmp_path / f"resumed-{number}" / "run"
        shutil.copytree(broken.run, copy)
        assert together(number, replace(task, run=copy, resume=True)) == ["done"] * number
        assert_close(straight, copy)
    assert_same(straight, tmp_path / "resumed-2" / "run")


def test_a_batch_that_cannot_be_shared_is_refused_by_the_first(store: Path, tmp_path: Path) -> None:
    first, second = together(2, Task(store, tmp_path / "run", tiny.options(batch=3)))
    assert first.startswith("a batch of 3 patches cannot be shared by 2 processes")
    assert second.startswith("another process of this training has ended")
    assert not (tmp_path / "run").exists()


def test_processes_that_were_not_given_the_same_are_refused(store: Path, tmp_path: Path) -> None:
    task = Task(store, tmp_path / "run", tiny.options(batch=2))
    older, info = tmp_path / "store", read_store(store)
    older.mkdir()
    (older / "cases").symlink_to(store / "cases")
    write_store(older, info.model_copy(update={"cases": info.cases[:4]}))
    assert "other data on some machine" in share([task, replace(task, store=older)])[0]
    outcomes = share([task, replace(task, options=tiny.options(batch=2, seed=1))])
    assert all(text.startswith("the processes of this training do not agree") for text in outcomes)
    assert "other settings on some machine" in outcomes[0]
    assert not (tmp_path / "run").exists()
    outcomes = share([task, replace(task, run=tmp_path / "elsewhere" / "run")])
    assert all("do not see the same folder" in text and "file system" in text for text in outcomes)
    assert not (tmp_path / "elsewhere").exists()


def test_one_process_alone_agrees_with_itself() -> None:
    alone, done = Devices(), []
    with alone.first_ahead():
        done.append("checked")
    assert alone.alike("anything") and done == ["checked"]
    assert (alone.any(here=True), alone.any(here=False)) == (True, False)


@pytest.mark.parametrize(
    ("gpus", "local", "processes", "message"),
    [
        (2, 4, 4, "4 processes on a machine with 2 GPUs.*--nproc-per-node 2"),
        (4, 4, 6, "6 processes, 4 of them on this machine.*equally many"),
        (0, 2, 3, "equally many"),
    ],
)
def test_machines_that_do_not_fit_are_refused(
    monkeypatch: pytest.MonkeyPatch, gpus: int, local: int, processes: int, message: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(local))
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    with pytest.raises(ConfigError, match=message):
        fabric.FabricDevices()


@pytest.mark.parametrize("rank", ["0", "1"])
def test_only_the_first_process_speaks_and_each_leaves_its_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, rank: str
) -> None:
    file = tmp_path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(SystemExit), one_voice():
        print("hello")  # noqa: T201
        print("an error", file=sys.stderr)  # noqa: T201
        try:
            raise ConfigError("the patch is odd", remedy="make it even")
        except ConfigError:
            sys.exit(2)
    spoken = capsys.readouterr()
    assert (spoken.out, spoken.err) == (("hello\n", "an error\n") if rank == "0" else ("", ""))
    left = json.loads(file.read_text())["message"]
    assert left["message"] == left["extraInfo"]["py_callstack"] == "the patch is odd. To do: make it even."
    assert abs(int(left["extraInfo"]["timestamp"]) - time.time()) < 60


@pytest.mark.parametrize("code", [0, None, 130, 143])
def test_a_good_end_and_a_stop_leave_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: Any) -> None:
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    with pytest.raises(SystemExit), one_voice():
        sys.exit(code)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_under_torchrun_every_end_is_clean_and_can_be_gone_on_from(store: Path, tmp_path: Path) -> None:
    options = tiny.options(batch=2, steps=10, workers=1, validate_every=5)
    run, straight = tmp_path / "broken" / "run", tmp_path / "straight" / "run"
    write_json(tmp_path / "recipe.json", {"network": "unet", "widths": [4, 8], "config": dict(options.config)})
    command = ["train", str(store), "-o", str(run), "--recipe", str(tmp_path / "recipe.json"), "--resume"]

    stopped = torchrun("term", 2, command)
    assert stopped.count("stopped; the same command with --resume goes on in") == 1  # said by the first alone
    assert "Initializing" not in stopped and "OMP_NUM_THREADS" not in stopped
    assert steps_saved(run) == 3  # the step in which the signal came was finished

    torchrun("ctrl-c", 5, command)
    assert steps_saved(run) == 6

    ill = torchrun("raise", 7, command)
    assert ill.index("Root Cause") < ill.index("rank      : 1") < ill.rindex("ValueError: the second process is ill")
    assert "error_file: <N/A>" not in ill.partition("Root Cause")[2]

    killed = torchrun("kill", 8, command)
    assert "Signal 9 (SIGKILL) received" in killed.partition("Root Cause")[2]
    assert steps_saved(run) == 8 and not list(run.rglob(".part-*"))

    assert together(2, Task(store, run, options, resume=True)) == ["done", "done"]
    assert together(2, Task(store, straight, options)) == ["done", "done"]
    assert_same(straight, run)


def torchrun(trouble: str, step: int, command: list[str]) -> str:
    """What two processes print that meet the trouble at that step; they end in time, badly, and leave no process."""
    program = Path(__file__).with_name("torchrun_trouble.py")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    mark = f"gliamap-test-{os.getpid()}-{time.monotonic_ns()}"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLIAMAP_TEST_MARK": mark}
    with tiny.listening_to_ctrl_c():
        done = subprocess.run(
            [*start, trouble, str(step), *command],
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
            env=environment,
        )
    assert done.returncode != 0
    deadline = time.monotonic() + 30
    while left := _alive(mark):
        assert time.monotonic() < deadline, f"processes {left} are left"
        time.sleep(0.2)
    return done.stdout + done.stderr


def _alive(mark: str) -> list[int]:
    """The processes with the mark in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if mark.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:  # not ours, or gone by now
                continue
    return found
