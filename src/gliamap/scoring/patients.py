"""The scores of patients: those of their cases, averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gliamap.labels import Region
from gliamap.scoring.estimate import patient_means
from gliamap.scoring.summary import FIGURES, ScoredCase


@dataclass(frozen=True)
class PatientScore:
    """One patient.

    ``figures`` are the means over the ``cases`` that have them, ``None`` where no case has; ``missing`` of these
    cases had no prediction. Units are those of :class:`~gliamap.scoring.score.RegionScore`.
    """

    patient_id: str
    cases: int
    missing: int
    regions: Mapping[Region, Mapping[str, float | None]]


def patients_of(cases: Sequence[ScoredCase]) -> tuple[PatientScore, ...]:
    """Every patient once, in the order in which they come first. All cases name the same regions."""
    by_patient: dict[str, list[ScoredCase]] = {}
    for case in cases:
        by_patient.setdefault(case.patient_id, []).append(case)
    return tuple(
        PatientScore(
            patient_id=patient_id,
            cases=len(own),
            missing=sum(case.score.missing for case in own),
            regions={region: {name: _mean(own, region, name) for name in FIGURES} for region in own[0].score.regions},
        )
        for patient_id, own in by_patient.items()
    )


def _mean(own: Sequence[ScoredCase], region: Region, figure: str) -> float | None:
    """The mean over the cases of one patient."""
    means = patient_means((case.patient_id, getattr(case.score.regions[region], figure)) for case in own)
    return next(iter(means.values()), None)
