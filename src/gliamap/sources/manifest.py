"""What a data set ships about splitting: ``manifest.csv`` inside it, ``folds.json`` inside it or beside it.

``manifest.csv``: one row a case, found by the first of the columns ``file``, ``image``, ``case_id``, ``id`` and
``case`` that names a case; files also by their stem. Read are ``patient_group``, ``patient`` or ``patient_id``,
``fold``, ``exclude_from_train_when_test_fold`` (``1;2``), and ``same_patient_as_3d_case``, the names that the patient
has in other data sets (likewise). Several rows about one case, such as one a file, must agree.

``folds.json``: sections ``{"name": {"patient or case": fold, ...}}``.

A case folder or an image that is named alone is looked up in what its data set, the folder around it, ships.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from gliamap.case import CaseIdentity, DataSet
from gliamap.errors import FileError
from gliamap.io.archive import is_file, is_folder, open_binary
from gliamap.io.atomic import read_json, write_text
from gliamap.io.nifti_header import is_nifti, nifti_stem
from gliamap.sources.layout import summarise

MANIFEST = "manifest.csv"
FOLDS = "folds.json"

_FILE_KEYS = ("file", "image")
_KEYS = (*_FILE_KEYS, "case_id", "id", "case")
_PATIENTS = ("patient_group", "patient", "patient_id")
_FOLD = "fold"
_EXCLUDE = "exclude_from_train_when_test_fold"
_ALIASES = "same_patient_as_3d_case"
_READ = (*_KEYS, *_PATIENTS, _FOLD, _EXCLUDE, _ALIASES)

_Table = list[tuple[Mapping[str, str], "_Row"]]


@dataclass(frozen=True)
class _Row:
    """What a line says; rows are equal where they say the same."""

    patient: str | None
    fold: int | None
    exclude: frozenset[int]
    aliases: frozenset[str]
    line: int = field(compare=False)


@dataclass(frozen=True)
class _Manifest:
    """Case id to row, whether there is a column of patients, and remarks on what does not fit the cases."""

    rows: Mapping[str, _Row]
    has_patients: bool = False
    notes: tuple[str, ...] = ()


def annotate(data: DataSet) -> DataSet:
    """``data`` with the patients, folds and exclusions that its manifest and fold files give.

    A manifest with a column of patients makes them known where it names every case's, else not known. Its rows and
    the cases that do not fit each other are noted. ``FileError`` where one of these files is damaged, or the manifest's
    rows disagree about a case.
    """
    folder = _folder_of_set(data)
    manifest = _read_manifest(folder / MANIFEST, data)
    rows, notes = manifest.rows, manifest.notes
    identities = [_with_row(case.identity, rows.get(case.case_id)) for case in data.cases]
    known = data.patients_known
    if manifest.has_patients:
        unknown = [c.case_id for c in data.cases if c.case_id not in rows or rows[c.case_id].patient is None]
        known = not unknown
        if unknown:
            notes += (f"{MANIFEST} names no patient for {len(unknown)} cases: {summarise(unknown)}",)
    section = _find_section(folder, identities, patients_known=known)
    if section:
        identities = [_with_fold(identity, section) for identity in identities]
    cases = tuple(replace(case, identity=own) for case, own in zip(data.cases, identities, strict=True))
    return replace(data, cases=cases, patients_known=known, notes=(*data.notes, *notes))


def _folder_of_set(data: DataSet) -> Path:
    """The folder whose files tell of the cases: the one around it for an image or a case folder on its own."""
    if not is_folder(data.root):
        return data.root.parent
    root = data.root.resolve()
    alone = [case.case_id for case in data.cases] == [root.name]
    return root.parent if alone and not any(is_file(root / name) for name in (MANIFEST, FOLDS)) else data.root


def _with_row(identity: CaseIdentity, row: _Row | None) -> CaseIdentity:
    if row is None:
        return identity
    return replace(
        identity,
        patient_id=row.patient or identity.patient_id,
        fold=identity.fold if row.fold is None else row.fold,
        exclude_when_test_fold=row.exclude,
        aliases=row.aliases,
    )


def _with_fold(identity: CaseIdentity, section: Mapping[str, int]) -> CaseIdentity:
    fold = section.get(identity.patient_id, section.get(identity.case_id))
    return identity if fold is None else replace(identity, fold=fold)


def _read_manifest(path: Path, data: DataSet) -> _Manifest:
    if not is_file(path):
        return _Manifest({})
    try:
        with open_binary(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = tuple(reader.fieldnames or ())
            keys = [name for name in _KEYS if name in columns]
            patients = next((name for name in _PATIENTS if name in columns), None)
            for wanted in (_KEYS, (*_PATIENTS, _FOLD, _EXCLUDE, _ALIASES)):
                if not set(wanted) & set(columns):
                    return _Manifest({}, notes=(f"{MANIFEST} was passed over: no column {', '.join(wanted)}",))
            table = [_row(row, path, reader.line_num, patients) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path} cannot be read", found=str(error), expected="a CSV file in UTF-8") from error
    rows, lone = _match(table, keys, {case.case_id for case in data.cases}, path)
    notes = []
    if lone and data.root == path.parent:  # a single image or case is one of many on purpose
        notes.append(f"{len(lone)} rows of {MANIFEST} match no case: {summarise(lone)}")
    bare = [case.case_id for case in data.cases if case.case_id not in rows]
    if bare and patients is None:  # with patients, the note on them says it
        notes.append(f"{len(bare)} cases have no row in {MANIFEST}: {summarise(bare)}")
    return _Manifest(rows, patients is not None, tuple(notes))


def _match(table: _Table, keys: Sequence[str], case_ids: Set[str], path: Path) -> tuple[dict[str, _Row], list[str]]:
    """Case id to row by the first column that names any case, and the names in the rows that match none."""
    for key in keys:
        names = [_case_of(row[key], case_ids, is_file=key in _FILE_KEYS) for row, _ in table]
        if any(names):
            rows: dict[str, _Row] = {}
            for name, (_, content) in zip(names, table, strict=True):
                if name:
                    _check_agree(name, rows.setdefault(name, content), content, path)
            return rows, [row[key] for name, (row, _) in zip(names, table, strict=True) if not name]
    return {}, [row[keys[0]] for row, _ in table]


def _check_agree(case_id: str, first: _Row, other: _Row, path: Path) -> None:
    if first != other:
        raise FileError(
            f"{path} says two things of the case {case_id}",
            found=f"patient {first.patient}, fold {first.fold} in line {first.line}, "
            f"patient {other.patient}, fold {other.fold} in line {other.line}",
            expected="rows about one case that agree",
            remedy="correct the wrong row",
        )


def _case_of(value: str, case_ids: Set[str], *, is_file: bool) -> str | None:
    """The case that ``value`` names. The stem comes last, because case ids may have dots: ``W39_1998.09.19``."""
    path = Path(value)
    candidates = (value, path.name, nifti_stem(path) if is_nifti(path) else path.stem) if is_file else (value,)
    return next((name for name in candidates if name in case_ids), None)


def _row(row: Mapping[str, str | None], path: Path, line: int, patients: str | None) -> tuple[Mapping[str, str], _Row]:
    """The named cells, blank where the line is short, and what they say."""
    cells = {name: (row[name] or "").strip() for name in _READ if name in row}
    patient = (cells[patients] if patients else "") or None
    try:
        fold = int(cells[_FOLD]) if cells.get(_FOLD) else None
        exclude = frozenset(int(part) for part in cells.get(_EXCLUDE, "").split(";") if part.strip())
    except ValueError as error:
        raise FileError(
            f"{path}, line {line} has a fold that is not a number",
            found=str(error),
            expected=f"whole numbers in '{_FOLD}' and '{_EXCLUDE}' (separated by ';')",
        ) from error
    aliases = frozenset(name.strip() for name in cells.get(_ALIASES, "").split(";") if name.strip())
    return cells, _Row(patient, fold, exclude, aliases, line)


def _find_section(
    folder: Path, identities: Sequence[CaseIdentity], *, patients_known: bool
) -> Mapping[str, int] | None:
    """The section about these cases, from the folder's own fold file before its parent's.

    It is the one named after the folder, else one that knows all patients or all cases.
    """
    place = folder.resolve()
    for path in (place / FOLDS, place.parent / FOLDS):
        sections = _read_folds(path) if is_file(path) else {}
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


def write_manifest(folder: Path, identities: Sequence[CaseIdentity], *, patients_known: bool) -> None:
    """Write ``manifest.csv`` into ``folder``: case and patient; folds, exclusions and aliases where there are any.

    A patient who is not known, and so is named after the case, is left blank; read back, patients are then not known.
    """
    folds = any(identity.fold is not None for identity in identities)
    excluded = any(identity.exclude_when_test_fold for identity in identities)
    named = any(identity.aliases for identity in identities)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["case", "patient"] + [_FOLD] * folds + [_EXCLUDE] * excluded + [_ALIASES] * named)
    for identity in identities:
        unknown = not patients_known and identity.patient_id == identity.case_id
        row = [identity.case_id, "" if unknown else identity.patient_id]
        row += ["" if identity.fold is None else str(identity.fold)] * folds
        row += [";".join(map(str, sorted(identity.exclude_when_test_fold)))] * excluded
        row += [";".join(sorted(identity.aliases))] * named
        table.writerow(row)
    write_text(folder / MANIFEST, text.getvalue())
