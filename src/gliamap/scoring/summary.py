"""From the scores of cases to those of a cohort: per case -> per patient -> cohort, and pooled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import add

from gliamap.labels import Region, Tissue
from gliamap.metrics import overlap
from gliamap.metrics.calibration import Reliability
from gliamap.metrics.lesions import LesionMatch
from gliamap.metrics.overlap import Counts
from gliamap.scoring.estimate import Estimate, estimate
from gliamap.scoring.score import CaseScore, RegionScore
from gliamap.volume import Unit

ET_LEAST_ML = 1.0
"""From this much enhancing tumour in the reference on, a 3D case counts for the ET figures reported apart."""

FIGURES = tuple(f.name for f in fields(RegionScore) if f.type in ("float", "float | None"))
"""The figures of a region, the fields that are numbers, in the order of the CSV columns."""


@dataclass(frozen=True)
class ScoredCase:
    """A case's scores and who it belongs to."""

    case_id: str
    patient_id: str
    score: CaseScore


def has_region(case: ScoredCase, region: Region) -> bool:
    """The case's reference has voxels of ``region``."""
    return case.score.regions[region].counts.reference > 0


@dataclass(frozen=True)
class RegionSummary:
    """One region over a cohort.

    ``figures`` holds an estimate for every figure of :class:`~gliamap.scoring.score.RegionScore`. ``pooled_dice`` is
    the Dice of the voxel counts summed over all cases, which favours large tumours. ``dice_where_present`` leaves out
    the cases whose reference lacks the region: the 'mean Dice' of many slice-wise studies. ``pooled_lesions`` counts
    the lesions of all cases (found, false positive, missed), ``None`` where the protocol has no rule for lesions;
    ``reliability`` sums the diagrams of all cases, ``None`` without probabilities.
    """

    figures: Mapping[str, Estimate]
    pooled_dice: float
    dice_where_present: Estimate
    pooled_lesions: Counts | None
    reliability: Reliability | None


@dataclass(frozen=True)
class EnhancingSummary:
    """Enhancing tumour apart, because a case without any scores either 0 or 1.

    ``dice`` and ``hd95`` over the cases with at least ``least_volume`` of it in the reference (mL; for images any
    pixel); ``false_positive_volume`` is what was predicted (mL, or pixels) in cases that have none. ``detected``: the
    share of the cases with any of it, however little, in which some of it was hit; ``rightly_none``: the share of the
    cases without any in which none was predicted. Cases without a prediction are in all but
    ``false_positive_volume``, at their worst.
    """

    least_volume: float
    dice: Estimate
    hd95: Estimate
    detected: Estimate
    rightly_none: Estimate
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


def _summarise_region(cases: Sequence[ScoredCase], region: Region, seed: int) -> RegionSummary:
    scores = [case.score.regions[region] for case in cases]
    lesions = [LesionMatch(score.lesions).counts for score in scores if score.lesion_dice is not None]
    return RegionSummary(
        figures=figures_over(cases, region, seed=seed),
        pooled_dice=overlap.dice(total(score.counts for score in scores)),
        dice_where_present=_over(cases, region, "dice", seed=seed, only=lambda s: s.counts.reference > 0),
        pooled_lesions=total(lesions) if lesions else None,
        reliability=total_reliability(scores),
    )


def figures_over(cases: Sequence[ScoredCase], region: Region, *, seed: int = 0) -> dict[str, Estimate]:
    """An estimate for each of ``FIGURES`` of one region."""
    return {name: _over(cases, region, name, seed=seed) for name in FIGURES}


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
    having, lacking = ([c for c in cases if has_region(c, Region.ET) is wanted] for wanted in (True, False))

    def enough(score: RegionScore) -> bool:
        return score.reference_volume >= least

    def share(among: Sequence[ScoredCase], true_of: Callable[[Counts], bool]) -> Estimate:
        found = ((c.patient_id, not c.score.missing and true_of(c.score.regions[Region.ET].counts)) for c in among)
        return estimate(((patient, float(true)) for patient, true in found), seed=seed)

    return EnhancingSummary(
        least_volume=least,
        dice=_over(cases, Region.ET, "dice", seed=seed, only=enough),
        hd95=_over(cases, Region.ET, "hd95", seed=seed, only=enough),
        detected=share(having, lambda counts: counts.tp > 0),
        rightly_none=share(lacking, lambda counts: counts.predicted == 0),
        false_positive_volume=_over(lacking, Region.ET, "predicted_volume", seed=seed),
    )


def _pooled_class_dice(cases: Sequence[ScoredCase]) -> dict[str, float]:
    """Dice of the summed counts of each tissue that any case holds, by the tissue's short name."""
    totals = total_classes([case.score for case in cases])
    return {tissue.name: overlap.dice(counts) for tissue, counts in totals.items() if tissue != Tissue.BACKGROUND}


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of counts."""
    return sum(counts, Counts(0, 0, 0, 0))


def total_classes(scores: Sequence[CaseScore]) -> dict[Tissue, Counts]:
    """The summed counts of each tissue that any of the cases holds, in the order of tissues."""
    tissues = sorted({tissue for score in scores for tissue in score.classes})
    return {tissue: total(score.classes[tissue] for score in scores if tissue in score.classes) for tissue in tissues}


def total_reliability(scores: Iterable[RegionScore]) -> Reliability | None:
    """The summed diagrams of those that have one; ``None`` where none has."""
    found = [score.reliability for score in scores if score.reliability is not None]
    return reduce(add, found) if found else None
