"""2D images: greyscale PNG, JPEG and TIFF in, label values as 8-bit PNG out.

Arrays are ``(columns, rows, 1)``: files hold rows first, so they are transposed at this border and nowhere else.
"""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from gliamap.errors import FileError, LabelError
from gliamap.io.atomic import atomic_path
from gliamap.io.nifti import whole_numbers
from gliamap.volume import Grid, image_grid

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")

MAX_PIXELS = 64 * 2**20
"""Larger images are refused before they are unpacked: a slice of an MRI has 65 thousand to a million."""

GREY_TOLERANCE = 2
"""JPEG rounds the three channels of a grey image apart by this much at most."""

_FORMATS = ("PNG", "JPEG", "TIFF")
_EIGHT_BIT_COLOUR = ("LA", "RGB", "RGBA")
_BITS_TAG = 258
# What Pillow and tifffile raise on broken files, as found by breaking them.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, NotImplementedError, struct.error)
_TIFF_SUFFIXES = (".tif", ".tiff")


def is_image(path: Path) -> bool:
    """Whether the file's name says PNG, JPEG or TIFF."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def read_image(path: Path, channel: int | None = None) -> tuple[NDArray[np.float32], Grid]:
    """The grey values ``(columns, rows, 1)`` of an image, as stored, and its grid in pixels.

    Colour files whose channels agree are grey; ``FileError`` on real colour, transparency, several pages, too large
    or damaged files.
    """
    values = _grey(_read(path, as_labels=False), path, GREY_TOLERANCE)
    with np.errstate(over="ignore"):  # beyond float32 becomes inf, which the reader of a case reports
        image = values.T[..., None].astype(np.float32, order="C")
    return image, image_grid((image.shape[0], image.shape[1], 1))


def read_mask(path: Path) -> tuple[NDArray[np.integer], Grid]:
    """The label values ``(columns, rows, 1)`` of a mask image, 0 and 1 for 1-bit files, and its grid in pixels.

    A coloured palette counts as decoration: its indices are the labels. ``LabelError`` where a value is not a whole
    number, ``FileError`` as in :func:`read_image`.
    """
    values = _grey(_read(path, as_labels=True), path, 0)
    labels = np.ascontiguousarray(whole_numbers(values, path).T[..., None])
    return labels, image_grid((labels.shape[0], labels.shape[1], 1))


def write_mask(path: Path, values: NDArray[np.integer]) -> None:
    """Write label values ``(columns, rows, 1)``, 0 to 255, as an 8-bit greyscale PNG."""
    if values.size and not (values.min() >= 0 and values.max() <= 255):
        raise LabelError(
            f"{path} cannot hold these labels", found=f"values {values.min()} to {values.max()}", expected="0 to 255"
        )
    rows = np.ascontiguousarray(values[..., 0].T.astype(np.uint8))
    with atomic_path(path) as part:
        Image.fromarray(rows).save(part, format="PNG")


def _read(path: Path, *, as_labels: bool) -> NDArray[np.generic]:
    """``(rows, columns)`` or ``(rows, columns, channels)`` as stored."""
    try:
        if path.stat().st_size == 0:
            raise FileError(f"{path} is empty", expected="an image", remedy="copy or download it again")
        try:
            return _read_with_pillow(path, as_labels=as_labels)
        except UnidentifiedImageError:
            # Pillow knows all compressions of TIFF, tifffile all its sample formats.
            if path.suffix.lower() in _TIFF_SUFFIXES:
                return _read_with_tifffile(path)
            raise
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist", expected="an image", remedy="check the path") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path, str(error)) from error
    except UnidentifiedImageError as error:
        raise _damaged(path, "content that is none of these, or 16-bit colour") from error
    except _DAMAGE as error:
        raise _damaged(path, str(error)) from error


def _read_with_pillow(path: Path, *, as_labels: bool) -> NDArray[np.generic]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about metadata that nobody reads
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return _load(path, as_labels=as_labels)


def _load(path: Path, *, as_labels: bool) -> NDArray[np.generic]:
    with Image.open(path, formats=_FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(path, f"{image.width}x{image.height} pixels")
        if getattr(image, "n_frames", 1) > 1:
            raise _several_pages(path, f"{getattr(image, 'n_frames', 1)} pages")
        if _loses_depth(image):
            raise UnidentifiedImageError
        if image.mode in ("P", "PA"):
            return _unpalette(image, as_labels=as_labels)
        return np.asarray(image)


def _loses_depth(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow would read 16-bit colour as 8-bit, without a word."""
    if image.mode not in _EIGHT_BIT_COLOUR:
        return False
    tags = getattr(image, "tag_v2", {})  # TIFF says it in a tag, PNG in how its pixels are packed
    return any(bits > 8 for bits in tags.get(_BITS_TAG, ())) or any("16" in str(tile[3]) for tile in image.tile)


def _unpalette(image: Image.Image, *, as_labels: bool) -> NDArray[np.generic]:
    indices = np.asarray(image) if image.mode == "P" else np.asarray(image.getchannel(0))
    colours = np.asarray(image.convert("RGB"))
    coloured = bool((colours.max(axis=2) != colours.min(axis=2)).any())
    return indices if coloured and as_labels else colours


def _read_with_tifffile(path: Path) -> NDArray[np.generic]:
    with tifffile.TiffFile(path) as file:
        if len(file.pages) != 1:
            raise _several_pages(path, f"{len(file.pages)} pages")
        page = file.pages.first
        if page.imagelength * page.imagewidth > MAX_PIXELS:
            raise _too_large(path, f"{page.imagewidth}x{page.imagelength} pixels")
        values: NDArray[np.generic] = page.asarray()
        return np.moveaxis(values, 0, -1) if page.axes.startswith("S") else values


def _grey(values: NDArray[np.generic], path: Path, tolerance: int) -> NDArray[np.generic]:
    """``(rows, columns)`` from stored values whose channels agree."""
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    if values.dtype.kind not in "iuf" or values.ndim not in (2, 3) or values.size == 0:
        raise _damaged(path, f"{values.dtype} values of size {values.shape}")
    if values.ndim == 2:
        return values
    colours = values.astype(np.int64) if values.dtype.kind in "iu" else values.astype(np.float64)
    if colours.shape[2] in (2, 4):
        if (colours[..., -1] != colours[..., -1].flat[0]).any():
            raise FileError(f"{path} is partly transparent", expected="a greyscale image", remedy="save it without")
        colours, values = colours[..., :-1], values[..., :-1]
    if (colours.max(axis=2) - colours.min(axis=2)).max() > tolerance:
        raise FileError(
            f"{path} is a colour image",
            found="channels that differ",
            expected="greyscale, or channels that agree",
            remedy="export the modality, or the label values, as a greyscale image",
        )
    return values[..., min(1, values.shape[2] - 1)]


def _damaged(path: Path, found: str) -> FileError:
    return FileError(
        f"{path} is not a readable image",
        found=found,
        expected="an 8-bit or 16-bit PNG, JPEG or TIFF",
        remedy="copy or download it again, or save it as PNG",
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
