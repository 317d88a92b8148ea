"""One function over many items in several processes: each with one thread, none of them in the way of Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from gliamap.errors import ConfigError
from gliamap.interrupts import held_back

Item = TypeVar("Item")
Result = TypeVar("Result")
Given = TypeVar("Given")

KILLED = "reading it ended the process: too little memory, or a file that breaks a library"
"""Why a case failed whose process did not come back."""

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def default_workers() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0))


def in_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int
) -> Iterator[tuple[int, Result | None]]:
    """``function(item)`` of every item with its number, as each is done; ``None`` for one that kills its process.

    With one worker everything happens in this process, in order. Otherwise ``function`` must be one of a module, and
    items and results must pickle; the processes start anew (``spawn``), so that no lock of a library is inherited. A
    process that dies, for want of memory say, does not stop the others: its item is tried once more at the end, with
    the memory to itself. What ``function`` raises is raised here. Leaving early ends the processes at once,
    and they end when this process does, however it is killed.
    """
    if min(workers, len(items)) <= 1:
        yield from ((number, function(item)) for number, item in enumerate(items))
        return
    died = []
    with closing(_outcomes(function, list(enumerate(items)), workers)) as outcomes:
        for number, outcome in outcomes:
            if outcome is None:
                died.append(number)
            else:
                yield number, outcome[0]
    for number in died:
        with closing(_outcomes(function, [(number, items[number])], 1)) as outcomes:
            yield from ((number, outcome and outcome[0]) for _, outcome in outcomes)


def _outcomes(
    function: Callable[[Item], Result], items: Sequence[tuple[int, Item]], workers: int
) -> Generator[tuple[int, tuple[Result] | None]]:
    """The number of each item and what came of it, ``None`` where its process died.

    Each process has a pipe of its own: a queue that all share stays torn when one dies while it writes.
    """
    left = list(items)[::-1]
    running: dict[Connection, BaseProcess] = {}
    in_hand: dict[Connection, int] = {}  # not of a process that still starts
    try:
        while left or in_hand:
            while len(running) < min(workers, len(left) + len(in_hand)):
                with deaf_to_ctrl_c():
                    pipe, process = start_with_pipe(_work, function, daemon=True)
                    running[pipe] = process
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                kind, content = receive(ready)
                if kind == "raised":
                    raise content
                if kind == "ended":
                    running.pop(ready).join()
                    ready.close()
                    if left and ready not in in_hand:  # where nothing is left, it may have been idle
                        raise _cannot_start()
                number = in_hand.pop(ready, None)
                if left and ready in running:
                    in_hand[ready], item = left.pop()
                    _send(ready, item)
                if number is not None:
                    yield number, None if kind == "ended" else (content,)
    finally:
        for process in running.values():
            process.terminate()
        for pipe, process in running.items():
            process.join()
            pipe.close()


def _work(pipe: Connection, function: Callable[[Any], Any]) -> None:
    """What each process does: ``function`` of what comes through the pipe, until there is nobody to send more."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pipe.send(("ready", None))
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(("done", function(item)))
        except Exception as error:
            error.add_note(f"In a process of its own:\n{traceback.format_exc()}")
            pipe.send(("raised", error))


def _send(pipe: Connection, item: object) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # it died; the pipe is about to say so
        pipe.send(item)


def receive(pipe: Connection) -> tuple[str, Any]:
    """What a process of :func:`start_with_pipe` sent: a word and what goes with it; ``ended`` where it is gone."""
    try:
        kind, content = pipe.recv()
    except (EOFError, OSError):  # the latter where it died while it wrote
        return "ended", None
    return kind, content


def _cannot_start() -> ConfigError:
    return ConfigError(
        "worker processes cannot be started",
        remedy="use one worker; a script that starts several needs the guard if __name__ == '__main__'",
    )


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(143)


def start_with_pipe(
    do: Callable[[Connection, Given], None], given: Given, *, daemon: bool
) -> tuple[Connection, BaseProcess]:
    """A new process that does ``do(pipe, given)`` and hears no Ctrl-C, and this end of its pipe.

    It uses one thread. Start it in :func:`deaf_to_ctrl_c`, and note there that it has to be ended. A ``daemon`` is
    ended with this process at the latest, and starts none itself.
    """
    context = get_context("spawn")  # a fork would inherit the locks of libraries
    here, there = context.Pipe()
    process = context.Process(target=_begin, args=(do, there, given), daemon=daemon)
    with single_threaded():
        process.start()
    there.close()  # or the end of the process would not be noticed
    return here, process


def _begin(do: Callable[[Connection, Given], None], pipe: Connection, given: Given) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches every process of a terminal's job; the first one answers
    do(pipe, given)


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that start in the block do not hear Ctrl-C, not even before they ignore it.

    This one hears it, and SIGTERM if it listens to that, at the end of the block.
    """
    resource_tracker.ensure_running()  # it would unblock the signal when it starts
    with held_back({signal.SIGINT}):
        yield


@contextmanager
def single_threaded() -> Iterator[None]:
    """Processes that start in the block use one thread each; libraries read these variables when they are loaded."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
