"""Voxels as volume files (NIfTI, MGZ) store them: unpacked, within bounds, x fastest, image after image."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Shape
from gliamap.errors import FileError
from gliamap.io.archive import open_binary, size_of
from gliamap.io.packing import GZIP, GZIP_MAGIC, UNPACKING_ERRORS

MAX_VOXELS = 2**30
"""No scan has more; a header that says so is damaged or hostile, and would fill the memory."""

# What a file of any size may take of memory, and what a larger one: a scan packs to a third, a mask to a hundredth.
_ALWAYS_VOXELS, _VOXELS_PER_BYTE = 2**27, 16
_ALWAYS_BYTES, _LIKELY_RATIO = 2**28, 384

_VOXEL_MM = (0.5e-3, 2e3)  # from a cell to a room
_PLACE_MM = 1e6  # of the first voxel, from the middle of the scanner
_FLAT = 1e-4  # volume of a voxel over that of a box with the same edges

_GZIP_MAX_RATIO = 1032  # deflate cannot pack tighter, so a smaller file cannot hold what its header declares
_OTHER_PACKING = {".nii.gz": ".nii", ".nii": ".nii.gz", ".mgz": ".mgh", ".mgh": ".mgz"}
_PACKED = (".gz", ".mgz")
_CHUNK = 2**20


@dataclass(frozen=True)
class Stored:
    """Where the images of a file lie in its unpacked bytes: ``count`` of ``shape``, the first at ``offset``."""

    shape: Shape
    count: int
    dtype: np.dtype[Any]
    offset: int

    @property
    def image_bytes(self) -> int:
        """The bytes of one image."""
        return math.prod(self.shape) * self.dtype.itemsize


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's unpacked bytes; whatever goes wrong while they are read becomes a ``FileError``."""
    try:
        with open_binary(path) as plain:
            start = plain.read(2)
            plain.seek(0)
            packed = start == GZIP_MAGIC
            _check_name(path, start, packed=packed)
            if not packed:
                yield plain
                return
            with GZIP(fileobj=plain, mode="rb") as stream:
                yield stream
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist", expected=_a_file(path), remedy="check the path") from error
    except UNPACKING_ERRORS as error:
        raise _truncated(path, str(error)) from error
    except OSError as error:
        found = error.strerror or str(error)
        raise FileError(f"{path} cannot be read", found=found, remedy="check the path") from error


def check_bytes(path: Path, *, voxels: int, item_bytes: int, offset: float) -> None:
    """``FileError`` where a file cannot hold so many voxels behind ``offset`` bytes, or nobody could mean so many."""
    size, packed = size_of(path), path.name.lower().endswith(_PACKED)
    if voxels > MAX_VOXELS:
        raise _too_large(path, f"{voxels} voxels declared", f"at most {MAX_VOXELS}")
    needed = voxels * item_bytes + offset
    if not size * (_GZIP_MAX_RATIO if packed else 1) >= needed:  # an offset may be NaN
        raise _truncated(path, f"{size} bytes where the header asks for {needed:.0f}")
    most = max(_ALWAYS_BYTES, _LIKELY_RATIO * size)
    if packed and (needed > most or voxels > max(_ALWAYS_VOXELS, _VOXELS_PER_BYTE * size)):
        found = f"{voxels} voxels declared, in a file of {size} bytes"
        raise _too_large(path, found, "a volume that packs to a three-hundredth at best")


def image_shape(sizes: Sequence[int], path: Path, channel: int | None) -> Shape:
    """The three sizes of one image of a file of ``sizes``; a 2D file gets Z = 1, further axes of size 1 are dropped.

    ``channel`` counts along the fourth axis. ``FileError`` where the file holds several images and none is named, has
    no fourth axis though one is named, or not so many.
    """
    count = sizes[3] if len(sizes) > 3 else 1
    if len(sizes) < 2 or min(sizes) < 1 or any(n != 1 for n in sizes[4:]) or (channel is None and count > 1):
        raise FileError(
            f"{path} is not one 3D volume",
            found=f"size {'x'.join(map(str, sizes)) or 'none'}",
            expected="three axes, or a data set that says what each image of a 4D file is",
            remedy="name the folder of the data set with its dataset.json (MSD), or split the file into one a modality",
        )
    if channel is not None and (len(sizes) < 4 or not 0 <= channel < count):
        raise FileError(
            f"{path} has no channel {channel}",
            found="one image, without channels" if len(sizes) < 4 else f"{count} channels",
            expected=f"at least {channel + 1}",
            remedy="check that all files of the data set hold the same images in the same order",
        )
    x, y, z = (*sizes, 1)[:3]
    return (x, y, z)


