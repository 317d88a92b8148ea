from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any, cast

import pytest
from fastapi import Request

from gliamap.server.asked import chunks
from gliamap.server.refusal import Refused
from gliamap.server.watch import State, Watcher, watch


class Bell:
    """What is watched: somebody whom tests call, and whether it still listens."""

    def __init__(self) -> None:
        self.watcher = Watcher()
        self.watched = False

    @contextmanager
    def listen(self) -> Iterator[Watcher]:
        self.watched = True
        try:
            yield self.watcher
        finally:
            self.watched = False


def stream(
    bell: Bell, state: State, *, heartbeat: float = 5.0, lasts: Callable[[], bool] = lambda: True
) -> AsyncIterator[bytes]:
    answer = watch(bell.listen(), state, lasts=lasts, heartbeat=heartbeat)
    return cast("AsyncIterator[bytes]", answer.body_iterator)


def told_changes(changed: AbstractSet[str] | None) -> tuple[str, Any]:
    return "changed", changed if changed is None else sorted(changed)


def test_everything_is_told_at_once_and_then_what_has_changed() -> None:
    async def run() -> list[bytes]:
        bell = Bell()
        told = stream(bell, told_changes)
        first = await anext(told)
        for case_id in ("a", "b", "a"):  # while the reader was away
            bell.watcher.call(case_id)
        second = await anext(told)
        bell.watcher.call("c")
        return [first, second, await anext(told)]

    assert [message.splitlines()[1] for message in asyncio.run(run())] == [
        b"data: null",
        b'data: ["a","b"]',
        b'data: ["c"]',
    ]


def test_stream_ends_where_there_is_nothing_more_to_tell() -> None:
    async def run() -> list[bytes]:
        bell, states = Bell(), iter([("case", 1), None])
        told = stream(bell, lambda _changed: next(states))
        bell.watcher.call("a")
        return [message async for message in told]

    assert asyncio.run(run()) == [b"event: case\ndata: 1\n\n", b"event: gone\ndata: {}\n\n"]


def test_stream_ends_at_a_call_after_its_time() -> None:
    async def run() -> list[bytes]:
        bell, lasting = Bell(), [True]
        told = stream(bell, told_changes, lasts=lambda: lasting[0])
        first = await anext(told)
        lasting[0] = False
        bell.watcher.call()
        return [first, *[message async for message in told]]

    assert asyncio.run(run()) == [b"event: changed\ndata: null\n\n"]


def test_silence_is_broken_by_beats() -> None:
    async def run() -> list[bytes]:
        told = stream(Bell(), told_changes, heartbeat=0.01)
        return [await anext(told) for _ in range(3)]

    assert asyncio.run(run())[1:] == [b"event: beat\ndata: {}\n\n"] * 2


def test_content_cannot_break_out_of_its_line() -> None:
    async def run() -> bytes:
        return await anext(stream(Bell(), lambda _changed: ("case", "a\n\nevent: evil\r\u2028\ud800")))

    assert asyncio.run(run()) == b'event: case\ndata: "a\\n\\nevent: evil\\r\\u2028\\ud800"\n\n'


def test_watching_ends_with_the_connection() -> None:
    async def run() -> Bell:
        bell = Bell()
        answer = watch(bell.listen(), told_changes, lasts=lambda: True, heartbeat=5.0)
        assert bell.watched

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def send(_message: Any) -> None:
            pass

        await answer({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
        return bell

    assert not asyncio.run(run()).watched


class Upload:
    """A request whose body comes in parts, with pauses."""

    def __init__(self, *parts: bytes | float) -> None:
        self._parts = parts

    async def stream(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
            else:
                await asyncio.sleep(part)


def received(*parts: bytes | float, most: int = 100) -> bytes:
    async def run() -> bytes:
        request = cast("Request", Upload(*parts))
        return b"".join([chunk async for chunk in chunks(request, most, idle=0.05)])

    return asyncio.run(run())


def test_upload_that_stands_still_is_given_up() -> None:
    assert received(b"a", 0.0, b"b") == b"ab"
    with pytest.raises(Refused, match="nothing came") as caught:
        received(b"a", 1.0, b"b")
    assert caught.value.code == "slow"


def test_upload_ends_at_the_first_byte_too_many() -> None:
    assert received(b"a" * 99, b"b") == b"a" * 99 + b"b"
    with pytest.raises(Refused, match="too large"):
        received(b"a" * 99, b"bc")
