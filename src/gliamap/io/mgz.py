"""FreeSurfer volumes (MGH, packed MGZ): voxels and grid in. Nothing is written in this format.

The header says the cosines of the voxel axes, the spacing and where the middle of the volume lies, all in RAS
millimetres. A file without them is refused: which way up it lies is a custom that programs do not agree on. Headers
are read by nibabel.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from nibabel.freesurfer.mghformat import DATA_OFFSET, MGHHeader
from numpy.typing import NDArray

from gliamap.errors import FileError
from gliamap.io.nifti import whole_numbers
from gliamap.io.voxels import (
    Stored,
    bad_affine,
    check_affine,
    check_bytes,
    first_channel,
    image_shape,
    opened,
    read_images,
)
from gliamap.volume import Grid

MGZ_SUFFIXES = (".mgz", ".mgh")

_HEADER: Any = MGHHeader  # nibabel says little of its types
_HEADER_BYTES = 90
_PLACED = slice(28, 30)  # nibabel fills in a place of its own where this is 0
_TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
Header = Any


def is_mgz(path: Path) -> bool:
    """Whether the file's name says MGZ or MGH."""
    return path.name.lower().endswith(MGZ_SUFFIXES)


def read_grid(path: Path) -> Grid:
    """The grid of a file, from its header alone; for a 4D file, that of each of its images."""
    with opened(path) as stream:
        header = read_header(stream, path)
    return grid_of(header, path, first_channel(sizes_of(header)))


def read_volume(path: Path, channel: int | None = None) -> tuple[NDArray[np.float32], Grid]:
    """The voxels ``(X, Y, Z)`` of a 3D file, or of one image of a 4D file, and their grid.

    ``FileError`` as from :func:`gliamap.io.nifti.read_volume`.
    """
    ((_, volume, grid),) = read_volumes(path, (channel,))
    return volume, grid


def read_volumes(
    path: Path, channels: Collection[int | None]
) -> Iterator[tuple[int | None, NDArray[np.float32], Grid]]:
    """Several images of a 4D file, one at a time, in the order of the file."""
    for channel, raw, grid in _read(path, channels):
        yield channel, raw.astype(np.float32, order="C"), grid


def read_labels(path: Path) -> tuple[NDArray[np.integer], Grid]:
    """The label map ``(X, Y, Z)`` of a 3D file and its grid; ``LabelError`` where a value is not a whole number."""
    ((_, raw, grid),) = _read(path, (None,))
    return whole_numbers(raw, path), grid


def read_header(stream: BinaryIO, path: Path) -> Header:
    """The header at the beginning of ``stream``, of a file that can hold what it declares; else ``FileError``."""
    block = stream.read(_HEADER_BYTES)
    header = _HEADER(block, check=False) if len(block) == _HEADER_BYTES else None
    if header is None or header["version"] != 1 or int(header["type"]) not in _TYPES:
        raise FileError(
            f"{path} is not an MGZ file",
            found="no MGH header",
            expected="a FreeSurfer volume of integers or floats (.mgz, .mgh)",
            remedy="copy it again, or convert it to NIfTI with mri_convert",
        )
    if not any(block[_PLACED]):
        raise bad_affine(path, "a header without direction cosines")
    voxels, item_bytes = math.prod(sizes_of(header)), _dtype(header).itemsize
    check_bytes(path, voxels=voxels, item_bytes=item_bytes, offset=DATA_OFFSET)
    return header


def sizes_of(header: Header) -> tuple[int, ...]:
    """The sizes as declared: three axes, four where the file holds several images."""
    return tuple(int(n) for n in header.get_data_shape())


def grid_of(header: Header, path: Path, channel: int | None = None) -> Grid:
    """The grid of one image, in millimetres."""
    shape = image_shape(sizes_of(header), path, channel)
    with np.errstate(all="ignore"):  # what overflows is not finite, and refused
        affine = np.array(header.get_affine(), np.float64)
    check_affine(affine, path)
    return Grid(shape, affine)


def _dtype(header: Header) -> np.dtype[Any]:
    return np.dtype(_TYPES[int(header["type"])])


def _read(path: Path, channels: Collection[int | None]) -> Iterator[tuple[int | None, NDArray[Any], Grid]]:
    with opened(path) as stream:
        header = read_header(stream, path)
        sizes = sizes_of(header)
        grids = {channel: grid_of(header, path, channel) for channel in channels}
        shape = image_shape(sizes, path, first_channel(sizes))
        stored = Stored(shape, math.prod(sizes[3:]), _dtype(header), DATA_OFFSET)
        for channel, raw in read_images(stream, stored, path, grids):
            yield channel, raw, grids[channel]
