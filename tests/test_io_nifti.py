"""NIfTI in and out: values, grids and headers exactly, damage with a clear message."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import make
from gliamap.errors import FileError, GliamapError, GridError, LabelError
from gliamap.io.nifti import (
    read_grid,
    read_labels,
    read_volume,
    read_volumes,
    replace_nonfinite,
    write_like,
    write_new,
)
from gliamap.io.nifti_header import is_nifti, nifti_stem

RAMP = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
EYE = np.eye(4)


def save(path: Path, data: Any, affine: Any = EYE, kind: Any = nib.Nifti1Image) -> Path:
    kind(data, affine).to_filename(path)
    return path


# Reading


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII"])
@pytest.mark.parametrize("kind", make.KINDS)
def test_values_and_grid_come_as_the_file_has_them(tmp_path: Path, name: str, kind: str) -> None:
    path = save(tmp_path / name, RAMP, make.affine(kind))
    volume, grid = read_volume(path)
    assert volume.dtype == np.float32
    np.testing.assert_array_equal(volume, RAMP)
    assert grid.shape == (2, 3, 4)
    np.testing.assert_allclose(grid.affine, make.affine(kind), atol=1e-5)
    assert read_grid(path).same_as(grid)


@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8"])
def test_byte_orders_versions_and_types(tmp_path: Path, endianness: str, kind: Any, dtype: str) -> None:
    image_kind = nib.Nifti1Image if kind is nib.Nifti1Header else nib.Nifti2Image
    header = kind(endianness=endianness)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(endianness))
    image_kind(RAMP, EYE, header).to_filename(tmp_path / "a.nii.gz")
    volume, _ = read_volume(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(volume, RAMP)
    assert volume.dtype.isnative
    labels, _ = read_labels(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(labels, RAMP)
    assert labels.dtype == np.uint8


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    path = patch_header(save(tmp_path / "a.nii", RAMP.astype(np.uint8)), scl_slope=0.5, scl_inter=-3)
    np.testing.assert_array_equal(read_volume(path)[0], RAMP * 0.5 - 3)
    whole = patch_header(path, scl_slope=2, scl_inter=1)
    np.testing.assert_array_equal(read_labels(whole)[0], RAMP * 2 + 1)
    with pytest.raises(LabelError, match="whole"):
        read_labels(path)
    refuse(patch_header(path, scl_inter=np.nan), "how its values are scaled")


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 4, 1), (2, 3, 4, 1, 1)])
def test_axes_of_size_one(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = save(tmp_path / "a.nii", np.zeros(shape, np.uint8))
    volume, grid = read_volume(path)
    assert volume.shape == grid.shape == (*shape, 1)[:3]


def test_units_become_millimetres(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", RAMP)
    for unit, size in (("meter", 1000.0), ("micron", 0.001), ("mm", 1.0), ("unknown", 1.0)):
        image = nib.load(path)
        image.header.set_xyzt_units(unit)
        image.to_filename(tmp_path / f"{unit}.nii")
        assert read_grid(tmp_path / f"{unit}.nii").spacing == pytest.approx((size, size, size))


def test_voxels_that_are_not_finite_are_kept_then_replaced(tmp_path: Path) -> None:
    data = RAMP.astype(np.float64)
    data[0, 0, 0], data[1, 2, 3], data[0, 1, 0] = np.nan, np.inf, 1e300  # 1e300 does not fit float32
    volume, _ = read_volume(save(tmp_path / "a.nii", data))
    assert replace_nonfinite(volume) == 3
    assert np.isfinite(volume).all()
    assert volume[0, 0, 0] == volume[1, 2, 3] == volume[0, 1, 0] == 0
    assert replace_nonfinite(volume) == 0


# Several images in a file

FOUR = np.random.default_rng(0).integers(-900, 900, (3, 4, 5, 6)).astype(np.int16)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_each_image_of_a_4d_file(tmp_path: Path, name: str, kind: Any) -> None:
    path = save(tmp_path / name, FOUR, make.affine("oblique"), kind)
    for channel in range(6):
        volume, grid = read_volume(path, channel)
        np.testing.assert_array_equal(volume, FOUR[..., channel])
        assert volume.dtype == np.float32 and volume.flags.c_contiguous
        assert grid.shape == (3, 4, 5) and grid.same_as(read_grid(path))
    np.testing.assert_allclose(read_grid(path).affine, make.affine("oblique"), atol=1e-5)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_several_images_come_in_the_order_of_the_file(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, FOUR)
    found = {channel: volume for channel, volume, _ in read_volumes(path, (5, 0, 2))}
    assert list(found) == [0, 2, 5]
    for channel, volume in found.items():
        np.testing.assert_array_equal(volume, FOUR[..., channel or 0])


def test_channels_are_scaled_and_of_any_byte_order(tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    nib.Nifti1Image(FOUR, EYE, header).to_filename(tmp_path / "a.nii")
    path = patch_header(tmp_path / "a.nii", endianness=">", scl_slope=0.5, scl_inter=-3)
    np.testing.assert_array_equal(read_volume(path, 4)[0], FOUR[..., 4] * 0.5 - 3)


@pytest.mark.parametrize("channel", [-1, 6, 10**9])
def test_a_channel_that_is_not_there(tmp_path: Path, channel: int) -> None:
    path = save(tmp_path / "a.nii.gz", FOUR)
    with pytest.raises(FileError, match=rf"a\.nii\.gz has no channel {channel}\. Found: 6 channels"):
        read_volume(path, channel)


def test_a_channel_of_a_file_without_channels(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"has no channel 0.*one image, without channels"):
        read_volume(save(tmp_path / "a.nii", RAMP), 0)
    np.testing.assert_array_equal(read_volume(save(tmp_path / "b.nii", RAMP[..., None]), 0)[0], RAMP)
    with pytest.raises(FileError, match=r"is not one 3D volume.*2x3x4x1x2"):
        read_volume(save(tmp_path / "c.nii", np.zeros((2, 3, 4, 1, 2), np.uint8)), 0)


def test_a_far_offset_is_not_rounded(tmp_path: Path) -> None:
    """NIfTI-1 stores the place of its voxels as a float32, which has no odd numbers beyond 2**24."""
    data = np.arange(3 * 5 * 7 * 3).astype(np.uint8).reshape(3, 5, 7, 3)  # 105 bytes an image
    path = patch_header(save(tmp_path / "a.nii", data), vox_offset=2**24)
    with path.open("r+b") as stream:
        stream.truncate(352)
        stream.seek(2**24)
        stream.write(data.tobytes(order="F"))
    for channel in range(3):
        np.testing.assert_array_equal(read_volume(path, channel)[0], data[..., channel])


@pytest.mark.parametrize("channel", [0, 3])
def test_damage_beyond_the_wanted_channel_is_noticed(tmp_path: Path, channel: int) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 40, 4)).astype(np.uint8)
    path = save(tmp_path / "a.nii.gz", noise)
    content = bytearray(path.read_bytes())
    content[int(len(content) * (0.9 if channel == 0 else 0.1))] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match="cut short"):
        read_volume(path, channel)


def test_several_images_take_the_memory_of_one(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 255, (64, 64, 64, 8)).astype(np.uint8)
    path = save(tmp_path / "a.nii.gz", data)
    del data
    tracemalloc.start()
    total = sum(float(volume[0, 0, 0]) for _, volume, _ in read_volumes(path, range(8)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total >= 0
    assert peak < 5 * 2**20  # one image: 1 MB as float32, 0.25 as stored, 1 a chunk; all of them would be 8 and 2


# Labels


def test_whole_numbers_stored_as_floats_are_labels(tmp_path: Path) -> None:
    labels, _ = read_labels(save(tmp_path / "a.nii", RAMP.astype(np.float64)))
    np.testing.assert_array_equal(labels, RAMP)
    assert labels.dtype == np.uint8


def test_labels_outside_a_byte_keep_their_values(tmp_path: Path) -> None:
    labels, _ = read_labels(save(tmp_path / "a.nii", RAMP - 5))
    np.testing.assert_array_equal(labels, RAMP - 5)


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, -1e30])
def test_fractional_labels_are_refused(tmp_path: Path, value: float) -> None:
    data = RAMP.astype(np.float32)
    data[0, 0, 0] = value
    with pytest.raises(LabelError, match=r"a\.nii is not a label map.*1 values that are not whole"):
        read_labels(save(tmp_path / "a.nii", data))


@pytest.mark.parametrize("slab", [1, 7, 24])
def test_label_maps_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slab: int) -> None:
    monkeypatch.setattr("gliamap.io.nifti._SLAB_VOXELS", slab)
    for offset, dtype in ((0, np.uint8), (-5, np.int16), (300, np.int16), (70_000, np.int32), (-40_000, np.int32)):
        labels, _ = read_labels(save(tmp_path / "a.nii", RAMP.astype(np.float64) + offset))
        np.testing.assert_array_equal(labels, RAMP.astype(np.float64) + offset)
        assert labels.dtype == dtype
    half = RAMP / 2
    with pytest.raises(LabelError, match="12 values that are not whole numbers, for example"):
        read_labels(save(tmp_path / "a.nii", half.astype(np.float32)))


@pytest.mark.parametrize("value", [2**31, 2**62, -(2**63)])
def test_numbers_larger_than_any_label(tmp_path: Path, value: int) -> None:
    data = RAMP.astype(np.int64)
    data[1, 1, 1] = value
    nib.Nifti1Image(data, EYE, dtype=np.int64).to_filename(tmp_path / "a.nii")
    with pytest.raises(LabelError, match="1 values that are not whole"):
        read_labels(tmp_path / "a.nii")


# What is refused


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_broken_byte_is_read_or_refused_and_nothing_else(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    data = save(tmp_path / name, rng.integers(0, 99, (5, 6, 7)).astype(np.int16)).read_bytes()
    for _ in range(150):
        broken = bytearray(data)
        for at in rng.integers(0, min(len(data), 360), 2):
            broken[at] = rng.integers(0, 256)
        (tmp_path / name).write_bytes(broken)
        with contextlib.suppress(GliamapError):
            read_volume(tmp_path / name)
            read_labels(tmp_path / name)


def refuse(path: Path, message: str) -> None:
    for read in (read_volume, read_labels):
        with pytest.raises(FileError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "To do:" in str(caught.value)


def patch_header(path: Path, *, endianness: str = "<", **fields: Any) -> Path:
    """A copy of an uncompressed NIfTI-1 file with some header fields set."""
    data = path.read_bytes()
    header = nib.Nifti1Header(data[:348], endianness, check=False)
    for name, value in fields.items():
        header[name] = value
    out = path.with_name(f"patched-{path.name}")
    out.write_bytes(header.binaryblock + data[348:])
    return out


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    refuse(tmp_path / "none.nii.gz", "does not exist")
    (tmp_path / "empty.nii.gz").write_bytes(b"")
    refuse(tmp_path / "empty.nii.gz", "is empty")
    (tmp_path / "text.nii").write_bytes(b"hello, this is no scan " * 40)
    refuse(tmp_path / "text.nii", "is not a NIfTI file")
    (tmp_path / "short.nii").write_bytes((348).to_bytes(4, "little"))
    refuse(tmp_path / "short.nii", "is not a NIfTI file")
    (tmp_path / "text.nii.gz").write_bytes(gzip.compress(b"hello"))
    refuse(tmp_path / "text.nii.gz", "is not a NIfTI file")
    (tmp_path / "folder.nii").mkdir()
    refuse(tmp_path / "folder.nii", "cannot be read")


def test_gzip_where_the_name_says_plain_and_the_reverse(tmp_path: Path) -> None:
    save(tmp_path / "a.nii", RAMP).rename(tmp_path / "plain.nii.gz")
    refuse(tmp_path / "plain.nii.gz", r"not what its name says.*rename it to end in \.nii")
    save(tmp_path / "a.nii.gz", RAMP).rename(tmp_path / "packed.nii")
    refuse(tmp_path / "packed.nii", r"not what its name says.*rename it to end in \.nii\.gz")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_cut_files(tmp_path: Path, name: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 1000, (20, 20, 20)).astype(np.int16)
    path = save(tmp_path / name, noise)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(FileError, match=r"cut short|not a NIfTI file"):
        read_volume(path)


@pytest.mark.parametrize("place", [0.5, 1.0], ids=["voxels", "checksum"])
def test_a_flipped_bit_is_noticed_by_the_checksum(tmp_path: Path, place: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 64)).astype(np.uint8)
    path = save(tmp_path / "a.nii.gz", noise)
    data = bytearray(path.read_bytes())
    data[int((len(data) - 8) * place)] ^= 1  # the last eight bytes are checksum and length
    path.write_bytes(data)
    refuse(path, "cut short")


def test_four_dimensions_and_odd_values(tmp_path: Path) -> None:
    refuse(
        save(tmp_path / "a.nii", np.zeros((2, 3, 4, 5), np.uint8)),
        r"is not one 3D volume.*2x3x4x5.*To do: name the folder of the data set with its dataset\.json",
    )
    refuse(save(tmp_path / "c.nii", np.zeros((2, 3, 4), np.complex64)), "one number per voxel.*complex64")
    rgb = np.zeros((2, 3, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    refuse(save(tmp_path / "rgb.nii", rgb), "one number per voxel.*colour")


def test_affines_that_place_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", RAMP)
    refuse(patch_header(path, srow_x=0), "where its voxels lie.*singular")
    refuse(patch_header(path, srow_y=np.nan), "where its voxels lie.*not finite")
    refuse(patch_header(path, srow_x=[1e-9, 0, 0, 0]), "where its voxels lie.*voxels of 1e-09x1x1 mm")
    refuse(patch_header(path, srow_x=[1e30, 0, 0, 0]), "where its voxels lie.*voxels of 1e\\+30x1x1 mm")
    refuse(patch_header(path, srow_x=[1, 0, 0, 1e30]), "where its voxels lie.*at 1e\\+30x0x0 mm")
    refuse(patch_header(path, srow_x=[1, 1, 0, 0], srow_y=[1, 1, 0, 0]), "where its voxels lie.*singular")
    refuse(patch_header(path, sform_code=0, qform_code=1, quatern_b=2, quatern_c=0), "where its voxels lie.*positive")


def test_a_header_that_promises_too_much_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", RAMP)
    refuse(patch_header(path, dim=[3, 32000, 32000, 32000, 1, 1, 1, 1]), "is too large")
    refuse(
        patch_header(path, dim=[3, 500, 500, 500, 1, 1, 1, 1]), "cut short.*bytes where the header asks for 250000352"
    )
    refuse(patch_header(path, vox_offset=1e30), "cut short")
    refuse(patch_header(path, vox_offset=np.nan), "cut short|not a NIfTI")
    refuse(patch_header(path, vox_offset=-np.inf), "not a NIfTI")
    refuse(patch_header(path, dim=[32767, 3, 3, 3, 1, 1, 1, 1]), "not a NIfTI")
    refuse(patch_header(path, vox_offset=np.inf), "cut short|not a NIfTI")
    refuse(patch_header(path, vox_offset=0), "not a NIfTI.*inside the header")
    refuse(patch_header(path, dim=[3, 0, 3, 4, 1, 1, 1, 1]), "is not one 3D volume|not a NIfTI")


def test_image_pairs_and_analyze_are_refused(tmp_path: Path) -> None:
    nib.Nifti1Pair(RAMP, EYE).to_filename(tmp_path / "a.hdr")
    refuse(tmp_path / "a.hdr", "is not a NIfTI file.*without its voxels")


# Writing


def grid_codes(path: Path) -> dict[str, Any]:
    """Everything of a header that places voxels, as written in the file."""
    header = nib.load(path).header
    fields = ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
    out = {name: header[name].tolist() for name in (*fields, "srow_x", "srow_y", "srow_z", "xyzt_units")}
    return {**out, "pixdim": header["pixdim"][:4].tolist(), "shape": header.get_data_shape()}


REFERENCES = {
    "both codes": {"qform_code": 1, "sform_code": 2},
    "qform only": {"qform_code": 1, "sform_code": 0},
    "sform only": {"qform_code": 0, "sform_code": 4},
    "neither": {"qform_code": 0, "sform_code": 0},
    "seconds and unknown": {"xyzt_units": 8},
    "scaled": {"scl_slope": 0.25, "scl_inter": 7},
}


@pytest.mark.parametrize("fields", REFERENCES.values(), ids=REFERENCES.keys())
@pytest.mark.parametrize("kind", make.KINDS)
def test_a_mask_takes_exactly_the_reference_grid(tmp_path: Path, kind: str, fields: dict[str, Any]) -> None:
    image = nib.Nifti1Image(RAMP, make.affine(kind))
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(make.affine(kind), 1)
    image.to_filename(tmp_path / "a.nii")
    reference = patch_header(tmp_path / "a.nii", **fields)
    mask = (RAMP % 5).astype(np.uint8)
    write_like(tmp_path / "mask.nii.gz", mask, reference)
    assert grid_codes(tmp_path / "mask.nii.gz") == grid_codes(reference)
    written = nib.load(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(written.affine, nib.load(reference).affine)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), mask)
    assert written.get_data_dtype() == np.uint8
    assert written.dataobj.slope == 1 and written.dataobj.inter == 0
    assert read_grid(tmp_path / "mask.nii.gz").same_as(read_grid(reference))
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.nii.gz")[0], mask)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 1)])
def test_a_mask_takes_the_number_of_axes_too(tmp_path: Path, shape: tuple[int, ...]) -> None:
    reference = save(tmp_path / "a.nii", np.zeros(shape, np.int16))
    mask = np.arange(np.prod(shape), dtype=np.uint8).reshape((*shape, 1)[:3])
    write_like(tmp_path / "mask.nii.gz", mask, reference)
    assert nib.load(tmp_path / "mask.nii.gz").shape == shape
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.nii.gz")[0], mask)


@pytest.mark.parametrize("kind", make.KINDS)
def test_a_mask_for_a_4d_reference_is_3d(tmp_path: Path, kind: str) -> None:
    reference = save(tmp_path / "a.nii.gz", FOUR, make.affine(kind))
    mask = (FOUR[..., 0] > 0).astype(np.uint8)
    write_like(tmp_path / "mask.nii.gz", mask, reference)
    written = nib.load(tmp_path / "mask.nii.gz")
    assert written.shape == (3, 4, 5)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), mask)
    np.testing.assert_array_equal(written.affine, nib.load(reference).affine)
    assert read_grid(tmp_path / "mask.nii.gz").same_as(read_grid(reference))
    write_like(tmp_path / "p.nii.gz", FOUR[..., :2].astype(np.float32), reference)
    assert nib.load(tmp_path / "p.nii.gz").shape == (3, 4, 5, 2)
    with pytest.raises(GridError, match=r"\(3, 5, 4\)"):
        write_like(tmp_path / "b.nii.gz", np.zeros((3, 5, 4), np.uint8), reference)


@pytest.mark.parametrize("endianness", ["<", ">"])
def test_a_nifti2_reference_gives_nifti2(tmp_path: Path, endianness: str) -> None:
    header = nib.Nifti2Header(endianness=endianness)
    nib.Nifti2Image(RAMP, make.affine("oblique"), header).to_filename(tmp_path / "a.nii")
    write_like(tmp_path / "mask.nii", RAMP.astype(np.uint8), tmp_path / "a.nii")
    written = nib.load(tmp_path / "mask.nii")
    assert isinstance(written, nib.Nifti2Image)
    np.testing.assert_array_equal(written.affine, nib.load(tmp_path / "a.nii").affine)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), RAMP)


def test_probabilities_add_an_axis(tmp_path: Path) -> None:
    reference = save(tmp_path / "a.nii", RAMP, make.affine("flipped"))
    probs = np.random.default_rng(0).random((2, 3, 4, 5), np.float32)
    write_like(tmp_path / "p.nii.gz", probs, reference)
    written = nib.load(tmp_path / "p.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), probs)
    np.testing.assert_array_equal(written.affine, nib.load(reference).affine)


def test_a_wrong_size_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    reference = save(tmp_path / "a.nii", RAMP)
    with pytest.raises(GridError, match=r"mask\.nii\.gz.*\(4, 3, 2\).*\(2, 3, 4\)"):
        write_like(tmp_path / "mask.nii.gz", np.zeros((4, 3, 2), np.uint8), reference)
    assert list(tmp_path.iterdir()) == [reference]


def test_equal_masks_give_equal_files(tmp_path: Path) -> None:
    reference = save(tmp_path / "a.nii", RAMP)
    for name in ("one.nii.gz", "two.nii.gz"):
        write_like(tmp_path / name, RAMP.astype(np.uint8), reference)
    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "two.nii.gz").read_bytes()


@pytest.mark.parametrize("kind", make.KINDS)
def test_a_new_file_on_a_grid(tmp_path: Path, kind: str) -> None:
    grid = make.grid(kind)
    mask = make.labels(grid.shape)
    write_new(tmp_path / "a.nii.gz", mask > 0, grid)
    labels, read = read_labels(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(labels, mask > 0)
    assert read.same_as(grid)
    image = nib.load(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-4)


def test_names() -> None:
    assert nifti_stem(Path("x/BRATS_001.nii.gz")) == "BRATS_001"
    assert nifti_stem(Path("a.b.NII")) == "a.b"
    assert nifti_stem(Path("a.png")) == "a.png"
    assert is_nifti(Path("a.nii.gz")) and not is_nifti(Path("a.gz"))


def test_a_slope_beyond_float32_gives_voxels_that_are_not_finite(tmp_path: Path) -> None:
    header = nib.Nifti2Header()  # its slope is a float64
    header.set_data_shape((2, 1, 1))
    header.set_data_dtype(np.int16)
    header.set_sform(np.eye(4), code=1)
    header["scl_slope"], header["scl_inter"] = 1e300, 0
    header["vox_offset"] = 544
    path = tmp_path / "a.nii"
    path.write_bytes(header.binaryblock + bytes(4) + np.array([0, 7], np.int16).tobytes())
    volume, _ = read_volume(path)
    assert np.isnan(volume[0, 0, 0])  # nought times infinity
    assert np.isinf(volume[1, 0, 0])
