"""From the scores of cases to those of a cohort: per case -> per patient -> cohort, and pooled.

The cases of one patient are averaged first, so that a patient with many visits (or many slices) counts once. The
interval is a percentile bootstrap over patients, because patients are what was sampled (Efron & Tibshirani, "An
Introduction to the Bootstrap", 1993, chapter 13). It says how much the mean depends on which patients were in the
set, not on which model was trained.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from gliamap.labels import REGION_NAMES, Region, Tissue
from gliamap.metrics import overlap
from gliamap.metrics.overlap import Counts
from gliamap.scoring.score import CaseScore, RegionScore
from gliamap.volume import Unit

ET_LEAST_ML = 1.0
"""From this much enhancing tumour in the reference on, a 3D case counts for the ET figures reported apart."""

DRAWS = 2000
"""Bootstrap resamples behind each interval."""

_BLOCK = 2**20
"""Values resampled at a time, which keeps the memory flat; no result depends on it."""

FIGURES = tuple(f.name for f in fields(RegionScore) if f.name != "counts")
"""The figures of a region, in the order of the CSV columns."""


@dataclass(frozen=True)
class ScoredCase:
    """A case's scores and who it belongs to."""

    case_id: str
    patient_id: str
    score: CaseScore


@dataclass(frozen=True)
class Estimate:
    """One figure over a cohort.

    ``mean`` and ``median`` are over patients, whose cases were averaged first; ``low`` and ``high`` bound the 95 %
    bootstrap interval of ``mean`` (``None`` with fewer than two patients); ``case_mean`` is the plain mean over cases.
    All are ``None`` where no case has the figure. ``cases`` and ``patients`` count what went in.
    """

    mean: float | None
    low: float | None
    high: float | None
    median: float | None
    case_mean: float | None
    cases: int
    patients: int


@dataclass(frozen=True)
class RegionSummary:
    """One region over a cohort.

    ``figures`` holds an estimate for every figure of :class:`~gliamap.scoring.score.RegionScore`. ``pooled_dice`` is
    the Dice of the voxel counts summed over all cases, which favours large tumours. ``dice_where_present`` leaves out
    the cases whose reference lacks the region: the 'mean Dice' of many slice-wise studies.
    """

    figures: Mapping[str, Estimate]
    pooled_dice: float
    dice_where_present: Estimate


@dataclass(frozen=True)
class EnhancingSummary:
    """Enhancing tumour apart, because a case without any scores either 0 or 1.

    ``dice`` and ``hd95`` over the cases with at least ``least_volume`` of it in the reference (mL; for images any
    pixel); ``false_positive_volume`` is what was predicted (mL, or pixels) in cases that have none. Cases without a
    prediction are in the first two at their worst and not in the third.
    """

    least_volume: float
    dice: Estimate
    hd95: Estimate
    false_positive_volume: Estimate


@dataclass(frozen=True)
class Summary:
    """A cohort's scores. ``unit`` is that of distances (``px``: volumes are in pixels, else in mL)."""

    unit: Unit
    cases: int
    patients: int
    missing: int
    regions: Mapping[Region, RegionSummary]
    enhancing: EnhancingSummary | None
    pooled_class_dice: Mapping[str, float]
    mean_iou: Estimate


def summarise(cases: Sequence[ScoredCase], *, seed: int = 0) -> Summary:
    """Average the scores of ``cases``, all of which name the same regions and unit; ``seed`` draws the resamples.

    ``ValueError`` where there is no case, or units differ.
    """
    units = {case.score.unit for case in cases}
    if len(units) != 1:
        raise ValueError(f"cases to average must share one unit, not {sorted(units)}")
    unit = units.pop()
    regions = {region: _summarise_region(cases, region, seed) for region in cases[0].score.regions}
    return Summary(
        unit=unit,
        cases=len(cases),
        patients=len({case.patient_id for case in cases}),
        missing=sum(case.score.missing for case in cases),
        regions=regions,
        enhancing=_summarise_enhancing(cases, unit, seed) if Region.ET in regions else None,
        pooled_class_dice=_pooled_class_dice(cases),
        mean_iou=estimate(((c.patient_id, c.score.mean_iou) for c in cases), seed=seed),
    )


def estimate(values: Iterable[tuple[str, float | None]], *, seed: int = 0) -> Estimate:
    """Average pairs of patient id and a case's value; ``None`` values are left out."""
    by_patient: dict[str, list[float]] = {}
    for patient_id, value in values:
        if value is not None:
            by_patient.setdefault(patient_id, []).append(value)
    if not by_patient:
        return Estimate(None, None, None, None, None, cases=0, patients=0)
    means = np.array([np.mean(each) for each in by_patient.values()])
    every = np.concatenate([np.array(each) for each in by_patient.values()])
    low, high = _interval(means, seed)
    return Estimate(
        mean=float(means.mean()),
        low=low,
        high=high,
        median=float(np.median(means)),
        case_mean=float(every.mean()),
        cases=every.size,
        patients=means.size,
    )


