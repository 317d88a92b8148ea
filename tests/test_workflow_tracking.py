"""TensorBoard, MLflow and the example pictures: what is written can be read back, once each, and names nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tiny
from gliamap.errors import ConfigError
from gliamap.labels import Region, Tissue
from gliamap.training.progress import Example, StepReport
from gliamap.training.track import STAGES, CsvLog
from gliamap.workflows.training import trackers
from gliamap.workflows.training.tracking import PICTURES_KEPT, Tracker, TrackerName, observers, open_trackers

BOTH: tuple[TrackerName, ...] = ("tensorboard", "mlflow")
SETTINGS = {"train": {"steps": 40, "patch": [16, 16, 16], "augment": {"flip": True}}, "note": "x" * 9000}


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    with mock.patch.dict(os.environ):
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_ALLOW_FILE_STORE"):
            os.environ.pop(name, None)
        yield


def mlflow_client() -> Any:
    """MLflow's own client. Not imported at the top: importing gliamap switches its telemetry off."""
    return import_module("mlflow").MlflowClient


def example() -> Example:
    image = np.zeros((2, 12, 10), np.float32)
    image[:, 2:10, 2:8] = np.linspace(-1, 1, 8)[:, None]
    labels = np.zeros((12, 10), np.uint8)
    labels[4:7, 4:7] = Tissue.ET
    return Example("Mrs_Smith", ("t1c", "flair"), image, labels, labels, (1.0, 1.0))


def report(step: int, *, dice: float | None = None) -> StepReport:
    """A step whose loss is 1 / step and whose stages took 0.5 s each."""
    return StepReport(
        step=step,
        steps=1000,
        loss=1 / step,
        seconds=2.0 * step,
        learning_rate=0.25,
        gradient_norm=float(step),
        dice=None if dice is None else {Region.WT: dice, Region.ET: float("nan")},
        example=None if dice is None else example(),
        stages=dict.fromkeys(STAGES, 0.5),
    )


def track(run: Path, steps: range, *, names: tuple[TrackerName, ...] = BOTH, resume: bool = False) -> None:
    """Report ``steps``, with a validation after every 25th, whose Dice is the step's thousandth."""
    log = CsvLog(run / "log.csv", ["WT", "ET"], keep_until=0)
    log.add({"step": 1, "seconds": 1.0, "loss": 1.0})
    with open_trackers(names, run, resume=resume, settings=SETTINGS) as tracker:
        watch = observers(run, tracker, None)
        for step in steps:
            watch(report(step, dice=step / 1000 if step % 25 == 0 else None))


def events(run: Path) -> EventAccumulator:
    read = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    return read.Reload()


def scalars(run: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events(run).Scalars(name)]


def client(run: Path) -> tuple[Any, str]:
    return mlflow_client()(str(run / "mlruns")), json.loads((run / "mlflow.json").read_text())["run_id"]


def metrics(run: Path, name: str) -> list[tuple[int, float]]:
    store, run_id = client(run)
    return [(metric.step, metric.value) for metric in store.get_metric_history(run_id, name)]


EXPECTED: Mapping[str, list[tuple[int, float]]] = {
    "loss": [(10, 1 / 10), (20, 1 / 20), (25, 1 / 25), (30, 1 / 30)],
    "learning_rate": [(10, 0.25), (20, 0.25), (25, 0.25), (30, 0.25)],
    "gradient_norm": [(10, 10.0), (20, 20.0), (25, 25.0), (30, 30.0)],
    "seconds/validate": [(10, 5.0), (20, 5.0), (25, 2.5), (30, 2.5)],
    "dice/WT": [(25, 0.025)],
}


