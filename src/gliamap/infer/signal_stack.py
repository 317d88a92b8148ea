"""The stack that a thread handles signals on, kept from a library that changes it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_DISABLED = 2  # SS_DISABLE of Linux: signals are handled on the thread's own stack


class _Stack(ctypes.Structure):
    """``stack_t`` of Linux's ``sigaltstack``."""

    _fields_ = (("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """After the block this thread handles signals where it did before.

    Where a processor has AMX, OpenVINO gives the thread a stack for signals when it makes a graph ready. It is hardly
    larger than what the system puts there once tiles are in use, so that Python's handler runs over its end: Ctrl-C
    would be a segmentation fault. Does nothing on other systems than Linux.
    """
    if sys.platform != "linux":
        yield
        return
    libc = ctypes.CDLL(None)
    before = _Stack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        if libc.sigaltstack(ctypes.byref(before), None) != 0:  # too small by now: none is better
            libc.sigaltstack(ctypes.byref(_Stack(None, _DISABLED, 0)), None)
