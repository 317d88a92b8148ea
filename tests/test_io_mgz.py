"""FreeSurfer volumes: voxels and grid in, masks for them out as NIfTI, damage with a clear message."""

from __future__ import annotations

import contextlib
import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import make
from gliamap.case import CaseFiles, CaseIdentity
from gliamap.config import PrepConfig
from gliamap.errors import FileError, GliamapError, LabelError
from gliamap.io import cases
from gliamap.io.mgz import is_mgz, read_grid, read_labels, read_volume, read_volumes
from gliamap.labels import Tissue, from_tissue, get_convention
from gliamap.prep.pipeline import prepare, restore

RAMP = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def save(path: Path, data: Any, affine: Any = None) -> Path:
    nib.MGHImage(data, np.eye(4) if affine is None else affine).to_filename(path)
    return path


def patch(path: Path, at: int, data: bytes) -> Path:
    """A copy of a file with bytes of its unpacked content changed."""
    packed = path.suffix == ".mgz"
    content = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    content[at : at + len(data)] = data
    out = path.with_name(f"patched-{path.name}")
    out.write_bytes(gzip.compress(bytes(content)) if packed else bytes(content))
    return out


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh", "A.MGZ"])
@pytest.mark.parametrize("kind", make.KINDS)
def test_values_and_grid_come_as_the_file_has_them(tmp_path: Path, name: str, kind: str) -> None:
    path = save(tmp_path / name.lower(), RAMP, make.affine(kind)).rename(tmp_path / name)
    volume, grid = read_volume(path)
    assert volume.dtype == np.float32 and volume.flags.c_contiguous
    np.testing.assert_array_equal(volume, RAMP)
    assert grid.shape == (2, 3, 4) and grid.unit == "mm"
    np.testing.assert_allclose(grid.affine, make.affine(kind), atol=1e-5)
    assert read_grid(path).same_as(grid)
    labels, _ = read_labels(path)
    np.testing.assert_array_equal(labels, RAMP)
    assert labels.dtype == np.uint8


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "u2"])
def test_types(tmp_path: Path, dtype: str) -> None:
    path = save(tmp_path / "a.mgz", RAMP.astype(dtype))
    volume, _ = read_volume(path)
    np.testing.assert_array_equal(volume, RAMP)
    np.testing.assert_array_equal(read_labels(path)[0], RAMP)
    assert volume.dtype.isnative


def test_one_of_several_images(tmp_path: Path) -> None:
    data = np.arange(120, dtype=np.float32).reshape(3, 4, 5, 2)
    path = save(tmp_path / "a.mgz", data, make.affine("flipped"))
    np.testing.assert_array_equal(read_volume(path, 1)[0], data[..., 1])
    every = {channel: volume for channel, volume, _ in read_volumes(path, (1, 0))}
    assert list(every) == [0, 1]
    np.testing.assert_array_equal(every[0], data[..., 0])
    assert read_grid(path).shape == (3, 4, 5)
    with pytest.raises(FileError, match=r"has no channel 2\. Found: 2 channels"):
        read_volume(path, 2)
    with pytest.raises(FileError, match=r"is not one 3D volume\. Found: size 3x4x5x2"):
        read_volume(path)
    with pytest.raises(FileError, match="one image, without channels"):
        read_volume(save(tmp_path / "b.mgz", RAMP), 0)


def test_fractional_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"a\.mgz is not a label map"):
        read_labels(save(tmp_path / "a.mgz", RAMP.astype(np.float32) + 0.5))


def test_names() -> None:
    assert is_mgz(Path("x/T1.mgz")) and is_mgz(Path("T1.MGH")) and not is_mgz(Path("T1.nii.gz"))


# As a case


@pytest.fixture
def files(tmp_path: Path) -> CaseFiles:
    truth = make.case("oblique")
    assert truth.labels is not None
    paths = {
        name: save(tmp_path / f"{name}.mgz", channel, truth.grid.affine)
        for name, channel in zip(truth.modalities, truth.image, strict=True)
    }
    mask = save(tmp_path / "seg.mgz", from_tissue(truth.labels, get_convention("brats2021")), truth.grid.affine)
    return CaseFiles(CaseIdentity("A", "A"), paths, mask, ("brats2021",))


def test_a_case_comes_back(files: CaseFiles) -> None:
    case, truth = cases.read_case(files), make.case("oblique")
    np.testing.assert_array_equal(case.image, truth.image)
    assert truth.labels is not None and case.labels is not None
    np.testing.assert_array_equal(case.labels, truth.labels)
    assert case.grid.same_as(truth.grid)


