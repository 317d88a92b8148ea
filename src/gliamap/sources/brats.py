"""BraTS folders: one folder a case, one NIfTI file a modality.

BraTS 2017-2021  ``CASE/CASE_{t1,t1ce,t2,flair,seg}.nii[.gz]``, in 2017-2019 below ``HGG/`` and ``LGG/``
BraTS 2023-2024  ``CASE/CASE-{t1n,t1c,t2w,t2f,seg}.nii.gz`` with CASE = ``BraTS-GLI-00000-000``: patient, time point

Both may stand in one folder: the label convention is said for each case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from gliamap.case import CaseFiles, CaseIdentity, DataSet
from gliamap.sources.layout import Layout, list_folder, natural_key, summarise
from gliamap.sources.modalities import MODALITIES

_FILE = re.compile(
    r"(?P<case>.+?)(?P<part>_t1|_t1ce|_t1c|_t2|_flair|_fla|_seg|-t1n|-t1c|-t2w|-t2f|-seg)\.nii(\.gz)?", re.IGNORECASE
)
_MODALITY = {
    **{"_t1": "t1", "_t1ce": "t1c", "_t2": "t2", "_flair": "flair"},
    **{"-t1n": "t1", "-t1c": "t1c", "-t2w": "t2", "-t2f": "flair"},
    **{"_t1c": "t1c", "_fla": "flair"},  # not BraTS, but near enough to be read; see _conventions
}
_YEARS_2017_2021 = frozenset({"_t1", "_t1ce", "_t2", "_flair", "_seg"})
_YEARS_2023_2024 = frozenset({"-t1n", "-t1c", "-t2w", "-t2f", "-seg"})
_ODD_MASK = re.compile(r".+_Segm\.nii(\.gz)?", re.IGNORECASE)  # case 355 of BraTS 2020: W39_1998.09.19_Segm.nii
_TIME_POINT = re.compile(r"(?P<patient>BraTS-[A-Za-z]+-\d{5})-\d{3}")
_GRADES = ("HGG", "LGG")


@dataclass
class _Found:
    """The files of one case while its folder is read: name part (``_t1ce``) to file."""

    case_id: str
    parts: dict[str, Path] = field(default_factory=dict)
    odd_mask: Path | None = None


def scan(root: Path) -> DataSet | None:
    """The BraTS cases in ``root`` itself, in its folders, or in the folders of its ``HGG`` and ``LGG``."""
    found, notes = _cases_in(root), []
    if not found:
        folders = list_folder(root).folders
        graded = [folder for folder in folders if folder.name in _GRADES]
        folders = tuple(f for grade in graded for f in list_folder(grade).folders) if graded else folders
        per_folder = {folder: _cases_in(folder) for folder in folders}
        found = [case for cases in per_folder.values() for case in cases]
        passed = [folder.name for folder, cases in per_folder.items() if not cases]
        if passed:
            notes.append(f"{len(passed)} folders without BraTS files were passed over: {summarise(passed)}")
    cases = sorted((_case_files(case) for case in found), key=lambda case: natural_key(case.case_id))
    if not any(case.modalities for case in cases):
        return None
    return DataSet(root, LAYOUT.name, tuple(cases), "brain", notes=tuple(notes))


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


def _case_files(found: _Found) -> CaseFiles:
    named = {_MODALITY[part]: path for part, path in found.parts.items() if part in _MODALITY}
    match = _TIME_POINT.fullmatch(found.case_id)
    return CaseFiles(
        CaseIdentity(found.case_id, match["patient"] if match else found.case_id),
        {name: named[name] for name in MODALITIES if name in named},
        found.parts.get("_seg") or found.parts.get("-seg") or found.odd_mask,
        _conventions(found.case_id, found.parts),
    )


def _conventions(case_id: str, parts: Iterable[str]) -> tuple[str, ...]:
    """The conventions that the names allow; none where they are not exactly those of a BraTS year."""
    if case_id.startswith("BraTS-PED"):
        return ("brats-ped",)
    if set(parts) <= _YEARS_2017_2021:
        return ("brats2021",)
    if set(parts) <= _YEARS_2023_2024:
        return ("brats2023", "brats2024")
    return ()


LAYOUT = Layout(
    "brats",
    "BraTS cases (CASE/CASE_t1.nii.gz, _t1ce, _t2, _flair, _seg, or CASE/CASE-t1n.nii.gz, -t1c, -t2w, -t2f, -seg)",
    scan,
)
