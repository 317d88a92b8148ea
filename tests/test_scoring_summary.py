"""From the scores of cases to those of a cohort."""

from __future__ import annotations

from dataclasses import fields

import pytest

from gliamap.labels import Region
from gliamap.metrics.calibration import BINS, Reliability
from gliamap.metrics.lesions import LesionKind
from gliamap.metrics.overlap import Counts
from gliamap.scoring.figure_names import NAMES
from gliamap.scoring.score import RegionScore
from gliamap.scoring.summary import FIGURES, summarise
from scores import ET, NOT_THERE, THERE, WT, case, lesion, region


def test_every_number_of_a_region_is_a_figure_with_a_name() -> None:
    others = {field.name for field in fields(RegionScore)} - set(FIGURES)
    assert others == {"counts", "lesions", "reliability"}
    assert list(NAMES) == list(FIGURES)


def test_two_visits_of_one_patient_count_once() -> None:
    summary = summarise([case("a/1", WT=1.0), case("a/2", WT=0.0), case("b/1", WT=1.0)])
    dice = summary.regions[WT].figures["dice"]
    assert (dice.mean, dice.median) == (0.75, 0.75)
    assert dice.case_mean == pytest.approx(2 / 3)
    assert (dice.cases, dice.patients, summary.cases, summary.patients) == (3, 2, 3, 2)
    assert (dice.low, dice.high) == (0.5, 1.0)


def test_pooled_dice_weighs_voxels_not_cases() -> None:
    big, small = region(1.0, counts=Counts(90, 0, 0, 0)), region(0.0, counts=Counts(0, 0, 10, 80))
    found = summarise([case("big", WT=big), case("small", WT=small)]).regions[WT]
    assert found.figures["dice"].mean == 0.5
    assert found.pooled_dice == pytest.approx(2 * 90 / (90 + 100))


def test_cases_without_the_region_can_be_left_out() -> None:
    found = summarise([case("a", WT=0.5), case("b", WT=region(1.0, counts=NOT_THERE))]).regions[WT]
    assert found.figures["dice"].mean == 0.75
    assert (found.dice_where_present.mean, found.dice_where_present.cases) == (0.5, 1)


def test_enhancing_tumour_is_reported_apart() -> None:
    hit, missed, alarm = Counts(5, 0, 5, 90), Counts(0, 3, 5, 92), Counts(0, 3, 0, 97)
    scores = {
        "much": region(0.5, counts=hit, reference_volume=1.0, hd95=4.0),
        "little": region(0.0, counts=missed, reference_volume=0.9),
        "alarm": region(0.0, counts=alarm, predicted_volume=0.25),
        "none": region(1.0, counts=NOT_THERE, predicted_volume=0.0),
    }
    cases = [case(name, ET=score) for name, score in scores.items()]
    cases.append(case("lost", missing=True, ET=region(0.0, counts=NOT_THERE, predicted_volume=None)))
    found = summarise(cases).enhancing
    assert found is not None
    assert (found.dice.mean, found.dice.cases, found.hd95.mean, found.least_volume) == (0.5, 1, 4, 1)
    assert (found.detected.mean, found.detected.cases) == (0.5, 2)
    assert (found.rightly_none.mean, found.rightly_none.cases) == (pytest.approx(1 / 3), 3)
    # a missing prediction claims nothing, and that is no merit here
    assert (found.false_positive_volume.mean, found.false_positive_volume.cases) == (0.125, 2)


def test_of_images_any_pixel_of_enhancing_tumour_is_enough() -> None:
    one = case("a", unit="px", ET=region(0.5, counts=THERE, reference_volume=1.0))
    found = summarise([one]).enhancing
    assert found is not None and found.dice.cases == 1
    assert summarise([case("a", WT=1.0)]).enhancing is None


def test_lesions_are_pooled_over_cases() -> None:
    found, missed, small = (lesion(kind) for kind in (LesionKind.FOUND, LesionKind.MISSED, LesionKind.TOO_SMALL))
    scores = [region(lesions=(found, small, missed), lesion_dice=0.5), region(lesions=(found,), lesion_dice=1.0)]
    summary = summarise([case(name, WT=score) for name, score in zip("ab", scores, strict=True)])
    assert summary.regions[WT].pooled_lesions == Counts(tp=2, fp=0, fn=1, tn=0)
    assert summary.regions[WT].figures["lesion_dice"].mean == 0.75
    assert summarise([case("a", WT=1.0)]).regions[WT].pooled_lesions is None


def test_reliability_diagrams_add_up() -> None:
    zeros = (0,) * (BINS - 1)
    diagram = Reliability((4, *zeros), (1, *zeros), (0.5, *zeros), 0.25)
    cases = [case("a", WT=region(reliability=diagram)), case("b", WT=region(reliability=diagram)), case("c", WT=1.0)]
    assert summarise(cases).regions[WT].reliability == Reliability((8, *zeros), (2, *zeros), (1.0, *zeros), 0.5)
    assert summarise(cases[2:]).regions[WT].reliability is None


def test_cases_of_different_units_are_not_averaged() -> None:
    for cases in ([case("v", WT=1.0), case("i", unit="px", WT=1.0)], []):
        with pytest.raises(ValueError, match="one unit"):
            summarise(cases)


def test_missing_cases_are_counted() -> None:
    summary = summarise([case("a", WT=1.0, ET=0.5), case("b", missing=True, WT=0.0, ET=0.0)])
    assert summary.missing == 1 and list(summary.regions) == [WT, ET] == [Region.WT, Region.ET]
