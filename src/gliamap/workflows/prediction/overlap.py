"""Three stages of work on many items, each in its own thread: the next item is made ready while one is worked on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from traceback import clear_frames
from typing import Generic, TypeVar

Item = TypeVar("Item")
Ready = TypeVar("Ready")
Made = TypeVar("Made")
Done = TypeVar("Done")
Given = TypeVar("Given")
Result = TypeVar("Result")


class Abandoned(Exception):
    """The stage's result is no longer wanted."""


class Stop:
    """Tells the outer stages that nobody waits for them any more: they run in threads, which hear no Ctrl-C."""

    def __init__(self) -> None:
        self._asked = Event()

    def ask(self) -> None:
        """End the stages at their next :meth:`check`."""
        self._asked.set()

    def check(self) -> None:
        """To be called between the steps of a stage; raises :class:`Abandoned`."""
        if self._asked.is_set():
            raise Abandoned


@dataclass(frozen=True)
class Stages(Generic[Item, Ready, Made, Done]):
    """What is done with each item: ``before``, ``between`` and ``after``, each with what the one before it gave."""

    before: Callable[[Item], Ready]
    between: Callable[[Ready], Made]
    after: Callable[[Made], Done]


def overlapped(
    items: Sequence[Item], stages: Stages[Item, Ready, Made, Done], *, stop: Stop, together: bool = True
) -> Generator[tuple[Item, Done | Exception]]:
    """Each item with what came of it, in order; an exception where one of its stages failed.

    The stage ``between`` runs in the calling thread. Meanwhile the next item is made ready and the last one is brought
    to its end: three items are there at a time, never more. One at a time where not ``together``. Left early, by
    Ctrl-C say, ``stop`` is asked and the two other threads are waited for.
    """
    if not together:
        for item in items:
            given: Future[Item] = Future()
            given.set_result(item)
            ready = _attempt(stages.before, given)
            yield from _ended([(item, _attempt(stages.after, _attempt(stages.between, ready)))])
            del ready
        return
    with ThreadPoolExecutor(1) as ahead, ThreadPoolExecutor(1) as behind:
        try:
            coming = [ahead.submit(stages.before, item) for item in items[:1]]
            ending: list[tuple[Item, Future[Done]]] = []
            for number, item in enumerate(items):
                ready = coming.pop()
                ready.exception()  # waits
                coming = [ahead.submit(stages.before, following) for following in items[number + 1 : number + 2]]
                made = _attempt(stages.between, ready)
                del ready  # or the item would stay as long as the next one is waited for
                yield from _ended(ending)
                ending = [(item, behind.submit(_handed_on, stages.after, made))]
                del made
            yield from _ended(ending)
        finally:
            stop.ask()
            ahead.shutdown(wait=False, cancel_futures=True)


def _attempt(stage: Callable[[Given], Result], given: Future[Given]) -> Future[Result]:
    """What a stage makes of a result, as a future that holds it or the first exception on the way."""
    made: Future[Result] = Future()
    try:
        made.set_result(stage(given.result()))
    except Exception as error:
        made.set_exception(error)
    return made


def _handed_on(stage: Callable[[Given], Result], given: Future[Given]) -> Result:
    return stage(given.result())


def _ended(ending: Sequence[tuple[Item, Future[Done]]]) -> Generator[tuple[Item, Done | Exception]]:
    """Wait for the stages that are at their end."""
    for item, future in ending:
        try:
            yield item, future.result()
        except Exception as error:
            _let_go(error)
            yield item, error


def _let_go(error: BaseException | None) -> None:
    """Empty the frames that an error knows: they would hold what the stages had of its item as long as it lives."""
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
