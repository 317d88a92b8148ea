"""PNG, JPEG and TIFF files unpacked as they are displayed, within bounds: by Pillow where it keeps the depth, by
tifffile where it does not.

Arrays are ``(rows, columns)`` or ``(rows, columns, channels)``, as these files hold them; ``images`` transposes them.
"""

from __future__ import annotations

import logging
import math
import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from gliamap.boxes import Shape
from gliamap.errors import FileError
from gliamap.io.archive import open_binary

MAX_PIXELS = 2**24
"""Larger images (4096 x 4096) are refused before they are unpacked: a slice of an MRI has 65 thousand to a million."""

_MAX_BYTES = 16 * MAX_PIXELS  # of all values together, where several channels have many bits
_MAX_SCANS = 100  # a progressive JPEG has about ten; each one costs a pass over all pixels
_FORMATS = ("PNG", "JPEG", "TIFF")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I", "I;16", "I;16B", "F")
_EIGHT_BIT_COLOUR = ("LA", "RGB", "RGBA")
_DTYPES = {"I;16": "uint16", "I;16B": "uint16", "I": "int32", "F": "float32"}  # of Pillow's modes; the rest are bytes
_STRETCHED = {"L;2": 85, "L;4": 17}  # Pillow spreads 2 and 4 bits over 0 to 255
_TIFF_SUFFIXES = (".tif", ".tiff")
_TILE_WIDTH, _TILE_LENGTH, _BITS, _COMPRESSION, _ORIENTATION = 322, 323, 258, 259, int(ExifTags.Base.Orientation)
_PILLOW_COMPRESSIONS = (1, 2, 3, 4, 5, 8, 32773, 32946)  # none, CCITT, LZW, deflate, PackBits
_TIFFFILE_COMPRESSIONS = (1, 8, 32946)
_DEFLATE = (8, 32946)
_NOTES = ("exif", "xmp", "Raw profile type exif", "XML:com.adobe.xmp")  # where Pillow finds an orientation
_PNG_NOTES = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
_SIDEWAYS, _UPSIDE_DOWN, _MIRRORED = (5, 6, 7, 8), (3, 4, 7, 8), (2, 3, 6, 7)  # orientations by what they ask for
# What Pillow and tifffile raise on broken files, as found by breaking them.
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError),
    *(struct.error, zlib.error, AttributeError),
)

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # it speaks of small faults without naming the file


@dataclass(frozen=True)
class ImageHead:
    """What an image file says before it is unpacked: ``(columns, rows, 1)``, bands (colours, alpha), numpy type."""

    shape: Shape
    bands: int
    dtype: str


def read_head(path: Path) -> ImageHead:
    """Size as displayed, bands and type of an image, not unpacked. ``FileError`` as in :func:`unpack`, where seen."""
    with _opened(path) as stream:
        try:
            with _pillow(stream, path) as image:
                if image.format == "PNG" and any(note in _content(stream) for note in _PNG_NOTES):
                    image.load()  # which way up it is may stand behind the pixels
                sideways = _orientation(image) in _SIDEWAYS
                shape = (image.height, image.width, 1) if sideways else (image.width, image.height, 1)
                return ImageHead(shape, len(image.getbands()), _DTYPES.get(image.mode, "uint8"))
        except UnidentifiedImageError:
            with _tiff_page(stream, path) as page:
                sizes = (int(page.imagewidth), int(page.imagelength))
                rows, columns = sizes if _page_orientation(page) in _SIDEWAYS else sizes[::-1]
                return ImageHead((columns, rows, 1), int(page.samplesperpixel), str(page.dtype))


