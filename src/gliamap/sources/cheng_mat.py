"""Slices in MATLAB files, as figshare 1512427 (Cheng) publishes them: whole heads after contrast, with binary masks.

``brainTumorDataPublic_1-766/1.mat``   image, mask, patient and kind of tumour of slice 1; or all slices in one folder
``cvind.mat``                          the authors' five folds, beside those folders or beside the slices

A case is a slice, named by its number. Who the patient is stands in the files alone, so each of them is opened, though
not its image: a few seconds for all 3064. Folds keep the numbers of the authors, 1 to 5, so that results compare.

Where ``cvind.mat`` puts slices of one patient into several folds, a note says so. The folds are used all the same: a
split leaves out what else it knows of a test patient, so that no patient stands on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gliamap.case import CaseFiles, CaseIdentity, DataSet
from gliamap.errors import FileError
from gliamap.io.archive import is_file
from gliamap.io.matlab import read_folds, read_patient
from gliamap.sources.layout import Layout, list_folder, natural_key, summarise

MODALITY = "t1c"
FOLDS = "cvind.mat"

_SLICE = re.compile(r"\d+\.mat", re.IGNORECASE)


def scan(root: Path) -> DataSet | None:
    """The slices in ``root`` itself and in its folders.

    Patients are known where every file names one. ``FileError`` where ``cvind.mat`` is damaged.
    """
    listing = list_folder(root)
    files = [path for folder in (root, *listing.folders) for path in list_folder(folder).files]
    slices = sorted((path for path in files if _SLICE.fullmatch(path.name)), key=lambda path: natural_key(path.stem))
    if not slices:
        return None
    patients = {path: _patient(path) for path in slices}
    bare = [path.stem for path, patient in patients.items() if patient is None]
    cases = tuple(_case(path, patient) for path, patient in patients.items())
    notes = [f"{len(bare)} files do not tell their patient: {summarise(bare)}"] if bare else []
    folds = next((path for path in (root / FOLDS, root.parent / FOLDS) if is_file(path)), None)
    if folds is not None:
        cases, about_folds = _with_folds(cases, read_folds(folds))
        notes += about_folds
    return DataSet(root, LAYOUT.name, cases, "head", patients_known=not bare, notes=tuple(notes))


def _patient(path: Path) -> str | None:
    try:
        return read_patient(path)
    except FileError:  # told by whoever reads the case; the others can still be listed
        return None


def _case(path: Path, patient: str | None) -> CaseFiles:
    return CaseFiles(CaseIdentity(path.stem, patient or path.stem), {MODALITY: path}, path, ("binary",))


def _with_folds(cases: Sequence[CaseFiles], folds: Sequence[int]) -> tuple[tuple[CaseFiles, ...], list[str]]:
    """The cases with their folds, that of slice N at place N - 1, and what is to be said of the folds."""
    fold_of = {str(number): fold for number, fold in enumerate(folds, start=1)}
    placed = tuple(
        replace(case, identity=replace(case.identity, fold=fold_of.get(case.case_id.lstrip("0")))) for case in cases
    )
    without = [case.case_id for case in placed if case.identity.fold is None]
    notes = [f"{FOLDS} has no fold for {len(without)} slices: {summarise(without)}"] if without else []
    divided = _divided(placed)
    if divided:
        shown = summarise(
            f"{name} ({', '.join(map(str, sorted(of_one)))})"
            for name, of_one in sorted(divided.items(), key=lambda item: natural_key(item[0]))
        )
        notes.append(
            f"{FOLDS} puts {len(divided)} patients into several folds: {shown}; "
            "their slices outside a test fold are left out of training"
        )
    return placed, notes


def _divided(cases: Sequence[CaseFiles]) -> Mapping[str, set[int]]:
    """The patients that have slices in more than one fold, and which folds."""
    folds: dict[str, set[int]] = {}
    for identity in (case.identity for case in cases):
        if identity.fold is not None:
            folds.setdefault(identity.patient_id, set()).add(identity.fold)
    return {patient: of_one for patient, of_one in folds.items() if len(of_one) > 1}


LAYOUT = Layout("cheng-mat", "slices of figshare 1512427 (1.mat, 2.mat, with cvind.mat beside)", scan)
