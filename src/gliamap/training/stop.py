"""Ctrl-C and SIGTERM while training: one interruption, held back while weights change."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from gliamap.interrupts import insist

if TYPE_CHECKING:  # the command line needs Terminated, and no torch for it
    from gliamap.training.devices import Devices

_LISTENED = {signal.SIGINT: (signal.default_int_handler, insist), signal.SIGTERM: (signal.SIG_DFL,)}
"""The signals that ask a training to stop, and what they do where nobody has decided otherwise."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, to be told from Ctrl-C by who ends the program."""


class Stop:
    """Whether the training was asked to stop (``asked``), and by which interruption (``kind``).

    ``torn``: a change of the weights began and did not come to its end, so that they must not be saved.

    Several processes (``devices``) stop together, at the next :meth:`check` of all: one that left in the middle of an
    exchange would leave the others waiting, on a GPU without hearing any signal.
    """

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self.asked = False
        self.torn = False
        self._held = False
        self.kind: type[KeyboardInterrupt] = KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the interruption back until the block is done: what it changes must agree when it is saved."""
        self._held = self.torn = True
        try:
            yield
            self.torn = False
        finally:
            self._held = False
        self.check()

    def check(self) -> None:
        """Raise the interruption that was asked for, if any: a library may have swallowed it when it was raised.

        Where several processes share the training, all of them are to come here, and it is raised in all.
        """
        if not self._held and self._devices.any(here=self.asked):
            self.asked = True
            raise self.kind

    def _listen(self, number: int, _frame: FrameType | None) -> None:
        """Raise at the first signal. Further ones are not to break the saving that it leads to."""
        if not self.asked:
            self.kind = Terminated if number == signal.SIGTERM else KeyboardInterrupt
            self.asked = True
            if self._devices.processes == 1:
                self.check()


@contextmanager
def stoppable(devices: Devices) -> Iterator[Stop]:
    """Listen to the signals inside the block, in the main thread.

    A signal that is ignored, or that somebody else listens to, is left alone.
    """
    stop = Stop(devices)
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number, usual in _LISTENED.items():
            if signal.getsignal(number) in usual:
                before[number] = signal.signal(number, stop._listen)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
