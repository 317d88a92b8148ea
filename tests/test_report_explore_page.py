"""The page of an exploration: whole in itself, hostile names harmless, every figure with axes."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from functools import cache, reduce

import numpy as np
import pytest
from PIL import Image

import make
from gliamap.case import Case
from gliamap.checks.cohort import SetSummary
from gliamap.checks.findings import Finding
from gliamap.report import explore_page as module
from gliamap.report.exploration import Alike, Exploration
from gliamap.report.explore_figures import draw_figures, draw_intensities, draw_places, draw_tumour_slices
from gliamap.report.explore_page import LISTED, draw_page
from gliamap.survey.case import survey_case
from gliamap.survey.cohort import Survey
from gliamap.survey.counts import Counts
from gliamap.survey.quality import Measure, Property, Score
from test_report_check_page import EVIL, Reader

SET = SetSummary("set", "brats", 3, 3, 3, ("brats2021",), "the layout says so")


def survey_of(cases: list[Case], foreground: str = "brain") -> Survey:
    looks = [survey_case(case, foreground, {}) for case in cases]  # type: ignore[arg-type]
    counts = reduce(Counts.plus, (look.counts for look in looks))
    facts = tuple(look.facts for look in looks)
    return Survey("set", facts[0].unit, foreground, facts, counts)  # type: ignore[arg-type]


@cache
def volumes() -> Survey:
    return survey_of([make.case(kind, seed=n, case_id=f"case {n}") for n, kind in enumerate(make.KINDS * 2)])


@cache
def slices() -> Survey:
    return survey_of([make.slice_case(n) for n in range(3)], "head")


@cache
def figures() -> dict[str, bytes]:
    return draw_figures(volumes())


def drawn(found: Exploration, pictures: dict[int, bytes] | None = None) -> str:
    every = [figures() for _ in found.surveys]
    return draw_page(found, every, [pictures or {} for _ in found.surveys], "1")


def test_the_page_shows_every_part() -> None:
    page = drawn(Exploration((SET,), (volumes(),), notes=("so it is",)), {0: b"x"})
    text = Reader(page).text
    heads = re.findall(r"<h2>(.*?)</h2>", page)
    assert heads == ["Tissues", "Lesions", "Where tumours lie", "Intensities", "Best and worst looking",
                     "The same image twice", "Notes"]  # fmt: skip
    for words in (
        "All 6 cases with a mask show tumour",
        "edema",
        "of the brain",
        "index",
        "None was found",
        "so it is",
    ):
        assert words in text
    assert "not a registration" in text and "Immerkaer" in text


def test_figures_are_pngs_that_two_draw_alike() -> None:
    names = ["balance", "lesion-sizes", "lesion-counts", "tumour-slices", "places-axial", "places-coronal",
             "places-sagittal", "intensities-t1", "intensities-t1c", "intensities-t2", "intensities-flair"]  # fmt: skip
    assert list(figures()) == names
    for png in figures().values():
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
        assert len(png) < 200_000 and min(pixels.shape[:2]) > 400
        edges = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (edges == 255).all()  # nothing is cut off at the rim
    assert draw_places(volumes(), "axial") == figures()["places-axial"]


def test_slices_have_figures_of_their_own() -> None:
    unknown = replace(slices(), patients_known=False)
    drawings = draw_figures(unknown)
    assert list(drawings) == ["balance", "lesion-sizes", "lesion-counts", "places-slice", "intensities-t1c"]
    text = Reader(draw_page(Exploration((SET,), (unknown,)), [drawings], [{}], "1")).text
    assert "Pictures do not tell their plane" in text and "pixels in the median" in text
    assert draw_tumour_slices(slices()).startswith(b"\x89PNG")


def test_without_masks_little_is_left() -> None:
    bare = survey_of([replace(make.case(seed=n), labels=None) for n in range(2)])
    assert [name.split("-")[0] for name in draw_figures(bare)] == ["intensities"] * 4
    text = Reader(draw_page(Exploration((SET,), (bare,)), [draw_figures(bare)], [{}], "1")).text
    assert "2 cases, none with a mask." in text and "no tumour" not in text and "Where tumours lie" not in text


def test_tumours_without_a_mask_are_told_to_count_as_healthy() -> None:
    words = "cases without a mask show counts as rest of the brain, tumours too"
    some = survey_of([make.case(seed=0), replace(make.case(seed=1), labels=None)])
    text = Reader(drawn(Exploration((SET,), (some,)), {0: b"x", 1: b"x"})).text
    assert words in text and "1 of 1 case with a mask shows tumour" in text
    assert words not in Reader(drawn(Exploration((SET,), (volumes(),)))).text


def test_large_numbers_of_cases_are_readable() -> None:
    found = Exploration((replace(SET, cases=1855),), (volumes(),))
    assert "1,855 cases" in Reader(drawn(found)).text


def test_only_outlines_that_are_there_are_told_of() -> None:
    bare = survey_of([replace(make.case(seed=n), labels=None) for n in range(2)])
    assert "the mask is outlined" not in drawn(Exploration((SET,), (bare,)), {0: b"x", 1: b"x"})
    assert "the mask is outlined" in drawn(Exploration((SET,), (volumes(),)), dict.fromkeys(range(6), b"x"))


@pytest.mark.parametrize(("index", "shown"), [(-0.04, "0.0"), (0.3, "0.3"), (-0.3, "−0.3")])
def test_an_index_that_rounds_to_zero_is_usual(index: float, shown: str) -> None:
    score = Score(index, Property(Measure.NOISE, "t1"), 1.0, 1.0)
    assert module._index(score) == shown
    assert (module._reason(score, "mm") == "No property is worse than usual.") == (index > -0.1)


def test_empty_masks_are_no_tumour() -> None:
    empty = survey_of([replace(make.case(seed=n), labels=np.zeros(make.SHAPES["plain"], np.uint8)) for n in range(2)])
    text = Reader(draw_page(Exploration((SET,), (empty,)), [draw_figures(empty)], [{}], "1")).text
    assert "2 cases, 2 with a mask; no tumour" in text


def test_nothing_is_loaded_from_outside_and_nothing_runs() -> None:
    page = drawn(Exploration((SET,), (volumes(),)), dict.fromkeys(range(6), b"jpeg"))
    read = Reader(page)
    policy = next(attrs["content"] for tag, attrs in read.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert not {"script", "link", "iframe", "object", "a"} & {tag for tag, _ in read.tags}
    sources = [attrs.get("src") or "" for _, attrs in read.tags if "src" in attrs]
    assert len(sources) == len(figures()) + 6 and all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"https?:|url\(|@import", page)


def test_names_from_outside_stay_text() -> None:
    cases = [replace(make.case(kind, seed=n), case_id=EVIL, patient_id=EVIL) for n, kind in enumerate(make.KINDS)]
    evil = replace(SET, name=EVIL, layout=EVIL, labels_why=EVIL)
    found = Exploration(
        (evil, SET), (replace(survey_of(cases), data_set=EVIL),), (Alike(EVIL, EVIL, Finding("duplicate", EVIL)),),
        {EVIL: EVIL}, (EVIL,),
    )  # fmt: skip
    page = draw_page(found, [{}], [{}], EVIL)
    read = Reader(page)
    assert not {"script", "img"} & {tag for tag, _ in read.tags}
    assert not any(name.startswith("on") for _, attrs in read.tags for name in attrs)
    assert read.text.count(EVIL) >= 10


@pytest.mark.parametrize("modality", ["$x^2$", "<b>", "täuschung_2"])
def test_odd_modalities_are_drawn_as_they_are(modality: str) -> None:
    one = survey_of([replace(make.case(seed=n), modalities=(modality, "a", "b", "c")) for n in range(2)])
    drawings = {f"intensities-{modality}": draw_intensities(one, modality)}
    assert 'src="data:image/png' in draw_page(Exploration((SET,), (one,)), [drawings], [{}], "1")


def test_what_is_twice_is_counted_and_named() -> None:
    alike = tuple(Alike("set", f"c{n}", Finding("duplicate", "the same image as d")) for n in range(LISTED + 2))
    text = Reader(drawn(Exploration((SET,), (volumes(),), (*alike, Alike("set", "e", Finding("same-mask", "")))))).text
    assert f"The image is also in another case: {LISTED + 2} cases" in text
    assert "The mask is also the mask of another case: 1 case" in text
    assert "c29: the same image as d" in text and "c30:" not in text and "and 3 more" in text


def test_equal_explorations_give_equal_pages_without_a_date() -> None:
    made = [drawn(Exploration((SET,), (volumes(),)), {0: b"x"}) for _ in range(2)]
    assert made[0] == made[1]
    assert not re.search(r"\b(19|20)\d\d-\d\d|\d\d:\d\d", Reader(made[0]).text)
