"""What every request must pass before anything else looks at it, and what every answer carries.

1. The ``Host`` is this machine: a page of a foreign name that was made to point here (DNS rebinding) is refused.
2. Requests that change something come from the app's own page: ``Origin``, and ``Sec-Fetch-Site`` where it is sent.
   Other ports of this machine are foreign, too, though browsers call them the same site.
3. The session is known, but for the few places that one needs to sign in.
4. Answers forbid scripts of others, framing, sniffing, referrers and copies in caches.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gliamap.server.refusal import Refused, answer_to, log_unforeseen
from gliamap.server.session import Sessions
from gliamap.server.settings import ServerSettings, is_loopback

SIGNED_IN = "gliamap.signed_in"
"""Where the scope of a request says whether its session is known."""

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
"""A report is a page of its own without the app's rights. Its own policy, in the page, names its scripts by hash."""

REPORT_HEADERS = {
    "Content-Security-Policy": REPORT_POLICY,
    "Cross-Origin-Opener-Policy": "unsafe-none",  # browsers refuse any other beside a sandbox
}

_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
_READING = ("GET",)
_CHANGING = ("POST", "PUT", "PATCH", "DELETE")
_OPEN = ("/", "/enter", "/api/login")
_STATIC = "/static/"
_ENTRANCES = ("/", "/enter")
"""Where a link from elsewhere may lead; they show nothing and change nothing for somebody without cookie or token."""


class Gate:
    """The ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, sessions: Sessions) -> None:
        self._app, self._sessions = app, sessions
        self._hosts = _own_names(settings)
        self._any_address = not is_loopback(settings.host)
        self._cookie = cookie_name(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here. There are no web sockets."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _protect(MutableHeaders(scope=message))
            await send(message)

        try:
            self._check_origin(scope, headers)
            self._check_session(scope, headers)
            await self._app(scope, receive, guarded)
        except Refused as error:
            await answer_to(error)(scope, receive, guarded)
        except Exception as error:
            log_unforeseen(error)
            if not started:
                failure = Refused("failed", "something went wrong that nobody foresaw", remedy="try again")
                await answer_to(failure)(scope, receive, guarded)

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            raise Refused("forbidden", "this address is not the app's", remedy="open the link in the terminal")
        if scope["method"] not in (*_READING, *_CHANGING):
            raise Refused("forbidden", "requests of this kind are not answered")
        site = headers.get("sec-fetch-site")
        if scope["method"] in _CHANGING:
            origins = headers.getlist("origin")
            if origins != [f"{scope['scheme']}://{hosts[0]}"] or site not in (None, "same-origin"):
                raise _foreign()
        elif site not in (None, "same-origin", "none") and scope["path"] not in _ENTRANCES:
            raise _foreign()

    def _check_session(self, scope: Scope, headers: Headers) -> None:
        cookie = read_cookie(headers, self._cookie)
        scope[SIGNED_IN] = cookie is not None and self._sessions.knows(cookie)
        path = scope["path"]
        if not (scope[SIGNED_IN] or path in _OPEN or path.startswith(_STATIC)):
            raise Refused("signed-out", "you are not signed in", remedy="open the newest link in the terminal")

    def _is_own(self, host: str) -> bool:
        """Whether a ``Host`` header names this machine; the port may be that of a tunnel."""
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if name is None or "@" in host or "/" in host or "?" in host or "#" in host:
            return False
        return name in self._hosts or (self._any_address and _is_address(name))


def cookie_name(settings: ServerSettings) -> str:
    """One for each port: browsers send the cookies of a host to all of its ports."""
    return f"gliamap-{settings.port}"


def read_cookie(headers: Headers, name: str) -> str | None:
    """The value of a cookie; ``None`` where it is not sent.

    Other apps of this machine have their cookies beside it, in whatever form: Python's own parser gives up at odd ones.
    """
    return cookie_parser(headers.get("cookie", "")).get(name)


def _own_names(settings: ServerSettings) -> frozenset[str]:
    """The names that a ``Host`` may have. An address cannot be made to point elsewhere, a foreign name can."""
    own = {"localhost", "127.0.0.1", "::1", settings.host.lower()}
    if not is_loopback(settings.host):
        own |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset(own)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _foreign() -> Refused:
    return Refused("forbidden", "this request does not come from the app's own page")


def _protect(headers: MutableHeaders) -> None:
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
