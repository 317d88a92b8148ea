"""Scores of a case, and from cases to a cohort."""

from __future__ import annotations

import csv
import io
import json
from math import sqrt

import numpy as np
import pytest
from rich.console import Console

from gliamap.labels import LabelMap, Region, Tissue
from gliamap.metrics.overlap import Counts
from gliamap.scoring.score import CaseScore, score_case, score_missing
from gliamap.scoring.table import ScoredCase, as_json, as_rich_table, case_rows, estimate, summarise
from gliamap.volume import Grid, image_grid

ALL = tuple(Region)
GRID = Grid((12, 10, 8), np.diag([1.0, 2.0, 5.0, 1.0]))  # a voxel is 0.01 mL
NOTHING = np.zeros(GRID.shape, np.uint8)


def block(tissue: Tissue, stop: tuple[int, int, int]) -> LabelMap:
    """``tissue`` from voxel (1, 1, 1) up to, not including, ``stop``."""
    out = NOTHING.copy()
    out[1 : stop[0], 1 : stop[1], 1 : stop[2]] = tissue
    return out


TUMOUR = block(Tissue.ED, (5, 5, 5))
TUMOUR[1:3, 1:3, 1:3] = Tissue.NCR
TUMOUR[1:3, 1:3, 1] = Tissue.ET


def scored(dice: float, *, case_id: str = "a", patient_id: str | None = None) -> ScoredCase:
    """An image of 100 pixels of tumour, of which the share with that Dice was predicted, and nothing else."""
    tp = round(100 * dice / (2 - dice))
    reference = np.zeros((20, 20, 1), np.uint8)
    reference.ravel()[:100] = Tissue.TUMOUR
    prediction = reference.copy()
    prediction.ravel()[tp:] = 0
    score = score_case(prediction, reference, image_grid((20, 20, 1)), (Region.WT,))
    return ScoredCase(case_id, patient_id or case_id, score)


def test_a_case_by_hand() -> None:
    prediction = TUMOUR.copy()
    prediction[1:5, 1:5, 4] = 0  # the uppermost of four layers of edema is missed
    score = score_case(prediction, TUMOUR, GRID, ALL)
    wt = score.regions[Region.WT]
    assert wt.counts == Counts(tp=48, fp=0, fn=16, tn=960 - 64)
    assert wt.dice == pytest.approx(96 / 112)
    assert (wt.sensitivity, wt.precision, wt.specificity) == (0.75, 1, 1)
    assert wt.accuracy == pytest.approx(1 - 16 / 960)
    assert wt.hd95 == 5  # one layer of 5 mm
    assert wt.reference_volume == pytest.approx(0.64)
    assert wt.predicted_volume == pytest.approx(0.48)
    assert wt.volume_difference == pytest.approx(-0.16)
    assert wt.volume_difference_percent == -25
    assert score.regions[Region.ET].dice == 1
    assert set(score.classes) == {Tissue.BACKGROUND, Tissue.NCR, Tissue.ED, Tissue.ET}
    edema = 64 - 8
    assert score.mean_iou == pytest.approx((896 / 912 + (edema - 16) / edema + 1 + 1) / 4)


def test_an_empty_case_found_empty_is_perfect() -> None:
    score = score_case(NOTHING, NOTHING, GRID, ALL)
    assert score.mean_iou == 1
    for region in ALL:
        found = score.regions[region]
        assert (found.dice, found.sensitivity, found.precision, found.hd95, found.surface_dice) == (1, 1, 1, 0, 1)
        assert (found.volume_difference, found.volume_difference_percent) == (0, 0)


def test_a_false_alarm_is_a_complete_miss() -> None:
    found = score_case(TUMOUR, NOTHING, GRID, ALL).regions[Region.ET]
    assert (found.dice, found.sensitivity, found.hd95, found.volume_difference_percent) == (0, 0, 374, None)
    assert found.surface_dice == 0


