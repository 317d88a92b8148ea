"""The LGG data set of Kaggle: modalities in colours, patients from names, copies of FLAIR."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import make
from gliamap.case import CaseFiles
from gliamap.errors import FileError
from gliamap.io.cases import read_case
from gliamap.labels import Tissue
from gliamap.sources.detect import scan

FOLDER = "TCGA_CS_4941_19960909"


def one(root: Path) -> CaseFiles:
    return scan(make.write_lgg(root, (FOLDER,))).cases[0]


def test_modalities_are_colours(tmp_path: Path) -> None:
    files = one(tmp_path)
    case = read_case(files)
    with Image.open(tmp_path / FOLDER / f"{FOLDER}_1.tif") as image:
        colours = np.asarray(image)
    assert case.modalities == ("t1", "t1c", "flair")
    for name, channel in (("t1", 0), ("t1c", 2), ("flair", 1)):  # pre-contrast, FLAIR, post-contrast
        np.testing.assert_array_equal(case.image[case.modalities.index(name), :, :, 0].T, colours[..., channel])
        alone = read_case(files, modalities=(name,), with_labels=False)
        np.testing.assert_array_equal(alone.image[0], case.image[case.modalities.index(name)])
    assert case.labels is not None and set(np.unique(case.labels)) == {0, Tissue.TUMOUR}
    assert case.convention == "binary255"
    assert case.warnings == ()


def test_patients_and_what_is_noted(tmp_path: Path) -> None:
    make.write_lgg(tmp_path)
    (tmp_path / FOLDER / f"{FOLDER}_2_mask.tif").unlink()
    (tmp_path / FOLDER / f"{FOLDER}_10.tif").unlink()
    make.touch(tmp_path / "data.csv")
    make.touch(tmp_path / "README.md")
    make.touch(tmp_path / "extra" / "notes.txt")
    data = scan(tmp_path)
    assert [case.case_id[-5:] for case in data.cases] == ["909_1", "909_2", "405_1", "405_2", "05_10"]
    assert {case.identity.patient_id for case in data.cases} == {"TCGA_CS_4941", "TCGA_DU_5849"}
    assert data.patients_known and data.foreground is None
    assert data.notes == (
        "1 folders without slices were passed over: extra",
        f"1 images have no mask: {FOLDER}_2",
        f"1 masks have no image and were passed over: {FOLDER}_10",
    )


@pytest.mark.parametrize("place", ["kaggle_3m", "lgg-mri-segmentation/kaggle_3m", "."])
def test_wrapped_and_twice(tmp_path: Path, place: str) -> None:
    make.write_lgg(tmp_path / place)
    if place == "kaggle_3m":  # the archive repeats the data set
        shutil.copytree(tmp_path / "kaggle_3m", tmp_path / "lgg-mri-segmentation" / "kaggle_3m")
    data = scan(tmp_path)
    assert len(data.cases) == 6 and data.notes == ()
    assert {path.parent.parent for case in data.cases for path in case.modalities.values()} == {tmp_path / place}


def test_one_patient(tmp_path: Path) -> None:
    one(tmp_path)
    assert [case.case_id[-3:] for case in scan(tmp_path / FOLDER).cases] == ["9_1", "9_2", "_10"]


def repaint(files: CaseFiles, order: tuple[int, int, int]) -> None:
    path = files.modalities["t1"]
    with Image.open(path) as image:
        colours = np.asarray(image)[..., list(order)]
    Image.fromarray(np.ascontiguousarray(colours)).save(path)


@pytest.mark.parametrize(
    ("order", "warnings"),
    [
        ((0, 1, 1), ("t1c is a copy of flair: it stands for a missing modality",)),
        ((1, 1, 2), ("t1 is a copy of flair: it stands for a missing modality",)),
        ((1, 1, 1), tuple(f"{name} is a copy of flair: it stands for a missing modality" for name in ("t1", "t1c"))),
        ((0, 1, 0), ("t1c is a copy of t1: it stands for a missing modality",)),
    ],
)
def test_a_copy_in_place_of_a_modality_is_noticed(
    tmp_path: Path, order: tuple[int, int, int], warnings: tuple[str, ...]
) -> None:
    files = one(tmp_path)
    repaint(files, order)
    assert sorted(read_case(files).warnings) == list(warnings)
    for name in ("t1", "t1c", "flair"):  # also where the original is not asked for
        alone = tuple(text for text in warnings if text.startswith(f"{name} "))
        assert read_case(files, modalities=(name,)).warnings == alone


def test_a_blank_slice_is_no_copy(tmp_path: Path) -> None:
    files = one(tmp_path)
    Image.new("RGB", (33, 26)).save(files.modalities["t1"])
    assert read_case(files).warnings == ()


def test_a_grey_image_in_its_place_is_refused(tmp_path: Path) -> None:
    files = one(tmp_path)
    Image.new("L", (33, 26)).save(files.modalities["t1"])
    with pytest.raises(FileError, match=r"has no channel .*Found: 1 channels"):
        read_case(files)
