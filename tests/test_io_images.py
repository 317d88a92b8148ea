"""Images in and masks out: orientation, depths, colour, damage."""

from __future__ import annotations

import contextlib
import io
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from gliamap.errors import FileError, GliamapError, LabelError
from gliamap.io import raster
from gliamap.io.images import equal_channels, read_grid, read_image, read_mask, write_mask
from gliamap.io.raster import read_head

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


@pytest.mark.parametrize(("bits", "values"), [(1, [[0, 1], [1, 1]]), (2, [[0, 3], [1, 2]]), (4, [[0, 15], [4, 2]])])
def test_grey_of_few_bits_is_not_stretched(tmp_path: Path, bits: int, values: list[list[int]]) -> None:
    lines = b"".join(b"\0" + bytes([(left << 8 - bits) | (right << 8 - 2 * bits)]) for left, right in values)
    (tmp_path / "a.png").write_bytes(png_of(2, 2, depth=bits, lines=lines))
    assert read_mask(tmp_path / "a.png")[0][:, :, 0].T.tolist() == values
    assert read_image(tmp_path / "a.png")[0][:, :, 0].T.tolist() == values


# Turned by a note in the file

# What each EXIF orientation makes of ROWS.
DISPLAYED = {
    1: [[0, 10, 20], [30, 40, 50]],
    2: [[20, 10, 0], [50, 40, 30]],
    3: [[50, 40, 30], [20, 10, 0]],
    4: [[30, 40, 50], [0, 10, 20]],
    5: [[0, 30], [10, 40], [20, 50]],
    6: [[30, 0], [40, 10], [50, 20]],
    7: [[50, 20], [40, 10], [30, 0]],
    8: [[20, 50], [10, 40], [0, 30]],
}


def save_turned(path: Path, rows: np.ndarray, orientation: int) -> Path:
    if rows.dtype.itemsize > 2:
        turned = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(path, rows, photometric="minisblack", extratags=turned, metadata=None)
        return path
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(rows).save(path, exif=exif, quality=100)
    return path


@pytest.mark.parametrize("orientation", DISPLAYED)
@pytest.mark.parametrize(("name", "dtype"), [("a.png", "u1"), ("a.png", "u2"), ("a.tif", "u1"), ("a.tif", "f8")])
def test_images_and_masks_are_read_as_they_are_displayed(
    tmp_path: Path, name: str, dtype: str, orientation: int
) -> None:
    path = save_turned(tmp_path / name, ROWS.astype(dtype), orientation)
    image, grid = read_image(path)
    assert image[:, :, 0].T.tolist() == DISPLAYED[orientation]
    assert read_mask(path)[0][:, :, 0].T.tolist() == DISPLAYED[orientation]
    assert read_grid(path).same_as(grid)
    write_mask(tmp_path / "mask.png", image.astype(np.uint8))  # a mask on the displayed grid is read back on it
    assert read_mask(tmp_path / "mask.png")[1].same_as(grid)
    assert read_mask(tmp_path / "mask.png")[0][:, :, 0].T.tolist() == DISPLAYED[orientation]


@pytest.mark.parametrize("orientation", DISPLAYED)
def test_a_turned_jpeg(tmp_path: Path, orientation: int) -> None:
    path = save_turned(tmp_path / "a.jpg", np.repeat(np.repeat(ROWS, 16, 0), 16, 1), orientation)
    with Image.open(path) as image:
        shown = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_image(path)[0][:, :, 0].T, shown)
    assert read_head(path).shape == read_image(path)[1].shape


def test_a_note_behind_the_pixels_counts(tmp_path: Path) -> None:
    data = save_turned(tmp_path / "a.png", ROWS, 6).read_bytes()
    at = data.index(b"eXIf") - 4
    end = at + 12 + int.from_bytes(data[at : at + 4], "big")
    (tmp_path / "a.png").write_bytes(data[:at] + data[end:-12] + data[at:end] + data[-12:])
    assert read_image(tmp_path / "a.png")[0][:, :, 0].T.tolist() == DISPLAYED[6]
    assert read_head(tmp_path / "a.png").shape == (2, 3, 1)


def test_a_turned_palette_keeps_its_indices(tmp_path: Path) -> None:
    coloured = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8))
    coloured.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    exif = Image.Exif()
    exif[274] = 6
    coloured.save(tmp_path / "a.png", exif=exif)
    assert read_mask(tmp_path / "a.png")[0][:, :, 0].T.tolist() == [[2, 0], [1, 1], [0, 2]]


