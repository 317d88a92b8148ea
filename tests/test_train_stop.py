"""Ctrl-C and SIGTERM: a training stops at once, saves what is whole, and goes on as if nothing had been."""

from __future__ import annotations

import importlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tiny
from gliamap.cli import show
from gliamap.errors import OutputError
from gliamap.training.devices import Devices
from gliamap.training.loop import Job, train
from gliamap.training.stop import Terminated, stoppable


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two prepared phantoms."""
    return tiny.write_store(tmp_path_factory.mktemp("phantoms"), 2)


@pytest.fixture(scope="module")
def straight(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps that nothing interrupted."""
    job = make_job(store, tmp_path_factory.mktemp("straight"))
    train(job)
    return job.run


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """Signals as a program finds them that a terminal started."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with tiny.listening_to_ctrl_c():
        yield
    signal.signal(signal.SIGTERM, before)


def make_job(store: Path, folder: Path, *, save_every: float = 1e-9) -> Job:
    """Four steps, saved after each unless said, validated after the second and the fourth."""
    config = tiny.config(steps=4, validate_every=2, save_every_minutes=save_every)
    return Job(store, ("Phantom_00001",), ("Phantom_00002",), config, tiny.spec(), folder / "run")


def assert_same_run(one: Path, other: Path) -> None:
    assert tiny.files_in(one) == tiny.files_in(other)  # names of weights hold their hashes
    for name in ("last", "best", "state.safetensors"):
        assert tiny.same(tiny.weights(one / name), tiny.weights(other / name)), name


def at_call(monkeypatch: pytest.MonkeyPatch, where: str, number: int, action: Callable[[], None]) -> None:
    """Do ``action`` before call ``number`` of ``where`` (``module:name``)."""
    module, _, names = where.partition(":")
    owner: Any = importlib.import_module(module)
    *path, name = names.split(".")
    for step in path:
        owner = getattr(owner, step)
    honest = getattr(owner, name)
    calls = 0

    def call(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            action()
        return honest(*args, **more)

    monkeypatch.setattr(owner, name, call)


def send(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "moment",
    [
        ("gliamap.training.step:Stepper._loss", 3),
        ("torch.autograd:backward", 3),
        ("gliamap.training.step:update_average", 3),
        ("gliamap.training.validate:confusion", 1),
        ("gliamap.io.checkpoint:file_sha256", 1),
        ("gliamap.training.track:CsvLog.add", 1),
        ("gliamap.io.tensors:save_file", 3),
        ("gliamap.training.loop:save_checkpoint", 2),
    ],
)
def test_a_signal_stops_and_nothing_is_lost(
    store: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: tuple[str, int], number: int
) -> None:
    job = make_job(store, tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as stopped:
        at_call(patch, *moment, send(number))
        train(job)
    assert isinstance(stopped.value, Terminated) == (number == signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert not [name for name in tiny.files_in(job.run) if ".part-" in name]
    train(job, resume=True)
    assert_same_run(straight, job.run)


def test_more_signals_do_not_break_the_save(
    store: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(store, tmp_path, save_every=1000)

    def impatient() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as stopped:
        at_call(patch, "gliamap.training.step:Stepper._loss", 2, send(signal.SIGINT))
        at_call(patch, "gliamap.io.tensors:save_file", 1, impatient)
        train(job)
    assert not isinstance(stopped.value, Terminated)  # the first signal says why
    steps: list[int] = []
    train(job, resume=True, observe=lambda report: steps.append(report.step))
    assert steps == [2, 3, 4]
    assert_same_run(straight, job.run)


def test_an_interruption_that_a_library_swallows_is_raised_again(
    store: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(store, tmp_path)
    swallowed: list[bool] = []
    begun: list[int] = []

    def swallow() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            swallowed.append(True)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        at_call(patch, "gliamap.training.loop:_report", 1, swallow)
        at_call(patch, "gliamap.training.step:Stepper._loss", 2, lambda: begun.append(2))
        train(job)
    assert (swallowed, begun) == ([True], [])
    train(job, resume=True)
    assert_same_run(straight, job.run)


def test_weights_that_are_half_changed_are_not_saved(
    store: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(store, tmp_path)

    def fail() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        raise RuntimeError("the optimiser changed some weights and failed")

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        at_call(patch, "gliamap.training.step:update_average", 3, fail)
        train(job)
    steps: list[int] = []
    train(job, resume=True, observe=lambda report: steps.append(report.step))
    assert steps == [3, 4]
    assert_same_run(straight, job.run)


def test_where_the_state_cannot_be_saved_on_stopping_that_is_said(
    store: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(store, tmp_path)

    def full() -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OutputError, match=r"state\.safetensors.*No space.*--resume"):
        at_call(patch, "gliamap.training.step:Stepper._loss", 3, send(signal.SIGINT))
        at_call(patch, "gliamap.io.tensors:save_file", 3, full)
        train(job)
    train(job, resume=True)
    assert_same_run(straight, job.run)


def test_signals_that_others_decided_on_are_left_alone() -> None:
    def deaf(*_: object) -> None: ...

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, deaf)
    with stoppable(Devices()) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert not stop.asked
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == (signal.SIG_IGN, deaf)


def test_a_thread_beside_the_main_one_listens_to_nothing() -> None:
    found = []

    def listen() -> None:
        with stoppable(Devices()):
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


def test_the_interruption_waits_until_held_work_is_done() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), stoppable(Devices()) as stop:
        with stop.held():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("held")
        done.append("after")
    assert done == ["held"] and stop.asked and not stop.torn


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt, None), (Terminated, 143)])
def test_the_exit_code_tells_sigterm_from_ctrl_c(
    capsys: pytest.CaptureFixture[str], stop: type[KeyboardInterrupt], code: int | None
) -> None:
    """Ctrl-C is left to typer, which ends with 130."""
    with (
        pytest.raises(KeyboardInterrupt if code is None else show.typer.Exit) as ended,
        show.remark_if_stopped("again"),
    ):
        raise stop
    assert getattr(ended.value, "exit_code", None) == code
    assert capsys.readouterr().err == "stopped; again\n"
