"""Slices in MATLAB v7.3 files: orientation, ids, folds, and files that mean harm."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

import make
from gliamap.errors import FileError, LabelError
from gliamap.io import images, matlab
from gliamap.io.matlab import is_matlab, read_class, read_folds, read_grid, read_image, read_mask, read_patient

# Two rows of three columns, as MATLAB prints them.
ROWS = np.array([[0, 10, 900], [-30, 40, 50]], np.int16)
MASK = np.array([[0, 0, 1], [0, 1, 0]], np.uint8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make.write_matlab_slice(tmp_path / "1.mat", ROWS, MASK, patient="MR024220F", kind=2)


def test_image_and_mask_come_with_columns_first(path: Path) -> None:
    image, grid = read_image(path)
    mask, mask_grid = read_mask(path)
    assert image.dtype == np.float32 and image.flags.c_contiguous
    assert image[:, :, 0].tolist() == [[0, -30], [10, 40], [900, 50]]
    assert mask.dtype == np.uint8
    assert mask[:, :, 0].tolist() == [[0, 0], [0, 1], [1, 0]]
    assert grid.shape == (3, 2, 1) and grid.unit == "px"
    assert grid.same_as(mask_grid) and grid.same_as(read_grid(path))


def test_a_png_of_the_slice_is_the_same(tmp_path: Path) -> None:
    rows = np.zeros((50, 34), np.uint16)
    rows[3:9, 5:30], rows[9:40, 5:8] = 700, 300  # an L on its side: no turn and no flip maps it onto itself
    make.write_matlab_slice(tmp_path / "1.mat", rows, (rows > 500).astype(np.uint8))
    Image.fromarray(rows).save(tmp_path / "1.png")
    Image.fromarray((rows > 500).astype(np.uint8)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_image(tmp_path / "1.mat")[0], images.read_image(tmp_path / "1.png")[0])
    np.testing.assert_array_equal(read_mask(tmp_path / "1.mat")[0], images.read_mask(tmp_path / "mask.png")[0])
    assert read_grid(tmp_path / "1.mat").same_as(images.read_image(tmp_path / "1.png")[1])


def test_in_an_archive(path: Path) -> None:
    with tarfile.open(path.with_name("set.tar"), "w") as archive:
        archive.add(path, "a/1.mat")
    assert read_image(path.with_name("set.tar") / "a" / "1.mat")[0].max() == 900


def test_names() -> None:
    assert [is_matlab(Path(name)) for name in ("1.mat", "A.MAT", "1.png")] == [True, True, False]


def change(path: Path, name: str, value: Any, **settings: Any) -> Path:
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        file.create_dataset(name, data=value, **settings)
    return path


def codes(text: str) -> np.ndarray:
    return np.array([[ord(letter) for letter in text]], np.uint16)


@pytest.mark.parametrize(
    ("value", "patient"),
    [
        (codes("MR024220F"), "MR024220F"),
        (codes("MR024220F").T, "MR024220F"),
        (codes(" 100360\0\0"), "100360"),
        (codes("a\x1b[31m\n"), "a[31m"),
        (codes("x" * 500), "x" * 64),
        (np.array([[100360.0]]), "100360"),
        (np.array([[1, 0, 36]], np.uint8), "1-0-36"),
        (codes("\0\0"), None),
    ],
)
def test_patients(path: Path, value: np.ndarray, patient: str | None) -> None:
    assert read_patient(path) == "MR024220F"
    assert read_patient(change(path, "cjdata/PID", value)) == patient


def test_a_file_without_a_patient(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["cjdata/PID"]
    assert read_patient(path) is None


def test_classes(path: Path) -> None:
    assert read_class(path) == 2
    for value in (np.array([[0.0]]), np.array([[2.5]]), np.array([[np.nan]])):
        with pytest.raises(FileError, match=r"cjdata/label is .*one of 1 meningioma, 2 glioma"):
            read_class(change(path, "cjdata/label", value))
    with pytest.raises(FileError, match="cjdata/label of size 1x2"):
        read_class(change(path, "cjdata/label", np.ones((1, 2))))


def test_folds(tmp_path: Path) -> None:
    path = make.write_folds(tmp_path / "cvind.mat", (1, 5, 3))
    assert read_folds(path) == (1, 5, 3)
    assert read_folds(change(path, "cvind", np.array([[1], [2]], np.uint8))) == (1, 2)
    for value in ([[1.5]], [[np.nan]], [[1e300]], [[1.0, 2.0], [3.0, 4.0]]):
        with pytest.raises(FileError, match="no list of folds"):
            read_folds(change(path, "cvind", np.array(value)))


def test_fractional_masks_are_refused(path: Path) -> None:
    with pytest.raises(LabelError, match=r"1\.mat is not a label map"):
        read_mask(change(path, "cjdata/tumorMask", np.full((3, 2), 0.5)))


# What is refused


def refuse(path: Path, message: str) -> None:
    for read in (read_image, read_grid):
        with pytest.raises(FileError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)


def test_missing_empty_foreign_cut_and_old(tmp_path: Path, path: Path) -> None:
    refuse(tmp_path / "none.mat", "does not exist")
    refuse(tmp_path, "cannot be read.*Is a directory")
    data = path.read_bytes()
    for content in (b"", b"no MATLAB file at all", data[:700], data[: len(data) // 2]):
        path.write_bytes(content)
        refuse(path, "not a readable MATLAB file")
    path.write_bytes(b"MATLAB 5.0 MAT-file, Platform: PCWIN64" + bytes(200))
    refuse(path, r"older MATLAB format.*To do: .*-v7\.3")


def test_other_content(path: Path) -> None:
    refuse(change(path, "cjdata/image", np.zeros((2, 2, 2))), "3 axes of float64")
    refuse(change(path, "cjdata/image", np.zeros((2, 2), np.complex64)), "complex64 values")
    refuse(change(path, "cjdata/image", [["a", "b"]]), "object values")
    refuse(change(path, "cjdata/image", np.zeros((0, 2))), "size 0x2")
    with h5py.File(path, "r+") as file:
        del file["cjdata/image"]
        file.create_group("cjdata/image")
    refuse(path, r"no cjdata/image.*figshare 1512427")
    with h5py.File(path, "r+") as file:
        del file["cjdata"]
        file["cjdata"] = np.zeros((2, 2))
    refuse(path, "no cjdata/image")


def elsewhere(path: Path) -> Path:
    return make.write_matlab_slice(path.with_name("other.mat"), ROWS, MASK)


def soft_link(file: Any, path: Path) -> None:
    file["cjdata/image"] = h5py.SoftLink("/cjdata/tumorMask")


def external_link(file: Any, path: Path) -> None:
    file["cjdata/image"] = h5py.ExternalLink(str(elsewhere(path)), "/cjdata/image")


def external_group(file: Any, path: Path) -> None:
    del file["cjdata"]
    file["cjdata"] = h5py.ExternalLink(str(elsewhere(path)), "/cjdata")


def external_values(file: Any, path: Path) -> None:
    other = path.with_name("secret")
    other.write_bytes(bytes(range(12)))
    file.create_dataset("cjdata/image", (3, 2), "i2", external=[(str(other), 0, h5py.h5f.UNLIMITED)])


def virtual_values(file: Any, path: Path) -> None:
    layout = h5py.VirtualLayout((3, 2), "i2")
    layout[:] = h5py.VirtualSource(str(elsewhere(path)), "cjdata/image", (3, 2), "i2")
    file.create_virtual_dataset("cjdata/image", layout)


def huge(file: Any, path: Path) -> None:
    file.create_dataset("cjdata/image", (2**20, 2**20), "i2", chunks=(64, 64))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (soft_link, "no cjdata/image"),
        (external_link, "no cjdata/image"),
        (external_group, "no cjdata/image"),
        (external_values, "another file"),
        (virtual_values, "another file"),
        (huge, "of size 1048576x1048576"),
    ],
)
def test_what_leads_out_of_the_file_is_refused(path: Path, damage: Callable[[Any, Path], None], message: str) -> None:
    with h5py.File(path, "r+") as file:
        del file["cjdata/image"]
        damage(file, path)
    refuse(path, message)


def bomb(path: Path, *, chunks: tuple[int, int], filters: dict[str, Any], packed: bytes | None = None) -> Path:
    """An image of 64 x 64 in such chunks, the first of which is replaced by ``packed``."""
    with h5py.File(path, "r+") as file:
        del file["cjdata/image"]
        data = file.create_dataset("cjdata/image", (64, 64), "i2", chunks=chunks, maxshape=(None, None), **filters)
        if packed is not None:
            data.id.write_direct_chunk((0, 0), packed)
        else:
            data[...] = 1
    return path


GZIP = {"compression": "gzip"}


def test_packing_that_matlab_does_not_use_is_refused(path: Path) -> None:
    for filters in (GZIP, GZIP | {"shuffle": True}, {}):
        assert read_image(bomb(path, chunks=(16, 64), filters=filters))[0].min() == 1
    for chunks, filters, packed in (
        ((16, 64), {"compression": "lzf"}, None),
        ((16, 64), GZIP | {"fletcher32": True}, None),
        ((2**14, 2**15), GZIP, b"x"),
        ((64, 64), GZIP, zlib.compress(bytes(2**24))),
        ((64, 64), GZIP, zlib.compress(bytes(99))),
    ):
        bomb(path, chunks=chunks, filters=filters, packed=packed)
        with pytest.raises(FileError, match="packed in a way that MATLAB does not use"):
            read_image(path)


def test_chunks_of_too_many_values_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb(path, chunks=(64, 64), filters=GZIP)
    monkeypatch.setattr(matlab, "_MAX_BYTES", 64 * 64 * 2 // 4)
    read_image(path)
    monkeypatch.setattr(matlab, "_MAX_BYTES", 64 * 64 * 2 // 4 - 1)
    with pytest.raises(FileError, match="packed in a way"):
        read_image(path)


def test_crumbs_are_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["cjdata/image"]
        file.create_dataset("cjdata/image", (4096, 4096), "i2", chunks=(1, 1))
    with pytest.raises(FileError, match="packed in a way"):
        read_image(path)
