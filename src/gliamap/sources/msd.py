"""Task01 of the Medical Segmentation Decathlon, and other sets in its form: the modalities of a case in one 4D file.

``imagesTr/BRATS_001.nii.gz``   4D, channels last, in the order that ``modality`` in ``dataset.json`` says
``labelsTr/BRATS_001.nii.gz``   the mask; what its values mean is told by ``labels`` in ``dataset.json``
``imagesTs/``                   cases without masks
``dataset.json``                names, and lists of the files; what the folders hold counts, not what it lists

The folder may lie in the ``Task01_BrainTumour.tar`` that it is published as.

An id is not a patient: the cases are renamed ones of BraTS 2016 and 2017, where patients come with several visits, and
which visits belong together is not told. So patients count as not known, unless a ``manifest.csv`` names them.
Source: Antonelli et al. 2022, The Medical Segmentation Decathlon, and its ``dataset.json`` of Task01.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from gliamap.case import CaseFiles, CaseIdentity, DataSet
from gliamap.errors import FileError, LayoutError
from gliamap.io.archive import is_file, is_folder
from gliamap.io.nifti_header import is_nifti, nifti_stem
from gliamap.sources.description import DESCRIPTION, read_description
from gliamap.sources.label_names import Told, named_values, told_by_names
from gliamap.sources.layout import Layout, list_folder, natural_key, summarise
from gliamap.sources.modalities import MODALITIES, canonical_modality

_PARTS = {"training": ("imagesTr", "labelsTr"), "test": ("imagesTs", None)}
_ONE_CHANNEL = re.compile(r".+_\d{4}", re.DOTALL)  # nnU-Net's CASE_0000.nii.gz
_RENAMED = re.compile(r"BRATS_\d{3}")

_Files = Mapping[str, Path]


def scan(root: Path) -> DataSet | None:
    """The cases of a set in the form of MSD Task01.

    ``FileError`` where its ``dataset.json`` is damaged or names files outside the set, ``LayoutError`` where it names
    a modality that is none of ours.
    """
    images = {part: _volumes(root / folder) for part, (folder, _) in _PARTS.items()}
    masks = {part: _volumes(root / folder) if folder else {} for part, (_, folder) in _PARTS.items()}
    if not any(images.values()) or not is_file(root / DESCRIPTION) or _is_nnunet(images, masks):
        return None
    path = root / DESCRIPTION
    described = read_description(path)
    channels = _channels(described, path)
    told = told_by_names(named_values(described.get("labels")), DESCRIPTION)
    cases = [
        _case(case_id, file, channels, masks[part].get(case_id), told)
        for part, files in images.items()
        for case_id, file in files.items()
    ]
    cases.sort(key=lambda case: natural_key(case.case_id))
    notes = [*told.notes, *_unpaired(images["training"], masks["training"])]
    for part, files in images.items():
        gone = sorted(_listed(described, part, path) - files.keys(), key=natural_key)
        if gone:
            notes.append(f"{_PARTS[part][0]} lacks {len(gone)} cases that {DESCRIPTION} lists: {summarise(gone)}")
    if any(_RENAMED.fullmatch(case.case_id) for case in cases):
        notes.append("cases of MSD Task01 are renamed ones of BraTS 2016-2017: several can be of one patient")
    return DataSet(root, LAYOUT.name, tuple(cases), "brain", patients_known=False, notes=tuple(notes))


def _volumes(folder: Path) -> dict[str, Path]:
    """The NIfTI files of a folder by case; where one is there packed and unpacked, the unpacked one."""
    found: dict[str, Path] = {}
    for path in list_folder(folder).files if is_folder(folder) else ():
        if is_nifti(path):
            found.setdefault(nifti_stem(path), path)
    return found


def _is_nnunet(images: Mapping[str, _Files], masks: Mapping[str, _Files]) -> bool:
    """Whether files end in the number of a channel; a case that ends in four digits has a mask of the same name."""
    return any(
        _ONE_CHANNEL.fullmatch(name) and name not in masks[part] for part, files in images.items() for name in files
    )


def _channels(described: Mapping[str, Any], path: Path) -> dict[str, int]:
    """Modality to channel, in the order of the channels."""
    raw = described.get("modality")
    keys = [str(number) for number in range(len(raw))] if isinstance(raw, dict) else []
    if not keys or not isinstance(raw, dict) or set(raw) != set(keys):
        raise FileError(
            f"{path} does not say what the channels are",
            found=repr(raw)[:80],
            expected='"modality": {"0": "FLAIR", "1": "T1w"}, numbered from 0',
            remedy="add the names of the modalities, in the order of the images in the files",
        )
    texts = [str(raw[key]) for key in keys]
    names = [canonical_modality(text) for text in texts]
    odd = [text[:40] for text, name in zip(texts, names, strict=True) if name is None or names.count(name) > 1]
    if odd:
        raise LayoutError(
            f"{path} names modalities that gliamap does not know, or one twice",
            found=summarise(odd, 8),
            expected="each at most once: " + ", ".join(MODALITIES),
            remedy="correct the names under 'modality'; sets of other organs cannot be read",
        )
    return {name: channel for channel, name in enumerate(names) if name}


def _case(case_id: str, file: Path, channels: Mapping[str, int], mask: Path | None, told: Told) -> CaseFiles:
    return CaseFiles(
        CaseIdentity(case_id, case_id),
        dict.fromkeys(channels, file),
        mask if told.usable else None,
        told.conventions,
        channels if len(channels) > 1 else {},  # files of one modality are 3D
    )


def _unpaired(images: _Files, masks: _Files) -> Iterator[str]:
    bare, lone = ([name for name in ours if name not in theirs] for ours, theirs in ((images, masks), (masks, images)))
    if bare:
        yield f"{len(bare)} cases of imagesTr have no mask: {summarise(bare)}"
    if lone:
        yield f"{len(lone)} masks have no image and were passed over: {summarise(lone)}"


def _listed(described: Mapping[str, Any], part: str, path: Path) -> set[str]:
    """The cases of a part that ``dataset.json`` lists."""
    entries = described.get(part, [])
    if not isinstance(entries, list):
        raise _odd_list(path, part, entries)
    found = set()
    for entry in entries:
        name = entry.get("image") if isinstance(entry, dict) else entry
        if not isinstance(name, str):
            raise _odd_list(path, part, entry)
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts:
            raise FileError(
                f"{path} lists a file outside the data set",
                found=name[:80],
                expected="names such as ./imagesTr/BRATS_001.nii.gz",
                remedy="check where the data set comes from",
            )
        found.add(nifti_stem(Path(place.name)))
    return found


def _odd_list(path: Path, part: str, found: object) -> FileError:
    return FileError(
        f"{path} does not list its cases under '{part}'",
        found=repr(found)[:80],
        expected='[{"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}]',
        remedy="restore the file, or remove the list: it is not needed",
    )


LAYOUT = Layout(
    "msd", "MSD Task01 (dataset.json, imagesTr/BRATS_001.nii.gz with all modalities, labelsTr/BRATS_001.nii.gz)", scan
)
