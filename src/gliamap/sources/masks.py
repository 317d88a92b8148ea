"""Bare masks: one mask file, or a folder of them, without their images.

``CASE.nii.gz``, ``CASE-seg.nii.gz``, ``CASE_seg.nii.gz`` and likewise with other suffixes belong to the case
``CASE``. Where a ``CASE.json`` beside a mask says what its numbers mean, as ``gliamap segment`` writes it, that counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gliamap.case import CaseFiles, CaseIdentity, DataSet
from gliamap.errors import LayoutError
from gliamap.io.atomic import read_json
from gliamap.io.images import is_image
from gliamap.io.nifti_header import is_nifti, nifti_stem
from gliamap.labels import get_convention
from gliamap.sources.detect import scan
from gliamap.sources.layout import SUFFIXES, list_folder, summarise

LAYOUT = "masks"


def is_mask_file(path: Path) -> bool:
    """Whether the name says a kind of file that a mask may have."""
    return path.name.lower().endswith(SUFFIXES)


def mask_stem(path: Path) -> str:
    """The file's name without its suffix."""
    return nifti_stem(path) if is_nifti(path) else path.stem


def scan_with_masks(path: Path, pattern: str | None = None) -> DataSet:
    """The cases of a data set with masks, as :func:`gliamap.sources.detect.scan` finds them; or bare masks.

    A folder of bare masks is one in which no layout finds any. Its cases have no images and each is its own patient;
    images beside volumes are pictures of them and are passed over. ``LayoutError`` where there is no mask, or where
    two bare ones are of one case.
    """
    if path.is_file() and is_mask_file(path):
        return _bare(path, (path,))
    files = _mask_files(path) if pattern is None else ()
    try:
        data = scan(path, pattern)
    except LayoutError:
        if not files:
            raise
        return _bare(path, files)
    if any(case.labels for case in data.cases):
        return data
    if files:
        return _bare(path, files)
    raise LayoutError(
        f"{path} holds no masks",
        found="; ".join([f"{len(data.cases)} cases in the layout {data.layout}, none with a mask", *data.notes]),
        remedy="name the folder that holds the masks",
    )


def _bare(path: Path, files: Sequence[Path]) -> DataSet:
    volumes = tuple(file for file in files if not is_image(file))
    cases = tuple(_case(file) for file in volumes or files)
    twice = [name for name, number in Counter(case.case_id for case in cases).items() if number > 1]
    if twice:
        raise LayoutError(
            f"{path} holds several masks of one case",
            found=summarise(twice),
            expected="one mask of each case",
            remedy="move all but one away",
        )
    return DataSet(path, LAYOUT, cases, None, patients_known=False)


def _mask_files(folder: Path) -> tuple[Path, ...]:
    return tuple(file for file in list_folder(folder).files if is_mask_file(file)) if folder.is_dir() else ()


def mask_case(path: Path) -> str:
    """The case that a bare mask belongs to, by its name."""
    name = mask_stem(path)
    return name.removesuffix("-seg").removesuffix("_seg") or name


def declared_convention(mask: Path, case_id: str) -> str | None:
    """The label convention that ``CASE.json`` beside ``mask`` names; ``None`` where it names none."""
    beside = mask.with_name(f"{case_id}.json")
    says = read_json(beside) if beside.is_file() else None
    declared = says.get("label_convention") if isinstance(says, dict) else None
    return get_convention(declared).name if isinstance(declared, str) else None


def _case(file: Path) -> CaseFiles:
    case_id = mask_case(file)
    declared = declared_convention(file, case_id)
    return CaseFiles(CaseIdentity(case_id, case_id), {}, file, (declared,) if declared else ())
