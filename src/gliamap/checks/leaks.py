"""Patients on both sides of a split, by their ids and by what their images show. Knows no files."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from gliamap.checks.duplicates import Kind, Pair
from gliamap.checks.findings import Finding
from gliamap.sources.layout import summarise

_LOOKS = {Kind.DUPLICATE: "the same image as", Kind.SAME_PATIENT: "looks like the same patient as"}


def find_leaks(
    parts: Mapping[int, str], names: Sequence[str], patients: Sequence[Hashable], pairs: Sequence[Pair]
) -> dict[int, Finding]:
    """A ``leak`` for each case that shares its patient with a case of another part.

    Cases go by number: ``parts`` says which part each is in, and lacks those in none; ``names`` and ``patients`` are
    those of all cases; ``pairs`` are look-alikes by the same numbers.
    """
    said: dict[int, list[str]] = {}
    members: dict[Hashable, list[int]] = {}
    for number in sorted(parts):
        members.setdefault(patients[number], []).append(number)
    for cases in members.values():
        for number in cases if len({parts[case] for case in cases}) > 1 else ():
            others = [case for case in cases if parts[case] != parts[number]]
            said.setdefault(number, []).append(f"the same patient as {_named(others, names, parts)}")
    for kind, like in _LOOKS.items():
        for number, others in _paired(pairs, kind, parts, patients).items():
            said.setdefault(number, []).append(f"{like} {_named(others, names, parts)}")
    return {number: Finding("leak", f"in {parts[number]}; {'; '.join(texts)}") for number, texts in said.items()}


def _paired(
    pairs: Sequence[Pair], kind: Kind, parts: Mapping[int, str], patients: Sequence[Hashable]
) -> dict[int, list[int]]:
    """The look-alikes of each case in other parts, without those whose ids say as much."""
    others: dict[int, list[int]] = {}
    for pair in pairs:
        one, other = pair.first, pair.second
        torn = pair.kind == kind and one in parts and other in parts and parts[one] != parts[other]
        if torn and patients[one] != patients[other]:
            others.setdefault(one, []).append(other)
            others.setdefault(other, []).append(one)
    return others


def _named(cases: Sequence[int], names: Sequence[str], parts: Mapping[int, str]) -> str:
    return summarise(f"{names[case]} ({parts[case]})" for case in cases)
