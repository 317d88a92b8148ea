"""nnU-Net raw data sets: ``DatasetXXX_Name/`` (or, of version 1, ``TaskXXX_Name/``) with a ``dataset.json``.

``imagesTr/CASE_0000.nii.gz``, ``CASE_0001.nii.gz`` ...   one file a channel, named in ``dataset.json``
``labelsTr/CASE.nii.gz``                                  the mask
``imagesTs/``, ``labelsTs/``                              test cases; fold 0 where they have masks

Version 2 says ``channel_names``, ``labels`` as name to value or values, ``file_ending``; version 1 ``modality`` and
``labels`` as value to name. ``imagesTs`` may also be named on its own. What the labels mean is told by their names,
see :mod:`gliamap.sources.label_names`. Whether heads are whole is not said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gliamap.case import CaseFiles, CaseIdentity, DataSet
from gliamap.errors import FileError, LayoutError
from gliamap.io.archive import is_file, is_folder
from gliamap.sources.brats import has_time_point, patient_of
from gliamap.sources.description import DESCRIPTION, read_description
from gliamap.sources.label_names import Told, as_number, named_values, told_by_names
from gliamap.sources.layout import SUFFIXES, Layout, list_folder, natural_key, summarise
from gliamap.sources.modalities import canonical_modality, modality_name

_PARTS = {"Tr": None, "Ts": 0}  # and the fold of their cases
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})", re.DOTALL)
_CHANNEL_FILE = re.compile(r".+_\d{4}(\.[A-Za-z]\w*){1,2}", re.DOTALL)  # of any ending
_IGNORE = "ignore"


@dataclass
class _Part:
    """The files of ``imagesTr`` and ``labelsTr``, or of the test part: case to channel to file, and case to mask."""

    name: str
    images: dict[str, dict[int, Path]] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)


def scan(root: Path) -> DataSet | None:
    """The cases of an nnU-Net data set, or of its ``imagesTr`` or ``imagesTs`` alone.

    ``FileError`` where its ``dataset.json`` is damaged, ``LayoutError`` where its files are of a kind that cannot be
    read.
    """
    home, wanted = _home(root)
    if not is_file(home / DESCRIPTION) or not any(_has_channels(home, name) for name in wanted):
        return None
    described = read_description(home / DESCRIPTION)
    ending = _ending(described, home / DESCRIPTION)
    parts = [_read_part(home, name, ending) for name in wanted]
    names, notes = _channel_names(described, home / DESCRIPTION)
    labels = named_values(described.get("labels"))
    told = told_by_names({name: v for name, v in labels.items() if name.lower() != _IGNORE}, DESCRIPTION)
    cases = sorted((case for part in parts for case in _cases(part, names, told)), key=lambda c: natural_key(c.case_id))
    notes += [*told.notes, *_ignored(labels), *(note for part in parts for note in _remarks(part, names))]
    known = all(has_time_point(case.case_id) for case in cases)
    return DataSet(root, LAYOUT.name, tuple(cases), None, patients_known=known, notes=tuple(notes))


def _home(root: Path) -> tuple[Path, tuple[str, ...]]:
    """The data set's folder, and which parts of it are meant."""
    part = root.resolve().name.removeprefix("images")
    if part in _PARTS and root.resolve().name.startswith("images"):
        return root.resolve().parent, (part,)
    return root, tuple(_PARTS)


def _has_channels(home: Path, name: str) -> bool:
    """Whether a part has images that end in a channel's number; in MSD images and masks are named alike."""
    images, labels = home / f"images{name}", home / f"labels{name}"
    if not is_folder(images):
        return False
    masks = {path.name for path in list_folder(labels).files} if is_folder(labels) else set()
    return any(_CHANNEL_FILE.fullmatch(f.name) and f.name not in masks for f in list_folder(images).files)


def _ending(described: Mapping[str, Any], path: Path) -> str:
    ending = "." + str(described.get("file_ending", ".nii.gz")).strip().lstrip(".")
    if ending.lower() not in SUFFIXES:
        raise LayoutError(
            f"{path.parent} holds files of a kind that gliamap does not read",
            found=f"file_ending {ending[:40]}",
            expected="one of " + ", ".join(SUFFIXES),
            remedy=f"convert images and masks to NIfTI and write .nii.gz as file_ending into {path.name}",
        )
    return ending


