"""Two sets of predictions of the same cases, compared patient by patient.

Patients differ far more than predictions do, and most of that is gone from a difference taken patient by patient. All
differences are ours minus the other's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import Literal

from scipy.stats import wilcoxon

from gliamap.labels import Region
from gliamap.scoring.estimate import ENOUGH, Estimate, differences, estimate, matched, patient_means
from gliamap.scoring.summary import ScoredCase
from gliamap.volume import Unit

BETTER: Mapping[str, Literal[1, -1]] = {
    "dice": 1,
    "surface_dice": 1,
    "hd95": -1,
    "lesion_dice": 1,
    "lesion_hd95": -1,
    "lesion_recall": 1,
    "lesion_precision": 1,
}
"""The figures that are compared, and whether more of each is better (1) or worse (-1)."""

CHANGES = 10
"""How many of the cases that changed most are named."""

_TIE = 1e-9
"""Up to this a difference is one of rounding, and none."""


@dataclass(frozen=True)
class PairedFigure:
    """One figure of one region in both sets, over the cases that have it in both.

    ``by_patient``: the difference of each patient, whose cases were averaged first. ``wins``, ``losses``, ``ties``
    count the patients with whom ours is better, worse, equal. ``p`` is that of a two-sided Wilcoxon signed-rank test
    of ``by_patient``, ties left out: ``None`` with fewer than ``ENOUGH`` patients who differ, where none could be below
    0.05. ``p_holm``: adjusted by Holm for the regions that have a p of this figure.
    """

    ours: Estimate
    other: Estimate
    difference: Estimate
    by_patient: Mapping[str, float]
    wins: int
    losses: int
    ties: int
    p: float | None
    p_holm: float | None


@dataclass(frozen=True)
class Change:
    """A case and its Dice in both sets, of the region in which that differs most."""

    case_id: str
    patient_id: str
    region: Region
    ours: float
    other: float

    @property
    def change(self) -> float:
        """Ours minus the other's."""
        return self.ours - self.other


@dataclass(frozen=True)
class Paired:
    """Two sets of scores on the same cases.

    ``unmatched`` cases are in one set only and do not count. ``changed`` are the cases whose Dice differs most,
    largest difference first.
    """

    unit: Unit
    cases: int
    patients: int
    unmatched: tuple[str, ...]
    regions: Mapping[Region, Mapping[str, PairedFigure]]
    changed: tuple[Change, ...]


def compare_paired(ours: Sequence[ScoredCase], others: Sequence[ScoredCase], *, seed: int = 0) -> Paired:
    """Compare the scores of two predictions of the same cases; ``seed`` draws the resamples.

    Regions are those of both sets; a figure that no case has in both is left out. ``ValueError`` where no case is in
    both, or units differ.
    """
    pairs = matched(ours, others)
    units = {case.score.unit for pair in pairs for case in pair}
    if len(units) != 1:
        raise ValueError(f"scores to compare must have cases in common and share one unit, not {sorted(units)}")
    regions = [r for r in Region if all(r in case.score.regions for pair in pairs for case in pair)]
    figures = {name: _over_regions(pairs, name, regions, seed) for name in BETTER}
    both = {case.case_id for case, _ in pairs}
    return Paired(
        unit=units.pop(),
        cases=len(pairs),
        patients=len({case.patient_id for case, _ in pairs}),
        unmatched=tuple(dict.fromkeys(c.case_id for c in (*ours, *others) if c.case_id not in both)),
        regions={
            region: {name: found[region] for name, found in figures.items() if region in found} for region in regions
        },
        changed=_most_changed(pairs, regions),
    )


def holm(values: Sequence[float]) -> list[float]:
    """The p values adjusted for being looked at together, in the same order.

    The smallest is multiplied by how many there are, the next by one fewer, and so on; none ends up below one before
    it, none above 1 (Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
    Statistics 6, 1979).
    """
    ranked = sorted(range(len(values)), key=lambda at: values[at])
    adjusted, least = [0.0] * len(values), 0.0
    for rank, at in enumerate(ranked):
        least = max(least, min(1.0, (len(values) - rank) * values[at]))
        adjusted[at] = least
    return adjusted


def _over_regions(
    pairs: Sequence[tuple[ScoredCase, ScoredCase]], name: str, regions: Sequence[Region], seed: int
) -> dict[Region, PairedFigure]:
    """One figure of each region that any case has it for, p values adjusted for these regions."""
    found = {region: _compare(pairs, name, region, seed) for region in regions}
    found = {region: one for region, one in found.items() if one.difference.cases}
    tested = {region: one.p for region, one in found.items() if one.p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {region: replace(one, p_holm=adjusted.get(region)) for region, one in found.items()}


def _compare(pairs: Sequence[tuple[ScoredCase, ScoredCase]], name: str, region: Region, seed: int) -> PairedFigure:
    """One figure of one region, its p value not adjusted yet."""
    figures = [(c.patient_id, _figure(c, region, name), _figure(other, region, name)) for c, other in pairs]
    both = [(patient, a, b) for patient, a, b in figures if a is not None and b is not None]
    apart = differences(both)
    by_patient = patient_means(apart)
    better = [BETTER[name] * value for value in by_patient.values()]
    return PairedFigure(
        ours=estimate(((patient, a) for patient, a, _ in both), seed=seed),
        other=estimate(((patient, b) for patient, _, b in both), seed=seed),
        difference=estimate(apart, seed=seed),
        by_patient=by_patient,
        wins=sum(value > _TIE for value in better),
        losses=sum(value < -_TIE for value in better),
        ties=sum(abs(value) <= _TIE for value in better),
        p=_signed_rank([value for value in better if abs(value) > _TIE]),
        p_holm=None,
    )


def _figure(case: ScoredCase, region: Region, name: str) -> float | None:
    value: float | None = getattr(case.score.regions[region], name)
    return value


def _signed_rank(apart: Sequence[float]) -> float | None:
    """The two-sided p of Wilcoxon's signed-rank test (Wilcoxon 1945); ``None`` for fewer than ``ENOUGH`` values."""
    return float(wilcoxon(apart).pvalue) if len(apart) >= ENOUGH else None


def _most_changed(pairs: Sequence[tuple[ScoredCase, ScoredCase]], regions: Sequence[Region]) -> tuple[Change, ...]:
    def change(ours: ScoredCase, other: ScoredCase, region: Region) -> Change:
        dice = (case.score.regions[region].dice for case in (ours, other))
        return Change(ours.case_id, ours.patient_id, region, *dice)

    def size(change: Change) -> float:
        return abs(change.change)

    each = (max((change(*pair, region) for region in regions), key=size) for pair in pairs if regions)
    return tuple(nlargest(CHANGES, (one for one in each if size(one) > _TIE), key=size))