def test_tensorboard_by_eye(tmp_path: Path) -> None:
    track(tmp_path, range(1, 31), names=("tensorboard",))
    read = events(tmp_path)
    stages = {f"seconds/{stage}" for stage in STAGES}
    assert set(read.Tags()["scalars"]) == {"loss", "learning_rate", "gradient_norm", "dice/WT"} | stages
    for name, expected in EXPECTED.items():
        found = scalars(tmp_path, name)
        assert [step for step, _ in found] == [step for step, _ in expected]
        assert [value for _, value in found] == pytest.approx([value for _, value in expected])
    (image,) = read.Images("example")
    with Image.open(tmp_path / "examples" / "step_000025.png") as picture:
        assert (image.step, image.width, image.height) == (25, *picture.size)
    (text,) = read.Tensors("settings/text_summary")
    assert b"| train.augment.flip | True |" in text.tensor_proto.string_val[0]


def test_what_is_tracked_is_on_disk_at_once(tmp_path: Path) -> None:
    with open_trackers(BOTH, tmp_path, resume=False, settings={}) as tracker:
        for step in (10, 20):
            tracker(report(step))
            assert scalars(tmp_path, "gradient_norm")[-1] == metrics(tmp_path, "gradient_norm")[-1] == (step, step)


def test_mlflow_by_eye(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "_METRICS_AT_ONCE", 4)
    monkeypatch.setattr(trackers, "_PARAMS_AT_ONCE", 3)
    run = tmp_path / "my-run"
    track(run, range(1, 31), names=("mlflow",))
    for name, expected in EXPECTED.items():
        assert metrics(run, name) == expected
    store, run_id = client(run)
    found = store.get_run(run_id)
    assert store.get_experiment(found.info.experiment_id).name == "gliamap"
    assert (found.info.run_name, found.info.status) == ("my-run", "FINISHED")
    params = {"train.steps": "40", "train.patch": "[16, 16, 16]", "train.augment.flip": "True", "note": "x" * 500}
    assert found.data.params == params
    assert "dice/ET" not in found.data.metrics  # not a number
    (picture,) = store.list_artifacts(run_id, "examples")
    assert picture.path == "examples/step_000025.png"
    assert (run / "examples" / "step_000025.png").read_bytes() in [p.read_bytes() for p in run.glob("mlruns/**/*.png")]


def test_after_a_crash_no_step_is_there_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Readers sort event files by the second of their making: these two are made in the same.
    monkeypatch.setattr("tensorboard.summary.writer.event_file_writer.time", SimpleNamespace(time=Clock()))
    track(tmp_path, range(1, 68))
    run_id = client(tmp_path)[1]
    track(tmp_path, range(41, 81), resume=True)
    steps = [10, 20, 25, 30, 40, 50, 60, 70, 75, 80]
    assert client(tmp_path)[1] == run_id
    for read in (scalars, metrics):
        assert [step for step, _ in read(tmp_path, "loss")] == steps
        assert [value for _, value in read(tmp_path, "gradient_norm")] == steps
        assert [step for step, _ in read(tmp_path, "dice/WT")] == [25, 50, 75]
    assert [image.step for image in events(tmp_path).Images("example")] == [25, 50, 75]
    store, run_id = client(tmp_path)
    assert len(store.search_runs([store.get_run(run_id).info.experiment_id])) == 1
    assert len(store.list_artifacts(run_id, "examples")) == 3
    assert len(events(tmp_path).Tensors("settings/text_summary")) == 1


