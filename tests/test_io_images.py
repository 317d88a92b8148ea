"""Images in and masks out: orientation, depths, colour, damage."""

from __future__ import annotations

import contextlib
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from gliamap.errors import FileError, GliamapError, LabelError
from gliamap.io import images
from gliamap.io.images import read_image, read_mask, write_mask

# Two rows of three columns, as a viewer shows them.
ROWS = np.array([[0, 10, 20], [30, 40, 50]], np.uint8)
COLUMNS_FIRST = [[0, 30], [10, 40], [20, 50]]


def save(path: Path, rows: np.ndarray, mode: str | None = None) -> Path:
    image = Image.fromarray(rows)
    (image.convert(mode) if mode else image).save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.tiff", "A.PNG"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_grey_values_come_with_columns_first(tmp_path: Path, name: str, mode: str) -> None:
    image, grid = read_image(save(tmp_path / name, ROWS, mode))
    assert image.dtype == np.float32
    assert image[:, :, 0].tolist() == COLUMNS_FIRST
    assert grid.shape == image.shape == (3, 2, 1)
    assert grid.unit == "px"


def test_jpeg_in_grey_and_in_equal_colours(tmp_path: Path) -> None:
    rows = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (40, 1))
    for mode in ("L", "RGB"):
        image, _ = read_image(save(tmp_path / f"{mode}.jpg", rows, mode))
        assert image.shape == (64, 40, 1)
        assert np.abs(image[:, :, 0].T - rows).max() <= 12


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits(tmp_path: Path, name: str) -> None:
    image, _ = read_image(save(tmp_path / name, ROWS.astype(np.uint16) * 1000))
    assert image[:, :, 0].T.tolist() == (ROWS.astype(int) * 1000).tolist()


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits"])
def test_compressed_tiff(tmp_path: Path, compression: str | None) -> None:
    Image.fromarray(ROWS).save(tmp_path / "a.tif", compression=compression)
    assert read_image(tmp_path / "a.tif")[0][:, :, 0].tolist() == COLUMNS_FIRST


@pytest.mark.parametrize("dtype", ["f4", "f8", ">u2", "i2"])
@pytest.mark.parametrize("planar", ["grey", "contig", "separate"])
def test_tiff_of_other_depths(tmp_path: Path, dtype: str, planar: str) -> None:
    rows = ROWS.astype(dtype)
    if planar == "grey":
        tifffile.imwrite(tmp_path / "a.tif", rows, photometric="minisblack")
    else:
        channels = np.stack([rows] * 3, axis=-1 if planar == "contig" else 0)
        tifffile.imwrite(tmp_path / "a.tif", channels, photometric="rgb", planarconfig=planar)
    assert read_image(tmp_path / "a.tif")[0][:, :, 0].tolist() == COLUMNS_FIRST


def test_sixteen_bit_colour_png_is_not_read_as_eight_bits(tmp_path: Path) -> None:
    lines = b"".join(b"\0" + row.astype(">u2").repeat(3).tobytes() for row in ROWS)
    (tmp_path / "a.png").write_bytes(png_of(3, 2, depth=16, colour=2, lines=lines))
    refuse(tmp_path / "a.png", "16-bit colour")


def test_one_bit_masks_hold_0_and_1(tmp_path: Path) -> None:
    Image.fromarray(ROWS > 25).save(tmp_path / "a.png")
    mask, grid = read_mask(tmp_path / "a.png")
    assert mask[:, :, 0].tolist() == [[0, 1], [0, 1], [0, 1]]
    assert mask.dtype == np.uint8
    assert grid.shape == (3, 2, 1)
    assert read_image(tmp_path / "a.png")[0].max() == 1


def test_palettes(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    coloured = Image.fromarray(labels)
    coloured.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    coloured.save(tmp_path / "colour.png")
    assert read_mask(tmp_path / "colour.png")[0][:, :, 0].T.tolist() == labels.tolist()
    with pytest.raises(FileError, match="colour image"):
        read_image(tmp_path / "colour.png")
    grey = Image.fromarray(labels)
    grey.putpalette([0, 0, 0, 100, 100, 100, 200, 200, 200])
    grey.save(tmp_path / "grey.png")
    assert read_mask(tmp_path / "grey.png")[0][:, :, 0].T.tolist() == (labels * 100).tolist()


def test_masks_come_back(tmp_path: Path) -> None:
    values = np.array([[[0], [1]], [[2], [4]], [[255], [0]]], np.uint8)
    write_mask(tmp_path / "mask.png", values)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png")[0], values)
    with Image.open(tmp_path / "mask.png") as image:
        assert (image.mode, image.size) == ("L", (3, 2))
    with pytest.raises(LabelError, match="0 to 300"):
        write_mask(tmp_path / "other.png", np.array([[[0], [300]]]))


def test_fractional_masks_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ROWS.astype(np.float32) / 8)
    with pytest.raises(LabelError, match=r"a\.tif is not a label map"):
        read_mask(tmp_path / "a.tif")


# What is refused


def refuse(path: Path, message: str) -> None:
    for read in (read_image, read_mask):
        with pytest.raises(FileError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)


def test_colour_and_transparency(tmp_path: Path) -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    refuse(save(tmp_path / "red.png", red), "colour image")
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[0, 0, 3] = 255
    refuse(save(tmp_path / "clear.png", clear), "transparent")


def test_missing_empty_foreign_and_cut(tmp_path: Path) -> None:
    refuse(tmp_path / "none.png", "does not exist")
    (tmp_path / "empty.png").write_bytes(b"")
    refuse(tmp_path / "empty.png", "is empty")
    for name in ("text.png", "text.tif", "text.jpg"):
        (tmp_path / name).write_bytes(b"no image at all")
        refuse(tmp_path / name, "not a readable image")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    for name in ("a.png", "a.jpg", "a.tif"):
        path = save(tmp_path / name, noise)
        path.write_bytes(path.read_bytes()[:1500])
        refuse(path, "not a readable image")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_a_broken_byte_is_read_or_refused_and_nothing_else(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    data = save(tmp_path / name, rng.integers(0, 255, (9, 9)).astype(np.uint8)).read_bytes()
    for _ in range(100):
        broken = bytearray(data)
        for at in rng.integers(0, len(data), 2):
            broken[at] = rng.integers(0, 256)
        (tmp_path / name).write_bytes(broken)
        with contextlib.suppress(GliamapError):
            read_image(tmp_path / name)
            read_mask(tmp_path / name)


def test_several_pages(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    refuse(tmp_path / "a.tif", "not one image.*3 pages")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((3, 8, 8), np.float64), photometric="minisblack")
    refuse(tmp_path / "b.tif", "not one image.*3 pages")


def png_of(width: int, height: int, *, depth: int = 8, colour: int = 0, lines: bytes = b"\0") -> bytes:
    """A PNG that says it is so large, and holds ``lines``."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header = chunk(b"IHDR", size + bytes([depth, colour, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("width", [8200, 10_000, 60_000])
def test_huge_images_are_refused_before_they_are_unpacked(tmp_path: Path, width: int) -> None:
    (tmp_path / "a.png").write_bytes(png_of(width, width))
    refuse(tmp_path / "a.png", "too large to be a slice")


def test_huge_tiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 10)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 9), np.float64), photometric="minisblack")
    refuse(tmp_path / "a.tif", "too large")
