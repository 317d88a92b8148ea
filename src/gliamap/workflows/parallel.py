"""One function over many items in several processes: each with one thread, none of them in the way of Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TypeVar

from gliamap.errors import ConfigError

Item = TypeVar("Item")
Result = TypeVar("Result")

KILLED = "reading it ended the process: too little memory, or a file that breaks a library"
"""Why a case failed whose process did not come back."""

_AHEAD = 2  # items a worker that are handed out at a time
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
    process that dies, for want of memory say, does not stop the others: what it had in hand is done again, one item
    at a time. What ``function`` raises is raised here. Leaving early ends the processes at once,
    and they end when this process does, however it is killed.
    """
    if min(workers, len(items)) <= 1:
        yield from ((number, function(item)) for number, item in enumerate(items))
        return
    left = list(enumerate(items))
    while left:
        done: set[int] = set()
        handed_out: set[int] = set()
        try:
            for number, result in _run(function, left, workers, handed_out):
                done.add(number)
                yield number, result
        except BrokenProcessPool:
            for number in sorted(handed_out - done):
                done.add(number)
                yield number, _alone(function, items[number])
        left = [(number, item) for number, item in left if number not in done]


def _run(
    function: Callable[[Item], Result], left: Sequence[tuple[int, Item]], workers: int, handed_out: set[int]
) -> Iterator[tuple[int, Result]]:
    running: dict[Future[Result], int] = {}
    waiting = iter(left)
    with _pool(min(workers, len(left))) as pool:
        _check_start(pool)
        while True:
            for number, item in waiting:
                running[_submit(pool, function, item)] = number
                handed_out.add(number)
                if len(running) >= _AHEAD * workers:
                    break
            if not running:
                return
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield running.pop(future), future.result()


def _submit(pool: ProcessPoolExecutor, function: Callable[[Item], Result], item: Item) -> Future[Result]:
    with single_threaded(), deaf_to_ctrl_c():  # a process may start now
        return pool.submit(function, item)


def _check_start(pool: ProcessPoolExecutor) -> None:
    """``ConfigError`` where no process can be started; a death later on is the fault of an item."""
    try:
        _submit(pool, abs, 0).result()
    except BrokenProcessPool as error:
        raise ConfigError(
            "worker processes cannot be started",
            remedy="use one worker; a script that starts several needs the guard if __name__ == '__main__'",
        ) from error


def _alone(function: Callable[[Item], Result], item: Item) -> Result | None:
    try:
        return next(_run(function, [(0, item)], 1, set()))[1]
    except BrokenProcessPool:
        return None


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes are gone when the block is left, however it is left."""
    before = {child.pid for child in multiprocessing.active_children()}
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            if child.pid not in before:
                child.terminate()
        raise
    pool.shutdown()


def _begin() -> None:
    """What each process of a pool does first."""
    ignore_ctrl_c()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(143)


def ignore_ctrl_c() -> None:
    """Ctrl-C reaches every process of a terminal's job; only the first one is to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that start in the block do not hear Ctrl-C, not even before :func:`ignore_ctrl_c` runs in them.

    This one hears it at the end of the block.
    """
    resource_tracker.ensure_running()  # it would unblock the signal when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
