"""Scores apart for patients with small and large tumours, and with and without enhancing tumour.

Strata divide the patients, not the cases: all cases of one patient stand in one stratum, so that intervals over
patients hold within each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gliamap.labels import Region
from gliamap.scoring.estimate import Estimate, patient_means
from gliamap.scoring.summary import ScoredCase, figures_over, has_region
from gliamap.volume import Unit, volume_unit

STRATIFIED_FROM = 6
"""Patients from which on they are divided by volume: two in each third, so that each has an interval."""


@dataclass(frozen=True)
class Stratum:
    """Some of the patients: which, how many, and an estimate for every figure of every region.

    ``by`` is what patients are divided by, ``name`` which of them these are, in words.
    """

    by: str
    name: str
    cases: int
    patients: int
    regions: Mapping[Region, Mapping[str, Estimate]]


def strata_of(cases: Sequence[ScoredCase], *, seed: int = 0) -> tuple[Stratum, ...]:
    """The strata of a cohort, all of whose cases name the same regions and unit; ``seed`` draws the resamples.

    By the volume of the whole tumour in the reference, mean over a patient's cases: thirds of these patients, from
    ``STRATIFIED_FROM`` patients on. By enhancing tumour: whether the reference of any of a patient's cases has it.
    A division that would put all patients into one stratum is left out, and so is one by a region that was not scored.
    """
    divisions = {"tumour volume": _by_volume(cases), "enhancing tumour": _by_enhancing(cases)}
    return tuple(
        _stratum(by, name, [case for case in cases if case.patient_id in patients], seed)
        for by, division in divisions.items()
        for name, patients in division.items()
        if len(division) > 1
    )


def _by_volume(cases: Sequence[ScoredCase]) -> dict[str, set[str]]:
    """The patients of each third, by its name. Equal volumes stay together, so that there may be fewer than three."""
    scored = [case for case in cases if Region.WT in case.score.regions]
    volumes = patient_means((case.patient_id, case.score.regions[Region.WT].reference_volume) for case in scored)
    if len(volumes) < STRATIFIED_FROM:
        return {}
    low, high = np.quantile(list(volumes.values()), [1 / 3, 2 / 3], method="inverted_cdf")
    unit = scored[0].score.unit
    first, second, of = _digits(float(low), unit), _digits(float(high), unit), volume_unit(unit)
    names = (f"up to {first} {of}", f"{first} to {second} {of}", f"over {second} {of}")
    thirds: dict[str, set[str]] = {name: set() for name in names}
    for patient_id, volume in volumes.items():
        thirds[names[int(volume > low) + int(volume > high)]].add(patient_id)
    return {name: patients for name, patients in thirds.items() if patients}


def _by_enhancing(cases: Sequence[ScoredCase]) -> dict[str, set[str]]:
    scored = [case for case in cases if Region.ET in case.score.regions]
    having = {case.patient_id for case in scored if has_region(case, Region.ET)}
    both = {"present": having, "absent": {case.patient_id for case in scored} - having}
    return {name: patients for name, patients in both.items() if patients}


def _stratum(by: str, name: str, cases: Sequence[ScoredCase], seed: int) -> Stratum:
    regions = {region: figures_over(cases, region, seed=seed) for region in cases[0].score.regions}
    return Stratum(by, name, len(cases), len({case.patient_id for case in cases}), regions)


def _digits(volume: float, unit: Unit) -> str:
    return f"{volume:,.0f}" if unit == "px" else f"{volume:,.1f}" if volume >= 10 else f"{volume:.2f}"
