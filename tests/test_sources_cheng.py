"""Slices of figshare 1512427: patients from the files, the authors' folds, and what is noted of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import make
from gliamap.errors import FileError, LayoutError
from gliamap.io.cases import mask_suffix, read_case, read_grid, read_mask_file, write_mask, write_probabilities
from gliamap.labels import Tissue
from gliamap.scoring.pairs import find_predictions, pairs_of
from gliamap.sources.detect import scan
from gliamap.sources.splits import SplitOptions, make_split

PATIENTS = ("100360", "100360", "MR024220F", "7", "7", "7")


def test_slices_in_several_folders_and_in_one(tmp_path: Path) -> None:
    make.write_cheng(tmp_path / "set", PATIENTS)
    folder = tmp_path / "set" / "brainTumorDataPublic_1-6"
    make.write_cheng(tmp_path / "other", ("8",) * 12)
    (tmp_path / "set" / "brainTumorDataPublic_7-12").mkdir()
    for number in range(7, 13):
        name = f"{number}.mat"
        (tmp_path / "other" / "brainTumorDataPublic_1-12" / name).rename(
            tmp_path / "set" / "brainTumorDataPublic_7-12" / name
        )
    make.touch(tmp_path / "set" / "README.txt")
    data = scan(tmp_path / "set")
    assert [case.case_id for case in data.cases] == [str(number) for number in range(1, 13)]
    assert [case.identity.patient_id for case in data.cases] == [*PATIENTS, *("8",) * 6]
    assert [case.identity.fold for case in data.cases] == [None] * 12
    assert data.patients_known and data.notes == ()
    assert [case.case_id for case in scan(folder).cases] == [str(number) for number in range(1, 7)]


def test_image_and_mask_of_a_case_fit(tmp_path: Path) -> None:
    make.write_cheng(tmp_path)
    for seed, files in enumerate(scan(tmp_path).cases):
        truth = make.slice_case(seed)
        case = read_case(files)
        np.testing.assert_array_equal(case.image, truth.image)
        assert case.labels is not None and truth.labels is not None
        np.testing.assert_array_equal(case.labels, truth.labels)
        assert set(np.unique(case.labels)) == {0, Tissue.TUMOUR}
        assert case.convention == "binary" and case.grid.unit == "px"


def test_results_for_a_slice_are_pictures(tmp_path: Path) -> None:
    make.write_cheng(tmp_path)
    path = scan(tmp_path).cases[0].modalities["t1c"]
    labels = make.slice_case(0).labels
    assert labels is not None and mask_suffix(path) == ".png"
    write_mask(tmp_path / "mask.png", np.minimum(labels, 1), path)
    values, grid = read_mask_file(tmp_path / "mask.png")
    np.testing.assert_array_equal(values, read_mask_file(path)[0])
    assert grid.same_as(read_grid(path))
    write_probabilities(tmp_path / "p.nii.gz", np.zeros((1, *grid.shape), np.float32), path)
    assert read_grid(tmp_path / "p.nii.gz").shape == (*grid.shape[:2], 1)


def test_predictions_for_slices_are_found(tmp_path: Path) -> None:
    make.write_cheng(tmp_path / "set")
    pairs, _ = pairs_of(scan(tmp_path / "set"))
    for pair in pairs:
        write_mask(tmp_path / "masks" / f"{pair.case_id}.png", read_mask_file(pair.reference)[0], pair.reference)
    found, surplus = find_predictions(pairs, tmp_path / "masks", "binary")
    assert [pair.prediction for pair in found] == [tmp_path / "masks" / f"{n}.png" for n in (1, 2, 3)]
    assert surplus == ()


@pytest.mark.parametrize("place", [".", "brainTumorDataPublic_1-6"])
def test_folds_keep_the_authors_numbers(tmp_path: Path, place: str) -> None:
    make.write_cheng(tmp_path, PATIENTS)
    make.write_folds(tmp_path / "cvind.mat", (1, 1, 2, 5, 5, 5, 4))
    data = scan(tmp_path / place)
    assert [case.identity.fold for case in data.cases] == [1, 1, 2, 5, 5, 5]
    assert data.notes == ()


def test_a_patient_in_several_folds_is_noted_and_does_not_leak(tmp_path: Path) -> None:
    make.write_cheng(tmp_path, PATIENTS)
    make.write_folds(tmp_path / "cvind.mat", (1, 2, 2, 3, 3, 1))
    data = scan(tmp_path)
    assert data.notes == (
        "cvind.mat puts 2 patients into several folds: 7 (1, 3), 100360 (1, 2); "
        "their slices outside a test fold are left out of training",
    )
    split = make_split([case.identity for case in data.cases], SplitOptions(test_fold=1, val_share=0))
    assert (split.test, split.train) == (("1", "6"), ("3",))
    assert split.left_out == dict.fromkeys(("2", "4", "5"), "same patient as a test case")


def test_folds_that_do_not_cover_the_slices(tmp_path: Path) -> None:
    make.write_cheng(tmp_path)
    make.write_folds(tmp_path / "cvind.mat", (1, 2))
    data = scan(tmp_path)
    assert [case.identity.fold for case in data.cases] == [1, 2, None]
    assert data.notes == ("cvind.mat has no fold for 1 slices: 3",)


def test_files_without_a_patient_are_counted(tmp_path: Path) -> None:
    make.write_cheng(tmp_path, ("100360", "", "7"))
    folder = tmp_path / "brainTumorDataPublic_1-3"
    (folder / "3.mat").write_bytes(b"damaged")
    data = scan(tmp_path)
    assert [case.identity.patient_id for case in data.cases] == ["100360", "2", "3"]
    assert not data.patients_known
    assert data.notes == ("2 files do not tell their patient: 2, 3",)
    with pytest.raises(FileError, match=r"3\.mat is not a readable MATLAB file"):
        read_case(data.cases[2])


def test_damaged_folds_and_slices_of_one_number_are_refused(tmp_path: Path) -> None:
    make.write_cheng(tmp_path)
    (tmp_path / "cvind.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(FileError, match=r"cvind\.mat is of an older MATLAB format"):
        scan(tmp_path)
    make.write_folds(tmp_path / "cvind.mat", (1, 2, 3))
    make.write_matlab_slice(tmp_path / "2.mat", np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(LayoutError, match=r"several cases alike.*Found: 2"):
        scan(tmp_path)
