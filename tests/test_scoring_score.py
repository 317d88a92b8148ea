"""All figures of a case: that each is there, and what the worst of each is."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from gliamap.boxes import Box
from gliamap.labels import LabelMap, Region, Tissue
from gliamap.metrics.lesions import LesionKind
from gliamap.scoring.protocols import LEGACY, PROTOCOLS
from gliamap.scoring.score import RegionScore, score_case, score_missing, with_calibration
from gliamap.volume import Grid, image_grid

GRID = Grid((20, 16, 12), np.diag([1.0, 1.0, 2.0, 1.0]))
GLI = PROTOCOLS["brats2023-gli"]
FIGURES = [field.name for field in fields(RegionScore)]
CALIBRATION = ["brier", "ece", "reliability"]
LESIONS = [name for name in FIGURES if name.startswith("lesion_") or name == "false_positive_volume"]


def tumour(start: int, stop: int) -> LabelMap:
    """A block of enhancing tumour of 5 x 5 voxels, from ``start`` to ``stop`` along X."""
    out = np.zeros(GRID.shape, np.uint8)
    out[start:stop, 5:10, 3:8] = Tissue.ET
    return out


REFERENCE, PREDICTION, NOTHING = tumour(4, 10), tumour(4, 9), np.zeros(GRID.shape, np.uint8)


def test_the_order_of_the_figures_is_that_of_the_tables() -> None:
    assert FIGURES[:4] == ["dice", "iou", "boundary_dice", "sensitivity"]
    assert FIGURES[7:15] == [
        *("hd95", "hd", "assd", "surface_dice"),
        *("hd95_voxels", "hd_voxels", "assd_voxels", "surface_dice_voxels"),
    ]
    assert FIGURES[-3:] == ["counts", "lesions", "reliability"]


def test_both_definitions_of_the_surface_stand_side_by_side() -> None:
    found = score_case(PREDICTION, REFERENCE, GRID, [Region.ET]).regions[Region.ET]
    assert (found.hd95, found.hd, found.hd95_voxels, found.hd_voxels) == (1, 1, 1, 1)
    # Of the border voxels of the reference, a face of 5x5 is 1 mm from those of the prediction; of the prediction's,
    # the nine in the middle of that face.
    borders = 150 - 4 * 9, 125 - 3 * 9
    assert found.assd_voxels == pytest.approx((25 + 9) / sum(borders))
    assert found.assd_voxels != pytest.approx(found.assd)
    assert found.surface_dice == found.surface_dice_voxels == 1
    assert found.boundary_dice == pytest.approx(2 * (borders[1] - 9) / sum(borders))


def test_without_a_rule_for_lesions_and_without_probabilities_their_figures_have_no_value() -> None:
    found = score_case(PREDICTION, REFERENCE, GRID, [Region.ET]).regions[Region.ET]
    assert {name for name in FIGURES if getattr(found, name) is None} == {*LESIONS, *CALIBRATION}
    assert found.lesions == ()
    found = score_case(PREDICTION, REFERENCE, GRID, [Region.ET], protocol=GLI).regions[Region.ET]
    assert {name for name in FIGURES if getattr(found, name) is None} == set(CALIBRATION)


def test_lesions_are_told_in_places_of_the_grid() -> None:
    stray = PREDICTION.copy()
    stray[18:20, 0, 0] = Tissue.ET
    found = score_case(stray, REFERENCE, GRID, [Region.ET], protocol=GLI).regions[Region.ET]
    assert (found.lesion_tp, found.lesion_fp, found.lesion_fn) == (1, 1, 0)
    assert (found.lesion_recall, found.lesion_precision) == (1, 0.5)
    assert found.lesion_f1 == pytest.approx(2 / 3)
    assert found.lesion_dice == pytest.approx((250 / 275 + 0) / 2)
    assert found.lesion_hd95 == pytest.approx((1 + 374) / 2)
    assert found.false_positive_volume == pytest.approx(2 * 0.002)
    assert [lesion.kind for lesion in found.lesions] == [LesionKind.FOUND, LesionKind.FALSE_POSITIVE]
    assert [lesion.box for lesion in found.lesions] == [Box((4, 5, 3), (10, 10, 8)), Box((18, 0, 0), (20, 1, 1))]


def test_shares_of_no_lesion_have_no_value() -> None:
    def shares(prediction: LabelMap, reference: LabelMap) -> tuple[float | None, ...]:
        found = score_case(prediction, reference, GRID, [Region.ET], protocol=GLI).regions[Region.ET]
        return found.lesion_recall, found.lesion_precision, found.lesion_f1

    small = np.zeros(GRID.shape, np.uint8)
    small[17:20, 0:2, 0] = Tissue.ET  # 6 mm³, and not one lesion with the reference
    assert shares(PREDICTION, NOTHING) == shares(PREDICTION, small) == (None, 0, 0)
    assert shares(NOTHING, NOTHING) == shares(small, small) == shares(NOTHING, small) == (None, None, 1)
    assert shares(NOTHING, REFERENCE) == shares(small, REFERENCE | small) == (0, None, 0)
    assert shares(PREDICTION, REFERENCE) == (1, 1, 1)


NOT_PREDICTED = (
    *("predicted_volume", "volume_difference", "volume_difference_percent"),
    *("lesion_fp", "false_positive_volume"),
)


@pytest.mark.parametrize("reference", [REFERENCE, NOTHING], ids=["tumour", "no tumour"])
def test_a_missing_prediction_has_the_worst_of_every_figure(reference: LabelMap) -> None:
    score = score_missing(reference, GRID, tuple(Region), protocol=GLI)
    assert score.missing and score.mean_iou == 0
    lesions = int(reference.any())
    for found in score.regions.values():
        for name in FIGURES:
            value = getattr(found, name)
            if name in NOT_PREDICTED or (name == "lesion_recall" and not lesions):
                assert value is None, name
            elif name.startswith(("hd", "assd", "lesion_hd95")):
                assert value == 374, name
            elif name == "lesion_fn":
                assert value == lesions
            elif name in CALIBRATION:
                assert value is None
            elif name not in ("counts", "lesions", "reference_volume"):
                assert value == 0, name
        assert [lesion.kind for lesion in found.lesions] == [LesionKind.MISSED] * lesions


def test_a_protocol_names_its_own_worst_distance() -> None:
    mild = replace(LEGACY, worst_hd95_mm=99.0)
    found = score_case(NOTHING, REFERENCE, GRID, [Region.ET], protocol=mild).regions[Region.ET]
    assert found.hd95 == found.hd == found.assd == found.hd95_voxels == 99
    image = np.zeros((30, 40, 1), np.uint8), np.zeros((30, 40, 1), np.uint8)
    image[1][3:9, 4:9] = Tissue.TUMOUR
    assert score_case(*image, image_grid((30, 40, 1)), [Region.WT], protocol=mild).regions[Region.WT].hd95 == 50


def test_probabilities_add_calibration_to_their_regions() -> None:
    score = score_case(PREDICTION, REFERENCE, GRID, [Region.WT, Region.ET])
    said = (PREDICTION > 0).astype(np.float32) * np.float32(0.8)
    with_them = with_calibration(score, REFERENCE, GRID, {Region.ET: said, Region.TC: said})
    assert with_them.regions[Region.WT] == score.regions[Region.WT] and Region.TC not in with_them.regions
    found = with_them.regions[Region.ET]
    assert found.reliability is not None
    voxels = sum(found.reliability.voxels)
    # 125 voxels called inside with 0.8, all of them rightly; 25 with 0, all of them wrongly
    assert found.brier == pytest.approx((125 * 0.04 + 25) / voxels)
    assert found.ece == pytest.approx((125 * 0.2 + 25) / voxels)
    assert replace(found, brier=None, ece=None, reliability=None) == score.regions[Region.ET]
