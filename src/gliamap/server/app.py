"""The web app, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware import Middleware

from gliamap.errors import GliamapError
from gliamap.server import api, pages
from gliamap.server.asked import add_handlers
from gliamap.server.desk import Desk
from gliamap.server.gate import Gate
from gliamap.server.settings import ServerSettings

_SILENT: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI is to report nothing to anybody, whatever the environment asks for."""


def make_app(settings: ServerSettings, *, show_way_in: Callable[[], None] = lambda: None) -> FastAPI:
    """The app for these settings; its ``state.desk`` holds cases and sessions. ``show_way_in`` is called once the
    app runs, and after each sign-in by a link.

    Errors as from :func:`gliamap.io.model_spec.read_spec`. When it starts, ``ConfigError`` where the folder of the
    cases is not the user's alone.
    """
    desk = Desk(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with desk.open():
                show_way_in()
                yield
        except GliamapError as error:
            app.state.failure = error  # the server says only that there was one
            raise

    app = FastAPI(
        title="gliamap",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry=_SILENT,
        middleware=[Middleware(Gate, settings=settings, sessions=desk.sessions)],
    )
    app.state.desk, app.state.show_way_in = desk, show_way_in
    app.state.static, app.state.failure = pages.read_static(), None
    app.include_router(api.router)
    app.include_router(pages.router)
    add_handlers(app)
    return app