@pytest.mark.parametrize("note", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x01\x01\x12"])
def test_a_broken_note_turns_nothing(tmp_path: Path, note: bytes) -> None:
    data = png_of(3, 2, lines=b"".join(b"\0" + row.tobytes() for row in ROWS))
    (tmp_path / "a.png").write_bytes(data[:33] + chunk(b"eXIf", note) + data[33:])
    assert read_image(tmp_path / "a.png")[0][:, :, 0].tolist() == COLUMNS_FIRST
    data = save(tmp_path / "a.jpg", np.full((8, 8), 90, np.uint8)).read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + data[2:])
    assert np.ptp(read_image(tmp_path / "a.jpg")[0]) <= 2


# Channels that are modalities


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_a_channel_of_a_colour_image(tmp_path: Path, dtype: str) -> None:
    channels = np.stack([ROWS, ROWS[::-1], 2 * ROWS], axis=-1).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", channels, photometric="rgb")
    for channel, rows in enumerate((ROWS, ROWS[::-1], 2 * ROWS)):
        image, grid = read_image(tmp_path / "a.tif", channel)
        assert image[:, :, 0].T.tolist() == rows.tolist()
        assert grid.shape == (3, 2, 1)
    for channel in (-1, 3):
        with pytest.raises(FileError, match=rf"has no channel {channel}.*Found: 3 channels"):
            read_image(tmp_path / "a.tif", channel)
    with pytest.raises(FileError, match=r"no channel 1.*Found: 1 channels"):
        read_image(save(tmp_path / "grey.png", ROWS), 1)


def test_equal_channels_are_found(tmp_path: Path) -> None:
    for channels, found in (
        ((ROWS, ROWS[::-1], ROWS), ((0, 2),)),
        ((ROWS, ROWS, ROWS), ((0, 1, 2),)),
        ((ROWS, ROWS[::-1], 2 * ROWS), ()),
        ((0 * ROWS, 0 * ROWS, ROWS), ()),
    ):
        assert equal_channels(save(tmp_path / "a.tif", np.stack(channels, axis=-1))) == found
    assert equal_channels(save(tmp_path / "grey.png", ROWS)) == ()


def test_images_in_an_archive(tmp_path: Path) -> None:
    save(tmp_path / "a.png", ROWS)
    tifffile.imwrite(tmp_path / "b.tif", ROWS.astype(np.float64), photometric="minisblack")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for name in ("a.png", "b.tif"):
            archive.add(tmp_path / name, name)
    for name in ("a.png", "b.tif"):
        assert read_image(tmp_path / "set.tar" / name)[0][:, :, 0].tolist() == COLUMNS_FIRST
        assert read_head(tmp_path / "set.tar" / name).shape == (3, 2, 1)


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


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_small_differences_are_rounding_in_eight_bits_alone(tmp_path: Path, dtype: str) -> None:
    channels = np.stack([ROWS, ROWS, ROWS + 1], axis=-1)
    assert read_image(save(tmp_path / "a.png", channels))[0][:, :, 0].tolist() == COLUMNS_FIRST
    with pytest.raises(FileError, match="colour image"):
        read_mask(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", channels.astype(dtype), photometric="rgb")
    refuse(tmp_path / "a.tif", "colour image")


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


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png_of(width: int, height: int, *, depth: int = 8, colour: int = 0, lines: bytes = b"\0") -> bytes:
    """A PNG that says it is so large, and holds ``lines``."""
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header = chunk(b"IHDR", size + bytes([depth, colour, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("width", [4097, 10_000, 60_000])
def test_huge_images_are_refused_before_they_are_unpacked(tmp_path: Path, width: int) -> None:
    (tmp_path / "a.png").write_bytes(png_of(width, width))
    refuse(tmp_path / "a.png", "too large to be a slice")


def test_huge_tiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raster, "MAX_PIXELS", 10)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 9), np.float64), photometric="minisblack")
    refuse(tmp_path / "a.tif", "too large")


def test_a_folder_and_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    refuse(tmp_path / "folder.png", "cannot be read.*Is a directory")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    refuse(tmp_path / "link.png", "does not exist")


