"""Server-sent events: the whole state at once, then what has changed since the last look."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, suppress
from typing import Any

from starlette.responses import StreamingResponse

State = Callable[[AbstractSet[str] | None], tuple[str, Any] | None]
"""The name of an event and its content, of what has changed, or with ``None`` of everything; ``None`` where there is
nothing more to tell."""


class Watcher:
    """Somebody who waits for changes of what has these ids. Used from one event loop."""

    def __init__(self) -> None:
        self._called = asyncio.Event()
        self._changed: set[str] = set()

    def call(self, *changed: str) -> None:
        """Wake it, and have it know what has changed."""
        self._changed.update(changed)
        self._called.set()

    async def changes(self, patience: float) -> AbstractSet[str]:
        """What has changed since the last look; waits ``patience`` seconds at most. Empty where nothing has."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._called.wait(), patience)
        self._called.clear()
        changed, self._changed = self._changed, set()
        return changed


def watch(
    watched: AbstractContextManager[Watcher],
    state: State,
    *,
    lasts: Callable[[], bool],
    heartbeat: float,
    pause: float = 0.0,
) -> StreamingResponse:
    """A stream that tells ``state`` now and after each change, and ends with an event ``gone``.

    What changes while a reader is slow, or within ``pause`` seconds of the last event, is told once, by its newest
    state, so that nothing piles up. After ``heartbeat`` seconds of silence an event ``beat`` shows that the connection
    is not broken. The stream ends without a word where it no longer ``lasts``, which is asked before each event.
    ``watched`` is entered before the answer begins.
    """
    return _Watched(_stream(watched.__enter__(), state, lasts, heartbeat, pause), watched)


async def _stream(
    watcher: Watcher, state: State, lasts: Callable[[], bool], heartbeat: float, pause: float
) -> AsyncIterator[bytes]:
    changed: AbstractSet[str] | None = None
    while lasts():
        if changed is None or changed:
            told = state(changed)
            yield _message(*(told or ("gone", {})))
            if told is None:
                return
            await asyncio.sleep(pause)
        else:
            yield _message("beat", {})
        changed = await watcher.changes(heartbeat)


def _message(name: str, content: Any) -> bytes:
    data = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return f"event: {name}\ndata: {data}\n\n".encode("ascii")


class _Watched(StreamingResponse):
    """The stream, and what is let go of when it ends, however it ends."""

    media_type = "text/event-stream"

    def __init__(self, stream: AsyncIterator[bytes], watched: AbstractContextManager[Watcher]) -> None:
        super().__init__(stream)
        self._watched = watched

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._watched.__exit__(None, None, None)
