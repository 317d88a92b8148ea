"""The page of a run in a browser: sorted, filtered, quick with a thousand cases, whole without scripts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from axe import serious_findings
from PIL import Image
from playwright.sync_api import Browser, Page

from gliamap.labels import Region
from gliamap.viewer.cohort_page import Cohort, CohortCase, draw_page

OpenPage = Callable[..., Page]


@pytest.fixture(autouse=True)
def _no_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gliamap.viewer.cohort_page._boxes", lambda _: "")


def case(number: int, *, whole: float, dice: float, **warnings: str) -> CohortCase:
    return CohortCase(
        f"case-{number}",
        f"case-{number}",
        volumes={Region.WT: whole, Region.ET: whole / 2},
        dice={Region.WT: dice, Region.ET: dice},
        warnings={code.replace("_", "-"): said for code, said in warnings.items()},
        report=f"case-{number}_report.html",
    )


def with_pictures(count: int, folder: Path) -> Cohort:
    """Cases of rising Dice, whose pictures lie in ``folder``."""
    (folder / "thumbnails").mkdir()
    cases = []
    for number in range(count):
        picture = f"thumbnails/case-{number}.jpg"
        Image.new("RGB", (240, 240), (number % 256, 90, 120)).save(folder / picture)
        one = case(number, whole=number / 7, dice=number / 1000, low_confidence="low confidence: found")
        cases.append(replace(one, picture=picture))
    return Cohort("masks", tuple(cases), "mL")


def few() -> Cohort:
    """Worst first: case-10 (no mask), case-2, case-9, case-1."""
    cases = (
        case(1, whole=5.0, dice=0.95),
        case(2, whole=100.0, dice=0.35, empty_mask="no tumour found"),
        case(9, whole=20.0, dice=0.8, low_confidence="low confidence", empty_mask="no tumour found"),
        CohortCase("case-10", "case-10", failed="no t1c"),
    )
    return Cohort("masks", cases, "mL", {"model": "tiny"})


def wait_until(page: Page, true: Callable[[], bool]) -> bool:
    """Whether it comes true within ten seconds; Playwright's own way needs ``eval``, which the page forbids."""
    for _ in range(100):
        if true():
            return True
        page.wait_for_timeout(100)
    return False


def shown(page: Page) -> list[str]:
    return page.locator("#cases tbody tr:not([hidden]) th").all_inner_texts()


def test_sorted_by_any_column_and_back(open_page: OpenPage) -> None:
    page = open_page(draw_page(few(), "1"))
    worst = ["case-10", "case-2", "case-9", "case-1"]
    assert shown(page) == worst
    volume = page.get_by_role("button", name="volume mL, WT")
    volume.click()
    assert shown(page) == ["case-1", "case-9", "case-2", "case-10"]  # what has none comes last
    volume.focus()
    page.keyboard.press("Enter")
    assert shown(page) == ["case-2", "case-9", "case-1", "case-10"]
    assert page.locator('th[aria-sort="descending"]').inner_text().strip() == "WT"
    page.get_by_role("button", name="Case", exact=True).click()
    assert shown(page) == ["case-1", "case-2", "case-9", "case-10"]
    assert page.locator("th[aria-sort]").count() == 1
    page.get_by_role("button", name="Show all, worst first").click()
    assert shown(page) == worst


def test_filtered(open_page: OpenPage) -> None:
    page = open_page(draw_page(few(), "1"))
    told = page.locator("#shown")
    assert told.inner_text() == "4 of 4 cases"
    page.get_by_role("searchbox").fill("CASE-1")
    assert shown(page) == ["case-10", "case-1"] and told.inner_text() == "2 of 4 cases"
    page.get_by_role("searchbox").fill("")
    page.get_by_role("combobox", name="Warning").select_option("low-confidence")
    assert shown(page) == ["case-9"]
    page.get_by_role("combobox", name="Warning").select_option("-")
    assert shown(page) == ["case-1"]
    page.get_by_role("combobox", name="Warning").select_option("*")
    assert shown(page) == ["case-10", "case-2", "case-9"]
    page.get_by_role("combobox", name="Warning").select_option("")
    page.get_by_role("combobox", name="Figure").select_option(label="Dice, ET")
    page.get_by_role("spinbutton", name="to").fill("0.8")
    assert shown(page) == ["case-2", "case-9"]
    page.get_by_role("spinbutton", name="from").fill("0.5")
    assert shown(page) == ["case-9"]


def test_a_thousand_cases_are_usable_within_a_second(open_page: OpenPage, page: Page, tmp_path: Path) -> None:
    """Of the page's own processor time: other programs may have the processor meanwhile."""
    taken = page.context.new_cdp_session(page)
    taken.send("Performance.enable", {"timeDomain": "threadTicks"})
    open_page(draw_page(with_pictures(1000, tmp_path), "1"))
    seconds = {one["name"]: one["value"] for one in taken.send("Performance.getMetrics")["metrics"]}
    assert 0 < seconds["TaskDuration"] < 1
    page.get_by_role("button", name="volume mL, WT").click()
    page.get_by_role("button", name="volume mL, WT").click()
    assert shown(page)[0] == "case-999"
    page.get_by_role("searchbox").fill("case-99")
    assert len(shown(page)) == 11


def test_pictures_come_with_scrolling_and_from_beside_the_page(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(draw_page(with_pictures(300, tmp_path), "1"))
    last = page.locator("#cases img").last
    shown = "(image) => image.complete && image.naturalWidth === 240"
    assert wait_until(page, lambda: page.locator("#cases img").first.evaluate(shown))
    assert not last.evaluate(shown)
    last.scroll_into_view_if_needed()
    assert wait_until(page, lambda: last.evaluate(shown))


def test_without_scripts_it_is_a_plain_table(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(draw_page(few(), "1"))
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert shown(page) == ["case-10", "case-2", "case-9", "case-1"]
    assert not page.locator("#filter").is_visible() and page.locator("#cases button").count() == 0
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_fit_for_everyone(open_page: OpenPage, scheme: str) -> None:
    assert not serious_findings(open_page(draw_page(few(), "1"), scheme=scheme))


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_the_page_itself_never_scrolls_sideways(open_page: OpenPage, width: int) -> None:
    page = open_page(draw_page(few(), "1"), width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
