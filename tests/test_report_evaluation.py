"""The page of an evaluation and its figures: every part, nothing cut off, hostile names harmless."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image

import scores
from gliamap.labels import Region
from gliamap.metrics.calibration import BINS, Reliability
from gliamap.metrics.lesions import LesionKind
from gliamap.report.evaluation_boxes import draw_boxes
from gliamap.report.evaluation_figures import BOXES, draw_figures, volumes_of
from gliamap.report.evaluation_lesions import draw_lesions
from gliamap.report.evaluation_page import draw_page
from gliamap.report.evaluation_paired import draw_paired
from gliamap.report.evaluation_reliability import draw_reliability
from gliamap.report.evaluation_strata import draw_strata
from gliamap.report.evaluation_volumes import draw_volumes
from gliamap.report.evaluation_words import DEFINITIONS
from gliamap.scoring.estimate import estimate
from gliamap.scoring.evaluation import LISTED, Evaluation
from gliamap.scoring.figure_names import NAMES
from gliamap.scoring.paired import compare_paired
from gliamap.scoring.protocols import LEGACY, PROTOCOLS
from gliamap.scoring.strata import strata_of
from gliamap.scoring.summary import ScoredCase, summarise
from gliamap.volume import Unit
from scores import ET, TC, WT
from test_report_check_page import EVIL, Reader

DIAGRAM = Reliability(
    (9,) * BINS, tuple(range(0, 9))[:9] + (8,) * (BINS - 9), tuple(9 * (n + 0.5) / BINS for n in range(BINS)), 20.0
)
NO_VOXELS = Reliability((0,) * BINS, (0,) * BINS, (0.0,) * BINS, 0.0)
LESIONS = (
    scores.lesion(),
    scores.lesion(LesionKind.MISSED, dice=0.0, matched_by=()),
    scores.lesion(LesionKind.TOO_SMALL, volume=0.001),
    scores.lesion(LesionKind.FALSE_POSITIVE, dice=0.0, volume=4.0),
)
PARTS = ["Against <bdi>the other</bdi>", "Patient by patient", "Volumes", "Lesions", "Strata", "Calibration", "Notes"]


def full(name: str, number: int, *, better: float = 0.0) -> ScoredCase:
    """A case with everything: two regions, lesions, probabilities; every third without enhancing tumour."""
    one = scores.region(
        min(1.0, 0.4 + 0.05 * number + better), hd95=float(number), surface_dice=0.5, reference_volume=10.0 * number,
        predicted_volume=11.0 * number - 3, lesion_dice=0.5, lesion_hd95=90.0, lesion_f1=0.6, lesion_recall=0.5,
        lesion_precision=0.5, ece=0.1, brier=0.2, lesions=LESIONS, reliability=DIAGRAM,
    )  # fmt: skip
    enhancing = scores.region(0.5, counts=scores.NOT_THERE if number % 3 == 0 else scores.THERE)
    return scores.case(name, WT=one, ET=enhancing)


def evaluation(cases: list[ScoredCase], others: list[ScoredCase] | None = None, protocol: str = "legacy") -> Evaluation:
    return Evaluation(
        cases=tuple(cases), summary=summarise(cases), missing=(), surplus=(), prediction_conventions=("brats2023",),
        reference_conventions=("brats2021",), protocol=PROTOCOLS[protocol], predictions="ours", references="truth",
        strata=strata_of(cases), paired=compare_paired(cases, others) if others else None, other="the other",
    )  # fmt: skip


@cache
def everything() -> Evaluation:
    ours = [full(f"p{n}/1", n) for n in range(9)]
    found = evaluation(ours, [full(f"p{n}/1", n, better=0.1 - 0.03 * n) for n in range(9)], "brats2023-gli")
    return replace(found, notes=("so it is",))


@cache
def figures() -> dict[str, bytes]:
    return draw_figures(everything())


def bare(unit: Unit = "mm", patients: int = 2) -> Evaluation:
    """One region, no lesions, no probabilities, nothing to compare with."""
    return evaluation([scores.case(f"p{n}/1", unit=unit, WT=0.5) for n in range(patients)])


def drawn(found: Evaluation) -> str:
    return draw_page(found, dict.fromkeys(figures(), b"png"), "1")


def pixels(png: bytes) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def is_whole(png: bytes) -> bool:
    """Nothing touches the rim."""
    shown = pixels(png)
    return bool((np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]]) == 255).all())


def test_there_is_a_figure_of_everything() -> None:
    assert list(figures()) == [
        *(name.replace("_", "-") for name in BOXES), "volumes-WT", "volumes-ET", "strata", "lesions-WT", "reliability",
        "paired-WT", "paired-ET",
    ]  # fmt: skip
    assert all(is_whole(png) and len(png) < 200_000 for png in figures().values())
    assert draw_strata(everything().strata) == figures()["strata"]  # no date in it


def test_what_is_not_known_has_no_figure() -> None:
    assert list(draw_figures(bare())) == ["dice", "hd95", "surface-dice", "volumes-WT"]


@pytest.mark.parametrize("patients", [1, 2, 5, 40, 3000])
@pytest.mark.parametrize("regions", [(WT,), (WT, TC, ET)])
def test_boxes_are_whole(patients: int, regions: tuple[Region, ...]) -> None:
    values = np.random.default_rng(0).uniform(0, 1, patients)
    values[0] = 0
    means = dict.fromkeys(regions, estimate((str(n), float(v)) for n, v in enumerate(values)))
    assert is_whole(draw_boxes("Dice", dict.fromkeys(regions, values), means, share=True))
    far = dict.fromkeys(regions, 374 * values)
    assert is_whole(draw_boxes("HD95, mm", far, means, share=False))


def test_every_patient_is_a_dot() -> None:
    nobody = {WT: estimate([])}
    green = [
        (pixels(draw_boxes("Dice", {WT: v}, nobody, share=True))[..., 0] < 150).sum() for v in ([], [0.5], [0.5] * 3)
    ]
    assert green[1] > green[0] and green[2] - green[0] > 2.5 * (green[1] - green[0])


@pytest.mark.parametrize(
    "volumes",
    [
        [(1.0, 1.0)],
        [(0.0, 0.0)] * 9,
        [(1e-3 * n, 1e-3) for n in range(9)],
        [(150.0 * n, 70.0 * n) for n in range(3000)],
    ],
    ids=["one", "nothing", "small", "large"],
)
def test_volumes_are_whole(volumes: list[tuple[float, float]]) -> None:
    predicted, reference = zip(*volumes, strict=True)
    assert is_whole(draw_volumes(WT, predicted, reference, "px"))


def test_volumes_are_those_of_patients_and_of_cases_with_a_prediction() -> None:
    def one(predicted: float | None, reference: float) -> scores.RegionScore:
        return scores.region(predicted_volume=predicted, reference_volume=reference)

    cases = [
        scores.case("a/1", WT=one(10.0, 20.0)),
        scores.case("a/2", WT=one(30.0, 40.0)),
        scores.case("a/3", WT=one(None, 99.0), missing=True),
        scores.case("b/1", WT=one(5.0, 6.0)),
        scores.case("c/1", WT=one(None, 7.0), missing=True),
    ]
    assert volumes_of(evaluation(cases), WT) == ([20.0, 5.0], [30.0, 6.0])


@pytest.mark.parametrize(
    "lesions", [LESIONS, LESIONS[:1], LESIONS[1:2], LESIONS * 1000], ids=["all", "found", "missed", "many"]
)
def test_lesions_are_whole(lesions: tuple[scores.Lesion, ...]) -> None:
    assert is_whole(draw_lesions(WT, lesions, "mL"))


def test_each_kind_of_lesion_has_its_place() -> None:
    none = pixels(draw_lesions(WT, (), "mL"))
    rows = [np.flatnonzero((pixels(draw_lesions(WT, [one], "mL")) != none).any(axis=(1, 2))) for one in LESIONS]
    marks = [row[row < 0.8 * len(none)].mean() for row in rows]  # above the numbers of the axis
    found, missed, small, false_positive = marks
    assert found == pytest.approx(small, abs=2)  # both with Dice 0.5
    assert found + 50 < missed < false_positive - 20


def test_a_diagram_without_voxels_is_drawn_all_the_same() -> None:
    assert is_whole(draw_reliability({WT: DIAGRAM, TC: NO_VOXELS, ET: DIAGRAM}))
    empty = scores.region(reliability=NO_VOXELS)
    assert "reliability" not in draw_figures(evaluation([scores.case("p/1", WT=empty)]))


def test_odd_strata_and_pairs_are_whole() -> None:
    assert is_whole(draw_strata(everything().strata))
    assert is_whole(draw_strata([replace(everything().strata[0], name="over 1,234,567.8 px", patients=123_456)]))
    same = [scores.case(f"p{n}/1", WT=0.5) for n in range(3000)]
    paired = compare_paired(same, same).regions[WT]["dice"]
    assert is_whole(draw_paired(WT, paired))
    assert is_whole(draw_paired(WT, replace(paired, by_patient={"a": 1.0, "b": -1.0})))


def test_better_and_worse_have_their_colours() -> None:
    shown = pixels(figures()["paired-WT"]).reshape(-1, 3)
    for colour in ((0x0B, 0x6A, 0xA2), (0xB3, 0x5C, 0x00)):
        assert (shown == colour).all(axis=1).sum() > 100


def test_words_hide_no_bar() -> None:
    """Bars rise from the left to the right: what is better is told of above on the left, what is worse on the right."""
    found = compare_paired([scores.case(f"p{n}", WT=n / 20) for n in range(21)],
                            [scores.case(f"p{n}", WT=0.5) for n in range(21)]).regions[WT]["dice"]  # fmt: skip
    shown = pixels(draw_paired(WT, found))
    half = shown.shape[1] // 2
    assert (shown == pixels(draw_paired(WT, replace(found, losses=0))))[:, :half].all()
    assert (shown == pixels(draw_paired(WT, replace(found, wins=0))))[:, half:].all()


def test_calibration_says_of_how_many_cases_it_is() -> None:
    some = [*everything().cases[:3], scores.case("q/1", WT=0.5, ET=0.5)]
    text = Reader(drawn(evaluation(some))).text
    assert "of the region, of 3 of 4 cases together" in text and "Calibration is that of 3 of 4 cases" in text
    assert "(3 of 4)" in text and '</span> <span class="whole">(3 of 4)</span></td>' in drawn(evaluation(some))


def test_the_page_shows_every_part() -> None:
    page = drawn(everything())
    assert re.findall(r"<h2>(.*?)</h2>", page) == PARTS
    text = Reader(page).text
    for words in (
        "against truth · 9 patients · 9 cases · protocol brats2023-gli",
        "predictions brats2023; references brats2021",
        "The worst distance is 374 mm",
        "dilated 3 times",
        "lesions of up to 50 mm³ do not count",
        "Lesion Dice: mean Dice of the lesions",
        "9 patients: mean difference +1 mL, limits of agreement",
        "9 found, 9 missed, 9 too small, 9 false positives.",
        "Cases that differ most",
        "so it is",
    ):
        assert words in text
    assert "missing" not in page.split("</header>")[0]
    assert page.count("<details>") == 2


def test_without_lesions_probabilities_and_others_little_is_left() -> None:
    page = draw_page(bare(), dict.fromkeys(draw_figures(bare()), b"png"), "1")
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["Patient by patient", "Volumes"]
    text = Reader(page).text
    assert "Lesion" not in text and "ECE" not in text and "dilated" not in text
    assert "limits of agreement" not in text  # of two patients


def test_images_are_told_of_in_pixels() -> None:
    text = Reader(drawn(replace(bare("px"), protocol=PROTOCOLS["brats2023-met"]))).text
    assert "The worst distance of an image is its diagonal." in text and "up to 2 pixels" in text
    assert "HD95, px" in text and "mm³" not in text


def test_missing_and_surplus_cases_are_counted_and_named() -> None:
    many = tuple(f"case-{n}" for n in range(LISTED + 2))
    text = Reader(drawn(replace(bare(), missing=many, surplus=("stray",)))).text
    assert "302 missing, scored worst" in text and "Missing, scored worst: 302 cases" in text
    assert "case-299" in text and "case-300" not in text and "and 2 more" in text
    assert "not scored: 1 case" in text and "stray" in text


def test_what_rows_have_in_common_is_shown_once_and_intervals_stay_whole() -> None:
    page = drawn(everything())
    strata = page[page.index("<h3>Strata</h3>") :]
    strata = strata[: strata.index("</table>")]
    assert strata.count("tumour volume") == 1 and strata.count("<td>up to") == 1
    assert re.search(r'<td class="number">0\.\d{3} <span class="whole">\[0\.\d{3}, 0\.\d{3}\]</span></td>', strata)


def test_every_definition_is_of_a_figure() -> None:
    assert set(DEFINITIONS) <= set(NAMES)
    assert set(BOXES) <= set(DEFINITIONS)
    assert LEGACY.name in Reader(drawn(bare())).text


def test_nothing_is_loaded_from_outside_and_nothing_runs() -> None:
    page = drawn(everything())
    read = Reader(page)
    assert not {"script", "link", "iframe", "object", "a"} & {tag for tag, _ in read.tags}
    sources = [attrs.get("src") or "" for _, attrs in read.tags if "src" in attrs]
    assert len(sources) == len(figures()) and all(source.startswith("data:image/png") for source in sources)
    assert not re.search(r"https?:|url\(|@import", page)


def test_names_from_outside_stay_text() -> None:
    found = replace(
        everything(), predictions=EVIL, references=EVIL, other=EVIL, missing=(EVIL,), surplus=(EVIL,), notes=(EVIL,),
        prediction_conventions=(EVIL,), reference_conventions=(EVIL,),
    )  # fmt: skip
    assert found.paired is not None
    changed = tuple(replace(one, case_id=EVIL) for one in found.paired.changed)
    read = Reader(drawn(replace(found, paired=replace(found.paired, changed=changed))))
    assert not {"script", "a"} & {tag for tag, _ in read.tags}
    assert not any(name.startswith("on") for _, attrs in read.tags for name in attrs)
    assert read.text.count(EVIL) >= 10
