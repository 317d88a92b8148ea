"""Cross-validation scores: each case averaged over the repeats, each patient once, folds and repeats apart."""

from __future__ import annotations

import csv
import io
import json
from math import sqrt

import numpy as np
import pytest

from gliamap.labels import Region, Tissue
from gliamap.metrics.calibration import BINS, Reliability
from gliamap.metrics.lesions import LesionKind
from gliamap.metrics.overlap import Counts
from gliamap.scoring.repeats import (
    FoldScores,
    StudyScores,
    folds_table,
    over_repeats,
    spread_words,
    study_as_json,
    study_rows,
    summarise_study,
)
from gliamap.scoring.score import score_case
from gliamap.scoring.summary import ScoredCase
from gliamap.volume import image_grid
from scores import case, lesion, region


def scored(case_id: str, found: int, *, patient_id: str | None = None, size: int = 100) -> ScoredCase:
    """An image with ``size`` pixels of tumour, of which ``found`` were predicted and nothing else."""
    reference, prediction = np.zeros((2, 20, 20, 1), np.uint8)
    reference.ravel()[:size] = Tissue.TUMOUR
    prediction.ravel()[:found] = Tissue.TUMOUR
    score = score_case(prediction, reference, image_grid((20, 20, 1)), (Region.WT,))
    return ScoredCase(case_id, patient_id or case_id, score)


@pytest.fixture
def study() -> StudyScores:
    """Three cases of two patients, twice: a all, b and c (patient p) nothing; then a nothing, b all, c nothing."""
    return summarise_study(
        [
            FoldScores(1, 0, (scored("b", 100, patient_id="p"), scored("c", 0, patient_id="p"))),
            FoldScores(1, 1, (scored("a", 0),)),
            FoldScores(0, 0, (scored("a", 100),)),
            FoldScores(0, 1, (scored("b", 0, patient_id="p"), scored("c", 0, patient_id="p"))),
        ]
    )


def test_each_patient_counts_once_however_often_the_study_was_repeated(study: StudyScores) -> None:
    dice = study.summary.regions[Region.WT].figures["dice"]
    # a: (1 + 0) / 2; p: b (0 + 1) / 2 and c 0, hence 1/4
    assert dice.mean == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert dice.case_mean == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert (dice.cases, dice.patients) == (3, 2) == (study.summary.cases, study.summary.patients)
    assert (dice.low, dice.high) == (0.25, 0.5)


def test_pooled_figures_pool_the_repeats_as_well(study: StudyScores) -> None:
    # 200 pixels found of 600, nothing besides
    assert study.summary.regions[Region.WT].pooled_dice == pytest.approx(2 * 200 / (200 + 600))
    assert study.summary.pooled_class_dice == {"TUMOUR": pytest.approx(0.5)}


def test_the_spread_is_between_the_means_of_the_repeats(study: StudyScores) -> None:
    means = [repeat.regions[Region.WT].figures["dice"].mean for repeat in study.repeats]
    assert means == [(1 + 0) / 2, (0 + 1 / 2) / 2]
    assert study.spread(Region.WT, "dice") == pytest.approx(0.25 / sqrt(2))
    once = summarise_study([fold for fold in study.folds if fold.repeat == 0])
    assert once.spread(Region.WT, "dice") is None
    assert once.summary == once.repeats[0]


def test_folds_are_in_order_and_told_apart(study: StudyScores) -> None:
    assert [(fold.repeat, fold.fold, fold.patients) for fold in study.folds] == [
        (0, 0, 1),
        (0, 1, 1),
        (1, 0, 1),
        (1, 1, 1),
    ]
    assert [fold.dice(Region.WT).mean for fold in study.folds] == [1, 0, 0.5, 0]


def test_a_figure_that_one_repeat_lacks_is_that_of_the_other() -> None:
    empty, alarm = scored("a", 0, size=0), scored("a", 5, size=0)  # percent of nothing is undefined
    assert alarm.score.regions[Region.WT].volume_difference_percent is None
    (both,) = over_repeats([[empty], [alarm]])
    wt = both.score.regions[Region.WT]
    assert (wt.dice, wt.volume_difference, wt.volume_difference_percent) == (0.5, 2.5, 0)
    assert wt.counts == Counts(tp=0, fp=5, fn=0, tn=795)


def test_one_repeat_is_left_as_it_is() -> None:
    cases = (scored("b", 40), scored("a", 90))
    assert over_repeats([cases]) == cases


@pytest.mark.parametrize("second", [["a"], ["a", "c"], ["a", "b", "b"]])
def test_repeats_of_different_cases_are_refused(second: list[str]) -> None:
    with pytest.raises(ValueError, match="the same cases"):
        over_repeats([[scored("a", 1), scored("b", 1)], [scored(name, 1) for name in second]])


def test_rows_say_repeat_and_fold(study: StudyScores) -> None:
    rows = list(csv.DictReader(io.StringIO(study_rows(study))))
    assert [(row["repeat"], row["fold"], row["case_id"], float(row["dice"])) for row in rows] == [
        *(("0", "0", "a", 1), ("0", "1", "b", 0), ("0", "1", "c", 0)),
        *(("1", "0", "b", 1), ("1", "0", "c", 0), ("1", "1", "a", 0)),
    ]


def test_json_holds_everything_by_name(study: StudyScores) -> None:
    data = json.loads(json.dumps(study_as_json(study), allow_nan=False))
    assert data.keys() == {"summary", "spread", "repeats", "folds", "cases"}
    assert data["summary"]["regions"]["WT"]["figures"]["dice"]["mean"] == 0.375
    assert data["spread"]["WT"]["dice"] == pytest.approx(0.25 / sqrt(2))
    assert data["folds"][2]["dice"]["WT"]["mean"] == 0.5 and data["folds"][2]["cases"] == 2
    assert [(c["repeat"], c["fold"], c["case_id"]) for c in data["cases"]][:2] == [(0, 0, "a"), (0, 1, "b")]


def test_the_table_shows_one_bad_fold(study: StudyScores) -> None:
    assert folds_table(study).head == ("Repeat", "Fold", "Patients", "Cases", "WT")
    assert folds_table(study).rows[1:3] == (("0", "1", "1", "2", "0.000"), ("1", "0", "1", "2", "0.500"))
    assert spread_words(study) == ("Between repeats (SD of the mean Dice): WT 0.177.",)
    once = summarise_study([fold for fold in study.folds if fold.repeat == 0])
    assert folds_table(once).head[0] == "Fold" and spread_words(once) == ()


def test_what_is_pooled_adds_up_over_repeats() -> None:
    zeros = (0,) * (BINS - 1)
    diagram = Reliability((4, *zeros), (1, *zeros), (0.5, *zeros), 0.25)
    one = case("a", WT=region(lesion_tp=1.0, lesions=(lesion(),), reliability=diagram))
    missed = (lesion(LesionKind.MISSED),)
    none = case("a", WT=region(lesion_tp=0.0, lesions=missed, reliability=diagram))
    (both,) = over_repeats([[one], [none]])
    wt = both.score.regions[Region.WT]
    assert wt.lesion_tp == 0.5 and [of.kind for of in wt.lesions] == [LesionKind.FOUND, LesionKind.MISSED]
    assert wt.reliability == diagram + diagram and wt.counts == Counts(2, 0, 0, 18)
