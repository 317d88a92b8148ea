"""Any folder, by a pattern of file names: ``{case}_{modality}.nii.gz``.

``{case}``       the name of the case; must be there
``{modality}``   what the file shows, or that it is the mask; without it every file is the one image of its case
``{patient}``    whose case it is; without it the case, less its ``{timepoint}``
``{timepoint}``  the visit
``{any}``        anything, also nothing

The pattern is relative to the folder; ``/`` divides it into folders and a file. A placeholder stands for text without
``/``; where it occurs again (``{case}/{case}_{modality}``) the text must be the same. A pattern without a file suffix
stands for every kind of image. Modalities go by their usual names (``t1post``, ``T1Gd``); others are kept in lower
case. Whether heads are whole and what labels mean is not said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from gliamap.case import CaseFiles, CaseIdentity, DataSet
from gliamap.errors import ConfigError, LayoutError
from gliamap.io.archive import is_folder
from gliamap.sources.brats import has_time_point, patient_of
from gliamap.sources.layout import SUFFIXES, list_folder, natural_key, summarise
from gliamap.sources.modalities import canonical_modality, in_canonical_order, is_mask_name, modality_name

LAYOUT = "pattern"
PLACEHOLDERS = ("case", "modality", "patient", "timepoint", "any")

ONLY = "image"
"""The modality of files whose pattern names none."""

_EXAMPLES = {"case": "CASE", "modality": "t1", "patient": "PATIENT", "timepoint": "1", "any": "x"}
_MASK = ""  # stands for the mask where a modality might stand
_LONGEST_NAME = 24  # of a modality, as written
_SHOWN = 5


class _Key(NamedTuple):
    """What tells one case from another; patient and visit are empty where the pattern has none."""

    patient: str
    case: str
    timepoint: str


def scan_pattern(root: Path, pattern: str) -> DataSet:
    """The cases in ``root`` whose files are named by ``pattern``.

    ``ConfigError`` where the pattern names no case, leaves ``root`` or has an unknown placeholder; ``LayoutError``
    where it fits no image, or two files of one case and modality.
    """
    names = _Names(_checked(pattern))
    if not is_folder(root):
        raise LayoutError(f"{root} is not a folder", expected="a folder of the files that the pattern names")
    found: dict[_Key, dict[str, Path]] = {}
    passed: list[str] = []
    for path in _walk(root, names.folders):
        name = path.relative_to(root).as_posix()
        texts = names.read(name)
        if texts is not None:
            key = _Key(texts.get("patient", ""), texts["case"], texts.get("timepoint", ""))
            _add(found.setdefault(key, {}), _modality(texts), path, key.case)
        elif name.lower().endswith(SUFFIXES):
            passed.append(name)
    complete = {key: files for key, files in found.items() if files.keys() - {_MASK}}
    if not complete:
        raise _nothing(root, pattern, names, only_masks=bool(found))
    cases = tuple(sorted(_cases(complete), key=lambda case: natural_key(case.case_id)))
    known = names.tell_patients or all(has_time_point(case.case_id) for case in cases)
    lone = [key.case for key in found if key not in complete]
    return DataSet(root, LAYOUT, cases, None, patients_known=known, notes=_notes(cases, lone, passed))


def _checked(pattern: str) -> list[str]:
    """The pattern's folders and its file name; ``ConfigError`` where it cannot be used."""
    used = re.findall(r"\{([^{}]*)\}", pattern)
    unknown = [name for name in used if name not in PLACEHOLDERS]
    braces = re.sub(r"\{[^{}]*\}", "", pattern)
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    faults = (
        (f"has the unknown placeholder {{{''.join(unknown[:1])}}}", bool(unknown)),
        ("has a brace too many", "{" in braces or "}" in braces),
        ("does not say where the name of the case stands", "case" not in used),
        ("leaves the folder", pattern.startswith("/") or ".." in parts),
        ("names a folder, not files", pattern.endswith("/")),
    )
    fault = next((text for text, holds in faults if holds), None)
    if fault:
        raise ConfigError(
            f"the pattern '{pattern}' {fault}",
            expected="a file name below the folder, with " + ", ".join(f"{{{name}}}" for name in PLACEHOLDERS),
            remedy="write it like {case}/{case}_{modality}.nii.gz",
        )
    return parts


class _Names:
    """A pattern made ready to read names: which texts the placeholders stand for in each."""

    def __init__(self, parts: Sequence[str]) -> None:
        suffix = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if parts[-1].lower().endswith(s)), "")
        self._parts = [*parts[:-1], parts[-1][: len(parts[-1]) - len(suffix)]]
        self._suffixes = (suffix,) if suffix else SUFFIXES
        self.folders = [re.compile(_regex(part, set()), re.DOTALL) for part in parts[:-1]]
        self.example = "/".join(self._parts).format(**_EXAMPLES) + (suffix or ".nii.gz")
        self.tell_patients = any(f"{{{name}}}" in "/".join(parts) for name in ("patient", "timepoint"))

    def read(self, name: str) -> Mapping[str, str] | None:
        """The texts in ``name``, a path below the folder; ``None`` where it does not fit.

        Where the text divides into case and modality in several ways, the longest known name of a modality is taken
        (``A_t1_ce``: t1_ce), else the shortest text (``A_b_adc``: adc).
        """
        texts = self._shortest.fullmatch(name)
        if texts is None or "modality" not in texts.groupdict():
            return texts and texts.groupdict()
        for expression in self._by_length:
            known = expression.fullmatch(name)
            if known and _is_known(known["modality"]):
                return known.groupdict()
        return texts.groupdict()

    @cached_property
    def _shortest(self) -> re.Pattern[str]:
        return self._compiled("[^/]+?")

    @cached_property
    def _by_length(self) -> list[re.Pattern[str]]:
        return [self._compiled(f"[^/]{{{length}}}") for length in range(_LONGEST_NAME, 0, -1)]

    def _compiled(self, modality: str) -> re.Pattern[str]:
        seen: set[str] = set()
        whole = "/".join(_regex(part, seen, modality) for part in self._parts)
        ending = "|".join(re.escape(suffix) for suffix in self._suffixes)
        return re.compile(f"{whole}(?i:{ending})", re.DOTALL)


