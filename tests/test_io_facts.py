"""What headers say: grids, orientation, planes, channels, codes; from headers alone."""

from __future__ import annotations

import gzip
import pickle
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import make
from gliamap.errors import FileError
from gliamap.io.facts import FileFacts, read_facts
from gliamap.io.nifti import read_volume
from gliamap.volume import Grid


def save(path: Path, image: nib.spatialimages.SpatialImage) -> Path:
    nib.save(image, path)
    return path


@pytest.mark.parametrize(
    ("kind", "letters", "tilt"), [("plain", "RAS", 0), ("flipped", "SPL", 0), ("oblique", "LAS", 20)]
)
def test_nifti(tmp_path: Path, kind: str, letters: str, tilt: float) -> None:
    data = np.zeros(make.SHAPES[kind], np.int16)
    facts = read_facts(save(tmp_path / "a.nii.gz", nib.Nifti1Image(data, make.affine(kind))))
    assert (facts.kind, facts.shape, facts.channels, facts.dtype) == ("nifti1", make.SHAPES[kind], 1, "int16")
    np.testing.assert_allclose(facts.grid.affine, make.affine(kind), atol=1e-5)
    assert facts.grid.spacing == pytest.approx(make.SPACINGS[kind])
    assert facts.orientation == letters
    assert facts.obliqueness_degrees == pytest.approx(tilt, abs=5)
    assert (facts.slope, facts.intercept, facts.byte_order, facts.units) == (1, 0, "little", "unknown")


def test_the_codes_of_both_forms(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.uint8), None)
    image.set_qform(make.affine("oblique"), code=1)
    image.set_sform(make.affine("plain"), code=0)
    facts = read_facts(save(tmp_path / "a.nii", image))
    assert (facts.qform_code, facts.sform_code) == (1, 0)
    assert facts.sform is None
    assert facts.qform is not None
    np.testing.assert_allclose(facts.qform, make.affine("oblique"), atol=1e-5)
    np.testing.assert_allclose(facts.grid.affine, facts.qform)


def test_forms_are_in_millimetres_whatever_the_unit(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.diag([1000.0, 1500.0, 2000.0, 1]))
    image.header.set_xyzt_units("micron")
    facts = read_facts(save(tmp_path / "a.nii", image))
    assert facts.units == "um"
    assert facts.sform is not None
    assert facts.grid.spacing == pytest.approx((1, 1.5, 2))
    np.testing.assert_allclose(np.diag(facts.sform), (1, 1.5, 2, 1))


def test_byte_order_version_and_scaling(tmp_path: Path) -> None:
    header = nib.Nifti2Header(endianness=">")
    header.set_data_shape((4, 5, 6))
    header.set_data_dtype(np.uint16)
    header.set_slope_inter(0.5, -3)
    header.set_sform(np.eye(4), code=1)
    header["vox_offset"] = 544
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(4 + 2 * 4 * 5 * 6))
    facts = read_facts(tmp_path / "a.nii")
    assert (facts.kind, facts.byte_order, facts.dtype) == ("nifti2", "big", "uint16")
    assert (facts.slope, facts.intercept) == (0.5, -3)


