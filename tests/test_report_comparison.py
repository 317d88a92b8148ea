"""The page of a comparison and its figures: nothing cut off, nothing covered, hostile names harmless."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from comparisons import FIGSHARE, MSD, arm, comparison, four, not_run, on_other
from gliamap.comparison.nouns import ArmResult, Comparison
from gliamap.labels import Region
from gliamap.report.comparison_figures import draw_dice, draw_figures, draw_gains
from gliamap.report.comparison_page import draw_page
from gliamap.report.comparison_pareto import draw_pareto, place_numbers
from gliamap.report.plot import shortened
from test_report_check_page import EVIL, Reader

LONG = "msd-t1gd-2d-with-a-long-name, residual-encoder-unet, generalised-dice"


@cache
def figures() -> dict[str, bytes]:
    return draw_figures(four(), MSD.name)


def drawn(found: Comparison) -> str:
    every = [dict.fromkeys(_names(found), b"png") for _ in found.data]
    return draw_page(found, every, "1")


def _names(found: Comparison) -> list[str]:
    return [f"{kind}-{region}" for region in Region for kind in ("gain", "dice", "pareto")]


def pixels(png: bytes) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_there_are_three_figures_a_region() -> None:
    assert list(figures()) == ["gain-WT", "dice-WT", "pareto-WT"]
    assert len(draw_figures(four((Region.WT, Region.TC)), MSD.name)) == 6
    assert draw_gains(four().arms, Region.WT) == figures()["gain-WT"]  # no date in it


@pytest.mark.parametrize(
    "arms",
    [
        four().arms,
        (arm(LONG), *(arm(f"{LONG} {n}", 0.6, (0.0, -0.1, 0.1), seconds=0.2 + n) for n in range(13))),
        (arm("alone"),),
        (not_run("a"), not_run("b")),
    ],
    ids=["four", "fourteen", "one", "none"],
)
def test_nothing_is_cut_off_at_the_rim(arms: tuple[ArmResult, ...]) -> None:
    for draw in (draw_gains, draw_dice, draw_pareto):
        shown = pixels(draw(arms, Region.WT))
        assert shown.shape[1] == 860
        assert (np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]]) == 255).all()


def test_an_arm_without_an_interval_or_of_no_second_is_drawn() -> None:
    alone = arm("a", seconds=0.0)
    alone = replace(
        alone,
        figures={Region.WT: {name: replace(e, low=None, high=None) for name, e in alone.figures[Region.WT].items()}},
    )
    for draw in (draw_gains, draw_dice, draw_pareto):
        assert pixels(draw((alone,), Region.WT)).min() < 100


def test_the_colours_of_verdicts_are_there() -> None:
    shown = pixels(figures()["gain-WT"]).reshape(-1, 3)
    for colour in ((0x0B, 0x6A, 0xA2), (0xB3, 0x5C, 0x00), (0x5B, 0x65, 0x70)):
        assert (shown == colour).all(axis=1).sum() > 100
    orange = pixels(draw_pareto((arm("a"), arm("b", 0.6, (0.0, -0.1, 0.1), seconds=0.4)), Region.WT)) == (0xB3, 0x5C, 0)
    assert not orange.all(axis=2).any()  # no line where nothing is told apart


@given(st.lists(st.tuples(st.floats(40, 250), st.floats(40, 120)), min_size=1, max_size=14))
@settings(max_examples=50, deadline=None)
def test_numbers_do_not_cover_each_other(dots: list[tuple[float, float]]) -> None:
    placed = [
        (x + right, y + up)
        for (x, y), (right, up) in zip(
            dots, place_numbers(dots, [(dot, dot) for dot in dots], (0, 0, 300, 160)), strict=True
        )
    ]
    assert all(abs(a - c) >= 12 or abs(b - d) >= 9 for (a, b), (c, d) in combinations(placed, 2))
    assert all(0 < x < 310 and 0 < y < 165 for x, y in placed)


def test_a_long_name_keeps_its_end() -> None:
    assert shortened("a-long-recipe, residual-unet", 20) == "a-long-…residual-unet"[:7] + "…" + "residual-unet"[1:]
    assert shortened("unet", 20) == "unet"
    assert len(shortened(LONG, 30)) == 30


def test_the_page_shows_every_part() -> None:
    found = comparison(
        *four().arms, arm("unet", data=FIGSHARE.name), data=(MSD, FIGSHARE),
        elsewhere=(on_other(MSD.name, FIGSHARE.name, 0.3),),
    )  # fmt: skip
    page = drawn(replace(found, notes=("so it is",)))
    assert re.findall(r"<h2>(.*?)</h2>", page) == [
        "<bdi>msd-t1gd-2d</bdi>", "<bdi>figshare-t1c</bdi>", "On other data sets", "Not run", "Notes",
    ]  # fmt: skip
    text = Reader(page).text
    for words in (
        "4 arms against unet",
        "15 minutes each",
        "Equal time",
        "+0.030 [+0.010, +0.050]",
        "not told apart",
        "msd-t1gd-2d (brains)",
        "swin-unet on msd-t1gd-2d, seed 0, fold 0: out of memory",
        "The line leads",
        "so it is",
        "Commit 0123456789abcdef0123 on a machine",
    ):
        assert words in text
    assert "too high on purpose" not in text


def test_a_record_wise_division_is_marked_and_a_missing_line_explained() -> None:
    text = Reader(drawn(comparison(arm("a"), arm("b", 0.6, (0.0, -0.1, 0.1)), split="record"))).text
    assert "scores too high on purpose" in text and "No line" in text


def test_nothing_is_loaded_from_outside_and_nothing_runs() -> None:
    page = drawn(four())
    read = Reader(page)
    assert not {"script", "link", "iframe", "object", "a"} & {tag for tag, _ in read.tags}
    sources = [attrs.get("src") or "" for _, attrs in read.tags if "src" in attrs]
    assert len(sources) == 3 and all(source.startswith("data:image/png") for source in sources)
    assert not re.search(r"https?:|url\(|@import", page)


def test_names_from_outside_stay_text() -> None:
    evil = replace(MSD, name=EVIL, division=EVIL)
    arms = (arm(EVIL, data=EVIL), not_run("b", {EVIL: EVIL}, data=EVIL))
    found = comparison(*arms, data=(evil,), elsewhere=(on_other(EVIL, EVIL, 0.5, arm=EVIL, lacking=EVIL),))
    read = Reader(drawn(replace(found, notes=(EVIL,), machine=EVIL, commit=EVIL)))
    assert "script" not in {tag for tag, _ in read.tags}
    assert not any(name.startswith("on") for _, attrs in read.tags for name in attrs)
    assert read.text.count(EVIL) >= 10


def test_odd_names_are_drawn_as_they_are() -> None:
    for name in ("$x^2$", "<b>", "täuschung_2", "\\frac"):
        for draw in (draw_gains, draw_dice, draw_pareto):
            assert draw((arm(name),), Region.WT).startswith(b"\x89PNG")
