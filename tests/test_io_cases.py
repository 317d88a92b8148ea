"""A case from its files: modalities, one grid, labels as tissues; results back to files."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import make
from gliamap.case import CaseFiles, CaseIdentity
from gliamap.errors import FileError, GridError, LabelError, LayoutError
from gliamap.io import nifti
from gliamap.io.cases import mask_suffix, read_case, read_grid, read_mask_file, write_mask, write_probabilities
from gliamap.labels import Tissue


def files_of(folder: Path, *, joint: str = "_", conventions: tuple[str, ...] = ("brats2021",)) -> CaseFiles:
    names = make.SUFFIXES["brats2021" if joint == "_" else "brats2023"][1]
    paths = {name: folder / f"{folder.name}{joint}{part}.nii.gz" for name, part in names.items()}
    labels = folder / f"{folder.name}{joint}seg.nii.gz"
    return CaseFiles(CaseIdentity(folder.name, "patient"), paths, labels, conventions)


@pytest.fixture
def files(tmp_path: Path) -> CaseFiles:
    return files_of(make.write_brats(tmp_path, make.case("oblique")))


@pytest.mark.parametrize("kind", make.KINDS)
def test_a_case_comes_back(tmp_path: Path, kind: str) -> None:
    written = make.case(kind)
    case = read_case(files_of(make.write_brats(tmp_path, written)))
    assert (case.case_id, case.patient_id, case.modalities) == (written.case_id, "patient", make.MODALITIES)
    np.testing.assert_array_equal(case.image, np.rint(written.image))
    assert case.image.dtype == np.float32 and case.image.flags.c_contiguous
    assert case.grid.same_as(written.grid)
    assert case.labels is not None
    np.testing.assert_array_equal(case.labels, written.labels)
    assert case.convention == "brats2021"
    assert case.warnings == ()


def test_wanted_modalities_come_in_the_order_asked_for(files: CaseFiles) -> None:
    case = read_case(files, modalities=("flair", "t1"), with_labels=False)
    every = read_case(files)
    assert case.modalities == ("flair", "t1")
    np.testing.assert_array_equal(case.image, every.image[[3, 0]])
    assert case.labels is None and case.convention is None


def test_a_missing_modality_is_named(files: CaseFiles) -> None:
    part = replace(files, modalities={name: files.modalities[name] for name in ("t1", "t2")})
    with pytest.raises(LayoutError, match=r"lacks t1c, flair.*Found: t1, t2.*To do: add the missing file beside"):
        read_case(part, modalities=make.MODALITIES)
    assert read_case(part).modalities == ("t1", "t2")
    with pytest.raises(LayoutError, match="lacks every modality"):
        read_case(replace(files, modalities={}))


def test_modalities_that_may_be_missing_are_left_out(files: CaseFiles) -> None:
    part = replace(files, modalities={name: files.modalities[name] for name in ("t1", "t2")})
    found = read_case(part, modalities=("flair", "t2", "t1c", "t1"), may_be_missing=make.MODALITIES)
    assert found.modalities == ("t2", "t1")
    np.testing.assert_array_equal(found.image, read_case(files).image[[2, 0]])
    with pytest.raises(LayoutError, match=r"lacks t1c\b.*Expected: t2, t1c"):
        read_case(part, modalities=("flair", "t2", "t1c"), may_be_missing=("t1", "flair"))
    with pytest.raises(LayoutError, match=r"lacks t1c, flair.*Found: t1, t2.*at least one of t1c, flair"):
        read_case(part, modalities=("t1c", "flair"), may_be_missing=make.MODALITIES)
    with pytest.raises(LayoutError, match="lacks flair"):  # the grid to bring them onto is none of those
        read_case(part, modalities=("t1",), may_be_missing=make.MODALITIES, resample_to="flair")
    with pytest.raises(LayoutError, match="lacks t1c"):
        read_case(part, modalities=("t1c",), may_be_missing=make.MODALITIES, resample_to="t1")


@pytest.mark.parametrize("what", ["flair", "labels"])
def test_differing_grids_are_named(files: CaseFiles, what: str) -> None:
    path = files.labels if what == "labels" else files.modalities[what]
    assert path is not None
    image = nib.load(path)
    shifted = image.affine.copy()
    shifted[0, 3] += 1
    nib.Nifti1Image(np.asanyarray(image.dataobj), shifted).to_filename(path)
    with pytest.raises(GridError, match="do not share a voxel grid") as caught:
        read_case(files)
    assert str(path) in str(caught.value) and str(files.modalities["t1"]) in str(caught.value)
    assert "origin (-10.0, 7.5, 30.2)" in str(caught.value) and "origin (-11.0, 7.5, 30.2)" in str(caught.value)


def test_voxels_that_are_not_finite_leave_a_warning(files: CaseFiles) -> None:
    path = files.modalities["t2"]
    image = nib.load(path)
    data = image.get_fdata()
    data[0, 0, :3] = np.nan
    nib.Nifti1Image(data, image.affine).to_filename(path)
    case = read_case(files)
    assert case.warnings == (f"{path.name}: 3 voxels that are not finite were read as 0",)
    assert np.isfinite(case.image).all()


# Labels


def test_the_layout_decides_what_values_mean(tmp_path: Path) -> None:
    folder = make.write_brats(tmp_path, make.case(), convention="brats2023")
    for conventions, two, three in (
        (("brats2023", "brats2024"), Tissue.ED, Tissue.ET),
        (("msd",), Tissue.NCR, Tissue.ET),
    ):
        case = read_case(files_of(folder, joint="-", conventions=conventions))
        values, _ = read_mask_file(folder / f"{folder.name}-seg.nii.gz")
        assert case.labels is not None
        assert set(case.labels[values == 2]) == {two} and set(case.labels[values == 3]) == {three}
        assert case.convention == conventions[0]


def test_the_callers_convention_overrides_the_layout(files: CaseFiles) -> None:
    case = read_case(files, convention="brats2013")
    assert case.convention == "brats2013"
    assert case.labels is not None and Tissue.NECROSIS in case.labels


def test_label_errors_name_the_file(tmp_path: Path) -> None:
    folder = make.write_brats(tmp_path, make.case(), convention="brats2023")
    path = folder / f"{folder.name}-seg.nii.gz"
    with pytest.raises(LabelError, match="outside its label convention") as caught:
        read_case(files_of(folder, joint="-", conventions=("brats2021",)))
    assert str(path) in str(caught.value)
    with pytest.raises(LabelError, match="more than one label convention") as caught:
        read_case(files_of(folder, joint="-", conventions=()))
    assert str(path) in str(caught.value)


# Several modalities in one file


@pytest.fixture
def four(tmp_path: Path) -> CaseFiles:
    one = make.case("flipped")
    path = tmp_path / "a.nii.gz"
    nib.Nifti1Image(np.moveaxis(one.image, 0, -1), one.grid.affine).to_filename(path)
    channels = {name: number for number, name in enumerate(make.MODALITIES)}
    return CaseFiles(CaseIdentity("A", "A"), dict.fromkeys(make.MODALITIES, path), channels=channels)


def test_a_file_of_several_modalities_is_read_once(four: CaseFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = nifti.opened
    monkeypatch.setattr(nifti, "opened", lambda path: opened.append(path) or real(path))
    case = read_case(four, modalities=("flair", "t1", "t1c"))
    assert len(opened) == 1
    np.testing.assert_array_equal(case.image, make.case("flipped").image[[3, 0, 1]])
    assert case.grid.same_as(make.grid("flipped"))


def test_one_channel_under_two_names(four: CaseFiles) -> None:
    case = read_case(replace(four, channels={**four.channels, "flair": 0}))
    np.testing.assert_array_equal(case.image[3], case.image[0])


def test_files_of_one_and_of_several_modalities_go_together(four: CaseFiles, tmp_path: Path) -> None:
    one = make.case("flipped", seed=5)
    nib.Nifti1Image(one.image[2], one.grid.affine).to_filename(tmp_path / "t2.nii.gz")
    channels = {name: number for name, number in four.channels.items() if name != "t2"}
    both = replace(four, modalities={**four.modalities, "t2": tmp_path / "t2.nii.gz"}, channels=channels)
    case = read_case(both)
    np.testing.assert_array_equal(case.image[2], one.image[2])
    np.testing.assert_array_equal(case.image[[0, 1, 3]], make.case("flipped").image[[0, 1, 3]])


def test_a_remark_names_the_channel(four: CaseFiles) -> None:
    path = four.modalities["t1"]
    image = nib.load(path)
    data = image.get_fdata()
    data[0, 0, 0, 2] = np.nan
    nib.Nifti1Image(data, image.affine).to_filename(path)
    assert read_case(four).warnings == ("a.nii.gz (t2): 1 voxels that are not finite were read as 0",)


def test_a_4d_file_on_its_own_is_refused(four: CaseFiles) -> None:
    with pytest.raises(FileError, match=r"is not one 3D volume.*dataset\.json"):
        read_case(replace(four, channels={}))


# In an archive


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_case_in_an_archive(files: CaseFiles, tmp_path: Path, name: str) -> None:
    folder = next(iter(files.modalities.values())).parent
    with tarfile.open(tmp_path / name, "w:gz" if name.endswith("gz") else "w") as file:
        file.add(folder, folder.name)
    inside = files_of(tmp_path / name / folder.name)
    one, other = read_case(inside), read_case(files)
    np.testing.assert_array_equal(one.image, other.image)
    assert one.labels is not None and other.labels is not None
    np.testing.assert_array_equal(one.labels, other.labels)
    assert read_grid(inside.modalities["t2"]).same_as(other.grid)
    missing = replace(inside, modalities={"t1": tmp_path / name / folder.name / "none.nii.gz"})
    with pytest.raises(FileError, match=r"none\.nii\.gz does not exist"):
        read_case(missing)


# Images


def test_a_slice_and_its_mask(tmp_path: Path) -> None:
    make.write_pairs(tmp_path, 1)
    truth = make.slice_case(0)
    files = CaseFiles(
        CaseIdentity("1", "1"),
        {"t1c": tmp_path / "images" / "1.png"},
        tmp_path / "masks" / "1.png",
        ("binary", "binary255"),
    )
    case = read_case(files)
    np.testing.assert_array_equal(case.image, truth.image)
    assert case.labels is not None and truth.labels is not None
    np.testing.assert_array_equal(case.labels, truth.labels)
    assert case.convention == "binary255"
    assert case.grid.unit == "px"
    Image.new("L", (5, 5)).save(tmp_path / "masks" / "1.png")
    with pytest.raises(GridError, match="5x5x1 voxels"):
        read_case(files)


# Results


def test_masks_go_back_to_the_kind_of_the_input(tmp_path: Path, files: CaseFiles) -> None:
    case = read_case(files)
    assert case.labels is not None
    assert mask_suffix(next(iter(files.modalities.values()))) == ".nii.gz"
    write_mask(tmp_path / "mask.nii.gz", case.labels, next(iter(files.modalities.values())))
    values, grid = read_mask_file(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(values, case.labels)
    assert grid.same_as(case.grid)
    make.write_pairs(tmp_path, 1)
    image = tmp_path / "images" / "1.png"
    assert mask_suffix(image) == ".png"
    slice_labels = make.slice_case(0).labels
    assert slice_labels is not None
    write_mask(tmp_path / "mask.png", slice_labels, image)
    np.testing.assert_array_equal(read_mask_file(tmp_path / "mask.png")[0], slice_labels)


def test_probabilities_put_regions_last(tmp_path: Path, files: CaseFiles) -> None:
    case = read_case(files)
    probs = np.random.default_rng(0).random((3, *case.grid.shape), np.float32)
    write_probabilities(tmp_path / "p.nii.gz", probs, next(iter(files.modalities.values())))
    written = nib.load(tmp_path / "p.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(written.dataobj)[..., 1], probs[1])
    np.testing.assert_array_equal(written.affine, nib.load(next(iter(files.modalities.values()))).affine)


def test_probabilities_of_an_image_become_nifti(tmp_path: Path) -> None:
    make.write_pairs(tmp_path, 1)
    probs = np.random.default_rng(0).random((2, 33, 26, 1), np.float32)
    write_probabilities(tmp_path / "p.nii.gz", probs, tmp_path / "images" / "1.png")
    assert nib.load(tmp_path / "p.nii.gz").shape == (33, 26, 1, 2)


def test_unknown_kinds_of_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"a\.nrrd is of an unknown kind.*\.nii\.gz, \.mgz"):
        read_mask_file(tmp_path / "a.nrrd")
