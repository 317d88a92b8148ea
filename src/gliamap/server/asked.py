"""Requests read with limits on everything they say, and errors as answers."""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from gliamap.config import Settings
from gliamap.errors import GliamapError, OutputError
from gliamap.server.desk import Desk
from gliamap.server.gate import cookie_name, read_cookie
from gliamap.server.intake import LAST_NUMBER
from gliamap.server.refusal import Refused, answer_to, log_unforeseen

Said = TypeVar("Said", bound=Settings)

_NUMBER = re.compile(r"[1-9][0-9]{0,2}")  # up to LAST_NUMBER
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CHUNK = 2**20
_NO_CODE = {404: "not-found", 405: "not-found", 413: "too-large"}


def desk_of(request: Request) -> Desk:
    """The app's desk."""
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk


async def body(request: Request, kind: type[Said]) -> Said:
    """The JSON body of a request, nothing where it is empty; ``Refused`` where it does not fit or is too large."""
    limits = desk_of(request).settings.limits
    declared_bytes(request, limits.body_bytes)
    try:
        async with asyncio.timeout(limits.idle):  # the whole of it: strangers who sign in may not keep us waiting
            said = b"".join([chunk async for chunk in chunks(request, limits.body_bytes, limits.idle)])
    except TimeoutError as error:
        raise _slow() from error
    return parsed(kind, said or b"{}")


def parsed(kind: type[Said], said: bytes | Mapping[str, Any]) -> Said:
    """``said``, JSON or what a query says, as ``kind``; ``Refused`` where it does not fit."""
    try:
        return kind.model_validate_json(said) if isinstance(said, bytes) else kind.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part)[:40] for part in first["loc"]) or "the request"
        raise Refused("bad-request", "the request does not fit", found=where, expected=first["msg"]) from error


def number_of(text: str) -> int:
    """The number of a file; ``Refused`` where it is none from 1 to ``LAST_NUMBER``."""
    if not _NUMBER.fullmatch(text):
        raise Refused("bad-request", "this is no number of a file", expected=f"1 to {LAST_NUMBER}")
    return int(text)


def declared_bytes(request: Request, most: int) -> int:
    """What a request says of its size, 0 where it says nothing; ``Refused`` where it is too large from the start."""
    text = request.headers.get("content-length", "0")
    declared = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else most + 1
    if declared > most:
        raise _too_large(most)
    return declared


async def chunks(request: Request, most: int, idle: float) -> AsyncIterator[bytes]:
    """The body in chunks of a megabyte; ``Refused`` at the first byte past ``most``, and where nothing comes."""
    stream, seen, held = request.stream(), 0, bytearray()
    while True:
        try:
            async with asyncio.timeout(idle):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise _slow() from error
        if chunk is None:
            break
        seen += len(chunk)
        if seen > most:
            raise _too_large(most)
        held += chunk
        if len(held) >= _CHUNK:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def signed_in(request: Request) -> Callable[[], bool]:
    """Whether the session of a request still lasts, for answers that go on."""
    desk = desk_of(request)
    cookie = read_cookie(request.headers, cookie_name(desk.settings)) or ""
    return lambda: desk.sessions.knows(cookie)


def with_cookie(answer: Response, desk: Desk, cookie: str) -> Response:
    """The answer that signs in: a cookie that no script reads and no request from another site brings along."""
    answer.set_cookie(cookie_name(desk.settings), cookie, httponly=True, samesite="strict", path="/")
    return answer


def add_handlers(app: FastAPI) -> None:
    """Have every error answered in the app's own form."""
    app.add_exception_handler(GliamapError, _refused)
    app.add_exception_handler(OutputError, _unwritten)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(OSError, _disk)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, GliamapError)
    return answer_to(error)


async def _no_route(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _NO_CODE.get(error.status_code, "bad-request")
    return answer_to(Refused(code, "there is nothing here" if code == "not-found" else "this cannot be understood"))


async def _gone(_request: Request, _error: Exception) -> Response:
    return answer_to(Refused("slow", "the connection was closed"))  # nobody reads it


async def _unwritten(request: Request, error: Exception) -> Response:
    """What could not be written is the disk's fault, and where it lies is nobody's business."""
    return await _disk(request, error.__cause__ if isinstance(error.__cause__, OSError) else error)


async def _disk(_request: Request, error: Exception) -> Response:
    if isinstance(error, OSError) and error.errno in _FULL:
        return answer_to(Refused("full", "the disk is full", remedy="delete cases, or make room on the disk"))
    log_unforeseen(error)
    return answer_to(Refused("failed", "the disk cannot be used as it should"))


def _slow() -> Refused:
    return Refused("slow", "nothing came any more", remedy="send it again")


def _too_large(most: int) -> Refused:
    return Refused("too-large", "this is too large", expected=f"at most {most} bytes")