def _interval(means: NDArray[np.float64], seed: int) -> tuple[float | None, float | None]:
    if means.size < 2:
        return None, None
    rng = np.random.default_rng(seed)
    at_a_time = max(1, _BLOCK // means.size)
    blocks = [min(at_a_time, DRAWS - done) for done in range(0, DRAWS, at_a_time)]
    resampled = [means[rng.integers(means.size, size=(block, means.size))].mean(axis=1) for block in blocks]
    low, high = np.percentile(np.concatenate(resampled), [2.5, 97.5])
    return float(low), float(high)


def _summarise_region(cases: Sequence[ScoredCase], region: Region, seed: int) -> RegionSummary:
    counts = [case.score.regions[region].counts for case in cases]
    return RegionSummary(
        figures={name: _over(cases, region, name, seed=seed) for name in FIGURES},
        pooled_dice=overlap.dice(sum(counts, Counts(0, 0, 0, 0))),
        dice_where_present=_over(cases, region, "dice", seed=seed, only=lambda s: s.counts.reference > 0),
    )


def _over(
    cases: Sequence[ScoredCase],
    region: Region,
    figure: str,
    *,
    seed: int,
    only: Callable[[RegionScore], bool] = lambda _: True,
) -> Estimate:
    """One figure of one region over the cases that ``only`` lets in."""
    scores = ((case.patient_id, case.score.regions[region]) for case in cases)
    return estimate(((patient, getattr(score, figure)) for patient, score in scores if only(score)), seed=seed)


def _summarise_enhancing(cases: Sequence[ScoredCase], unit: Unit, seed: int) -> EnhancingSummary:
    least = ET_LEAST_ML if unit == "mm" else 1.0

    def enough(score: RegionScore) -> bool:
        return score.reference_volume >= least

    def absent(score: RegionScore) -> bool:
        return score.counts.reference == 0

    return EnhancingSummary(
        least_volume=least,
        dice=_over(cases, Region.ET, "dice", seed=seed, only=enough),
        hd95=_over(cases, Region.ET, "hd95", seed=seed, only=enough),
        false_positive_volume=_over(cases, Region.ET, "predicted_volume", seed=seed, only=absent),
    )


def _pooled_class_dice(cases: Sequence[ScoredCase]) -> dict[str, float]:
    """Dice of the summed counts of each tissue that any case holds, by the tissue's short name."""
    totals: dict[Tissue, Counts] = {}
    for case in cases:
        for tissue, counts in case.score.classes.items():
            totals[tissue] = totals.get(tissue, Counts(0, 0, 0, 0)) + counts
    return {tissue.name: overlap.dice(totals[tissue]) for tissue in sorted(totals) if tissue != Tissue.BACKGROUND}


def case_rows(cases: Sequence[ScoredCase], where: Mapping[str, Sequence[object]] | None = None) -> str:
    """The CSV text: one row a case and region, empty cells where a figure has no value.

    ``where`` puts further columns first: their name, and a value for each case.
    """
    where = where or {}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*where, "case_id", "patient_id", "region", "missing", "unit", *FIGURES, "mean_iou"])
    for number, case in enumerate(cases):
        place = [values[number] for values in where.values()]
        for region, score in case.score.regions.items():
            who = [*place, case.case_id, case.patient_id, region.value, int(case.score.missing), case.score.unit]
            writer.writerow([*who, *(getattr(score, name) for name in FIGURES), case.score.mean_iou])
    return text.getvalue()


def as_json(summary: Summary, cases: Sequence[ScoredCase]) -> dict[str, Any]:
    """``{"summary": ..., "cases": [...]}`` for a JSON file, keys named after the fields of the dataclasses here."""
    return {"summary": asdict(summary), "cases": [_case_as_json(case) for case in cases]}


def _case_as_json(case: ScoredCase) -> dict[str, Any]:
    score = asdict(case.score)
    score["classes"] = {tissue.name: asdict(counts) for tissue, counts in case.score.classes.items()}
    return {"case_id": case.case_id, "patient_id": case.patient_id, **score}


def as_rich_table(summary: Summary) -> Table:
    """The terminal's table: one row a region, means over patients with their 95 % interval. Fits 80 columns."""
    distance, volume = (summary.unit, "px" if summary.unit == "px" else "mL")
    names = ", ".join(f"{region.value} ({REGION_NAMES[region]})" for region in summary.regions)
    table = Table(
        title=f"{summary.patients} patients, {summary.cases} cases",
        caption=f"{names}\nmean over patients [95 % interval]; empty masks by the BraTS rule"
        + (f"\n{summary.missing} without a prediction, at their worst" if summary.missing else ""),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("region")
    for title in ("Dice", f"HD95 {distance}", "IoU", "sens.", "prec.", f"volume\ndiff. {volume}", "pooled\nDice"):
        table.add_column(title, justify="right")
    for region, found in summary.regions.items():
        figures = found.figures
        table.add_row(
            region.value,
            _cell(figures["dice"], 3),
            _cell(figures["hd95"], 1),
            _cell(figures["iou"], 3, interval=False),
            _cell(figures["sensitivity"], 3, interval=False),
            _cell(figures["precision"], 3, interval=False),
            _cell(figures["volume_difference"], 1, interval=False),
            f"{found.pooled_dice:.3f}",
        )
    return table


def _cell(found: Estimate, digits: int, *, interval: bool = True) -> str:
    if found.mean is None:
        return "-"
    mean = f"{found.mean:.{digits}f}"
    if not interval or found.low is None or found.high is None:
        return mean
    return f"{mean}\n[{found.low:.{digits}f}, {found.high:.{digits}f}]"
