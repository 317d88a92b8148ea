"""Three stages in three threads: in order, never more than three items, and one that fails stops nobody."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from gliamap.workflows.prediction.overlap import Abandoned, Stages, Stop, overlapped


@dataclass
class Watch:
    """Stages that double, add one and write out, and note what happened when."""

    fail: dict[int, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    most: int = 0
    _there: int = 0

    def _note(self, stage: str, item: int) -> None:
        self.events.append(f"{stage} {item}")
        self.threads.add(threading.get_ident())
        if self.fail.get(item) == stage:
            self._there -= 1
            raise ValueError(f"{stage} {item}")

    def before(self, item: int) -> int:
        self._there += 1
        self.most = max(self.most, self._there)
        self._note("before", item)
        return item

    def between(self, item: int) -> int:
        self._note("between", item)
        time.sleep(0.01)
        return item

    def after(self, item: int) -> str:
        self._note("after", item)
        time.sleep(0.03)
        self._there -= 1
        return f"item {item}"

    @property
    def stages(self) -> Stages[int, int, int, str]:
        return Stages(self.before, self.between, self.after)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_every_item_goes_through_all_stages_in_order(count: int, together: bool) -> None:
    watch = Watch()
    done = list(overlapped(range(count), watch.stages, stop=Stop(), together=together))
    assert done == [(n, f"item {n}") for n in range(count)]
    assert len(watch.events) == 3 * count
    assert len(watch.threads) == (min(count, 1) * 3 if together else min(count, 1))


def test_three_items_at_a_time_and_never_more() -> None:
    watch, alone = Watch(), Watch()
    list(overlapped(range(9), watch.stages, stop=Stop()))
    list(overlapped(range(9), alone.stages, stop=Stop(), together=False))
    assert (watch.most, alone.most) == (3, 1)


def test_the_next_is_made_ready_meanwhile() -> None:
    there = threading.Event()

    def before(item: int) -> int:
        if item == 1:
            there.set()
        return item

    def between(item: int) -> bool:
        return there.wait(10) if item == 0 else True

    assert [done for _, done in overlapped([0, 1], Stages(before, between, bool), stop=Stop())] == [True, True]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("stage", ["before", "between", "after"])
def test_one_that_fails_stops_nobody(stage: str, together: bool) -> None:
    watch = Watch(fail={1: stage})
    done = list(overlapped(range(4), watch.stages, stop=Stop(), together=together))
    assert [item for item, _ in done] == [0, 1, 2, 3]
    error = done[1][1]
    assert isinstance(error, ValueError) and str(error) == f"{stage} 1"
    assert [result for item, result in done if item != 1] == ["item 0", "item 2", "item 3"]
    assert "after 1" not in watch.events or stage == "after"


class Voxels:
    """What an item holds in memory."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("stage", ["before", "between", "after"])
def test_what_failed_items_held_is_let_go(stage: str, together: bool) -> None:
    there: weakref.WeakSet[Voxels] = weakref.WeakSet()
    most = 0

    def before(item: int) -> Voxels:
        nonlocal most
        held = Voxels()
        there.add(held)
        most = max(most, len(there))
        return fail(held) if stage == "before" else held

    def fail(held: Voxels) -> Voxels:
        raise ValueError

    between, after = (fail if stage == name else lambda held: held for name in ("between", "after"))
    for _, result in overlapped(range(9), Stages(before, between, after), stop=Stop(), together=together):
        assert isinstance(result, ValueError)
    assert most <= (3 if together else 1) and not there


def test_leaving_early_abandons_what_is_under_way() -> None:
    stop = Stop()
    writing, ended = threading.Event(), []

    def after(item: int) -> int:
        writing.set()
        for _ in range(1000):
            time.sleep(0.01)
            try:
                stop.check()
            except Abandoned:
                ended.append(item)
                raise
        return item

    def between(item: int) -> int:
        if item == 1:
            assert writing.wait(10)
            raise KeyboardInterrupt
        return item

    started = time.monotonic()
    with (
        pytest.raises(KeyboardInterrupt),
        closing(overlapped([0, 1, 2, 3], Stages(int, between, after), stop=stop)) as all_of,
    ):
        list(all_of)
    assert ended == [0] and time.monotonic() - started < 5
    assert not any("ThreadPool" in thread.name for thread in threading.enumerate())
