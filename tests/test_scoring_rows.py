"""Scores as files: a row a lesion, case or patient and region."""

from __future__ import annotations

import csv
import io
import json

import numpy as np

import make
from gliamap.labels import Region, Tissue
from gliamap.metrics.lesions import LesionKind
from gliamap.metrics.overlap import Counts
from gliamap.scoring.patients import patients_of
from gliamap.scoring.protocols import PROTOCOLS
from gliamap.scoring.rows import as_json, case_rows, lesion_rows, patient_rows
from gliamap.scoring.score import score_case, score_missing
from gliamap.scoring.summary import FIGURES, ScoredCase, summarise
from scores import ET, WT, case, lesion, region


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


CASES = [
    case("p/1", WT=region(0.5, hd95=4.0, predicted_volume=1.5), ET=1.0),
    case("p/2", missing=True, WT=region(0.0, hd95=374.0, predicted_volume=None), ET=0.0),
    case("q/1", WT=0.25, ET=0.5),
]


def test_a_row_a_case_and_region() -> None:
    rows = read(case_rows(CASES))
    assert [(row["case_id"], row["region"]) for row in rows] == [(c.case_id, r.value) for c in CASES for r in (WT, ET)]
    assert (rows[0]["dice"], rows[0]["missing"], rows[0]["unit"], rows[0]["mean_iou"]) == ("0.5", "0", "mm", "")
    assert (rows[2]["dice"], rows[2]["missing"], rows[2]["predicted_volume"]) == ("0.0", "1", "")


def test_further_columns_stand_first() -> None:
    text = case_rows(CASES, {"repeat": [0, 0, 1]})
    assert text.startswith("repeat,case_id,patient_id,region,") and [r["repeat"] for r in read(text)] == [*"000011"]


def test_a_row_a_patient_and_region() -> None:
    rows = read(patient_rows(CASES))
    assert [(row["patient_id"], row["region"], row["cases"], row["missing"]) for row in rows] == [
        *(("p", "WT", "2", "1"), ("p", "ET", "2", "1")),
        *(("q", "WT", "1", "0"), ("q", "ET", "1", "0")),
    ]
    assert (rows[0]["dice"], rows[0]["hd95"], rows[0]["predicted_volume"], rows[0]["brier"]) == (
        "0.25",
        "189.0",
        "1.5",
        "",
    )
    assert list(rows[0]) == ["patient_id", "region", "cases", "missing", *FIGURES]


def test_patients_come_in_the_order_of_their_first_case() -> None:
    found = patients_of([case("q/1", WT=0.5), case("p/1", WT=1.0), case("q/2", WT=0.0)])
    assert [(one.patient_id, one.cases, one.regions[WT]["dice"]) for one in found] == [("q", 2, 0.25), ("p", 1, 1.0)]


def test_a_row_a_lesion() -> None:
    lesions = (lesion(matched_by=(2, 5)), lesion(LesionKind.FALSE_POSITIVE, voxels=3))
    rows = read(lesion_rows([CASES[2], case("r/1", WT=1.0, ET=region(lesions=lesions))]))
    assert [(row["case_id"], row["region"], row["number"], row["kind"], row["voxels"]) for row in rows] == [
        ("r/1", "ET", "1", "found", "25"),
        ("r/1", "ET", "2", "false positive", "3"),
    ]
    place = [rows[0][name] for name in ("centre_x", "centre_y", "centre_z", "matched_by", "volume", "unit")]
    assert place == ["1.0", "2.0", "3.0", "2 5", "0.25", "mm"]


def test_the_json_of_real_scores_is_plain_and_complete() -> None:
    one, rule = make.case(), PROTOCOLS["brats2023-met"]
    assert one.labels is not None
    regions = tuple(Region)
    scores = (
        score_case(one.labels, one.labels, one.grid, regions, protocol=rule),
        score_missing(one.labels, one.grid, regions),
    )
    cases = [ScoredCase(name, name, score) for name, score in zip("ab", scores, strict=True)]
    data = json.loads(json.dumps(as_json(summarise(cases), cases), allow_nan=False))
    assert data["summary"]["regions"]["WT"]["figures"]["dice"]["cases"] == 2 and data["summary"]["missing"] == 1
    edema = int(np.count_nonzero(one.labels == Tissue.ED))
    assert Counts(**data["cases"][0]["classes"]["ED"]).tp == edema
    first = data["cases"][0]["regions"]["WT"]
    assert first["lesions"][0]["kind"] == "found" and first["lesion_recall"] == 1 and first["brier"] is None