def test_several_images_in_a_file(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", nib.Nifti1Image(np.zeros((5, 6, 7, 4), np.int16), make.affine("plain")))
    facts = read_facts(path, channel=3)
    assert (facts.shape, facts.channels) == ((5, 6, 7), 4)
    with pytest.raises(FileError, match=r"a\.nii\.gz has no channel 4\. Found: 4 channels"):
        read_facts(path, channel=4)


@pytest.mark.parametrize(
    ("spacing", "kind", "plane"),
    [
        ((0.5, 0.5, 5), "plain", "axial"),
        ((5, 0.5, 0.5), "plain", "sagittal"),
        ((0.5, 5, 0.5), "plain", "coronal"),
        ((0.5, 0.5, 5), "flipped", "sagittal"),  # its Z runs from right to left
        ((1, 1, 1.2), "plain", "isotropic"),
        ((1, 1, 1), "oblique", "isotropic"),
        ((0.4, 3, 3.3), "plain", "isotropic"),  # no single axis is thick
    ],
)
def test_planes(spacing: tuple[float, float, float], kind: str, plane: str) -> None:
    affine = make.affine(kind)
    affine[:3, :3] = affine[:3, :3] / make.SPACINGS[kind] * spacing
    assert FileFacts("nifti1", Grid((20, 21, 22), affine), 1, "int16").plane == plane


@pytest.mark.parametrize(
    ("mode", "channels", "dtype"), [("L", 1, "uint8"), ("RGB", 3, "uint8"), ("LA", 1, "uint8"), ("I;16", 1, "uint16")]
)
def test_images(tmp_path: Path, mode: str, channels: int, dtype: str) -> None:
    Image.new(mode, (33, 26)).save(tmp_path / "a.png")
    facts = read_facts(tmp_path / "a.png")
    assert (facts.kind, facts.shape, facts.channels, facts.dtype) == ("image", (33, 26, 1), channels, dtype)
    assert (facts.grid.unit, facts.units, facts.orientation, facts.plane) == ("px", "px", None, None)


def test_mgz_and_matlab(tmp_path: Path) -> None:
    data = np.zeros(make.SHAPES["flipped"], np.float32)
    facts = read_facts(save(tmp_path / "a.mgz", nib.MGHImage(data, make.affine("flipped"))))
    assert (facts.kind, facts.shape, facts.orientation, facts.dtype) == ("mgz", (14, 19, 11), "SPL", "float32")
    one = np.ones((5, 4), np.int16)
    facts = read_facts(make.write_matlab_slice(tmp_path / "1.mat", one, one.astype(np.uint8)))
    assert (facts.kind, facts.shape, facts.grid.unit) == ("mat", (4, 5, 1), "px")


def test_voxels_are_not_looked_at(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", nib.Nifti1Image(np.random.default_rng(0).normal(size=(40, 40, 40)), np.eye(4)))
    path.write_bytes(path.read_bytes()[:-1000])
    assert read_facts(path).shape == (40, 40, 40)
    with pytest.raises(FileError):
        read_volume(path)


def broken_affine(path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.eye(4))
    image.header["srow_x"] = 0
    nib.Nifti1Image(image.dataobj, None, image.header).to_filename(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(gzip.compress(b"nothing" * 100)), "is not a NIfTI file"),
        (lambda path: None, "does not exist"),
        (broken_affine, "does not say where its voxels lie"),
    ],
)
def test_what_is_damaged_is_refused(tmp_path: Path, damage: object, message: str) -> None:
    assert callable(damage)
    damage(tmp_path / "a.nii.gz")
    with pytest.raises(FileError, match=message):
        read_facts(tmp_path / "a.nii.gz")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"unknown kind\. Expected: one of \.nii"):
        read_facts(tmp_path / "scan.dcm")


def test_facts_travel_between_processes(tmp_path: Path) -> None:
    facts = read_facts(save(tmp_path / "a.nii", nib.Nifti1Image(np.zeros((4, 5, 6), np.uint8), make.affine("oblique"))))
    again = pickle.loads(pickle.dumps(facts))  # noqa: S301  # our own
    assert again.grid.same_as(facts.grid)
    assert again.orientation == "LAS"


def test_real_headers(data_root: Path) -> None:
    files = sorted(data_root.glob("*/*/*.nii.gz"))
    files += sorted((data_root / "figshare-t1c" / "images").iterdir())
    start = time.process_time()
    facts = {path.name: read_facts(path) for path in files}
    assert time.process_time() - start < 10
    assert facts["BraTS2021_00006_t1.nii.gz"].orientation == "LPS"
    assert facts["TCGA-DU-7294_t1.nii.gz"].plane == "axial"
    assert facts["TCGA-DU-7294_t1.nii.gz"].sform is None
    odd = read_facts(data_root / "odd-headers" / "example4d.nii.gz")
    assert (odd.channels, round(odd.obliqueness_degrees, 1)) == (2, 9.3)