def unpack(path: Path, *, as_labels: bool) -> NDArray[np.generic]:
    """``(rows, columns)`` or ``(rows, columns, channels)`` as displayed: turned as EXIF or the TIFF header says.

    A palette gives its colours, or with ``as_labels`` its indices, where it is not a ramp of greys. ``FileError`` where
    the file is missing, unreadable, damaged, of another kind, of several pages, in CMYK and the like, or too large.
    """
    with _opened(path) as stream:
        try:
            with _pillow(stream, path) as image:
                return _unpack(image, as_labels=as_labels)
        except UnidentifiedImageError:
            # Pillow knows all compressions of TIFF, tifffile all its sample formats.
            with _tiff_page(stream, path) as page:
                return _unpack_page(page)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes; whatever goes wrong while they are read becomes a ``FileError``."""
    try:
        with open_binary(path) as stream:
            if not stream.read(1):
                raise FileError(f"{path} is empty", expected="an image", remedy="copy or download it again")
            stream.seek(0)
            yield stream
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist", expected="an image", remedy="check the path") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path, str(error)) from error
    except UnidentifiedImageError as error:
        raise damaged(path, "content that is none of these, or 16-bit colour") from error
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:  # Pillow has none to tell
            raise FileError(f"{path} cannot be read", found=error.strerror, remedy="check the path") from error
        raise damaged(path, str(error)) from error


@contextmanager
def _pillow(stream: BinaryIO, path: Path) -> Iterator[ImageFile.ImageFile]:
    """The image before it is unpacked, of a kind and size that may be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about metadata that nobody reads
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(stream, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(path, f"{image.width}x{image.height} pixels")
            if getattr(image, "n_frames", 1) > 1:
                raise _several_pages(path, f"{getattr(image, 'n_frames', 1)} pages")
            tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
            if _loses_depth(image, tags):
                raise UnidentifiedImageError
            if image.mode not in _MODES:
                raise not_grey(path, f"{image.mode} colours")
            if image.format == "JPEG":
                _check_scans(stream, path)
            if image.format == "TIFF":
                tile = (tags.get(_TILE_WIDTH), tags.get(_TILE_LENGTH))
                _check_tiff(path, tags.get(_COMPRESSION, 1), _PILLOW_COMPRESSIONS)
                _check_tiles(path, (image.width, image.height), tile)
            yield image


def _loses_depth(image: ImageFile.ImageFile, tags: Mapping[int, Any]) -> bool:
    """Whether Pillow would read 16-bit colour as 8-bit, without a word."""
    if image.mode not in _EIGHT_BIT_COLOUR:
        return False
    # TIFF says it in a tag, PNG in how its pixels are packed.
    return any(bits > 8 for bits in tags.get(_BITS, ())) or any("16" in str(tile[3]) for tile in image.tile)


def _unpack(image: ImageFile.ImageFile, *, as_labels: bool) -> NDArray[np.generic]:
    stretched = next((factor for raw, factor in _STRETCHED.items() if any(_raw(t) == raw for t in image.tile)), 1)
    image.load()
    if image.mode in ("P", "PA"):
        values = _unpalette(image, as_labels=as_labels)
    else:
        values = np.asarray(image) // stretched if stretched > 1 else np.asarray(image)
    return _turned(values, _orientation(image))


def _turned(values: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """``values`` as displayed, by an EXIF orientation."""
    values = values.swapaxes(0, 1) if orientation in _SIDEWAYS else values
    values = values[::-1] if orientation in _UPSIDE_DOWN else values
    return values[:, ::-1] if orientation in _MIRRORED else values


def _raw(tile: Any) -> str:
    """How the pixels of one of Pillow's tiles are packed."""
    arguments = tile[3]
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _orientation(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none that can be read, and for TIFF, which Pillow turns itself."""
    if image.format == "TIFF" or not set(_NOTES) & image.info.keys():
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except _DAMAGE:
        return 1


def _unpalette(image: Image.Image, *, as_labels: bool) -> NDArray[np.generic]:
    indices = np.asarray(image) if image.mode == "P" else np.asarray(image.getchannel(0))
    colours = np.asarray(image.convert("RGB"))
    coloured = bool((colours[..., :1] != colours[..., 1:]).any())
    return indices if coloured and as_labels else colours


def _check_scans(stream: BinaryIO, path: Path) -> None:
    scans = _content(stream).count(b"\xff\xda")  # inside of a scan, 0xff is followed by 0
    if scans > _MAX_SCANS:
        raise damaged(path, f"a JPEG of {scans} passes")


def _content(stream: BinaryIO) -> bytes:
    at = stream.tell()
    stream.seek(0)
    content = stream.read()
    stream.seek(at)
    return content


@contextmanager
def _tiff_page(stream: BinaryIO, path: Path) -> Iterator[Any]:
    """The only page of a TIFF file, of a kind and size that may be."""
    if path.suffix.lower() not in _TIFF_SUFFIXES:
        raise UnidentifiedImageError
    stream.seek(0)
    with tifffile.TiffFile(stream) as file:
        if len(file.pages) != 1:
            raise _several_pages(path, f"{len(file.pages)} pages")
        page = file.pages.first
        if page.imagelength * page.imagewidth > MAX_PIXELS:
            raise _too_large(path, f"{page.imagewidth}x{page.imagelength} pixels")
        if page.imagedepth != 1 or page.dtype is None or page.dtype.kind not in "iuf":
            raise damaged(path, f"{page.imagedepth} planes of {page.dtype or 'odd'} values")
        _check_tiff(path, int(page.compression), _TIFFFILE_COMPRESSIONS)
        _check_tiles(path, (page.imagewidth, page.imagelength), (page.tilewidth, page.tilelength))
        values = max(math.prod(page.shape), math.prod(page.chunks) * len(page.dataoffsets))
        if values * page.dtype.itemsize > _MAX_BYTES:
            raise _too_large(path, f"{values} values of {page.dtype}")
        _check_strips(page, stream, path)
        yield page


def _check_strips(page: Any, stream: BinaryIO, path: Path) -> None:
    """All strips or tiles are there, and hold what the image needs and not more.

    tifffile would unpack them whole, and take zeros for what is not there.
    """
    limit = math.prod(page.chunks) * page.dtype.itemsize
    strips = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    end = stream.seek(0, os.SEEK_END)
    if len(strips) != math.prod(page.chunked) or any(count < 1 or offset + count > end for offset, count in strips):
        raise damaged(path, "a TIFF that is cut short")
    total = 0
    for offset, count in strips:
        unpacked = count
        if page.compression in _DEFLATE:
            stream.seek(offset)
            unpacked = len(zlib.decompressobj().decompress(stream.read(count), limit + 1))
        if unpacked > limit:
            raise damaged(path, "a strip that unpacks to more than the image")
        total += unpacked
    if total < math.prod(page.shape) * page.dtype.itemsize:
        raise damaged(path, "fewer values than the image has pixels")


def _unpack_page(page: Any) -> NDArray[np.generic]:
    values: NDArray[np.generic] = page.asarray(maxworkers=1)
    values = np.moveaxis(values, 0, -1) if page.axes.startswith("S") else values
    return _turned(values, _page_orientation(page))


def _page_orientation(page: Any) -> int:
    tag = page.tags.get(_ORIENTATION)
    return tag.value if tag is not None and isinstance(tag.value, int) else 1


def _check_tiff(path: Path, compression: int, known: tuple[int, ...]) -> None:
    if compression not in known:
        raise FileError(
            f"{path} is packed in a way that is not read",
            found=f"TIFF compression {compression}",
            expected="none or deflate; for 8 bits also LZW or PackBits",
            remedy="save it without compression, or as PNG",
        )


def _check_tiles(path: Path, size: tuple[int, int], tile: tuple[Any, Any]) -> None:
    """Tiles cover the image and not much more: all of them are unpacked."""
    if all(isinstance(n, int) and n > 0 for n in tile):
        covered = math.prod(math.ceil(n / step) * step for n, step in zip(size, tile, strict=True))
        if covered > 4 * MAX_PIXELS:
            raise _too_large(path, f"tiles of {tile[0]}x{tile[1]} pixels")


def damaged(path: Path, found: str) -> FileError:
    """The error for content that is no image, or not all of one."""
    return FileError(
        f"{path} is not a readable image",
        found=found,
        expected="an 8-bit or 16-bit PNG, JPEG or TIFF",
        remedy="copy or download it again, or save it as PNG",
    )


def not_grey(path: Path, found: str) -> FileError:
    """The error for an image whose colours mean something."""
    return FileError(
        f"{path} is a colour image",
        found=found,
        expected="greyscale, or channels that agree",
        remedy="export the modality, or the label values, as a greyscale image",
    )


def _several_pages(path: Path, found: str) -> FileError:
    return FileError(f"{path} is not one image", found=found, expected="one page", remedy="save each page as a file")


def _too_large(path: Path, found: str) -> FileError:
    return FileError(
        f"{path} is too large to be a slice",
        found=found,
        expected=f"at most {MAX_PIXELS} pixels",
        remedy="check the file, or reduce its size",
    )
