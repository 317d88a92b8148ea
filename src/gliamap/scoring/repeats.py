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

from rich import box
from rich.table import Table

from gliamap.labels import Region, Tissue
from gliamap.metrics.overlap import Counts
from gliamap.scoring.score import CaseScore, RegionScore
from gliamap.scoring.table import FIGURES, Estimate, ScoredCase, Summary, as_json, case_rows, estimate, summarise


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
    """Each case once, in the first repeat's order: figures averaged over the repeats that have them, counts summed.

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
    classes: dict[Tissue, Counts] = {}
    for score in scores:
        for tissue, counts in score.classes.items():
            classes[tissue] = classes.get(tissue, Counts(0, 0, 0, 0)) + counts
    return CaseScore(
        regions={region: _average_region([score.regions[region] for score in scores]) for region in scores[0].regions},
        classes=classes,
        mean_iou=_mean(score.mean_iou for score in scores),
        unit=scores[0].unit,
        missing=any(score.missing for score in scores),
    )


def _average_region(scores: Sequence[RegionScore]) -> RegionScore:
    figures: dict[str, Any] = {name: _mean(getattr(score, name) for score in scores) for name in FIGURES}
    return replace(scores[0], **figures, counts=sum((score.counts for score in scores), Counts(0, 0, 0, 0)))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def study_rows(scores: StudyScores) -> str:
    """The CSV text: one row a repeat, fold, case and region, columns as of :func:`~gliamap.scoring.table.case_rows`."""
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


def folds_as_rich_table(scores: StudyScores) -> Table:
    """The terminal's table of folds: a row each with its mean Dice, so that one bad fold shows."""
    several = len(scores.repeats) > 1
    table = Table(title="Dice by fold, mean over patients", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for title in (*(("repeat",) if several else ()), "fold", "patients", "cases", *scores.summary.regions):
        table.add_column(title, justify="right")
    for fold in scores.folds:
        dice = (fold.dice(region).mean for region in scores.summary.regions)
        where = [str(fold.repeat)] if several else []
        table.add_row(*where, str(fold.fold), str(fold.patients), str(len(fold.cases)), *(f"{d:.3f}" for d in dice))
    if several:
        table.caption = "between repeats (SD of the mean): " + ", ".join(
            f"{region} {scores.spread(region, 'dice'):.3f}" for region in scores.summary.regions
        )
    return table
