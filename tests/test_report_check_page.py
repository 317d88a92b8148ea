"""The page of the preflight: whole in itself, hostile names harmless, pictures small."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import make
from gliamap.checks.cohort import CheckedRow, CohortReport, SetSummary
from gliamap.checks.findings import RULES, CaseReport, Finding, Level
from gliamap.report.check_page import draw_page
from gliamap.report.thumbnail import LARGEST, SIDE, draw_thumbnail
from gliamap.volume import Grid

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
SET = SetSummary("brats21", "brats", 3, 2, 3, ("brats2021",), "the layout says so")


def row(case_id: str, *codes: str, data_set: str = "brats21", found: str = "t1: so it is") -> CheckedRow:
    return CheckedRow(data_set, CaseReport(case_id, "p", tuple(Finding(code, found) for code in codes)))


def report(*rows: CheckedRow, notes: tuple[str, ...] = ()) -> CohortReport:
    return CohortReport((SET,), rows, notes)


class Reader(HTMLParser):
    """Every tag, what it says, and the text between."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_says_what_was_found() -> None:
    read = Reader(draw_page(report(row("a"), row("b", "saturated"), row("c", "tiny-components", "duplicate")), {}, "1"))
    for words in ("brats21", "layout brats", "3 cases, 2 with a mask", "3 patients", "brats2021", "1 NCR, 2 ED, 4 ET"):
        assert words in read.text
    assert RULES["duplicate"].remedy.capitalize() in read.text
    assert "1 case without findings" in read.text
    order = [read.text.index(f"{mark} {name}") for mark, name in (("✕ FAIL", "c"), ("! WARN", "b"))]
    assert order == sorted(order)


def test_levels_are_told_in_words_and_by_the_width_of_the_bar() -> None:
    rows = [row(str(n)) for n in range(6)] + [row("w", "saturated")] * 3 + [row("f", "duplicate")]
    page = draw_page(report(*rows), {}, "1")
    assert re.findall(r'class="(\w+)" style="flex-grow:(\d+)"', page) == [("PASS", "6"), ("WARN", "3"), ("FAIL", "1")]
    text = Reader(page).text
    assert "✓ PASS 6 nothing found" in text and "! WARN 3" in text and "✕ FAIL 1" in text


