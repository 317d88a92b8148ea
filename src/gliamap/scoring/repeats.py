"""The scores of a cross-validation: over its repeats, and fold by fold.

With several repeats every case is scored several times. These scores are averaged first, case by case, so that a
patient counts once, however often the study was repeated. The interval is still over patients: repeats make each
patient's score steadier, they do not make more patients. How far the repeats lie apart is told beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, stdev
from typing import Any

from gliamap.labels import Region
from gliamap.scoring.estimate import Estimate, estimate, estimate_cell
from gliamap.scoring.rows import as_json, case_rows
from gliamap.scoring.score import CaseScore, RegionScore
from gliamap.scoring.summary import (
    FIGURES,
    ScoredCase,
    Summary,
    summarise,
    total,
    total_classes,
    total_reliability,
)
from gliamap.scoring.text_table import TextTable


@dataclass(frozen=True)
class FoldScores:
    """The scores of the cases that one fold of one repeat held out."""

    repeat: int
    fold: int
    cases: tuple[ScoredCase, ...]

    @property
    def patients(self) -> int:
        """How many patients the cases are of."""
        return len({case.patient_id for case in self.cases})

    def dice(self, region: Region) -> Estimate:
        """The Dice of a region over the fold's patients."""
        return estimate((case.patient_id, case.score.regions[region].dice) for case in self.cases)


@dataclass(frozen=True)
class StudyScores:
    """A whole cross-validation.

    ``summary`` is over all cases, each averaged over the repeats first (pooled figures: counts summed over repeats);
    ``repeats`` are the summaries of each repeat alone.
    """

    folds: tuple[FoldScores, ...]
    summary: Summary
    repeats: tuple[Summary, ...]

    def spread(self, region: Region, figure: str) -> float | None:
        """Standard deviation of a figure's mean between the repeats; ``None`` where fewer than two have it."""
        means = (repeat.regions[region].figures[figure].mean for repeat in self.repeats)
        known = [mean for mean in means if mean is not None]
        return stdev(known) if len(known) > 1 else None


def summarise_study(folds: Sequence[FoldScores], *, seed: int = 0) -> StudyScores:
    """Summarise the scores of every fold of every repeat; ``seed`` draws the resamples.

    ``ValueError`` where a case is scored twice in one repeat, or not in all of them.
    """
    by_repeat: dict[int, list[ScoredCase]] = {}
    for fold in folds:
        by_repeat.setdefault(fold.repeat, []).extend(fold.cases)
    repeats = [cases for _, cases in sorted(by_repeat.items())]
    return StudyScores(
        folds=tuple(sorted(folds, key=lambda fold: (fold.repeat, fold.fold))),
        summary=summarise(over_repeats(repeats), seed=seed),
        repeats=tuple(summarise(cases, seed=seed) for cases in repeats),
    )


def over_repeats(repeats: Sequence[Sequence[ScoredCase]]) -> tuple[ScoredCase, ...]:
    """Each case once, in the first repeat's order: figures averaged over the repeats that have them.

    What is pooled is added up: counts, reliability diagrams, rows of lesions.

    A case counts as missing where any repeat misses it. ``ValueError`` where the repeats hold different cases.
    """
    tables = [{case.case_id: case for case in cases} for cases in repeats]
    sizes = {len(cases) for cases in repeats}
    if sizes != {len(tables[0])} or any(table.keys() != tables[0].keys() for table in tables):
        raise ValueError("every repeat must score the same cases, each of them once")
    return tuple(
        replace(case, score=_average([table[case_id].score for table in tables])) for case_id, case in tables[0].items()
    )


def _average(scores: Sequence[CaseScore]) -> CaseScore:
    return CaseScore(
        regions={region: _average_region([score.regions[region] for score in scores]) for region in scores[0].regions},
        classes=total_classes(scores),
        mean_iou=_mean(score.mean_iou for score in scores),
        unit=scores[0].unit,
        missing=any(score.missing for score in scores),
    )


def _average_region(scores: Sequence[RegionScore]) -> RegionScore:
    figures: dict[str, Any] = {name: _mean(getattr(score, name) for score in scores) for name in FIGURES}
    return replace(
        scores[0],
        **figures,
        counts=total(score.counts for score in scores),
        lesions=tuple(lesion for score in scores for lesion in score.lesions),
        reliability=total_reliability(scores),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def study_rows(scores: StudyScores) -> str:
    """The CSV text: one row a repeat, fold, case and region, columns as of :func:`~gliamap.scoring.rows.case_rows`."""
    every = [(fold, case) for fold in scores.folds for case in fold.cases]
    where = {"repeat": [fold.repeat for fold, _ in every], "fold": [fold.fold for fold, _ in every]}
    return case_rows([case for _, case in every], where)


def study_as_json(scores: StudyScores) -> dict[str, Any]:
    """``{"summary", "spread", "repeats", "folds", "cases"}`` for a JSON file; a case says its repeat and fold."""
    regions = scores.summary.regions
    spread = {region: {name: scores.spread(region, name) for name in FIGURES} for region in regions}
    return {
        "summary": asdict(scores.summary),
        "spread": spread,
        "repeats": [asdict(repeat) for repeat in scores.repeats],
        "folds": [
            _place(fold)
            | {"cases": len(fold.cases), "patients": fold.patients}
            | {"dice": {region: asdict(fold.dice(region)) for region in regions}}
            for fold in scores.folds
        ],
        "cases": [
            _place(fold) | case for fold in scores.folds for case in as_json(scores.summary, fold.cases)["cases"]
        ],
    }


def _place(fold: FoldScores) -> dict[str, Any]:
    return {"repeat": fold.repeat, "fold": fold.fold}


def folds_table(scores: StudyScores) -> TextTable:
    """The mean Dice of every fold, so that one bad fold shows."""
    regions = tuple(scores.summary.regions)
    several = len(scores.repeats) > 1
    rows = tuple(
        (
            *((str(fold.repeat),) if several else ()),
            *(str(fold.fold), str(fold.patients), str(len(fold.cases))),
            *(estimate_cell(fold.dice(region), 3, interval=False) for region in regions),
        )
        for fold in scores.folds
    )
    head = (*(("Repeat",) if several else ()), "Fold", "Patients", "Cases", *(region.value for region in regions))
    return TextTable("Dice by fold, mean over patients", head, rows, texts=0)


def spread_words(scores: StudyScores) -> tuple[str, ...]:
    """How far the repeats lie apart, where there are several."""
    spread = {region: scores.spread(region, "dice") for region in scores.summary.regions}
    known = ", ".join(f"{region} {found:.3f}" for region, found in spread.items() if found is not None)
    return (f"Between repeats (SD of the mean Dice): {known}.",) if known else ()
