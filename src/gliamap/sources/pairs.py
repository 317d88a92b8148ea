"""2D slices as image files: pairs of image and mask folders, and images without masks.

``images/ masks/``                        whole heads with a binary mask, as in the sets made from figshare 1512427
``training_images/ training_labels/``     skull-stripped slices in MSD's labels; ``test_images/ test_labels/`` beside
one image file, or a folder of them       nothing to train on

All of them are contrast-enhanced T1 slices, one file a case, named by the file's stem.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from gliamap.case import CaseFiles, CaseIdentity, DataSet
from gliamap.errors import LayoutError
from gliamap.io.archive import is_folder
from gliamap.io.images import is_image
from gliamap.sources.layout import Layout, list_folder, natural_key, summarise

MODALITY = "t1c"

_SLICE = re.compile(r"(?P<case>.+)_z\d+", re.DOTALL)
_TEST_FOLD = 0


def scan_pairs(root: Path) -> DataSet | None:
    """The slices of ``images/`` with their masks of the same name in ``masks/``; patients are not known."""
    if not _has(root, "images", "masks"):
        return None
    images, masks = _images_in(root / "images"), _by_stem(_images_in(root / "masks"))
    cases = [_case(path, masks, ("binary", "binary255")) for path in images]
    return DataSet(root, PAIRS.name, tuple(cases), "head", patients_known=False, notes=unpaired(cases, masks))


def scan_training_pairs(root: Path) -> DataSet | None:
    """The slices of ``training_images/`` and, as fold 0, of ``test_images/``; patient = the name before ``_z46``.

    Patients count as known where every name has that form.
    """
    if not _has(root, "training_images", "training_labels"):
        return None
    cases, masks, notes = [], {}, []
    for part, fold in (("training", None), ("test", _TEST_FOLD)):
        if not is_folder(root / f"{part}_images"):
            continue
        labels = root / f"{part}_labels"
        own = _by_stem(_images_in(labels)) if is_folder(labels) else {}
        cases += [_case(path, own, ("msd",), fold) for path in _images_in(root / f"{part}_images")]
        masks.update(own)
        if fold is not None:
            notes.append(f"{part}_images are fold {fold}")
    cases.sort(key=lambda case: natural_key(case.case_id))
    known = all(_SLICE.fullmatch(case.case_id) for case in cases)
    notes += unpaired(cases, masks)
    return DataSet(root, TRAINING_PAIRS.name, tuple(cases), "brain", known, tuple(notes))


def scan_images(root: Path) -> DataSet | None:
    """A single image file, or the images of a folder."""
    images = _images_in(root) if is_folder(root) else [root] if is_image(root) else []
    if not images:
        return None
    cases = tuple(_case(path, {}, ()) for path in images)
    return DataSet(root, IMAGES.name, cases, "head", patients_known=False)


def _case(path: Path, masks: Mapping[str, Path], conventions: tuple[str, ...], fold: int | None = None) -> CaseFiles:
    stem = path.stem
    match = _SLICE.fullmatch(stem)
    patient = match["case"] if match and conventions == ("msd",) else stem
    return CaseFiles(CaseIdentity(stem, patient, fold), {MODALITY: path}, masks.get(stem), conventions)


def _has(root: Path, *folders: str) -> bool:
    return all(is_folder(root / folder) for folder in folders)


def _images_in(folder: Path) -> list[Path]:
    return [path for path in list_folder(folder).files if is_image(path)]


def _by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    """The masks by stem; ``LayoutError`` where two have the same."""
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise LayoutError(
                f"{path.parent} has several masks of one name",
                found=f"{found[path.stem].name}, {path.name}",
                expected="one mask for each image",
                remedy="move all but one away",
            )
        found[path.stem] = path
    return found


def unpaired(cases: Sequence[CaseFiles], masks: Mapping[str, Path]) -> tuple[str, ...]:
    """Notes on slices without a mask, and on ``masks`` (by case) without a slice."""
    bare = [case.case_id for case in cases if case.labels is None]
    lone = sorted(masks.keys() - {case.case_id for case in cases}, key=natural_key)
    notes = []
    if bare:
        notes.append(f"{len(bare)} images have no mask: {summarise(bare)}")
    if lone:
        notes.append(f"{len(lone)} masks have no image and were passed over: {summarise(lone)}")
    return tuple(notes)


PAIRS = Layout("pairs", "2D pairs (images/1.png with masks/1.png)", scan_pairs)
TRAINING_PAIRS = Layout(
    "training-pairs", "2D pairs (training_images/A.png with training_labels/A.png)", scan_training_pairs
)
IMAGES = Layout("images", "images (PNG, JPEG, TIFF) without masks", scan_images)
