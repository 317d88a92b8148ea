"""A training that is killed and resumed, however often and wherever, ends as one that never was."""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

import tiny
from gliamap.workflows.prepare import prepare
from kills import Fault, Nursery, Running, alive, children_of, nursery

pytestmark = pytest.mark.slow

TINY = "--network unet --widths 4,8 --patch 16 16 16 --batch 2 --precision fp32 --learning-rate 0.01 --resume"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five prepared phantoms: three to train on, one to validate on, one to test on."""
    root = tmp_path_factory.mktemp("phantoms")
    prepare([tiny.write_set(root / "scans", 5)], root / "store")
    return root / "store"


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
    record = json.loads((run / "run.json").read_text())
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
    for picture in (one / "examples").iterdir():
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


@pytest.mark.parametrize(("workers", "save_every", "seed"), [(0, 1e-9, 1), (1, 0.002, 2)])
def test_twenty_kills_at_random_moments_change_nothing(
    gliamap: Nursery, store: Path, tmp_path: Path, workers: int, save_every: float, seed: int
) -> None:
    straight, killed = tmp_path / "straight" / "run", tmp_path / "killed" / "run"
    settings = f"{TINY} --steps 150 --validate-every 3 --workers {workers} --save-every {save_every}"
    rng = np.random.default_rng(seed)
    places: Counter[str] = Counter()
    for _ in range(20):
        saves, pause = int(rng.integers(0, 6)), float(rng.uniform(0, 0.3))
        child = gliamap.start(f"train {store} -o {killed} {settings}")
        wait_for_saves(child, killed, saves)
        time.sleep(pause)
        place = place_of(child.kill())
        assert child.wait() == -9, child.err.read_text()
        places[place] += 1
    code, text = gliamap.run(f"train {store} -o {killed} {settings}")
    assert code == 0, text
    code, text = gliamap.run(f"train {store} -o {straight} {settings}")
    assert code == 0, text
    assert places.total() == 20 and len(places) >= 4, places
    assert len(json.loads((killed / "run.json").read_text())["resumed"]) >= 10
    assert_same_run(straight, killed)