def test_an_image_is_measured_in_pixels() -> None:
    reference = np.zeros((30, 40, 1), np.uint8)
    reference[4:8, 4:8] = Tissue.TUMOUR
    found = score_case(np.roll(reference, 3, axis=0), reference, image_grid((30, 40, 1)), (Region.WT,))
    assert found.unit == "px"
    assert (found.regions[Region.WT].hd95, found.regions[Region.WT].reference_volume) == (3, 16)
    shifted = score_case(np.roll(reference, 1, axis=0), reference, image_grid((30, 40, 1)), (Region.WT,))
    assert shifted.regions[Region.WT].surface_dice == 1 > found.regions[Region.WT].surface_dice > 0
    missed = score_case(np.zeros_like(reference), reference, image_grid((30, 40, 1)), (Region.WT,))
    assert missed.regions[Region.WT].hd95 == 50  # the diagonal of 30 x 40


@pytest.mark.parametrize("reference", [TUMOUR, NOTHING], ids=["tumour", "nothing"])
def test_a_missing_prediction_has_the_worst_of_everything(reference: LabelMap) -> None:
    score = score_missing(reference, GRID, ALL)
    assert score.missing
    assert score.mean_iou == 0
    for found in score.regions.values():
        figures = (found.dice, found.iou, found.sensitivity, found.specificity, found.precision, found.accuracy)
        assert figures == (0,) * 6 and found.surface_dice == 0
        assert (found.hd95, found.predicted_volume, found.volume_difference) == (374, None, None)
    assert score.regions[Region.WT].counts.fn == np.count_nonzero(reference)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="must agree"):
        score_case(TUMOUR[:4], TUMOUR, GRID, ALL)


def test_classes_that_cannot_be_compared_are_left_out() -> None:
    score = score_case(TUMOUR, TUMOUR, GRID, ALL, classes=False)
    assert (score.mean_iou, score.classes) == (None, {})
    assert summarise([ScoredCase("a", "a", score)]).mean_iou.mean is None


def test_two_visits_of_one_patient_count_once() -> None:
    cases = [
        scored(1.0, case_id="a1", patient_id="a"),
        scored(0.0, case_id="a2", patient_id="a"),
        scored(1.0, case_id="b1", patient_id="b"),
    ]
    summary = summarise(cases)
    dice = summary.regions[Region.WT].figures["dice"]
    assert (dice.mean, dice.median) == (0.75, 0.75)
    assert dice.case_mean == pytest.approx(2 / 3)
    assert (dice.cases, dice.patients, summary.cases, summary.patients) == (3, 2, 3, 2)
    assert (dice.low, dice.high) == (0.5, 1.0)


def test_pooled_dice_weighs_voxels_not_cases() -> None:
    big, small = NOTHING.copy(), NOTHING.copy()
    big[:10, :9, 0] = Tissue.TUMOUR
    small[:10, 0, 0] = Tissue.TUMOUR
    cases = [
        ScoredCase("big", "big", score_case(big, big, GRID, (Region.WT,))),
        ScoredCase("small", "small", score_case(NOTHING, small, GRID, (Region.WT,))),
    ]
    summary = summarise(cases)
    assert summary.regions[Region.WT].figures["dice"].mean == 0.5
    assert summary.regions[Region.WT].pooled_dice == pytest.approx(2 * 90 / (90 + 100))
    assert summary.pooled_class_dice == {"TUMOUR": pytest.approx(2 * 90 / (90 + 100))}


def test_empty_slices_can_be_left_out() -> None:
    empty = np.zeros((20, 20, 1), np.uint8)
    cases = [
        scored(0.5, case_id="a"),
        ScoredCase("b", "b", score_case(empty, empty, image_grid((20, 20, 1)), (Region.WT,))),
    ]
    region = summarise(cases).regions[Region.WT]
    half = 2 * 33 / 133
    assert region.figures["dice"].mean == pytest.approx((half + 1) / 2)
    assert region.dice_where_present.mean == pytest.approx(half)
    assert region.dice_where_present.cases == 1


