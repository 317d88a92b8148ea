"""Ctrl-C that is heard: asked again where a library swallows it, held back where it would do harm."""

from __future__ import annotations

import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from sys import exc_info
from types import FrameType

_AGAIN = 1.0  # seconds


@contextmanager
def insisting() -> Iterator[None]:
    """Ctrl-C ends the block with ``KeyboardInterrupt``, although libraries swallow it or make another error of it.

    They do when it comes while they are imported (pydantic, for one), and Python itself does in callbacks of weak
    references and the like. So it is raised again every second until somebody handles it: what cleans up in
    ``finally`` or ``except`` is left in peace. An error that leaves the block after Ctrl-C counts as Ctrl-C. Where
    somebody else listens to the signal, and outside the main thread, nothing is changed.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    alarm = signal.signal(signal.SIGALRM, _ask_again)
    signal.signal(signal.SIGINT, insist)
    try:
        yield
    except Exception as error:
        if _asked():
            raise KeyboardInterrupt from error
        raise
    finally:
        if _asked():
            signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGALRM, alarm)


def insist(_number: int, _frame: FrameType | None) -> None:
    """The answer to SIGINT in :func:`insisting`: Python's own, and the clock is set."""
    signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
    raise KeyboardInterrupt


def _asked() -> bool:
    return signal.getitimer(signal.ITIMER_REAL)[1] == _AGAIN


def _ask_again(_number: int, _frame: FrameType | None) -> None:
    """Send Ctrl-C once more, unless the main thread is just handling one."""
    error = exc_info()[1]
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    if error is None:
        signal.raise_signal(signal.SIGINT)  # not raised here: somebody may hold it back


@contextmanager
def held_back(masked: Collection[signal.Signals]) -> Iterator[None]:
    """SIGINT and SIGTERM are answered at the end of the block, as far as this process has an answer to them.

    Those in ``masked`` are blocked in this thread, and in processes that start in the block, until they unblock them.
    That alone would not do: the system hands a signal to any thread, and Python answers in the main one.
    """
    heard: list[int] = []
    answers = {}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, masked)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                answer = signal.getsignal(number)
                if callable(answer):
                    answers[number] = answer
                    signal.signal(number, lambda number, _: heard.append(number))
        yield
    finally:
        for number, answer in answers.items():
            signal.signal(number, answer)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for late in heard:
            signal.raise_signal(late)
