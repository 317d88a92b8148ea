"""BraTS folders: one folder a case, one NIfTI file a modality.

BraTS 2017-2021  ``CASE/CASE_{t1,t1ce,t2,flair,seg}.nii[.gz]``, in 2017-2019 below ``HGG/`` and ``LGG/``
BraTS 2023-2026  ``CASE/CASE-{t1n,t1c,t2w,t2f,seg}.nii.gz`` with CASE = ``BraTS-GLI-00000-000``: patient, time point;
                 BraTS-Africa below ``51_OtherNeoplasms/`` and ``95_Glioma/``
BraTS-MEN-RT     ``BraTS-MEN-RT-0000-1/BraTS-MEN-RT-0000-1_{t1c,gtv}.nii.gz``: whole heads, one binary mask

They may stand in one folder: the label convention is said for each case. GLI, SSA, MEN, MET and GoAT share the numbers
of BraTS 2023, of which 2024 added a resection cavity. PED had them in 2023 too, and its own since 2024, under the same
case names: where the data set's folder tells no year, both are allowed. PED images of 2025 and later are whole heads,
those of 2023 are not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gliamap.case import CaseFiles, CaseIdentity, DataSet
from gliamap.sources.layout import Layout, list_folder, natural_key, summarise
from gliamap.sources.modalities import in_canonical_order

_FILE = re.compile(
    r"(?P<case>.+?)(?P<part>_t1|_t1ce|_t1c|_t2|_flair|_fla|_seg|_gtv|-t1n|-t1c|-t2w|-t2f|-seg)\.nii(\.gz)?",
    re.IGNORECASE | re.DOTALL,
)
_MODALITY = {
    **{"_t1": "t1", "_t1ce": "t1c", "_t2": "t2", "_flair": "flair"},
    **{"-t1n": "t1", "-t1c": "t1c", "-t2w": "t2", "-t2f": "flair"},
    **{"_t1c": "t1c", "_fla": "flair"},  # not BraTS, but near enough to be read; see _conventions
}
_YEARS_2017_2021 = frozenset({"_t1", "_t1ce", "_t2", "_flair", "_seg"})
_SINCE_2023 = frozenset({"-t1n", "-t1c", "-t2w", "-t2f", "-seg"})
_MEN_RT = frozenset({"_t1c", "_gtv"})
_ODD_MASK = re.compile(r".+_Segm\.nii(\.gz)?", re.IGNORECASE)  # case 355 of BraTS 2020: W39_1998.09.19_Segm.nii
_TIME_POINT = re.compile(r"(?P<patient>BraTS-[A-Za-z]+-\d{5})-\d{3}|(?P<patient_rt>BraTS-MEN-RT-\d{4})-\d+")
_GROUP = re.compile(r"HGG|LGG|\d+_(Glioma|OtherNeoplasms)")
_YEAR = re.compile(r"brats[a-z_-]*(20)?(?P<year>2\d)(?!\d)", re.IGNORECASE)


@dataclass
class _Found:
    """The files of one case while its folder is read: name part (``_t1ce``) to file."""

    case_id: str
    parts: dict[str, Path] = field(default_factory=dict)
    odd_mask: Path | None = None


def scan(root: Path) -> DataSet | None:
    """The BraTS cases in ``root`` itself, in its folders, or in the folders of its groups (``HGG``, ``LGG``)."""
    found, notes = _cases_in(root), []
    if not found:
        folders = list_folder(root).folders
        groups = [folder for folder in folders if _GROUP.fullmatch(folder.name)]
        folders = tuple(f for group in groups for f in list_folder(group).folders) if groups else folders
        per_folder = {folder: _cases_in(folder) for folder in folders}
        found = [case for cases in per_folder.values() for case in cases]
        passed = [folder.name for folder, cases in per_folder.items() if not cases]
        if passed:
            notes.append(f"{len(passed)} folders without BraTS files were passed over: {summarise(passed)}")
    year = _year(root)
    cases = sorted((_case_files(case, year) for case in found), key=lambda case: natural_key(case.case_id))
    if not any(case.modalities for case in cases):
        return None
    return DataSet(root, LAYOUT.name, tuple(cases), _foreground(cases, year), notes=tuple(notes))


def patient_of(case_id: str) -> str:
    """The patient of a case that is named as since BraTS 2023, else the case."""
    match = _TIME_POINT.fullmatch(case_id)
    return (match["patient"] or match["patient_rt"]) if match else case_id


def has_time_point(case_id: str) -> bool:
    """Whether the name of the case tells its patient, see :func:`patient_of`."""
    return _TIME_POINT.fullmatch(case_id) is not None


def _year(root: Path) -> int | None:
    """The year of the challenge, from the name of the data set's folder or, for a case folder, of the one above."""
    place = root.resolve()
    named = (_YEAR.search(folder.name) for folder in (place, place.parent))
    return next((2000 + int(match["year"]) for match in named if match), None)


def _foreground(cases: Sequence[CaseFiles], year: int | None) -> Literal["brain", "head"] | None:
    kinds = {_kind(case.case_id) for case in cases}
    if kinds == {"MEN-RT"}:
        return "head"
    return None if "MEN-RT" in kinds or ("PED" in kinds and year != 2023) else "brain"


def _kind(case_id: str) -> str:
    """Which of the challenges since 2023: ``GLI``, ``PED``, ``MEN-RT``; nothing for older names."""
    match = re.match(r"BraTS-(MEN-RT|[A-Za-z]+)-\d", case_id)
    return match[1] if match else ""


def _cases_in(folder: Path) -> list[_Found]:
    cases: dict[str, _Found] = {}
    odd: list[Path] = []
    for path in list_folder(folder).files:
        match = _FILE.fullmatch(path.name)
        if match:
            case = cases.setdefault(match["case"], _Found(match["case"]))
            # Where a file is there packed and unpacked, the unpacked one comes first and is taken.
            case.parts.setdefault(match["part"].lower(), path)
        elif _ODD_MASK.fullmatch(path.name):
            odd.append(path)
    found = list(cases.values())
    if len(found) == 1 and len(odd) == 1:
        found[0].odd_mask = odd[0]
    return found


def _case_files(found: _Found, year: int | None) -> CaseFiles:
    named = {_MODALITY[part]: path for part, path in found.parts.items() if part in _MODALITY}
    masks = [found.parts[part] for part in ("_seg", "-seg", "_gtv") if part in found.parts]
    return CaseFiles(
        CaseIdentity(found.case_id, patient_of(found.case_id)),
        in_canonical_order(named),
        masks[0] if masks else found.odd_mask,
        _conventions(found.case_id, set(found.parts), year),
    )


def _conventions(case_id: str, parts: Set[str], year: int | None) -> tuple[str, ...]:
    """The conventions that the names allow; none where they are not exactly those of a BraTS year."""
    kind = _kind(case_id)
    if kind == "PED":
        return ("brats2023",) if year == 2023 else ("brats-ped",) if (year or 0) > 2023 else ("brats-ped", "brats2023")
    if kind == "MEN-RT" and parts <= _MEN_RT:
        return ("binary",)
    if parts <= _YEARS_2017_2021:
        return ("brats2021",)
    if parts <= _SINCE_2023:
        return ("brats2023", "brats2024")
    return ()


LAYOUT = Layout(
    "brats",
    "BraTS cases (CASE/CASE_t1.nii.gz, _t1ce, _t2, _flair, _seg, or CASE/CASE-t1n.nii.gz, -t1c, -t2w, -t2f, -seg)",
    scan,
)