def test_inks_are_colours(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.tif"):
        Image.new("CMYK", (8, 8), (0, 0, 0, 90)).save(tmp_path / name)
        refuse(tmp_path / name, "colour image.*CMYK")


def test_moving_pictures(tmp_path: Path) -> None:
    frames = [Image.fromarray(ROWS), Image.fromarray(ROWS[::-1].copy())]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    refuse(tmp_path / "a.png", "not one image.*2 pages")


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt"])
def test_bombs_beside_the_pixels_are_not_unpacked(tmp_path: Path, kind: bytes) -> None:
    bomb = chunk(kind, b"name\0\0" + zlib.compress(bytes(8 * 2**20)))
    data = png_of(3, 2, lines=b"".join(b"\0" + row.tobytes() for row in ROWS))
    (tmp_path / "a.png").write_bytes(data[:33] + bomb + data[33:])
    refuse(tmp_path / "a.png", "not a readable image.*too large")


def test_many_passes_of_a_jpeg_are_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    Image.new("L", (64, 64)).save(packed, "JPEG", progressive=True)
    start, _, last = packed.getvalue()[:-2].rpartition(b"\xff\xda")
    scan = b"\xff\xda" + last
    (tmp_path / "a.jpg").write_bytes(start + scan + b"\xff\xd9")
    assert read_image(tmp_path / "a.jpg")[0].max() == 0
    (tmp_path / "a.jpg").write_bytes(start + scan * 200 + b"\xff\xd9")
    refuse(tmp_path / "a.jpg", "a JPEG of 20[0-9] passes")


def tiff_of(tags: dict[int, tuple[int, ...]], data: bytes) -> bytes:
    """A little-endian TIFF of one page with these tags (32 bits a value) and ``data`` right behind its header."""
    entries, rest, at = b"", b"", 8 + len(data) + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        entries += struct.pack("<HHI", tag, 4, len(values))
        entries += packed if len(values) == 1 else struct.pack("<I", at + len(rest))
        rest += b"" if len(values) == 1 else packed
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4) + rest


def test_a_strip_that_unpacks_to_more_than_the_image(tmp_path: Path) -> None:
    for size in (6 * 8, 64 * 2**20):
        data = zlib.compress(bytes(size))
        tags = {256: (3,), 257: (2,), 258: (64,), 259: (8,), 262: (1,), 273: (8,), 277: (1,), 278: (2,), 339: (3,)}
        (tmp_path / "a.tif").write_bytes(tiff_of(tags | {279: (len(data),)}, data))
        if size == 6 * 8:
            assert read_image(tmp_path / "a.tif")[1].shape == (3, 2, 1)
    refuse(tmp_path / "a.tif", "unpacks to more than the image")


@pytest.mark.parametrize("compression", [1, 8])
def test_a_strip_that_holds_too_little_is_not_filled_up(tmp_path: Path, compression: int) -> None:
    data = bytes(5 * 8) if compression == 1 else zlib.compress(bytes(5 * 8))
    tags = {256: (3,), 257: (2,), 258: (64,), 259: (compression,), 262: (1,), 273: (8,), 277: (1,), 278: (2,)}
    (tmp_path / "a.tif").write_bytes(tiff_of(tags | {279: (len(data),), 339: (3,)}, data))
    refuse(tmp_path / "a.tif", "fewer values than the image has pixels")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_cut_tiff_of_many_bits_is_not_filled_up(tmp_path: Path, compression: str | None) -> None:
    rows = np.random.default_rng(0).random((64, 64))
    settings = {"photometric": "minisblack", "compression": compression, "rowsperstrip": 8, "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", rows, **settings)
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[:-3000])
    refuse(tmp_path / "a.tif", "cut short")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        tags = file.pages.first.tags  # another height: more rows than there are values
        at = tags["ImageLength"].valueoffset
    for height, message in ((65, "cut short|fewer values"), (500, "cut short")):
        (tmp_path / "a.tif").write_bytes(data[:at] + struct.pack("<H", height) + data[at + 2 :])
        refuse(tmp_path / "a.tif", message)


@pytest.mark.parametrize("bits", [8, 64])
def test_tiles_far_larger_than_the_image(tmp_path: Path, bits: int) -> None:
    count = 2048
    tags = {256: (1,), 257: (4096 * count,), 258: (bits,), 259: (8,), 262: (1,), 277: (1,), 322: (4096,), 323: (4096,)}
    data = zlib.compress(bytes(4096))
    tags |= {324: (8,) * count, 325: (len(data),) * count, 339: (3 if bits == 64 else 1,)}
    (tmp_path / "a.tif").write_bytes(tiff_of(tags, data))
    refuse(tmp_path / "a.tif", "too large.*tiles of 4096x4096")


@pytest.mark.parametrize(("compression", "bits"), [("jpeg", 8), ("lzma", 8), ("lzma", 64)])
def test_rare_compressions_are_named(tmp_path: Path, compression: str, bits: int) -> None:
    if bits == 8:
        Image.new("L", (16, 16)).save(tmp_path / "a.tif", compression=compression)
    else:
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4)), photometric="minisblack", compression=compression)
    refuse(tmp_path / "a.tif", "packed in a way that is not read.*TIFF compression [0-9]+")
