"""Items of work in processes of their own, one an item, which tell how far they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from gliamap.workflows.parallel import deaf_to_ctrl_c, ignore_ctrl_c, single_threaded

Item = TypeVar("Item")
Message = TypeVar("Message")
Result = TypeVar("Result")

Work = Callable[[Item, Callable[[Message], None]], Result]
"""Takes an item and a function to tell how far it is."""


@dataclass(frozen=True)
class Told(Generic[Message]):
    """What the work on an item told."""

    number: int
    message: Message


@dataclass(frozen=True)
class Ended(Generic[Result]):
    """The work on an item has ended: its result, ``None`` where its process died."""

    number: int
    result: Result | None


def each_apart(
    work: Work[Item, Message, Result], items: Sequence[Item], *, at_once: int
) -> Generator[Told[Message] | Ended[Result]]:
    """``work`` on every item, ``at_once`` of them at a time, each in a new process; what they tell, as they tell it.

    Items are begun in their order. ``work`` must be a function of a module, and items, messages and results must
    pickle. A process that dies does not stop the others. What ``work`` raises is raised here. Leaving early asks all
    processes to stop (SIGTERM) and waits until they have: close it. One whose parent is gone is interrupted, as by
    Ctrl-C, the next time that it tells something.
    """
    waiting = list(enumerate(items))[::-1]
    running: dict[Connection, tuple[int, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number, item = waiting.pop()
                here, process = _start(work, item)
                running[here] = (number, process)
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                number, process = running[ready]
                kind, content = _receive(ready)
                if kind == "told":
                    yield Told(number, content)
                    continue
                del running[ready]
                ready.close()
                process.join()
                if kind == "raised":
                    raise content
                yield Ended(number, content)
    finally:
        for here, (_, process) in running.items():
            here.close()
            process.terminate()
        for _, process in running.values():
            process.join()


def _start(work: Work[Item, Message, Result], item: Item) -> tuple[Connection, BaseProcess]:
    context = get_context("spawn")  # a fork would inherit the locks of libraries
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_do, args=(work, item, there))
    with single_threaded(), deaf_to_ctrl_c():
        process.start()
    there.close()  # or the end of the process would not be noticed
    return here, process


def _receive(pipe: Connection) -> tuple[str, Any]:
    try:
        kind, content = pipe.recv()
    except EOFError:
        return "ended", None
    return kind, content


def _do(work: Work[Item, Message, Result], item: Item, pipe: Connection) -> None:
    """What the new process does."""
    ignore_ctrl_c()

    def tell(message: Message) -> None:
        try:
            pipe.send(("told", message))
        except BrokenPipeError:
            raise KeyboardInterrupt from None

    try:
        last: tuple[str, Any] = ("ended", work(item, tell))
    except KeyboardInterrupt:  # SIGTERM, too
        os._exit(143)
    except Exception as error:
        last = ("raised", error)
    pipe.send(last)