class Clock:
    """A second goes by at each look."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_a_step_half_sent_before_the_crash_is_completed(tmp_path: Path) -> None:
    track(tmp_path, range(1, 11), names=("mlflow",))
    (half,) = tmp_path.glob("mlruns/*/*/metrics/gradient_norm")
    half.unlink()
    track(tmp_path, range(1, 21), names=("mlflow",), resume=True)
    assert [step for step, _ in metrics(tmp_path, "loss")] == [10, 20]
    assert [step for step, _ in metrics(tmp_path, "gradient_norm")] == [10, 20]


def test_a_new_training_begins_a_new_mlflow_run(tmp_path: Path) -> None:
    track(tmp_path, range(1, 11), names=("mlflow",))
    first = client(tmp_path)[1]
    track(tmp_path, range(1, 11), names=("mlflow",))
    assert client(tmp_path)[1] != first
    assert [step for step, _ in metrics(tmp_path, "loss")] == [10]


def test_where_mlflow_lost_the_run_a_new_one_begins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    track(tmp_path, range(1, 11), names=("mlflow",))
    store, first = client(tmp_path)
    store.delete_run(first)
    track(tmp_path, range(11, 21), names=("mlflow",), resume=True)
    second = client(tmp_path)[1]
    assert second != first
    (tmp_path / "mlflow.json").write_text(json.dumps({"run_id": "0" * 32}))
    track(tmp_path, range(21, 31), names=("mlflow",), resume=True)
    assert client(tmp_path)[1] not in (first, second, "0" * 32)
    assert caplog.text.count("a new one begins") == 2


def test_a_moved_run_writes_nothing_to_where_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    track(old, range(1, 26), names=("mlflow",))
    old.rename(new)
    track(new, range(26, 51), names=("mlflow",), resume=True)
    assert tiny.files_in(tmp_path)[0] == "new"
    assert not old.exists()
    assert [step for step, _ in metrics(new, "dice/WT")] == [25, 50]
    assert "was moved" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_mlflow_is_told_how_it_ended(tmp_path: Path, error: BaseException | None, status: str) -> None:
    def go() -> None:
        with open_trackers(["mlflow"], tmp_path, resume=True, settings={}) as tracker:
            store, run_id = client(tmp_path)
            assert store.get_run(run_id).info.status == "RUNNING"
            tracker(report(10))
            if error:
                raise error

    for _ in range(2):  # begun, and taken up
        if error:
            with pytest.raises(type(error)):
                go()
        else:
            go()
        store, run_id = client(tmp_path)
        assert store.get_run(run_id).info.status == status


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow")])
def test_a_missing_package_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: TrackerName, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf"is not installed.*pip install 'gliamap\[{name}\]'"):
        open_trackers([name], tmp_path / "run", resume=False, settings={})
    assert not list(tmp_path.iterdir())


def test_no_tracker_needs_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in BOTH:
        monkeypatch.setitem(sys.modules, module, None)
    track(tmp_path, range(1, 26), names=())
    assert tiny.files_in(tmp_path) == ["curves.png", "examples", "examples/step_000025.png", "log.csv"]


def test_an_mlflow_that_does_not_answer_is_refused_without_its_password(tmp_path: Path) -> None:
    os.environ |= {"MLFLOW_TRACKING_URI": "http://me:sec@ret@127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    with (
        pytest.raises(ConfigError, match="MLflow does not work at MLFLOW_TRACKING_URI") as caught,
        open_trackers(["mlflow"], tmp_path, resume=False, settings={}),
    ):
        pass
    assert "127.0.0.1" in str(caught.value)
    assert "sec" not in str(caught.value).replace("seconds", "")


class Shaky:
    """A backend that is down while ``down`` is set."""

    def __init__(self) -> None:
        self.name, self.down, self.steps = "Shaky", False, list[int]()

    def __enter__(self) -> Shaky:
        return self

    def __exit__(self, *_: object) -> None:
        raise OSError("gone")

    def write(self, step: int, values: Mapping[str, float], picture: Path | None) -> None:
        if self.down:
            raise RuntimeError("no answer from https://me:secret@host/\nand so on")
        self.steps.append(step)


def test_a_tracker_that_fails_does_not_stop_the_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shaky = Shaky()
    with Tracker(tmp_path, [shaky]) as tracker:
        for step in range(1, 101):
            shaky.down = 20 < step < 80
            tracker(report(step))
    assert shaky.steps == [10, 20, 80, 90, 100]
    assert caplog.text.count("no answer") == 1  # not at every step
    assert "secret" not in caplog.text
    assert caplog.text.count("gone") == 1


def test_what_mlflow_could_not_take_comes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0, calls=0)
    monkeypatch.setattr(trackers.time, "monotonic", lambda: clock.now)
    log_batch = mlflow_client().log_batch

    def failing(self: Any, run_id: str, **more: Any) -> None:
        clock.calls += 1
        if 0 < clock.now < 100 or clock.now == 190:
            raise OSError("the server is down")
        log_batch(self, run_id, **more)

    with open_trackers(["mlflow"], tmp_path, resume=False, settings={}) as tracker:
        monkeypatch.setattr(mlflow_client(), "log_batch", failing)
        for step in range(10, 210, 10):  # ten seconds pass between them
            tracker(report(step))
            clock.now += 10.0
    assert [step for step, _ in metrics(tmp_path, "loss")] == list(range(10, 210, 10))
    assert clock.calls == 1 + 2 + 7 + 1  # at 0 s; in vain at 10 and 70 s; from 130 s on as ever; at the end


def test_the_first_and_the_latest_pictures_are_kept(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv", ["WT"], keep_until=0)
    log.add({"step": 1, "seconds": 1.0, "loss": 1.0})
    seen: list[int] = []
    with open_trackers([], tmp_path, resume=False, settings={}) as tracker:
        watch = observers(tmp_path, tracker, lambda one: seen.append(one.step))
        with mock.patch("gliamap.workflows.training.tracking.draw_example", touch), mock.patch(CURVES):
            for step in [25 * number for number in range(1, 31)]:
                watch(report(step, dice=0.5))
            watch(report(1_000_000, dice=0.5))
    kept = [f"step_{25 * number:06d}.png" for number in (1, *range(32 - PICTURES_KEPT, 31))]
    assert sorted(path.name for path in (tmp_path / "examples").iterdir()) == [*kept, "step_1000000.png"]
    assert seen == [*range(25, 751, 25), 1_000_000]


CURVES = "gliamap.workflows.training.tracking.draw_curves"


def touch(_case: object, _predicted: object, out: Path, **_: str) -> None:
    out.parent.mkdir(exist_ok=True)
    out.touch()


def test_observers_see_files_that_are_up_to_date(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv", ["WT"], keep_until=0)
    log.add({"step": 25, "seconds": 1.0, "loss": 1.0})
    told: list[tuple[str, int, list[str]]] = []

    def listener(name: str) -> Any:
        return lambda one: told.append((name, one.step, tiny.files_in(tmp_path)))

    watch = observers(tmp_path, listener("tracker"), listener("user"))
    watch(report(24))
    watch(report(25, dice=0.5))
    drawn = ["curves.png", "examples", "examples/step_000025.png", "log.csv"]
    expected = [("tracker", 24, ["log.csv"]), ("user", 24, ["log.csv"]), ("tracker", 25, drawn), ("user", 25, drawn)]
    assert told == expected


def test_nothing_names_the_case(tmp_path: Path) -> None:
    track(tmp_path, range(1, 31))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if "Smith" in str(path) or b"Smith" in path.read_bytes()]


OUTSIDE = """
import os, socket, sys, time
from pathlib import Path
asked = []
def refuse(self, address, *rest):
    asked.append(address)
    raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = refuse
