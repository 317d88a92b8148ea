"""Real cases: counts, folds, labels, and what must be refused."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gliamap.case import CaseIdentity, DataSet
from gliamap.errors import FileError, GridError
from gliamap.io.cases import read_case
from gliamap.io.nifti import read_labels, read_volume, replace_nonfinite, write_like
from gliamap.labels import Region, Tissue, region_mask
from gliamap.sources.detect import scan
from gliamap.sources.splits import SplitOptions, make_split


def identities(data: DataSet) -> list[CaseIdentity]:
    return [case.identity for case in data.cases]


def fold_sizes(data: DataSet) -> dict[int | None, int]:
    return dict(sorted(Counter(i.fold for i in identities(data)).items()))  # type: ignore[type-var]


def test_brats_2021(data_root: Path) -> None:
    data = scan(data_root / "brats21")
    assert len(data.cases) == 11
    assert fold_sizes(data) == {0: 3, 1: 3, 2: 2, 3: 3}
    case = read_case(data.cases[-1])
    assert case.case_id == "BraTS2021_01485"
    assert case.convention == "brats2021"
    assert case.labels is not None
    counts = np.bincount(case.labels.ravel(), minlength=4)[1:]
    assert counts.tolist() == [135, 38411, 691]  # label 1, 2, 4 of the data set's own description
    assert case.image.min() >= 0


def test_brats_2023(data_root: Path) -> None:
    data = scan(data_root / "brats23")
    (files,) = data.cases
    assert files.identity == CaseIdentity("BraTS-GLI-00000-000", "BraTS-GLI-00000", 2)
    case = read_case(files, modalities=("t1c", "flair"))
    assert case.convention == "brats2023"
    assert case.labels is not None
    enhancing = case.image[0][region_mask(case.labels, Region.ET)].mean()
    assert enhancing > case.image[0][case.labels == Tissue.ED].mean()


def test_msd_slices(data_root: Path) -> None:
    start = time.process_time()  # a busy machine makes everything slow but this
    data = scan(data_root / "msd-t1gd-2d")
    assert time.process_time() - start < 1
    assert len(data.cases) == 1974
    assert fold_sizes(data) == {0: 408, 1: 354, 2: 390, 3: 414, 4: 408}
    assert data.patients_known and data.foreground == "brain"
    assert len({i.patient_id for i in identities(data)}) == 224
    case = read_case(data.cases[0])
    assert case.labels is not None
    counts = {t: int((case.labels == t).sum()) for t in (Tissue.ED, Tissue.NCR, Tissue.ET)}
    assert counts == {Tissue.ED: 72, Tissue.NCR: 143, Tissue.ET: 147}  # the manifest's first row
    split = make_split(identities(data), SplitOptions(test_fold=0, closed_folds=(4,)))
    assert (len(split.test), len(split.left_out)) == (408, 408)


def test_figshare_slices(data_root: Path) -> None:
    data = scan(data_root / "figshare-t1c")
    assert len(data.cases) == 1855
    assert fold_sizes(data) == {0: 380, 1: 494, 2: 484, 3: 497}
    assert not data.patients_known and data.foreground == "head"
    assert data.notes == ()
    case = read_case(data.cases[0])
    assert case.labels is not None
    assert int((case.labels == Tissue.TUMOUR).sum()) == 1144
    options = SplitOptions(test_fold=0, closed_folds=(3,), patients_known=False)
    split = make_split(identities(data), options)
    assert Counter(split.left_out.values()) == {"fold 3 is closed": 497, "looks like or neighbours a test case": 243}
    assert len(split.test) == 380


def test_four_grids_are_refused_as_channels(data_root: Path) -> None:
    (files,) = scan(data_root / "clinical-raw").cases
    with pytest.raises(GridError, match=r"_t1\.nii\.gz and .*_t1c\.nii\.gz do not share a voxel grid"):
        read_case(files)
    for name in files.modalities:
        case = read_case(files, modalities=(name,))
        assert case.modalities == (name,)


def test_odd_headers_are_read_or_refused(data_root: Path) -> None:
    odd = data_root / "odd-headers"
    volume, grid = read_volume(odd / "anatomical.nii")  # big-endian
    np.testing.assert_array_equal(volume, nib.load(odd / "anatomical.nii").get_fdata())
    assert grid.spacing == pytest.approx((2, 2, 2))
    volume, _ = read_volume(odd / "resampled_anat_moved.nii")  # big-endian floats with NaN
    assert replace_nonfinite(volume) == 153
    for name in ("example4d.nii.gz", "example_nifti2.nii.gz"):
        with pytest.raises(FileError, match="not one 3D volume"):
            read_volume(odd / name)
        volume, _ = read_volume(odd / name, 1)
        np.testing.assert_array_equal(volume, nib.load(odd / name).get_fdata()[..., 1].astype(np.float32))


@pytest.mark.parametrize("name", ["odd-headers/anatomical.nii", "clinical-raw/TCGA-DU-7294/TCGA-DU-7294_t1.nii.gz"])
def test_masks_take_the_grid_of_real_files(data_root: Path, tmp_path: Path, name: str) -> None:
    reference = nib.load(data_root / name)
    mask = np.zeros(reference.shape, np.uint8)
    mask[3, 5, 7] = 4
    write_like(tmp_path / "mask.nii.gz", mask, data_root / name)
    written = nib.load(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(written.affine, reference.affine)
    for field in ("qform_code", "sform_code", "xyzt_units"):
        assert written.header[field] == reference.header[field]
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.nii.gz")[0], mask)