def first_channel(sizes: Sequence[int]) -> int | None:
    """The channel whose grid stands for all: 0 where a file holds several images, else ``None``."""
    return 0 if len(sizes) > 3 and sizes[3] > 1 else None


def read_images(
    stream: BinaryIO, stored: Stored, path: Path, channels: Collection[int | None]
) -> Iterator[tuple[int | None, NDArray[Any]]]:
    """Each wanted image ``(X, Y, Z)`` as stored, in native byte order, one at a time and in the order of the file.

    The stream is read once and to the last image's end, so that a packed file's checksum is compared whatever is
    wanted of it. ``None`` is the only image of a file.
    """
    for channel in sorted(channels, key=lambda channel: channel or 0):
        stream.seek(stored.offset + (channel or 0) * stored.image_bytes)
        raw = _read_exactly(stream, stored.image_bytes, path).view(stored.dtype).reshape(stored.shape, order="F")
        yield channel, raw.astype(stored.dtype.newbyteorder("="), copy=False)
    stream.seek(stored.offset + stored.count * stored.image_bytes)
    stream.read(1)  # lets gzip reach its end mark and compare checksums


def check_affine(affine: NDArray[np.float64], path: Path) -> None:
    """``FileError`` where a 4x4 affine places nothing."""
    if not np.isfinite(affine).all():
        raise bad_affine(path, "values that are not finite")
    with np.errstate(over="ignore"):  # what overflows is too large
        spacing = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    flat = "a singular matrix: a voxel would have no volume"
    if spacing.min() == 0:
        raise bad_affine(path, flat)
    if not (_VOXEL_MM[0] <= spacing.min() and spacing.max() <= _VOXEL_MM[1] and abs(affine[:3, 3]).max() <= _PLACE_MM):
        sizes, place = ("x".join(f"{mm:.3g}" for mm in values) for values in (spacing, affine[:3, 3]))
        raise bad_affine(path, f"voxels of {sizes} mm at {place} mm")
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < _FLAT:
        raise bad_affine(path, flat)


def bad_affine(path: Path, found: str) -> FileError:
    """The error of a header that does not say where voxels lie."""
    return FileError(
        f"{path} does not say where its voxels lie",
        found=found,
        expected="an invertible affine",
        remedy="repair the header, or export the file again",
    )


def _read_exactly(stream: BinaryIO, count: int, path: Path) -> NDArray[np.uint8]:
    """``count`` bytes; memory is taken as they come, not as they are promised."""
    out = np.empty(count, np.uint8)
    at = 0
    while at < count:
        part = stream.read(min(_CHUNK, count - at))
        if not part:
            raise _truncated(path, f"{at} bytes of {count}")
        out[at : at + len(part)] = np.frombuffer(part, np.uint8)
        at += len(part)
    return out


def _suffix(path: Path) -> str | None:
    return next((suffix for suffix in _OTHER_PACKING if path.name.lower().endswith(suffix)), None)


def _a_file(path: Path) -> str:
    return "an MGZ file" if (_suffix(path) or "").startswith(".mg") else "a NIfTI file"


def _check_name(path: Path, start: bytes, *, packed: bool) -> None:
    if not start:
        raise FileError(f"{path} is empty", expected=_a_file(path), remedy="copy or download it again")
    suffix = _suffix(path)
    if suffix and suffix.endswith(_PACKED) != packed:
        raise FileError(
            f"{path} is not what its name says",
            found="gzip content" if packed else "no gzip content",
            expected="plain content" if packed else "gzip content",
            remedy=f"rename it to end in {_OTHER_PACKING[suffix]} if only the name is wrong, or copy it again",
        )


def _too_large(path: Path, found: str, expected: str) -> FileError:
    return FileError(
        f"{path} is too large",
        found=found,
        expected=expected,
        remedy="check the header; if it is right, crop the volume or save it in a smaller type",
    )


def _truncated(path: Path, found: str) -> FileError:
    return FileError(
        f"{path} is damaged or cut short",
        found=found or "an unexpected end",
        expected="a complete file",
        remedy="copy or download it again",
    )
