from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from gliamap.server.connection import Connection

PATIENCE = 0.2


async def slow_app(scope: Any, receive: Any, send: Any) -> None:
    """Answers after a while, whatever the body."""
    if scope["path"] == "/slow":
        await asyncio.sleep(3 * PATIENCE)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def answer(*parts: bytes | float) -> bytes:
    """All that comes back until the connection is closed, while ``parts`` are sent with pauses."""

    async def run() -> bytes:
        config = uvicorn.Config(slow_app, log_config=None)
        config.load()
        make = lambda: Connection(config, ServerState(), {})  # noqa: E731
        async with await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            got = b""
            with suppress(ConnectionError):
                for part in parts:
                    if isinstance(part, bytes):
                        writer.write(part)
                    else:
                        await asyncio.sleep(part)
                while more := await asyncio.wait_for(reader.read(1000), 3):
                    got += more
            writer.close()
            return got

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "patience", PATIENCE)


@pytest.mark.parametrize(
    "parts", [[], [b"GET / HT"], [b"GET / HTTP/1.1\r\nHost: x\r\n", 0.1, b"X: 1\r\n", 0.1, b"Y: 1"]]
)
def test_connection_without_a_whole_request_is_closed(parts: list[bytes | float]) -> None:
    assert answer(*parts) == b""


def test_body_that_nobody_waits_for_does_not_keep_a_connection() -> None:
    drops = [b"x", 0.05] * 12
    answer(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", *drops)  # or it would not end in time


def test_answer_may_take_its_time_and_another_request_may_follow() -> None:
    request = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
    assert answer(request, 3.5 * PATIENCE, request).count(b"\r\n\r\nok") == 2
