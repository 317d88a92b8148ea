"""Which layout a folder has."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from gliamap.case import DataSet
from gliamap.errors import LayoutError
from gliamap.io.archive import is_file, is_folder
from gliamap.sources import bids, brats, cheng_mat, lgg, msd, nnunet, pairs
from gliamap.sources.layout import Layout, list_folder, natural_key, summarise, unwrapped
from gliamap.sources.manifest import annotate
from gliamap.sources.pattern import scan_pattern

LAYOUTS: tuple[Layout, ...] = (
    pairs.TRAINING_PAIRS,
    pairs.PAIRS,
    bids.LAYOUT,
    nnunet.LAYOUT,
    brats.LAYOUT,
    msd.LAYOUT,
    cheng_mat.LAYOUT,
    lgg.LAYOUT,
    pairs.IMAGES,
)
"""Tried in this order. Images without masks come last, because they ask for the least."""


def scan(path: Path, pattern: str | None = None) -> DataSet:
    """The cases of a data set, a case folder, a folder of images or a single image, by names alone.

    All but a single image may lie in a tar archive, plain or packed, and in one folder that wraps its whole content.
    ``pattern`` says how files are named where no layout fits, see :mod:`gliamap.sources.pattern`.
    Patients, folds and exclusions come from the data set's ``manifest.csv`` and ``folds.json``, where it has them.
    ``LayoutError`` where ``path`` does not exist, is laid out in no known way, or names two cases alike.
    """
    try:
        if not (path.exists() or is_file(path) or is_folder(path)):
            raise LayoutError(f"{path} does not exist", expected="a data set, a case folder or an image")
        path = unwrapped(path)
        tried = LAYOUTS if is_folder(path) else (pairs.IMAGES,)
        if pattern is not None:
            return annotate(scan_pattern(path, pattern))
        found = next((data for data in (layout.scan(path) for layout in tried) if data and data.cases), None)
    except OSError as error:
        raise LayoutError(f"{path} cannot be read", found=str(error), remedy="check its permissions") from error
    if found is None:
        raise _unknown(path)
    _check_names(found)
    return annotate(found)


def _check_names(data: DataSet) -> None:
    twice = [name for name, count in Counter(case.case_id for case in data.cases).items() if count > 1]
    if twice:
        raise LayoutError(
            f"{data.root} names several cases alike",
            found=summarise(sorted(twice, key=natural_key)),
            expected="one case of each name",
            remedy="rename or move all but one of each",
        )


def _unknown(path: Path) -> LayoutError:
    if not is_folder(path):
        return LayoutError(
            f"{path} is not an image that can be taken alone",
            expected="PNG, JPEG or TIFF",
            remedy="for NIfTI, name the case folder that holds all modalities",
        )
    listing = list_folder(path)
    names = [f"{folder.name}/" for folder in listing.folders] + [file.name for file in listing.files]
    return LayoutError(
        f"{path} is not a data set or case that gliamap recognises",
        found=summarise(names, 5) if names else "an empty folder",
        expected="; or ".join(layout.looks_like for layout in LAYOUTS),
        remedy="name the folder that holds the cases, or arrange the files in one of these ways",
    )
