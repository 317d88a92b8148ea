"""Several processes that share a training, as torchrun would start them, but from a server that has imported all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from gliamap.errors import GliamapError
from gliamap.training.step import Stepper
from gliamap.workflows.training.train import TrainOptions, train

_IMPORTED = ["gliamap.training.fabric", "gliamap.workflows.training.train", "gliamap.workflows.training.tracking"]
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
_HUNG_AFTER = 120.0


@dataclass(frozen=True)
class Task:
    """A training, in one of the processes that share it.

    ``trouble(rank, step)`` is called before each step. ``deny``: no process but the first may write in this folder.
    """

    store: Path
    run: Path
    options: TrainOptions
    resume: bool = False
    trouble: Callable[[int, int], None] | None = None
    deny: Path | None = None


def share(tasks: Sequence[Task]) -> list[str]:
    """Run a process for each task, all of one training, and say how each ended.

    That is 'done', 'interrupted', the error's text, 'exit code N' of a process that said nothing, or 'hung'.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    port = _free_port()
    started = []
    for rank, task in enumerate(tasks):
        here, there = context.Pipe()
        process = context.Process(target=_run, args=(rank, len(tasks), port, task, there))
        process.start()
        there.close()
        started.append((process, here))
    return [_outcome(process, here) for process, here in started]


def together(processes: int, task: Task) -> list[str]:
    """:func:`share` where all processes are given the same."""
    return share([task] * processes)


def ask_to_stop(rank: int, step: int) -> None:
    """Trouble: the second process gets SIGTERM before its fifth step, and no other does."""
    if (rank, step) == (1, 4):
        os.kill(os.getpid(), signal.SIGTERM)


def die(rank: int, step: int) -> None:
    """Trouble: the second process is killed before its fifth step."""
    if (rank, step) == (1, 4):
        os.kill(os.getpid(), signal.SIGKILL)


def _outcome(process: Any, here: Connection) -> str:
    process.join(_HUNG_AFTER)
    if process.is_alive():
        process.kill()
        process.join()
        return "hung"
    try:
        return str(here.recv()) if here.poll() else f"exit code {process.exitcode}"
    except EOFError:
        return f"exit code {process.exitcode}"
    finally:
        here.close()


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def _run(rank: int, processes: int, port: int, task: Task, pipe: Connection) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if processes > 1:
        os.environ |= {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "GROUP_RANK": "0", "WORLD_SIZE": f"{processes}"}
        os.environ |= {"LOCAL_WORLD_SIZE": f"{processes}", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}"}
    if task.trouble:
        Stepper.take = _troubled(Stepper.take, partial(task.trouble, rank))  # type: ignore[method-assign]
    if task.deny and rank:
        sys.addaudithook(partial(_refuse, str(task.deny)))
    try:
        train(task.store, task.run, options=task.options, resume=task.resume)
        pipe.send("done")
    except GliamapError as error:
        pipe.send(str(error))
    except KeyboardInterrupt:
        pipe.send("interrupted")


def _troubled(take: Callable[..., None], trouble: Callable[[int], None]) -> Callable[..., None]:
    def troubled(self: Any, *rest: Any) -> None:
        trouble(self._learner.progress.step)
        take(self, *rest)

    return troubled


def _refuse(folder: str, event: str, args: tuple[Any, ...]) -> None:
    """An audit hook: ``PermissionError`` where something in ``folder`` is to be written, renamed or removed."""
    writing = event == "open" and isinstance(args[2], int) and bool(args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if (writing or event in _CHANGES) and any(str(arg).startswith(folder) for arg in args):
        raise PermissionError(f"{event} {args}")
