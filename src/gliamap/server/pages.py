"""The app's own pages and their scripts, styles and pictures, read once when it starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse

from gliamap.server.asked import desk_of, with_cookie
from gliamap.server.gate import SIGNED_IN
from gliamap.server.refusal import Refused

_TYPES = {
    **{"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "html": "text/html; charset=utf-8"},
    **{"svg": "image/svg+xml", "png": "image/png"},
}
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*\.(js|css|html|svg|png)")

router = APIRouter()


def read_static() -> Mapping[str, bytes]:
    """The files that are served, by name: what lies in ``static/`` now and nothing else, whatever is asked for."""
    folder = files("gliamap.server") / "static"
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file() and _NAME.fullmatch(one.name)}


@router.get("/")
async def start_page(request: Request) -> Response:
    """The app, or the way in."""
    if request.scope[SIGNED_IN]:
        return _page(request, "index.html", 200)
    return _page(request, "login.html" if desk_of(request).sessions.by_password else "locked.html", 401)


@router.get("/enter")
async def enter(request: Request) -> Response:
    """Sign in by the link of the terminal. The token is not spent on a browser that only looks ahead."""
    desk = desk_of(request)
    try:
        if "prefetch" in request.headers.get("sec-purpose", ""):
            raise Refused("forbidden", "this link is not for looking ahead")
        cookie = desk.sessions.enter(request.query_params.get("token", ""))
    except Refused:
        return _page(request, "locked.html", 403)
    request.app.state.show_way_in()
    return with_cookie(HTMLResponse(_ONWARDS), desk, cookie)


@router.get("/static/{name}")
async def static(request: Request, name: str) -> Response:
    """A file of the page."""
    content = request.app.state.static.get(name)
    if content is None:
        raise Refused("not-found", "there is nothing here")
    return Response(content, media_type=_TYPES[name.rpartition(".")[2]])


# Not a redirect: after one from another page the browser would not send the new cookie along (SameSite=Strict).
_ONWARDS = """<!doctype html><html lang="en"><meta charset="utf-8"><title>gliamap</title>
<meta http-equiv="refresh" content="0;url=/"><p><a href="/">Go on to gliamap</a></p></html>"""


def _page(request: Request, name: str, status: int) -> Response:
    content = request.app.state.static.get(name)
    if content is None:
        return HTMLResponse(f"<!doctype html><title>gliamap</title><p>{escape(name)} is missing.</p>", status)
    return HTMLResponse(content, status)
