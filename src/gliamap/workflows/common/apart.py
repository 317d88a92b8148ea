"""Items of work in processes of their own, one an item, which tell how far they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from gliamap.workflows.common.parallel import deaf_to_ctrl_c, receive, start_with_pipe

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
                with deaf_to_ctrl_c():
                    here, process = start_with_pipe(_do, (work, item), daemon=False)
                    running[here] = (number, process)
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                number, process = running[ready]
                kind, content = receive(ready)
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


def _do(pipe: Connection, given: tuple[Work[Item, Message, Result], Item]) -> None:
    """What the new process does."""
    work, item = given

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
