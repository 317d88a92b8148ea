"""2D images: greyscale PNG, JPEG and TIFF in, label values as 8-bit PNG out.

Arrays are ``(columns, rows, 1)``: files hold rows first, so they are transposed at this border and nowhere else. Images
and masks are read as viewers display them: turned as their EXIF block, or the header of a TIFF file, says. A mask for
an image therefore lies on the displayed grid, and is written upright, without such a note.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gliamap.errors import FileError, LabelError
from gliamap.io.atomic import atomic_path
from gliamap.io.nifti import whole_numbers
from gliamap.io.raster import damaged, not_grey, read_head, unpack
from gliamap.volume import Grid, image_grid

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")

GREY_TOLERANCE = 2
"""JPEG rounds the three 8-bit channels of a grey image apart by this much at most."""


def is_image(path: Path) -> bool:
    """Whether the file's name says PNG, JPEG or TIFF."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def read_image(path: Path, channel: int | None = None) -> tuple[NDArray[np.float32], Grid]:
    """The grey values ``(columns, rows, 1)`` of an image, as stored, and its grid in pixels.

    Colour files whose channels agree are grey. With ``channel``, that colour is taken from an image whose colours are
    modalities. ``FileError`` on real colour, a channel that is not there, transparency, several pages, too large or
    damaged files.
    """
    ((_, image, grid),) = read_volumes(path, (channel,))
    return image, grid


def read_volumes(
    path: Path, channels: Collection[int | None]
) -> Iterator[tuple[int | None, NDArray[np.float32], Grid]]:
    """Several channels of an image as :func:`read_image` gives them; the file is read once."""
    values = _colours(unpack(path, as_labels=False), path)
    for channel in channels:
        rows = _grey(values, path, GREY_TOLERANCE) if channel is None else _one_of(values, channel, path)
        with np.errstate(over="ignore"):  # beyond float32 becomes inf, which the reader of a case reports
            image = rows.T[..., None].astype(np.float32, order="C")
        yield channel, image, image_grid((image.shape[0], image.shape[1], 1))


def read_grid(path: Path) -> Grid:
    """The grid of an image, in pixels, not unpacked; ``FileError`` as in :func:`read_image`, as far as seen."""
    return image_grid(read_head(path).shape)


def read_mask(path: Path) -> tuple[NDArray[np.integer], Grid]:
    """The label values ``(columns, rows, 1)`` of a mask image, 0 and 1 for 1-bit files, and its grid in pixels.

    A coloured palette counts as decoration: its indices are the labels. ``LabelError`` where a value is not a whole
    number, ``FileError`` as in :func:`read_image`.
    """
    rows = _grey(_colours(unpack(path, as_labels=True), path), path, 0)
    labels = np.ascontiguousarray(whole_numbers(rows, path).T[..., None])
    return labels, image_grid((labels.shape[0], labels.shape[1], 1))


def equal_channels(path: Path) -> tuple[tuple[int, ...], ...]:
    """The channels of an image that hold the same values, in groups; channels of one value are left out.

    Data sets fill the place of a missing modality with a copy of another one. ``FileError`` as in :func:`read_image`.
    """
    values = _colours(unpack(path, as_labels=False), path)
    groups: list[list[int]] = []
    for channel in range(values.shape[2]):
        one = values[..., channel]
        group = next((group for group in groups if np.array_equal(values[..., group[0]], one)), None)
        if group is not None:
            group.append(channel)
        elif one.min() != one.max():
            groups.append([channel])
    return tuple(tuple(group) for group in groups if len(group) > 1)


def write_mask(path: Path, values: NDArray[np.integer]) -> None:
    """Write label values ``(columns, rows, 1)``, 0 to 255, as an 8-bit greyscale PNG."""
    if values.size and not (values.min() >= 0 and values.max() <= 255):
        raise LabelError(
            f"{path} cannot hold these labels", found=f"values {values.min()} to {values.max()}", expected="0 to 255"
        )
    rows = np.ascontiguousarray(values[..., 0].T.astype(np.uint8))
    with atomic_path(path) as part:
        Image.fromarray(rows).save(part, format="PNG")


def _colours(values: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    """``(rows, columns, colours)`` from values as stored; ``FileError`` on transparency that varies."""
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    if values.dtype.kind not in "iuf" or values.ndim not in (2, 3) or values.size == 0:
        raise damaged(path, f"{values.dtype} values of size {values.shape}")
    if values.ndim == 2:
        return values[..., None]
    if values.shape[2] not in (2, 4):
        return values
    if (values[..., -1] != values[..., -1].flat[0]).any():
        raise FileError(f"{path} is partly transparent", expected="a greyscale image", remedy="save it without")
    return values[..., :-1]


def _grey(colours: NDArray[np.generic], path: Path, tolerance: int) -> NDArray[np.generic]:
    """``(rows, columns)`` from colours that agree."""
    first = colours[..., 0]
    for other in (colours[..., at] for at in range(1, colours.shape[2])):
        bytes_alike = tolerance and colours.dtype == np.uint8
        differ = np.maximum(first, other) - np.minimum(first, other) > tolerance if bytes_alike else first != other
        if differ.any():
            raise not_grey(path, "channels that differ")
    return colours[..., min(1, colours.shape[2] - 1)]


def _one_of(colours: NDArray[np.generic], channel: int, path: Path) -> NDArray[np.generic]:
    if not 0 <= channel < colours.shape[2]:
        raise FileError(
            f"{path} has no channel {channel}",
            found=f"{colours.shape[2]} channels",
            expected=f"at least {channel + 1}",
            remedy="check that all files of the data set hold the same images in the same order",
        )
    return colours[..., channel]