def _channel_names(described: Mapping[str, Any], path: Path) -> tuple[dict[int, str], list[str]]:
    """Channel number to modality, and a remark on names that are no modality of ours."""
    raw = described.get("channel_names", described.get("modality"))
    if not isinstance(raw, Mapping) or not raw or any(as_number(str(key)) is None for key in raw):
        raise FileError(
            f"{path} does not name the channels",
            found=repr(raw)[:80],
            expected='"channel_names": {"0": "T1", "1": "T2"}',
            remedy="add the names of the modalities, in the order of the files' numbers",
        )
    texts = {int(key): str(raw[key]) for key in raw}
    names = {channel: modality_name(text) for channel, text in texts.items()}
    count = Counter(names.values())
    twice = [channel for channel, name in names.items() if count[name] > 1]
    unknown = [texts[channel] for channel in names if canonical_modality(texts[channel]) is None]
    notes = (
        [f"channels that are none of t1, t1c, t2 and flair keep their names: {summarise(unknown)}"] if unknown else []
    )
    if twice:
        notes.append(
            f"{path.name} gives several channels one name; they are numbered: {summarise(texts[c] for c in twice)}"
        )
    return {c: f"{name}_{c:04d}" if c in twice else name for c, name in names.items()}, notes


def _read_part(home: Path, name: str, ending: str) -> _Part:
    part = _Part(name)
    images, labels = home / f"images{name}", home / f"labels{name}"
    for stem, path in _stems(images, ending):
        match = _CHANNEL.fullmatch(stem)
        if match:
            part.images.setdefault(match["case"], {})[int(match["channel"])] = path
    part.masks = dict(_stems(labels, ending))
    return part


def _stems(folder: Path, ending: str) -> list[tuple[str, Path]]:
    """The files of a folder that end in ``ending``, and their names without it; none where the folder is missing."""
    files = list_folder(folder).files if is_folder(folder) else ()
    return [(path.name[: -len(ending)], path) for path in files if path.name.endswith(ending)]


def _cases(part: _Part, names: Mapping[int, str], told: Told) -> list[CaseFiles]:
    fold = _PARTS[part.name] if part.masks else None
    found = []
    for case_id, files in part.images.items():
        images = {names[channel]: files[channel] for channel in sorted(files) if channel in names}
        if images:
            mask = part.masks.get(case_id) if told.usable else None
            identity = CaseIdentity(case_id, patient_of(case_id), fold)
            found.append(CaseFiles(identity, images, mask, told.conventions))
    return found


def _ignored(labels: Mapping[str, object]) -> list[str]:
    """A remark on nnU-Net's 'ignore' label, which marks voxels that nobody has judged."""
    values = [value for name, value in labels.items() if name.lower() == _IGNORE]
    if not values:
        return []
    return [f"voxels marked 'ignore' ({values[0]}) cannot be left out: masks that hold them are refused when read"]


def _remarks(part: _Part, names: Mapping[int, str]) -> list[str]:
    notes = []
    if part.masks and _PARTS[part.name] is not None:
        notes.append(f"images{part.name} are fold {_PARTS[part.name]}")
    odd = sorted({channel for files in part.images.values() for channel in files if channel not in names})
    if odd:
        numbers = summarise(f"_{channel:04d}" for channel in odd)
        notes.append(f"images{part.name}: channels that {DESCRIPTION} does not name were passed over: {numbers}")
    lone = [name for name in part.masks if name not in part.images]
    if lone:
        notes.append(f"labels{part.name}: {len(lone)} masks have no image and were passed over: {summarise(lone)}")
    bare = [name for name in part.images if name not in part.masks] if part.name == "Tr" else []
    if bare:
        notes.append(f"images{part.name}: {len(bare)} cases have no mask: {summarise(bare)}")
    return notes


LAYOUT = Layout("nnunet", "nnU-Net raw data (dataset.json, imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz)", scan)
