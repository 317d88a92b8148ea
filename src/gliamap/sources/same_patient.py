"""Whether a patient of one data set also occurs in another, as far as names tell."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gliamap.case import CaseIdentity

_BRATS = re.compile(r"BraTS(?:2021_|-GLI-)(\d{5})(?:-\d{3})?")
"""BraTS 2023 numbers the patients of 2021 as that year did. Better one too many left out than one too few."""


def names_of(identity: CaseIdentity, *, same_set: bool = False) -> frozenset[str]:
    """The names under which a patient can be met in another data set: of case, of patient, and its aliases there.

    Bare numbers say nothing, as every data set counts from 1, unless both are the same data set (``same_set``).
    """
    names = {identity.case_id, identity.patient_id, *identity.aliases}
    return frozenset(_BRATS.sub(r"BraTS \1", name) for name in names if same_set or not name.isdecimal())


def met_elsewhere(
    cases: Iterable[CaseIdentity], others: Iterable[CaseIdentity], *, same_set: bool = False
) -> tuple[str, ...]:
    """The ids of those of ``cases`` that belong to a patient of ``others``, also where another case of theirs tells."""
    cases = tuple(cases)
    known = frozenset[str]().union(*(names_of(other, same_set=same_set) for other in others))
    patients = {case.patient_id for case in cases if names_of(case, same_set=same_set) & known}
    return tuple(case.case_id for case in cases if case.patient_id in patients)