from gliamap.training.progress import StepReport
from gliamap.workflows.training.tracking import open_trackers
assert not {"torch", "tensorboard", "mlflow"} & sys.modules.keys()
import gliamap.nets.zoo  # through MONAI, too
assert "mlflow" in sys.modules
with open_trackers(["tensorboard", "mlflow"], Path(sys.argv[1]), resume=False, settings={"a": 1}) as tracker:
    for step in range(1, 51):
        tracker(StepReport(step, 50, 1.0, 1.0, 0.1, 1.0))
time.sleep(1)  # telemetry is sent by a thread
print(asked)
"""


@pytest.mark.slow
def test_nothing_is_sent_and_nothing_written_outside_the_run(tmp_path: Path) -> None:
    for name in ("home", "tmp", "here"):
        (tmp_path / name).mkdir()
    places = {"HOME": tmp_path / "home", "TMPDIR": tmp_path / "tmp", "MPLCONFIGDIR": tmp_path / "matplotlib"}
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", OUTSIDE, str(tmp_path / "run")],
        cwd=tmp_path / "here",
        env=kept | {name: str(path) for name, path in places.items()} | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    assert not [name for place in ("home", "tmp", "here") for name in tiny.files_in(tmp_path / place)]
    written = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert written == ["mlflow.json", "mlruns", "tensorboard"]
