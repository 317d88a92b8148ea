"""The files of a BIDS data set by subject and session: what their names say, and what its tables say of segmentations.

A name is ``key-value`` pairs (entities), a suffix and an extension: ``sub-01_ses-2_space-MNI_desc-tumor_dseg.nii.gz``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from gliamap.errors import FileError
from gliamap.io.archive import is_folder, open_binary, size_of
from gliamap.io.nifti_header import is_nifti, nifti_stem
from gliamap.sources.label_names import Told, as_number, grouped, told_by_names
from gliamap.sources.layout import list_folder

IMAGE_SUFFIXES = {"T1w": "t1", "T2w": "t2", "FLAIR": "flair"}
_ENTITY = re.compile(r"([A-Za-z]+)-([A-Za-z0-9+]+)")
_SUBJECT = re.compile(r"sub-[A-Za-z0-9+]+")
_SESSION = re.compile(r"ses-[A-Za-z0-9+]+")
_DERIVATIVES = "derivatives"
_TABLE = "dseg.tsv"
_MAX_TABLE_BYTES = 4 * 2**20  # the longest atlas has a few thousand lines

# In 'acq', 'desc' and 'rec', where data sets say 'post-contrast' that have no 'ce'.
# 'SPACE' is a sequence, 'postop' a visit, 'preproc' a step.
_CONTRAST = re.compile(
    r"^ce(?![a-z])|(?<![A-Z])CE|(?<=\d)ce$|[Gg]d|GD|[Gg]ad|[Pp]ost(?=$|[Cc]on|[Cc][Ee]|[Gg])|[Cc]ontrast"
)
_NO_CONTRAST = re.compile(r"^no$|none|no(?=[cg])|non(?=[cg])|pre(?!p)|without|native", re.IGNORECASE)


@dataclass(frozen=True)
class BidsFile:
    """One image or mask. ``source`` counts the data sets that are joined: 0 the root itself, then its derivatives."""

    path: Path
    entities: Mapping[str, str]
    suffix: str
    source: int
    home: Path

    @property
    def space(self) -> str:
        """The space of its grid; empty for that of the scan."""
        space = self.entities.get("space", "")
        return "" if space == "orig" else space

    @property
    def modality(self) -> str | None:
        """The canonical modality of an image, ``None`` for everything else."""
        name = IMAGE_SUFFIXES.get(self.suffix)
        return "t1c" if name == "t1" and _has_contrast(self.entities) else name


def subjects_in(folder: Path) -> list[Path]:
    """The subjects' folders of a data set."""
    return [inner for inner in list_folder(folder).folders if _SUBJECT.fullmatch(inner.name)]


def is_subject(folder: Path) -> bool:
    """Whether a folder is one subject's: by its name, and because scans lie in it or in its sessions."""
    if not _SUBJECT.fullmatch(folder.name):
        return False
    return any(is_folder(place / "anat") for _, place in _sessions(folder))


def data_sets(root: Path) -> list[Path]:
    """The root, and the data sets of its ``derivatives``."""
    folder = root / _DERIVATIVES
    if not is_folder(folder):
        return [root]
    own = [folder] if subjects_in(folder) else []
    return [root, *own, *(inner for inner in list_folder(folder).folders if not _SUBJECT.fullmatch(inner.name))]


def files_of(subject: str, homes: list[Path]) -> Iterator[tuple[str, BidsFile]]:
    """The images and masks of a subject in several data sets, with their sessions (empty where there is none)."""
    for source, home in enumerate(homes):
        folder = home / subject
        for session, place in _sessions(folder) if is_folder(folder) else ():
            anat = place / "anat"
            seen: set[str] = set()
            for path in list_folder(anat).files if is_folder(anat) else ():
                named = _parse(nifti_stem(path)) if is_nifti(path) else None
                # Where a file is there packed and unpacked, the unpacked one comes first and is taken.
                if named and named[0].get("sub") == subject[4:] and nifti_stem(path) not in seen:
                    seen.add(nifti_stem(path))
                    yield session, BidsFile(path, *named, source, home)


def _sessions(subject: Path) -> list[tuple[str, Path]]:
    sessions = [(inner.name, inner) for inner in list_folder(subject).folders if _SESSION.fullmatch(inner.name)]
    return [("", subject), *sessions]


def _parse(stem: str) -> tuple[dict[str, str], str] | None:
    """Entities and suffix; ``None`` where the name is not made of them."""
    *pairs, suffix = stem.split("_")
    matches = [_ENTITY.fullmatch(pair) for pair in pairs]
    if not suffix.isalnum() or not all(matches):
        return None
    return {match[1]: match[2] for match in matches if match}, suffix


def _has_contrast(entities: Mapping[str, str]) -> bool:
    if "ce" in entities:
        return not _NO_CONTRAST.search(entities["ce"])
    told = [entities[key] for key in ("acq", "desc", "rec") if key in entities]
    return any(_CONTRAST.search(text) and not _NO_CONTRAST.search(text) for text in told)


class Tables:
    """The ``dseg.tsv`` tables of a data set, each read once."""

    def __init__(self) -> None:
        self._in_folder: dict[Path, list[tuple[Mapping[str, str], Path]]] = {}
        self._told: dict[Path, Told] = {}

    def told(self, file: BidsFile) -> Told | None:
        """What the table that is about a segmentation says of its labels; ``None`` where there is none.

        It lies beside the file or in a folder above, up to the data set's, and names no entity that the file has not;
        the nearest holds, and the one that names most. ``FileError`` where it is damaged.
        """
        folder = file.path.parent
        for place in (folder, *folder.parents):
            fitting = [
                (entities, path) for entities, path in self._tables(place) if entities.items() <= file.entities.items()
            ]
            if fitting:
                _, path = max(fitting, key=lambda found: len(found[0]))
                if path not in self._told:
                    self._told[path] = _read_table(path)
                return self._told[path]
            if place == file.home:
                break
        return None

    def _tables(self, folder: Path) -> list[tuple[Mapping[str, str], Path]]:
        if folder not in self._in_folder:
            paths = [path for path in list_folder(folder).files if path.name.endswith(_TABLE)]
            parsed = [(_parse(path.name.removesuffix(".tsv")), path) for path in paths]
            self._in_folder[folder] = [(named[0], path) for named, path in parsed if named and named[1] == "dseg"]
        return self._in_folder[folder]


def _read_table(path: Path) -> Told:
    """What a table of ``index``, ``name`` and perhaps ``abbreviation`` says; names come before abbreviations."""
    rows: list[tuple[int, str, str]] = []
    try:
        if size_of(path) > _MAX_TABLE_BYTES:
            raise FileError(f"{path} is too large", expected="a table of labels", remedy="check that it is one")
        with open_binary(path) as stream, TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
            for row in csv.DictReader(text, delimiter="\t"):
                index, name, short = ((row.get(key) or "").strip() for key in ("index", "name", "abbreviation"))
                value = as_number(index)
                if value is not None:
                    rows.append((value, name, short))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path} cannot be read", found=str(error), expected="tab-separated text in UTF-8") from error
    by_name = told_by_names(grouped((name, value) for value, name, _ in rows), path.name)
    by_short = told_by_names(grouped((short, value) for value, _, short in rows), path.name)
    return by_short if by_short.understood and not by_name.understood else by_name
