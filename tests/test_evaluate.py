"""Scores of a case."""

from __future__ import annotations

import numpy as np
import pytest

from gliamap.labels import LabelMap, Region, Tissue
from gliamap.metrics.overlap import Counts
from gliamap.scoring.score import score_case, score_missing
from gliamap.scoring.summary import ScoredCase, summarise
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
