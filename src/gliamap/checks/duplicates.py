"""The same image, mask or patient under two names, within a data set and across. Knows no files.

Equal hashes are found by tables, alike looks by products of blocks of a matrix: ten thousand cases take well under a
minute a modality.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from gliamap.checks.findings import Finding
from gliamap.checks.fingerprint import Fingerprint, look_values
from gliamap.sources.layout import summarise

DUPLICATE_FROM = 0.97
"""From this correlation of looks on, one and the same scan. Re-saved scans reach 0.99, neighbouring slices 0.90."""

PATIENT_FROM = 0.7
"""From this on, the same patient. Different patients reach 0.65 in slices, and in 3D (mean of modalities) 0.50."""

PATIENTS_OF_AN_OUTLINE = 8
"""Where more patients than this have the same brain outline, it is a template's and tells nothing."""

REPEATED = "repeated"
"""The rule for a duplicate within one patient."""

_MOST_ALIKE = 50  # pairs kept of one case, or of one hash: a set of nothing but copies must not fill the memory
_BLOCK = 512


@dataclass(frozen=True)
class Entry:
    """One case of the comparison: of which data set, whose, and its fingerprint."""

    data_set: str
    case_id: str
    patient_id: str
    fingerprint: Fingerprint
    patients_known: bool = True

    @property
    def patient(self) -> tuple[str, str]:
        """The patient as far as ids tell: the same id in another data set is another patient."""
        return (self.data_set, self.patient_id)


class Kind(StrEnum):
    """Why two cases are paired, the strongest first; also codes of ``findings.RULES``."""

    DUPLICATE = "duplicate"
    SAME_MASK = "same-mask"
    SAME_PATIENT = "same-patient"


@dataclass(frozen=True)
class Pair:
    """Two entries by number, ``first`` below ``second``, and what they share, in words."""

    kind: Kind
    first: int
    second: int
    found: str


def find_duplicates(entries: Sequence[Entry]) -> list[Pair]:
    """Every pair, within and across data sets, with its strongest kind only.

    Cases of one patient, by their ids, are not paired as same-patient, but as duplicate and same-mask they are. Of
    many copies of one image each is paired with some others, not with all.
    """
    pairs: dict[tuple[int, int], Pair] = {}
    same_voxels: dict[tuple[int, int], list[str]] = defaultdict(list)
    for one, other, name in _equal_images(entries):
        same_voxels[one, other].append(name)
    for (one, other), names in same_voxels.items():
        pairs[one, other] = Pair(Kind.DUPLICATE, one, other, f"the same voxels in {', '.join(sorted(set(names)))}")
    alike = _alike_images(entries)
    for (one, other), (likeness, name) in alike.items():
        if likeness >= DUPLICATE_FROM:
            found = f"{name} alike but for the scale of its values ({likeness:.3f})"
            pairs.setdefault((one, other), Pair(Kind.DUPLICATE, one, other, found))
    for one, other in _equal([entry.fingerprint.mask for entry in entries]):
        pairs.setdefault((one, other), Pair(Kind.SAME_MASK, one, other, "the same mask"))
    for (one, other), found in _same_patients(entries, alike).items():
        pairs.setdefault((one, other), Pair(Kind.SAME_PATIENT, one, other, found))
    return [pairs[numbers] for numbers in sorted(pairs)]


def _same_patients(
    entries: Sequence[Entry], alike: Mapping[tuple[int, int], tuple[float, str]]
) -> dict[tuple[int, int], str]:
    outlines = [entry.fingerprint.outline for entry in entries]
    wearers: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for entry, outline in zip(entries, outlines, strict=True):
        if outline is not None:
            wearers[outline].add(entry.patient)
    telling = [one if one and len(wearers[one]) <= PATIENTS_OF_AN_OUTLINE else None for one in outlines]
    found = dict.fromkeys(_equal(telling), "the same brain outline")
    found |= {numbers: f"alike ({likeness:.2f})" for numbers, (likeness, _) in alike.items()}
    return {
        (one, other): text for (one, other), text in found.items() if entries[one].patient != entries[other].patient
    }


def _equal_images(entries: Sequence[Entry]) -> Iterator[tuple[int, int, str]]:
    """Pairs of entries that hold the same voxels, whatever they call them, and what the first calls them."""
    holders: dict[str, dict[int, str]] = defaultdict(dict)
    for number, entry in enumerate(entries):
        for name, digest in entry.fingerprint.hashes.items():
            holders[digest].setdefault(number, name)
    for names in holders.values():
        for one, other in _pairs(list(names)):
            yield one, other, names[one]


def _equal(keys: Sequence[str | None]) -> list[tuple[int, int]]:
    members: dict[str, list[int]] = defaultdict(list)
    for number, key in enumerate(keys):
        if key is not None:
            members[key].append(number)
    return [pair for numbers in members.values() for pair in _pairs(numbers)]


def _pairs(numbers: Sequence[int]) -> Iterable[tuple[int, int]]:
    """All pairs of ascending numbers; of very many, each with the next."""
    return combinations(numbers, 2) if len(numbers) <= _MOST_ALIKE else pairwise(numbers)


def _alike_images(entries: Sequence[Entry]) -> dict[tuple[int, int], tuple[float, str]]:
    """Pairs that look alike, how much (the mean over the modalities that both have), and the modality most alike.

    A single modality that is a duplicate counts by itself.
    """
    shelves: dict[tuple[str, int], list[int]] = defaultdict(list)
    for number, entry in enumerate(entries):
        for name, look in entry.fingerprint.looks.items():
            shelves[name, len(look)].append(number)
    most: dict[tuple[int, int], tuple[float, str]] = {}
    for (name, _), numbers in shelves.items():
        looks = np.stack([look_values(entries[number].fingerprint.looks[name]) for number in numbers])
        for i, j, likeness in _products(looks):
            pair = (numbers[i], numbers[j])
            most[pair] = max(most.get(pair, (0.0, "")), (likeness, name))
    judged = {pair: (_likeness(entries, *pair, likeness), name) for pair, (likeness, name) in most.items()}
    return {pair: found for pair, found in judged.items() if found[0] >= PATIENT_FROM}


