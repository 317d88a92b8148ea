"""Whether what a network learned from before, or its teachers, gives its scores away."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from gliamap.errors import ConfigError
from gliamap.sources.layout import summarise


class _OfPatient(Protocol):
    @property
    def case_id(self) -> str: ...
    @property
    def patient_id(self) -> str: ...


def check_unseen(
    who: str, seen: Collection[str], cases: Iterable[_OfPatient], *, part: str, held_out: Collection[str], remedy: str
) -> None:
    """``ConfigError`` where patients of the cases ``held_out``, the ``part``, have cases among those ``seen``.

    Patients are as ``cases`` name them; of a case that is not among these, only the case itself is known. ``who`` says
    who has seen them.
    """
    patient_of = {case.case_id: case.patient_id for case in cases}
    met = {patient_of[case_id] for case_id in seen if case_id in patient_of}
    scored = {patient_of.get(case_id, case_id) for case_id in held_out}
    known = {
        patient_of.get(case_id, case_id) for case_id in held_out if case_id in seen or patient_of.get(case_id) in met
    }
    if known:
        raise ConfigError(
            f"{who} patients of the {part} part",
            found=f"{len(known)} of {len(scored)} patients: " + summarise(sorted(known)),
            remedy=remedy,
        )
