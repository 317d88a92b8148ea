"""What a split draws as one, and how it draws: patients whole, and alike in tumours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from gliamap.case import CaseIdentity
from gliamap.errors import ConfigError
from gliamap.io.store import StoreInfo
from gliamap.labels import Region
from gliamap.sources.layout import natural_key

RUN_LENGTH = 20
"""Where patients are not known, so many neighbours in file order are kept together, being mostly one person."""

MIN_RUNS = 10
"""Small data sets get shorter runs, so that there are so many to draw from."""


def sizes_in_store(info: StoreInfo) -> dict[str, TumourSize]:
    """The tumour sizes of a store's cases, in its voxels."""
    return {entry.case_id: TumourSize(entry.voxels[Region.WT], entry.voxels[Region.ET] > 0) for entry in info.cases}


class Unit(NamedTuple):
    """What is drawn as one: a patient, or a run of neighbours."""

    is_run: bool
    name: str


@dataclass(frozen=True)
class TumourSize:
    """What a split is stratified by: the size of a case's whole tumour (any unit, the same for all), and ET or none."""

    size: float
    enhancing: bool


@dataclass(frozen=True)
class Units:
    """What each case is drawn with (``of``), and the tumour sizes to draw evenly from, where there are any."""

    of: Mapping[str, Unit]
    sizes: Mapping[str, TumourSize]

    def in_order(self, identities: Sequence[CaseIdentity], rng: np.random.Generator) -> list[Unit]:
        """The units of ``identities`` in random order; with sizes, those without ET first, then by size.

        A unit enhances if any of its cases does; its size is the mean of theirs. Units without a size come first.
        """
        # The name itself comes last, because the natural order takes "1" and "01" for the same.
        units = sorted({self.of[i.case_id] for i in identities}, key=lambda u: (u.is_run, natural_key(u.name), u.name))
        shuffled = [units[at] for at in rng.permutation(len(units))]
        if not self.sizes:
            return shuffled
        known: dict[Unit, list[TumourSize]] = {unit: [] for unit in shuffled}
        for identity in identities:
            if identity.case_id in self.sizes:
                known[self.of[identity.case_id]].append(self.sizes[identity.case_id])

        def rank(unit: Unit) -> tuple[bool, float]:
            own = known[unit]
            return (any(s.enhancing for s in own), sum(s.size for s in own) / len(own) if own else -1.0)

        return sorted(shuffled, key=rank)


def make_units(
    identities: Sequence[CaseIdentity], sizes: Mapping[str, TumourSize] | None = None, *, patients_known: bool
) -> Units:
    """What is drawn as one: the patient, or a run of neighbours among the cases of unknown patient.

    A patient is never divided. An unknown patient is one that is named after its case and has no other.
    """
    units = {identity.case_id: Unit(False, identity.patient_id) for identity in identities}
    if patients_known:
        return Units(units, sizes or {})
    cases_of = Counter(identity.patient_id for identity in identities)
    unknown = [i.case_id for i in identities if i.patient_id == i.case_id and cases_of[i.patient_id] == 1]
    length = max(1, min(RUN_LENGTH, len(identities) // MIN_RUNS))
    runs = {case_id: Unit(True, str(at // length)) for at, case_id in enumerate(unknown)}
    return Units(units | runs, sizes or {})


def draw(
    identities: Sequence[CaseIdentity], units: Units, share: float, rng: np.random.Generator
) -> tuple[list[CaseIdentity], list[CaseIdentity]]:
    """A share of the units (at least one, never all), and the rest; both in the given order.

    The ordered units are cut into as many equal stretches as are wanted, and one is drawn from each: so the drawn
    ones are spread over enhancement and size as all are.
    """
    order = units.in_order(identities, rng)
    count = min(max(1, round(share * len(order))), len(order) - 1) if share > 0 and order else 0
    cuts = [round(at * len(order) / count) for at in range(count + 1)] if count else []
    drawn = {order[rng.integers(start, stop)] for start, stop in pairwise(cuts)}
    inside = [i for i in identities if units.of[i.case_id] in drawn]
    return inside, [i for i in identities if units.of[i.case_id] not in drawn]


def deal(identities: Sequence[CaseIdentity], units: Units, count: int, rng: np.random.Generator) -> list[CaseIdentity]:
    """The cases with new folds 0 to ``count`` - 1, dealt in rounds.

    Of the next ``count`` units in order, each fold gets one, by chance. ``ConfigError`` where there are fewer units.
    """
    order = units.in_order(identities, rng)
    if not 2 <= count <= len(order):
        raise ConfigError(
            f"{len(order)} patients or runs of neighbours cannot be dealt to {count} folds",
            expected=f"2 to {len(order)} folds" if len(order) > 1 else "at least two patients",
            remedy="choose another number of folds",
        )
    fold_of: dict[Unit, int] = {}
    for start in range(0, len(order), count):
        fold_of |= dict(zip(order[start : start + count], map(int, rng.permutation(count)), strict=False))
    return [replace(identity, fold=fold_of[units.of[identity.case_id]]) for identity in identities]