def test_nothing_is_loaded_from_outside_and_nothing_runs() -> None:
    page = draw_page(report(row("a", "duplicate")), {0: b"jpeg"}, "1")
    read = Reader(page)
    policy = next(attrs["content"] for tag, attrs in read.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert not {"script", "link", "iframe", "object", "a"} & {tag for tag, _ in read.tags}
    assert "http:" not in page and "https:" not in page and "url(" not in page and "@import" not in page
    sources = [attrs.get("src") or "" for _, attrs in read.tags if "src" in attrs]
    assert sources and all(source.startswith("data:image/jpeg;base64,") for source in sources)


def test_names_from_outside_stay_text() -> None:
    evil = replace(SET, name=EVIL, layout=EVIL, labels_why=EVIL)
    rows = (row(EVIL, "duplicate", data_set=EVIL, found=EVIL), row(EVIL, data_set=EVIL))
    page = draw_page(CohortReport((evil, SET), rows, (EVIL,)), {}, EVIL)
    read = Reader(page)
    assert not {"script", "img"} & {tag for tag, _ in read.tags}
    assert not any(name.startswith("on") for _, attrs in read.tags for name in attrs)
    assert read.text.count(EVIL) >= 8


@pytest.mark.parametrize(
    ("sign", "spelt"),
    [("\u202e", r"\u202e"), ("\x1b", r"\x1b"), ("\n", r"\n"), ("\udcff", r"\udcff"), ("\u2028", r"\u2028")],
)
def test_signs_that_are_not_seen_are_spelt_out(sign: str, spelt: str) -> None:
    page = draw_page(report(row(f"a{sign}b", "duplicate")), {}, "1")
    assert f"a{spelt}b" in page
    assert f"a{sign}b" not in page
    page.encode("utf-8")


def test_equal_reports_give_equal_pages_without_a_date() -> None:
    made = [draw_page(report(row("a", "saturated"), notes=("so",)), {0: b"x"}, "0.1.0") for _ in range(2)]
    assert made[0] == made[1]
    assert not re.search(r"\b(19|20)\d\d-\d\d|\d\d:\d\d", Reader(made[0]).text)


def test_of_several_data_sets_each_case_says_its_own() -> None:
    both = CohortReport((SET, replace(SET, name="other")), (row("a", "duplicate"), row("b", data_set="other")))
    text = Reader(draw_page(both, {}, "1")).text
    assert "a in brats21" in text
    assert "b other" in text


def test_a_page_without_findings() -> None:
    text = Reader(draw_page(report(row("a")), {}, "1")).text
    assert "What was found" not in text and "Cases to look at" not in text and "Notes" not in text
    assert "1 case without findings" in text


def test_cohort_counts_and_orders() -> None:
    one = report(row("a", "saturated", "duplicate"), row("b", "saturated"), row("c"))
    assert one.counts == {Level.PASS: 1, Level.WARN: 1, Level.FAIL: 1}
    assert [(rule.code, count) for rule, count in one.rules] == [("duplicate", 1), ("saturated", 2)]
    assert [case.report.case_id for case in one.to_look_at] == ["a", "b"]
    added = row("c", "tiny-components").adding([Finding("duplicate", ""), Finding("saturated", "")])
    assert [finding.code for finding in added.report.findings] == ["duplicate", "saturated", "tiny-components"]


def opened(jpeg: bytes) -> NDArray[np.uint8]:
    assert len(jpeg) <= LARGEST
    picture = Image.open(io.BytesIO(jpeg))
    assert picture.format == "JPEG"
    assert picture.mode == "RGB" and max(picture.size) == SIDE
    return np.asarray(picture)


def outlined(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where it is amber."""
    red, green, blue = (pixels[..., k].astype(int) for k in range(3))
    return (red > 180) & (green > 110) & (green < 220) & (blue < 100)


def test_a_thumbnail_outlines_the_mask_in_every_orientation() -> None:
    for kind in make.KINDS:
        case = make.case(kind)
        assert case.labels is not None
        with_mask = opened(draw_thumbnail(case.image[3], case.grid, case.labels > 0))
        assert outlined(with_mask).sum() > 200
        assert not outlined(opened(draw_thumbnail(case.image[3], case.grid))).any()


def test_a_thumbnail_of_a_slice_keeps_its_shape() -> None:
    case = make.slice_case(columns=60, rows=30)
    assert case.labels is not None
    pixels = opened(draw_thumbnail(np.ones((60, 30, 1), np.float32) * 50, case.grid, case.labels > 0))
    assert pixels.shape[:2] == (SIDE // 2, SIDE)


def test_the_slice_lies_across_the_thick_axis() -> None:
    values = np.zeros((20, 40, 5), np.float32)
    values[2:18, 3:37, 1:4] = 100
    sagittal = np.array([[0, 0, 5.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    pixels = opened(draw_thumbnail(values, Grid((20, 40, 5), sagittal)))
    assert pixels.shape[0] > pixels.shape[1]  # 36 mm high, 18 mm wide: the five thick slices are not across


@pytest.mark.parametrize(
    ("values", "spacing"),
    [
        (np.random.default_rng(0).uniform(0, 1e6, (512, 512, 1)), (1, 1, 1)),  # noise does not pack
        (np.zeros((9, 7, 5)), (1, 1, 1)),
        (np.full((9, 7, 5), 3.0), (1, 1, 1)),
        (np.arange(315.0).reshape(9, 7, 5), (1e-3, 500, 1)),
        (np.full((1, 1, 1), -5.0), (1, 1, 1)),
    ],
)
def test_odd_images_have_a_thumbnail_too(values: NDArray[np.float64], spacing: tuple[float, float, float]) -> None:
    shape = (values.shape[0], values.shape[1], values.shape[2])
    pixels = opened(draw_thumbnail(values.astype(np.float32), Grid(shape, np.diag([*spacing, 1.0]))))
    assert min(pixels.shape[:2]) >= SIDE // 10