def test_enhancing_tumour_is_reported_apart() -> None:
    much, little = block(Tissue.ET, (6, 6, 6)), block(Tissue.ET, (2, 3, 3))  # 1.25 mL and 0.04 mL
    pairs = {"much": (much, much), "little": (NOTHING, little), "none": (little, NOTHING)}
    cases = [ScoredCase(name, name, score_case(p, r, GRID, ALL)) for name, (p, r) in pairs.items()]
    cases.append(ScoredCase("lost", "lost", score_missing(NOTHING, GRID, ALL)))
    found = summarise(cases).enhancing
    assert found is not None
    assert (found.dice.mean, found.dice.cases, found.hd95.mean) == (1, 1, 0)
    assert found.false_positive_volume.mean == pytest.approx(0.04)
    assert found.false_positive_volume.cases == 1  # a missing prediction claims nothing, and is no merit here
    assert summarise([scored(1.0)]).enhancing is None


def test_the_interval_is_seeded_and_holds_the_mean() -> None:
    values = [(str(i), float(v)) for i, v in enumerate(np.random.default_rng(3).uniform(size=40))]
    first, again, other = estimate(values), estimate(values), estimate(values, seed=1)
    assert first == again != other
    assert first.low is not None and first.mean is not None and first.high is not None
    assert first.low < first.mean < first.high
    width = 2 * 1.96 * np.std([v for _, v in values]) / sqrt(40)
    assert first.high - first.low == pytest.approx(width, rel=0.1)


def test_no_value_no_estimate() -> None:
    empty, single = estimate([("a", None)]), estimate([("a", 0.5), ("b", None)])
    assert (empty.mean, empty.cases) == (None, 0)
    assert (single.mean, single.low, single.high, single.cases) == (0.5, None, None, 1)


def test_cases_of_different_units_are_not_averaged() -> None:
    volume = ScoredCase("v", "v", score_case(TUMOUR, TUMOUR, GRID, (Region.WT,)))
    with pytest.raises(ValueError, match="one unit"):
        summarise([volume, scored(1.0)])
    with pytest.raises(ValueError, match="one unit"):
        summarise([])


def case_with_everything() -> list[ScoredCase]:
    scores: dict[str, CaseScore] = {
        "a": score_case(TUMOUR, TUMOUR, GRID, ALL),
        "b": score_missing(TUMOUR, GRID, ALL),
        "c": score_case(TUMOUR, NOTHING, GRID, ALL),
    }
    return [ScoredCase(name, name, score) for name, score in scores.items()]


def test_the_csv_has_a_row_a_case_and_region() -> None:
    rows = list(csv.DictReader(io.StringIO(case_rows(case_with_everything()))))
    assert [(row["case_id"], row["region"]) for row in rows] == [(c, r.value) for c in "abc" for r in ALL]
    assert (rows[0]["dice"], rows[0]["missing"], rows[0]["unit"]) == ("1.0", "0", "mm")
    assert (rows[3]["dice"], rows[3]["missing"], rows[3]["predicted_volume"]) == ("0.0", "1", "")


def test_the_json_is_plain() -> None:
    cases = case_with_everything()
    data = json.loads(json.dumps(as_json(summarise(cases), cases), allow_nan=False))
    assert data["summary"]["regions"]["WT"]["figures"]["dice"]["cases"] == 3
    assert data["summary"]["missing"] == 1
    assert data["cases"][0]["regions"]["ET"]["counts"] == {"tp": 4, "fp": 0, "fn": 0, "tn": 956}
    assert data["cases"][0]["classes"]["ED"]["tp"] == 56


def test_the_terminal_table_shows_every_region() -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(as_rich_table(summarise(case_with_everything())))
    text = console.export_text()
    assert "WT (whole tumour)" in text and "ET (enhancing tumour)" in text
    assert "HD95 mm" in text and "1 without a prediction" in text
    assert "0.333" in text and "[0.000, 1.000]" in text