def test_a_segmented_mask_lies_on_the_grid_of_the_scan(files: CaseFiles, tmp_path: Path) -> None:
    """From MGZ through preparation and back: what is bright in T1c is ET, on the same voxels as the scan."""
    case = cases.read_case(files)
    prepared = prepare(case, PrepConfig(modalities=case.modalities))
    inside = prepared.labels is not None and prepared.labels == Tissue.ET
    probs = restore(np.asarray(inside, np.float32)[None], prepared.record)
    reference = files.modalities["t1c"]
    assert cases.mask_suffix(reference) == ".nii.gz"
    cases.write_mask(tmp_path / "mask.nii.gz", np.where(probs[0] > 0.5, 4, 0).astype(np.uint8), reference)
    values, grid = cases.read_mask_file(tmp_path / "mask.nii.gz")
    assert case.labels is not None
    np.testing.assert_array_equal(values == 4, case.labels == Tissue.ET)
    assert values.any() and grid.same_as(case.grid) and grid.same_as(cases.read_grid(reference))
    np.testing.assert_allclose(nib.load(tmp_path / "mask.nii.gz").affine, nib.load(reference).affine, atol=1e-4)
    cases.write_probabilities(tmp_path / "p.nii.gz", probs, reference)
    assert nib.load(tmp_path / "p.nii.gz").shape == (*case.grid.shape, 1)


# What is refused


def refuse(path: Path, message: str) -> None:
    for read in (read_volume, read_labels, read_grid):
        with pytest.raises(FileError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value) and "To do:" in str(caught.value)


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    refuse(tmp_path / "none.mgz", "does not exist.*an MGZ file")
    (tmp_path / "empty.mgz").write_bytes(b"")
    refuse(tmp_path / "empty.mgz", "is empty")
    (tmp_path / "text.mgh").write_bytes(b"hello " * 99)
    refuse(tmp_path / "text.mgh", "is not an MGZ file")
    (tmp_path / "short.mgh").write_bytes(struct.pack(">7i", 1, 2, 3, 4, 1, 3, 0))
    refuse(tmp_path / "short.mgh", "is not an MGZ file")
    nib.Nifti1Image(RAMP, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    refuse((tmp_path / "a.nii.gz").rename(tmp_path / "nifti.mgz"), "is not an MGZ file.*mri_convert")
    save(tmp_path / "a.mgh", RAMP).rename(tmp_path / "plain.mgz")
    refuse(tmp_path / "plain.mgz", r"not what its name says.*rename it to end in \.mgh")
    save(tmp_path / "a.mgz", RAMP).rename(tmp_path / "packed.mgh")
    refuse(tmp_path / "packed.mgh", r"not what its name says.*rename it to end in \.mgz")


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
def test_headers_that_cannot_be(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, RAMP)
    refuse(patch(path, 0, struct.pack(">i", 2)), "is not an MGZ file")
    refuse(patch(path, 20, struct.pack(">i", 2)), "is not an MGZ file")  # a type that nobody writes
    refuse(patch(path, 4, struct.pack(">i", 0)), "is not one 3D volume")
    refuse(patch(path, 4, struct.pack(">i", -2)), "is not one 3D volume")
    refuse(patch(path, 4, struct.pack(">4i", 32000, 32000, 32000, 1)), "is too large")
    refuse(patch(path, 4, struct.pack(">4i", 500, 500, 500, 1)), "cut short.*bytes where the header asks for 250000284")
    refuse(patch(path, 28, b"\0\0"), "where its voxels lie.*without direction cosines")
    refuse(patch(path, 30, struct.pack(">3f", 0, 1, 1)), "where its voxels lie.*singular")
    refuse(patch(path, 42, struct.pack(">f", np.nan)), "where its voxels lie.*not finite")
    refuse(patch(path, 78, struct.pack(">f", np.inf)), "where its voxels lie.*not finite")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
def test_cut_files(tmp_path: Path, name: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 1000, (20, 20, 20)).astype(np.int16)
    path = save(tmp_path / name, noise)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FileError, match="cut short"):
        read_volume(path)


def test_a_flipped_bit_is_noticed_by_the_checksum(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mgz", np.random.default_rng(0).integers(0, 255, (64, 64, 64)).astype(np.uint8))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match="cut short"):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
def test_a_broken_byte_is_read_or_refused_and_nothing_else(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    path = save(tmp_path / name, rng.integers(0, 99, (5, 6, 7)).astype(np.int16))
    for _ in range(150):
        at, value = int(rng.integers(0, 284)), bytes([int(rng.integers(0, 256))])
        broken = patch(path, at, value)
        with contextlib.suppress(GliamapError):
            read_volume(broken)
            read_labels(broken)


def test_real_mgz(data_root: Path) -> None:
    path = data_root / "odd-headers" / "test.mgz"  # 3 x 4 x 5, two images
    with pytest.raises(FileError, match=r"is not one 3D volume.*3x4x5x2"):
        read_volume(path)
    theirs = nib.load(path)
    for channel in (0, 1):
        volume, grid = read_volume(path, channel)
        np.testing.assert_array_equal(volume, theirs.get_fdata()[..., channel].astype(np.float32))
        np.testing.assert_allclose(grid.affine, theirs.affine, atol=1e-4)
