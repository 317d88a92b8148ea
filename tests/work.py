"""Functions for other processes, in a module that is quick to import."""

from __future__ import annotations

import os
import signal
import threading
import time

from gliamap.errors import FileError


def square(number: int) -> int:
    """Its square."""
    return number * number


def surroundings(_: int) -> tuple[str, bool]:
    """The number of threads that libraries are told, and whether Ctrl-C is ignored."""
    return os.environ["OMP_NUM_THREADS"], signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def refuse_two(number: int) -> int:
    """The number, but for 2."""
    if number == 2:
        raise FileError("two is refused")
    return number


def die_at_three(number: int) -> int:
    """The number, but for 3, which ends the process as a signal would."""
    if number == 3:
        os._exit(9)
    return number


def die_afterwards(number: int) -> int:
    """The number; 0 takes a while, and the process of another ends meanwhile, when it has handed its number over."""
    if number == 0:
        time.sleep(1.5)
    else:
        threading.Timer(0.3, os._exit, (9,)).start()
    return number
