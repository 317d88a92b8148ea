"""The web app on a free port of this machine, in a thread of the tests; its jobs are those of ``fake_segment.py``."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import uvicorn
from playwright.sync_api import Page

from gliamap.server.app import make_app
from gliamap.server.settings import Limits
from servers import fake_models, settings_in

LIMITS = Limits(file_bytes=2**24, case_bytes=2**26, free_bytes=0, title=40)


class AppServer:
    """A running app with its cases in ``folder/data``; ``stop`` and ``start`` are what a restart is.

    ``models``: by what their jobs do, see :func:`servers.fake_models`. A new case has the only one, if it is alone.
    """

    def __init__(self, folder: Path, *models: str, roots: tuple[Path, ...] = (), password: str | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        own = fake_models(folder / "models", models, ("t1", "t1c", "t2", "flair"))
        self._settings = settings_in(folder, models=own, limits=LIMITS, roots=roots, port=port, password=password)
        self.data, self.address = folder / "data", f"http://127.0.0.1:{port}"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._app = make_app(self._settings)
        config = uvicorn.Config(
            self._app, port=self._settings.port, http="h11", ws="none", log_config=None, timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the app did not start"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self._server.should_exit = True
        self._thread.join(timeout=60)
        assert not self._thread.is_alive()

    def enter(self, page: Page) -> Page:
        """Open it in the browser by a one-time link."""
        page.goto(f"{self.address}/enter?token={self._app.state.desk.sessions.link()}")
        page.wait_for_selector("html[data-ready]", state="attached")
        return page
