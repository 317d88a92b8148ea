"""A program for torchrun: TROUBLE STEP ARGUMENTS of gliamap. Before that step, something happens to the training.

``raise``: an error in the second process; ``kill``: kill -9 of it; ``term``, ``ctrl-c``: torchrun gets the signal.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from typing import Any

from gliamap.training.step import Stepper

trouble, step = sys.argv[1], int(sys.argv[2])
first = os.environ["RANK"] == "0"
honest = Stepper.take


def take(self: Any, *rest: Any) -> None:
    """The step, or the trouble before it."""
    if self._learner.progress.step == step:
        if trouble == "raise" and not first:
            raise ValueError("the second process is ill")
        if trouble == "kill" and not first:
            os.kill(os.getpid(), signal.SIGKILL)
        if trouble in ("term", "ctrl-c") and first:
            os.kill(os.getppid(), signal.SIGTERM if trouble == "term" else signal.SIGINT)
    honest(self, *rest)


Stepper.take = take  # type: ignore[method-assign]
sys.argv = ["gliamap", *sys.argv[3:]]
runpy.run_module("gliamap", run_name="__main__")
