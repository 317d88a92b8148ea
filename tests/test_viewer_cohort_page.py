"""The page of a run: in order, hostile names harmless, small."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gliamap.labels import Region
from gliamap.viewer.cohort_page import Cohort, CohortCase, draw_page

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&\u202e"


def case(case_id: str, dice: float = 0.9, *codes: str) -> CohortCase:
    """Volumes 20, 10 and 5 mL, a predicted Dice, warnings."""
    return CohortCase(
        case_id,
        case_id,
        volumes=dict(zip(Region, (20.0, 10.0, 5.0), strict=True)),
        predicted_dice=dict.fromkeys(Region, dice),
        warnings={code: f"{code}: found" for code in codes},
    )


def cohort(*cases: CohortCase) -> Cohort:
    return Cohort("masks", cases, "mL", {"model": "tiny"})


@pytest.fixture(autouse=True)
def _no_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time of a page; one test draws them."""
    monkeypatch.setattr("gliamap.viewer.cohort_page.draw_boxes", lambda *_, share: b"PNG")


def test_worst_first() -> None:
    failed = CohortCase("broken", "broken", failed="no t1c")
    scored = replace(case("scored", 0.99), dice={Region.WT: 0.5})
    found = cohort(
        case("good"), case("warned", 0.9, "tumour-at-border"), case("low", 0.4), scored, failed,
        case("empty", 0.9, "tumour-at-border", "empty-mask"),
    )  # fmt: skip
    wanted = ["broken", "low", "scored", "empty", "warned", "good"]
    assert [one.case_id for one in found.worst_first] == wanted
    shown = re.findall(r'<th scope="row"><bdi>(\w+)', draw_page(found, "1"))
    assert shown == wanted


def test_what_is_not_known_is_a_dash_and_what_nobody_has_no_column() -> None:
    page = draw_page(cohort(case("a"), CohortCase("b", "b", failed="unreadable")), "1")
    assert page.count('<td class="first">-</td>') == 2 and "No mask: unreadable" in page
    assert "HD95" not in page and "1 without a mask" in page and "predicted Dice" in page


def test_hostile_names_are_text() -> None:
    evil = replace(case(EVIL, 0.9, EVIL), picture=f"thumbnails/{EVIL}.jpg", report=f"{EVIL}.html", failed=EVIL)
    page = draw_page(Cohort(EVIL, (evil,), "mL", {"model": EVIL}), "1")
    body = page[page.index("<body>") :]
    assert "alert(1)>" not in body and "<img src=x" not in body and "\u202e" not in body
    assert body.count("<script>") == 1  # the page's own
    assert 'src="thumbnails/%3Cscript' in body


def test_the_policy_lets_pictures_beside_the_page_in_and_nothing_else() -> None:
    page = draw_page(cohort(case("a")), "1")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert "default-src 'none'" in policy and "img-src 'self' data:" in policy
    assert "unsafe" not in policy and " style=" not in page


def test_a_thousand_cases_are_less_than_a_megabyte() -> None:
    cases = [
        replace(
            case(f"BraTS2021_{n:05d}", 0.5 + n / 3000, "low-confidence", "tumour-at-border"),
            dice=dict.fromkeys(Region, 0.8), hd95=dict.fromkeys(Region, 3.0),
            picture=f"thumbnails/BraTS2021_{n:05d}.jpg", report=f"BraTS2021_{n:05d}_report.html",
        )
        for n in range(1000)
    ]  # fmt: skip
    page = draw_page(cohort(*cases), "1")
    assert page.count('loading="lazy"') == 1000
    assert len(page.encode()) < 1_000_000


def test_box_plots_from_two_patients_on(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, dict[Region, list[float]]]] = []
    monkeypatch.setattr(
        "gliamap.viewer.cohort_page.draw_boxes",
        lambda title, patients, means, *, share: drawn.append((title, patients)) or b"PNG",
    )
    draw_page(cohort(case("a")), "1")
    assert not drawn
    draw_page(cohort(case("a", 0.8), case("b", 0.6), replace(case("b2", 0.4), patient_id="b")), "1")
    assert [title for title, _ in drawn] == ["Volume, mL", "Predicted Dice"]
    assert drawn[1][1][Region.ET] == [0.8, 0.5]  # b and b2 are one patient
