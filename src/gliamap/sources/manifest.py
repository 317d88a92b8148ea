"""What a data set ships about splitting: ``manifest.csv`` inside it, ``folds.json`` inside it or beside it.

``manifest.csv``: one row a case, found by the stem of ``file`` or ``image``, else by ``id`` or ``case``. Read are
``patient_group`` or ``patient``, ``fold``, and ``exclude_from_train_when_test_fold`` (``1;2``).

``folds.json``: sections ``{"name": {"patient or case": fold, ...}}``.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gliamap.case import CaseIdentity, DataSet
from gliamap.errors import FileError
from gliamap.io.atomic import read_json
from gliamap.io.nifti import is_nifti, nifti_stem

MANIFEST = "manifest.csv"
FOLDS = "folds.json"

_KEYS = ("file", "image", "id", "case")
_PATIENTS = ("patient_group", "patient")
_EXCLUDE = "exclude_from_train_when_test_fold"


@dataclass(frozen=True)
class _Row:
    patient: str | None
    fold: int | None
    exclude: frozenset[int]


def annotate(data: DataSet) -> DataSet:
    """``data`` with the patients, folds and exclusions that its manifest and fold files give.

    ``FileError`` where one of these files is damaged.
    """
    folder = data.root if data.root.is_dir() else data.root.parent
    rows = _read_manifest(folder / MANIFEST)
    identities = [_with_row(case.identity, rows.get(case.case_id)) for case in data.cases]
    in_rows = [rows[case.case_id].patient is not None for case in data.cases if case.case_id in rows]
    known = data.patients_known or (len(in_rows) == len(data.cases) and all(in_rows))
    section = _find_section(folder, identities, patients_known=known)
    if section:
        identities = [_with_fold(identity, section) for identity in identities]
    cases = tuple(replace(case, identity=own) for case, own in zip(data.cases, identities, strict=True))
    return replace(data, cases=cases, patients_known=known)


def _with_row(identity: CaseIdentity, row: _Row | None) -> CaseIdentity:
    if row is None:
        return identity
    return replace(
        identity,
        patient_id=row.patient or identity.patient_id,
        fold=identity.fold if row.fold is None else row.fold,
        exclude_when_test_fold=row.exclude,
    )


def _with_fold(identity: CaseIdentity, section: Mapping[str, int]) -> CaseIdentity:
    fold = section.get(identity.patient_id, section.get(identity.case_id))
    return identity if fold is None else replace(identity, fold=fold)


def _read_manifest(path: Path) -> dict[str, _Row]:
    """Case id to row; empty where there is no manifest, or none that names cases in a known way."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or ()
            key = next((name for name in _KEYS if name in columns), None)
            rows = {} if key is None else {_stem(row[key]): _row(row, path, reader.line_num) for row in reader}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path} cannot be read", found=str(error), expected="a CSV file in UTF-8") from error
    return rows


def _stem(name: str | None) -> str:
    path = Path(name or "")
    return nifti_stem(path) if is_nifti(path) else path.stem if path.suffix else path.name


def _row(row: Mapping[str, str | None], path: Path, line: int) -> _Row:
    patient = next((row[name] for name in _PATIENTS if row.get(name)), None)
    excluded = (row.get(_EXCLUDE) or "").split(";")
    try:
        fold = int(row["fold"]) if row.get("fold") else None  # type: ignore[arg-type]
        return _Row(patient, fold, frozenset(int(part) for part in excluded if part.strip()))
    except ValueError as error:
        raise FileError(
            f"{path}, line {line} has a fold that is not a number",
            found=str(error),
            expected=f"whole numbers in 'fold' and '{_EXCLUDE}' (separated by ';')",
        ) from error


def _find_section(
    folder: Path, identities: Sequence[CaseIdentity], *, patients_known: bool
) -> Mapping[str, int] | None:
    """The section about these cases, from the folder's own fold file before its parent's.

    It is the one named after the folder, else one that knows all patients or all cases.
    """
    place = folder.resolve()
    for path in (place / FOLDS, place.parent / FOLDS):
        sections = _read_folds(path) if path.is_file() else {}
        named = [s for name, s in sections.items() if name == place.name or name.startswith(f"{place.name} ")]
        fitting = [s for s in sections.values() if _knows_all(s, identities, patients_known=patients_known)]
        if named or fitting:
            return (named + fitting)[0]
    return None


def _knows_all(section: Mapping[str, int], identities: Sequence[CaseIdentity], *, patients_known: bool) -> bool:
    if patients_known and all(identity.patient_id in section for identity in identities):
        return True
    # Files called 1.png, 2.png are everywhere: bare numbers do not show that a section is about this data set.
    return all(identity.case_id in section and not identity.case_id.isdecimal() for identity in identities)


def _read_folds(path: Path) -> dict[str, dict[str, int]]:
    content = read_json(path)
    sections = content if isinstance(content, dict) else {"": content}
    for name, section in sections.items():
        if not isinstance(section, dict) or not all(type(fold) is int for fold in section.values()):
            raise FileError(f"{path} has a section '{name}' that is not a table of folds", expected='{"name": fold}')
    return sections