def _regex(part: str, seen: set[str], modality: str = "[^/]+") -> str:
    """One folder or file name as a regular expression; placeholders in ``seen`` must stand for the same text again."""
    out = []
    for text in re.split(r"(\{[^{}]*\})", part):
        name = text[1:-1] if text.startswith("{") else None
        if name is None:
            out.append(re.escape(text))
        elif name == "any":
            out.append("[^/]*")
        elif name in seen:
            out.append(f"(?P={name})")
        else:
            seen.add(name)
            out.append(f"(?P<{name}>{modality if name == 'modality' else '[^/]+'})")
    return "".join(out)


def _walk(folder: Path, folders: Sequence[re.Pattern[str]]) -> Iterator[Path]:
    """The files as deep as the pattern, below folders whose names fit it."""
    listing = list_folder(folder)
    if not folders:
        yield from listing.files
        return
    for inner in listing.folders:
        if folders[0].fullmatch(inner.name):
            yield from _walk(inner, folders[1:])


def _is_known(text: str) -> bool:
    """Whether a text, from its first letter to its last, names a modality or a mask."""
    return text[0].isalnum() and text[-1].isalnum() and bool(canonical_modality(text) or is_mask_name(text))


def _modality(texts: Mapping[str, str]) -> str:
    if "modality" not in texts:
        return ONLY
    return _MASK if is_mask_name(texts["modality"]) else modality_name(texts["modality"])


def _add(files: dict[str, Path], modality: str, path: Path, case: str) -> None:
    """Add a file to its case. Where it is there packed and unpacked, the unpacked one comes first and is kept."""
    first = files.setdefault(modality, path)
    if first != path and _stem(first) != _stem(path):
        raise LayoutError(
            f"the pattern fits two files for {modality or 'the mask'} of the case {case}",
            found=f"{first} and {path}",
            expected="one file of each kind",
            remedy="write a narrower pattern, or move one of them away",
        )


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", str(path), flags=re.IGNORECASE)


def _cases(found: Mapping[_Key, Mapping[str, Path]]) -> Iterator[CaseFiles]:
    ids, patients = _identities(list(found))
    for key, files in found.items():
        images = in_canonical_order({name: path for name, path in files.items() if name != _MASK})
        yield CaseFiles(CaseIdentity(ids[key], patients[key]), images, files.get(_MASK))


def _identities(keys: Sequence[_Key]) -> tuple[dict[_Key, str], dict[_Key, str]]:
    """The case and the patient of each key. A visit becomes part of the case's name, where it is not already."""
    visited = all(key.timepoint and re.search(rf".[ _.-]{re.escape(key.timepoint)}$", key.case) for key in keys)
    ids, patients = {}, {}
    for key in keys:
        ids[key] = key.case if visited or not key.timepoint else f"{key.case}_{key.timepoint}"
        without_visit = key.case[: -len(key.timepoint) - 1] if visited else key.case
        patients[key] = key.patient or (without_visit if key.timepoint else patient_of(key.case))
    if len(set(ids.values())) < len(ids):  # each patient has a case of that name
        ids = {key: f"{key.patient}_{name}" if key.patient else name for key, name in ids.items()}
    if len(set(ids.values())) < len(ids):
        raise LayoutError(
            "the pattern gives several cases one name",
            found=summarise(sorted({name for name in ids.values() if list(ids.values()).count(name) > 1})),
            remedy="let {case} stand for more of the name",
        )
    return ids, patients


def _notes(cases: Sequence[CaseFiles], lone: Sequence[str], passed: Sequence[str]) -> tuple[str, ...]:
    bare = [case.case_id for case in cases if case.labels is None]
    notes = []
    if bare and len(bare) < len(cases):
        notes.append(f"{len(bare)} cases have no mask: {summarise(bare)}")
    if lone:
        notes.append(f"{len(lone)} masks have no image and were passed over: {summarise(lone)}")
    if passed:
        notes.append(f"{len(passed)} files do not fit the pattern and were passed over: {summarise(passed)}")
    return tuple(notes)


def _nothing(root: Path, pattern: str, names: _Names, *, only_masks: bool) -> LayoutError:
    shown = list(islice(_some_names(root, len(names.folders) + 1), _SHOWN))
    return LayoutError(
        f"the pattern '{pattern}' fits {'masks only, no image' if only_masks else 'no file'} in {root}",
        found=", ".join(shown) if shown else "an empty folder",
        expected=f"files such as {names.example}",
        remedy="adapt the pattern to the names, or name another folder",
    )


def _some_names(folder: Path, depth: int, above: str = "") -> Iterator[str]:
    """Names in ``folder``, files first, and below it."""
    listing = list_folder(folder)
    yield from (above + file.name for file in listing.files)
    for inner in listing.folders:
        deeper: Iterable[str] = _some_names(inner, depth - 1, f"{above}{inner.name}/") if depth else ()
        empty = True
        for name in deeper:
            empty = False
            yield name
        if empty:
            yield f"{above}{inner.name}/"
