"""Ctrl-C: raised again where it is swallowed, left alone where it is handled, held back where it would do harm."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

import tiny
from gliamap import interrupts
from gliamap.interrupts import held_back, insisting


@pytest.fixture(autouse=True)
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Signals as a program finds them that a terminal started, and little patience."""
    monkeypatch.setattr(interrupts, "_AGAIN", 0.0625)
    with tiny.listening_to_ctrl_c():
        yield
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)


def swallow() -> None:
    """As a library does it that is being imported."""
    try:
        ctrl_c()
    except BaseException:
        return


def test_it_is_raised_as_ever() -> None:
    with pytest.raises(KeyboardInterrupt), insisting():
        ctrl_c()


def test_one_that_was_swallowed_is_raised_again() -> None:
    with pytest.raises(KeyboardInterrupt), insisting():
        swallow()
        time.sleep(20)
        pytest.fail("not heard")


def test_what_cleans_up_is_left_in_peace() -> None:
    cleaned = []
    with pytest.raises(KeyboardInterrupt), insisting():
        try:
            ctrl_c()
        finally:
            try:
                raise OSError("already gone")
            except OSError:
                time.sleep(0.2)
                cleaned.append("all")
    assert cleaned == ["all"]


def test_an_error_that_a_library_makes_of_it_counts_as_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt), insisting():
        swallow()
        raise ValueError("the schema could not be built: KeyboardInterrupt")


def test_other_errors_pass() -> None:
    with pytest.raises(ValueError, match="as it was"), insisting():
        raise ValueError("as it was")


def test_who_listens_already_is_left_alone() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    with insisting():
        ctrl_c()
    signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


@pytest.mark.parametrize("masked", [set(), {signal.SIGINT}])
def test_held_back_it_waits_for_the_end_of_the_block(masked: set[signal.Signals]) -> None:
    """Another thread is there, which the system gives the signal to where this one blocks it."""
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)
    other.start()
    done = []
    try:
        with pytest.raises(KeyboardInterrupt):
            with held_back(masked):
                ctrl_c()
                done.append("held")
            done.append("after")
    finally:
        ended.set()
        other.join()
    assert done == ["held"]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT} == set()


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with held_back({signal.SIGINT}):
        ctrl_c()
    signal.signal(signal.SIGINT, before)