def _likeness(entries: Sequence[Entry], one: int, other: int, most: float) -> float:
    if most >= DUPLICATE_FROM:
        return most
    a, b = entries[one].fingerprint.looks, entries[other].fingerprint.looks
    shared = [name for name in a if name in b and len(a[name]) == len(b[name])]
    return float(np.mean([look_values(a[name]) @ look_values(b[name]) for name in shared]))


def _products(looks: NDArray[np.float32]) -> Iterator[tuple[int, int, float]]:
    """Pairs of rows, the first below the second, whose product reaches ``PATIENT_FROM``."""
    for start in range(0, len(looks), _BLOCK):
        rows = looks[start : start + _BLOCK]
        for offset, row in enumerate(rows @ looks[start:].T):
            hits = offset + 1 + np.flatnonzero(row[offset + 1 :] >= PATIENT_FROM)
            if len(hits) > _MOST_ALIKE:
                hits = hits[np.argsort(-row[hits], kind="stable")[:_MOST_ALIKE]]
            for hit in hits:
                yield start + offset, start + int(hit), float(row[hit])


def across_cases(entries: Sequence[Entry], pairs: Sequence[Pair]) -> tuple[dict[int, list[Finding]], tuple[str, ...]]:
    """What a user reads: findings by the number of the entry, and notes.

    A duplicate and a same mask are said of every case; duplicates of one patient, who cannot leak, are called repeated.
    That two patients look like one is said once for each of them, of its first case; look-alikes within a set whose
    patients are not known are summed up in a note.
    """
    findings: dict[int, list[Finding]] = defaultdict(list)
    copies = [pair for pair in pairs if pair.kind == Kind.DUPLICATE]
    repeated = {pair for pair in copies if entries[pair.first].patient == entries[pair.second].patient}
    for code, like, of_kind in (
        (Kind.DUPLICATE.value, "the same image as", [pair for pair in copies if pair not in repeated]),
        (REPEATED, "the same image as", [pair for pair in copies if pair in repeated]),
        (Kind.SAME_MASK.value, "the same mask as", [pair for pair in pairs if pair.kind == Kind.SAME_MASK]),
    ):
        for number, others in _partners(of_kind).items():
            names = [_called(entries[other], entries[number]) for other in others]
            findings[number].append(Finding(code, f"{like} {summarise(names)} ({others[min(others)]})"))
    patients = [pair for pair in pairs if pair.kind == Kind.SAME_PATIENT]
    unknown = [pair for pair in patients if _is_unknown(entries[pair.first], entries[pair.second])]
    for number, found in _patient_findings(entries, [pair for pair in patients if pair not in set(unknown)]):
        findings[number].append(found)
    return dict(findings), tuple(_unknown_notes(entries, unknown))


def _is_unknown(one: Entry, other: Entry) -> bool:
    return one.data_set == other.data_set and not one.patients_known


def _partners(pairs: Iterable[Pair]) -> dict[int, dict[int, str]]:
    found: dict[int, dict[int, str]] = defaultdict(dict)
    for pair in pairs:
        found[pair.first][pair.second] = pair.found
        found[pair.second][pair.first] = pair.found
    return found


def _called(entry: Entry, beside: Entry) -> str:
    return entry.case_id if entry.data_set == beside.data_set else f"{entry.data_set}: {entry.case_id}"


def _patient_findings(entries: Sequence[Entry], pairs: Sequence[Pair]) -> Iterator[tuple[int, Finding]]:
    """One for each patient who looks like others: of the first case, naming a case of each other."""
    partners: dict[tuple[str, str], dict[tuple[str, str], int]] = defaultdict(dict)
    first: dict[tuple[str, str], int] = {}
    for pair in pairs:
        for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
            partners[entries[one].patient].setdefault(entries[other].patient, other)
            first[entries[one].patient] = min(one, first.get(entries[one].patient, one))
    for patient, others in partners.items():
        names = [_called(entries[other], entries[first[patient]]) for other in others.values()]
        yield first[patient], Finding(Kind.SAME_PATIENT.value, f"looks like the patient of {summarise(names)}")


def _unknown_notes(entries: Sequence[Entry], pairs: Sequence[Pair]) -> Iterator[str]:
    by_set: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_set[entries[pair.first].data_set].append(pair)
    for name, alike in by_set.items():
        groups = _groups(alike)
        total = sum(entry.data_set == name for entry in entries)
        largest = max(groups, key=len)
        yield (
            f"{name}: {sum(map(len, groups))} of {total} cases look like slices of the same patient as another, in "
            f"{len(groups)} groups of up to {len(largest)} (such as "
            f"{summarise(entries[number].case_id for number in largest)}). Patients are not known there: a split by "
            "runs of neighbours keeps most of them together, not all"
        )


def _groups(pairs: Iterable[Pair]) -> list[list[int]]:
    """The numbers that pairs hold together, ascending."""
    leader: dict[int, int] = {}

    def find(number: int) -> int:
        while leader.setdefault(number, number) != number:
            leader[number] = leader[leader[number]]
            number = leader[number]
        return number

    for pair in pairs:
        one, other = sorted((find(pair.first), find(pair.second)))
        leader[other] = one
    members: dict[int, list[int]] = defaultdict(list)
    for number in sorted(leader):
        members[find(number)].append(number)
    return list(members.values())
