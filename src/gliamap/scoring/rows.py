"""Scores as files: lesions, cases and patients as CSV, all of it as JSON.

One row a lesion, case or patient *and region*. Cells without a value are empty.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gliamap.metrics.lesions import Lesion
from gliamap.scoring.patients import patients_of
from gliamap.scoring.summary import FIGURES, ScoredCase, Summary

_LESION = ("kind", "voxels", "volume", "centre_x", "centre_y", "centre_z", "dice", "hd95", "matched_by")


def case_rows(cases: Sequence[ScoredCase], where: Mapping[str, Sequence[object]] | None = None) -> str:
    """The CSV text: one row a case and region. ``where`` puts columns first: their name, and a value for each case."""
    where = where or {}
    rows = (
        [
            *(values[number] for values in where.values()),
            *(case.case_id, case.patient_id, region.value, int(case.score.missing), case.score.unit),
            *(getattr(score, name) for name in FIGURES),
            case.score.mean_iou,
        ]
        for number, case in enumerate(cases)
        for region, score in case.score.regions.items()
    )
    return csv_text([*where, "case_id", "patient_id", "region", "missing", "unit", *FIGURES, "mean_iou"], rows)


def patient_rows(cases: Sequence[ScoredCase]) -> str:
    """The CSV text: one row a patient and region, its figures means over ``cases``, ``missing`` how many were."""
    rows = (
        [patient.patient_id, region.value, patient.cases, patient.missing, *figures.values()]
        for patient in patients_of(cases)
        for region, figures in patient.regions.items()
    )
    return csv_text(["patient_id", "region", "cases", "missing", *FIGURES], rows)


def lesion_rows(cases: Sequence[ScoredCase]) -> str:
    """The CSV text: one row a lesion of the reference, and one a predicted component that matches none.

    ``number`` counts the rows of a case and region from 1; the other columns are the fields of
    :class:`~gliamap.metrics.lesions.Lesion`, places in voxels of the scan.
    """
    rows = (
        [case.case_id, case.patient_id, region.value, number, case.score.unit, *_lesion_cells(lesion)]
        for case in cases
        for region, score in case.score.regions.items()
        for number, lesion in enumerate(score.lesions, 1)
    )
    return csv_text(["case_id", "patient_id", "region", "number", "unit", *_LESION], rows)


def _lesion_cells(lesion: Lesion) -> list[object]:
    centre = (f"{at:.1f}" for at in lesion.centre)
    matched = " ".join(map(str, lesion.matched_by))
    return [lesion.kind.value, lesion.voxels, lesion.volume, *centre, lesion.dice, lesion.hd95, matched]


def csv_text(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """The text of a CSV file: its head, then its rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def as_json(summary: Summary, cases: Sequence[ScoredCase]) -> dict[str, Any]:
    """``{"summary": ..., "cases": [...]}`` for a JSON file, keys named after the fields of the dataclasses here."""
    return {"summary": asdict(summary), "cases": [_case_as_json(case) for case in cases]}


def _case_as_json(case: ScoredCase) -> dict[str, Any]:
    score = asdict(case.score)
    score["classes"] = {tissue.name: asdict(counts) for tissue, counts in case.score.classes.items()}
    return {"case_id": case.case_id, "patient_id": case.patient_id, **score}
