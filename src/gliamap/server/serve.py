"""The web app as a process: a socket, a server without logs of requests, links for whoever sits at the terminal."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import uvicorn

from gliamap.errors import ConfigError
from gliamap.server.app import make_app
from gliamap.server.connection import Connection
from gliamap.server.settings import ServerSettings

_AT_ONCE = 512
_GOODBYE = 1  # seconds that open connections, streams of events among them, have at the end


def serve(settings: ServerSettings, announce: Callable[[str, str | None], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; ``KeyboardInterrupt`` after the former.

    ``announce`` is told the app's address and a link that signs in once, again after each use; where a password is set
    the link is ``None``. Files of this process are for the user alone from now on. ``ConfigError`` where the port is
    taken or the folder of the cases cannot be used.
    """
    with _listening(settings) as listener:
        os.umask(0o077)
        settings = replace(settings, port=listener.getsockname()[1])
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"http://{host}:{settings.port}"

        def show_way_in() -> None:
            token = app.state.desk.sessions.link() if settings.password is None else None
            announce(address, f"{address}/enter?token={token}" if token else None)

        app = make_app(settings, show_way_in=show_way_in)
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))  # the terminal was closed
        try:
            with suppress(SystemExit):  # of an app that could not start; why is said below
                uvicorn.Server(_config(app)).run(sockets=[listener])
        finally:
            app.state.desk.jobs.kill()  # after a second Ctrl-C nothing else would
    if app.state.failure is not None:
        raise app.state.failure


def _config(app: object) -> uvicorn.Config:
    """No line about a request, no trust in what a proxy says, no web sockets, nothing that names the software."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_AT_ONCE,
        timeout_graceful_shutdown=_GOODBYE,
    )


def _listening(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"{settings.host}, port {settings.port} cannot be used",
            found=str(error),
            remedy="end what uses it, or name another --port",
        ) from error
