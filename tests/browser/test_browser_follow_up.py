"""A patient's visits in a browser: planes move together where, and only where, the grids agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from axe import serious_findings
from playwright.sync_api import Page

import make
from gliamap.case import Case
from gliamap.viewer import follow_up_page
from gliamap.workflows.reports.follow_up import follow_up

OpenPage = Callable[..., Page]


def less(one: Case, slices: int) -> Case:
    """The case without its head in the first ``slices`` along x: its viewer is cut to another box."""
    image = one.image.copy()
    image[:, :slices] = 0
    labels = np.where(np.arange(one.grid.shape[0])[:, None, None] < slices, 0, one.labels).astype(np.uint8)
    return replace(one, image=image, labels=labels)


@pytest.fixture
def page_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: OpenPage) -> Callable[..., Page]:
    """Open the page of the cases, one a visit; its viewers are ``window.visits``."""
    monkeypatch.setattr("gliamap.viewer.follow_up_page.draw_course", lambda *_: b"PNG")

    def static(name: str) -> str:
        script = original(name)
        return script + "\nwindow.visits = visits;\n" if name == "follow_up.js" else script

    original = follow_up_page.read_static
    monkeypatch.setattr(follow_up_page, "read_static", static)

    def open_(*cases: Case, **how: object) -> Page:
        visits = [make.write_brats(tmp_path, replace(one, case_id=f"visit{n}")) for n, one in enumerate(cases, 1)]
        follow_up(visits, tmp_path / "made.html")
        return open_page((tmp_path / "made.html").read_text(), **how)

    return open_


def at(page: Page) -> list[list[int]]:
    return page.evaluate("visits.map((visit) => visit.viewer.state.at)")


def test_linked_voxel_by_voxel_though_cut_differently(page_of: Callable[..., Page]) -> None:
    page = page_of(make.case(), less(make.case(seed=1), 7))
    starts = page.evaluate("visits.map((visit) => visit.start)")
    assert starts[0] != starts[1]
    for moved, other in ((0, 1), (1, 0)):
        page.evaluate(f"visits[{moved}].viewer.moveTo([6, 5, 4])")
        places = [
            [a + b for a, b in zip(start, place, strict=True)] for start, place in zip(starts, at(page), strict=True)
        ]
        shape = page.evaluate(f"visits[{other}].shape")
        low, high = starts[other], [a + n - 1 for a, n in zip(starts[other], shape, strict=True)]
        assert places[other] == [min(max(p, a), b) for p, a, b in zip(places[moved], low, high, strict=True)]


def test_other_grids_stay_where_they_are(page_of: Callable[..., Page]) -> None:
    page = page_of(make.case(), make.case("oblique"))
    before = at(page)[1]
    page.evaluate("visits[0].viewer.moveTo([1, 2, 3])")
    assert at(page) == [[1, 2, 3], before]
    assert "not registered" in page.inner_text("main")


def test_the_page_is_fit_for_everyone(page_of: Callable[..., Page]) -> None:
    assert not serious_findings(page_of(make.case(), make.case(seed=1)))


@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_itself_never_scrolls_sideways(page_of: Callable[..., Page], width: int) -> None:
    page = page_of(make.case(), make.case(seed=1), width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
