"""Fixtures for pages in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = (  # no call home; WebGL2 without a GPU
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",
)

OpenPage = Callable[..., Page]


def find_chromium() -> str | None:
    """Where Chromium is; Debian's wrapper script adds flags of its own, so the program itself comes first."""
    debian = Path("/usr/lib/chromium/chromium")
    return str(debian) if debian.is_file() else shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium for one file of tests: Playwright's event loop must not outlive it, other tests have their own."""
    program = find_chromium()
    if program is None:
        if os.environ.get("GLIAMAP_REQUIRE_BROWSER") == "1":
            pytest.fail("no Chromium was found and GLIAMAP_REQUIRE_BROWSER=1")
        pytest.skip("pages are tested in Chromium, which is not installed (Debian, Ubuntu: apt install chromium)")
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield one
        one.close()


@contextmanager
def new_page(browser: Browser) -> Iterator[Page]:
    """An empty page in a context of its own, 1440 x 900, that can be touched."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light", has_touch=True)
    context.set_default_timeout(30_000)
    yield context.new_page()
    context.close()


@contextmanager
def opening(page: Page, folder: Path) -> Iterator[OpenPage]:
    """A function that opens HTML in ``page``, see the fixture ``open_page``."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)

    def open_(html: str, *, width: int = 1440, height: int = 900, scheme: str = "light", ready: bool = True) -> Page:
        file = folder / "page.html"
        file.write_text(html, encoding="utf-8")
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.context.set_offline(True)
        page.goto(file.as_uri())
        if ready:
            page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_
    assert not complaints


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page in a context of its own, 1440 x 900."""
    with new_page(browser) as one:
        yield one


@pytest.fixture
def open_page(page: Page, tmp_path: Path) -> Iterator[OpenPage]:
    """``open_page(html, width=1440, scheme="light")``: the page from disk with the network cut, when it is drawn.

    Drawn is ``<html data-ready>``; ``ready=False`` does not wait. What the browser complains of fails the test: errors
    of scripts, and whatever the content security policy forbade.
    """
    with opening(page, tmp_path) as open_:
        yield open_


@pytest.fixture(scope="module")
def shared_page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPage]:
    """As ``open_page``, but one page for a whole file of tests, which must leave it as it was."""
    with new_page(browser) as one, opening(one, tmp_path_factory.mktemp("page")) as open_:
        yield open_
