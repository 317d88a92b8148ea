"""What a card says beyond the usual scores: by class, enhancing tumour by its rule, the worst cases."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from gliamap.config import ModelSpec, ValidatedDice
from gliamap.labels import Region
from gliamap.scoring.estimate import Estimate, estimate
from gliamap.scoring.repeats import StudyScores, over_repeats
from gliamap.scoring.score import CaseScore, RegionScore
from gliamap.scoring.summary import ET_LEAST_ML, ScoredCase, summarise

Row = dict[str, Any]

WORST = 5


def cases_of(scores: StudyScores) -> tuple[ScoredCase, ...]:
    """Every case once, averaged over the repeats."""
    repeats = sorted({fold.repeat for fold in scores.folds})
    return over_repeats([[c for fold in scores.folds if fold.repeat == r for c in fold.cases] for r in repeats])


def classes_in(manifest: Path, column: str) -> dict[str, str]:
    """The class of each case, by its name in the manifest's column ``id``."""
    with manifest.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row[column] for row in csv.DictReader(file)}


def by_class(cases: Sequence[ScoredCase], classes: Mapping[str, str]) -> list[Row]:
    """A row a class, in the order of their names: Dice of each region, and that of all its voxels together."""
    rows = []
    for name in sorted({classes[case.case_id] for case in cases}):
        own = summarise([case for case in cases if classes[case.case_id] == name])
        regions = {r: {"dice": asdict(of.figures["dice"]), "pooled": of.pooled_dice} for r, of in own.regions.items()}
        rows.append({"class": name, "cases": own.cases, "regions": regions})
    return rows


def enhancing_rule(cases: Sequence[ScoredCase]) -> Row | None:
    """Dice of ET where the reference has at least ``ET_LEAST_ML`` of it; in the other cases, mL of it marked wrongly.

    ``None`` where there is no such region, or sizes are in pixels.
    """
    if cases[0].score.unit != "mm" or Region.ET not in cases[0].score.regions:
        return None
    scored = [(case.patient_id, case.score.regions[Region.ET]) for case in cases]
    enough = [(who, score.dice) for who, score in scored if score.reference_volume >= ET_LEAST_ML]
    others = [(who, false_volume(score)) for who, score in scored if score.reference_volume < ET_LEAST_ML]
    return {"dice": asdict(estimate(enough)), "false_positive_ml": asdict(estimate(others))}


def false_volume(score: RegionScore) -> float | None:
    """What was marked outside the reference, in the unit of volumes; ``None`` where there is no prediction."""
    if not score.counts.predicted or score.predicted_volume is None:
        return score.predicted_volume
    return score.predicted_volume * score.counts.fp / score.counts.predicted


def worst(cases: Sequence[ScoredCase], count: int = WORST) -> list[Row]:
    """The cases with the lowest mean Dice over regions, one a patient; of equals those with more tumour at stake."""
    ranked = sorted(cases, key=lambda case: (_mean_dice(case.score), -_at_stake(case.score), case.case_id))
    first = {case.patient_id: case for case in reversed(ranked)}
    return [_failure(case) for case in ranked if first[case.patient_id] is case][:count]


def _mean_dice(score: CaseScore) -> float:
    return fmean(of.dice for of in score.regions.values())


def _at_stake(score: CaseScore) -> float:
    return max(max(of.reference_volume, of.predicted_volume or 0.0) for of in score.regions.values())


def _failure(case: ScoredCase) -> Row:
    names = ("dice", "reference_volume", "predicted_volume")
    regions = {region: {name: getattr(of, name) for name in names} for region, of in case.score.regions.items()}
    return {"case_id": case.case_id, "patient_id": case.patient_id, "regions": regions}


def dice_of(scores: StudyScores) -> dict[str, Estimate]:
    """The mean Dice of each region."""
    return {region.value: of.figures["dice"] for region, of in scores.summary.regions.items()}


def with_validation(spec: ModelSpec, evaluation: Row, subsets: Mapping[str, Row], *, patients_known: bool) -> ModelSpec:
    """The spec with the cross-validated Dice: of ``evaluation``, a study as JSON, and of ``subsets`` of modalities."""
    figures = {region: of["figures"]["dice"] for region, of in evaluation["summary"]["regions"].items()}
    names = ("low", "high", "cases")
    validated = {
        Region(region): ValidatedDice(
            dice=dice["mean"],
            patients=dice["patients"] if patients_known else None,
            **{name: dice[name] for name in names},
        )
        for region, dice in figures.items()
        if dice["low"] is not None
    }
    each = {
        name: {Region(region): dice["mean"] for region, dice in row["dice"].items()} for name, row in subsets.items()
    }
    return spec.model_copy(update={"validated": validated, "dice_per_modality_subset": each})
