"""NIfTI headers, read by nibabel, and the grid that they declare. Faults become messages."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from gliamap.boxes import Shape
from gliamap.errors import FileError
from gliamap.io.voxels import bad_affine, check_affine, check_bytes, image_shape
from gliamap.volume import Grid

_SILENT = logging.Logger("nibabel", logging.CRITICAL + 1)  # it mends small faults aloud, without naming the file

NIFTI_SUFFIXES = (".nii", ".nii.gz")

_MM_PER_UNIT = {1: 1000.0, 3: 0.001}  # metres, microns; every other code is taken as millimetres

# nibabel says little of its types.
NIFTI1: Any = nib.Nifti1Header
NIFTI2: Any = nib.Nifti2Header
Header = Any


def is_nifti(path: Path) -> bool:
    """Whether the file's name says NIfTI."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def nifti_stem(path: Path) -> str:
    """The file's name without ``.nii`` or ``.nii.gz``."""
    name = path.name
    for suffix in sorted(NIFTI_SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def read_header(stream: BinaryIO, path: Path) -> Header:
    """The header at the beginning of ``stream``; ``FileError`` where it is not NIfTI, or lies apart from its voxels."""
    block = stream.read(NIFTI1.sizeof_hdr)
    kind = NIFTI1
    if _size_field(block) == NIFTI2.sizeof_hdr:
        kind = NIFTI2
        block += stream.read(kind.sizeof_hdr - len(block))
    if _size_field(block) != kind.sizeof_hdr or len(block) < kind.sizeof_hdr:
        raise _not_nifti(path, "no NIfTI header")
    try:
        header = kind(block, check=False)
        header.check_fix(logger=_SILENT, error_level=40)
    except (HeaderDataError, OverflowError, ValueError) as error:  # the latter two on fields that are not finite
        raise _not_nifti(path, str(error)) from error
    if bytes(header["magic"])[:3] != kind.single_magic[:3]:
        raise _not_nifti(path, "a header without its voxels, as in .hdr/.img pairs or Analyze files")
    if not 0 <= header["dim"][0] <= 7:
        raise _not_nifti(path, f"{header['dim'][0]} axes")
    if header["vox_offset"] < kind.single_vox_offset:
        raise _not_nifti(path, "voxels that begin inside the header")
    return header


def _size_field(block: bytes) -> int:
    sizes = (int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big"))
    return min(sizes)  # the wrong byte order gives a huge number


def grid_of(header: Header, path: Path, channel: int | None = None) -> Grid:
    """The grid of one image, in millimetres; ``FileError`` also where its voxels are not plain numbers."""
    shape = shape_of(header, path, channel)
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise FileError(
            f"{path} does not hold one number per voxel",
            found="colour values" if dtype.kind == "V" else f"{dtype} values",
            expected="integers or floats",
            remedy="export the magnitude image as a plain NIfTI volume",
        )
    try:
        with np.errstate(all="ignore"):  # what overflows is not finite, and refused
            affine = np.array(header.get_best_affine(), np.float64)
            affine[:3] *= mm_per_unit(header)
    except (HeaderDataError, ValueError) as error:  # the latter on quaternions that are none
        raise bad_affine(path, str(error)) from error
    check_affine(affine, path)
    return Grid(shape, affine)


def mm_per_unit(header: Header) -> float:
    """Millimetres in the header's unit of length."""
    return _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)


def sizes_of(header: Header) -> tuple[int, ...]:
    """The sizes as declared: two to seven axes."""
    return tuple(int(n) for n in header.get_data_shape())


def shape_of(header: Header, path: Path, channel: int | None = None) -> Shape:
    """The three sizes of one image, see :func:`gliamap.io.voxels.image_shape`."""
    return image_shape(sizes_of(header), path, channel)


def check_size(header: Header, path: Path) -> None:
    """``FileError`` where the file cannot hold the voxels that its header declares."""
    item_bytes = header.get_data_dtype().itemsize
    check_bytes(path, voxels=math.prod(sizes_of(header)), item_bytes=item_bytes, offset=float(header["vox_offset"]))


def _not_nifti(path: Path, found: str) -> FileError:
    return FileError(
        f"{path} is not a NIfTI file",
        found=found,
        expected="NIfTI-1 or NIfTI-2 in one file (.nii, .nii.gz)",
        remedy="convert it to NIfTI, for example with dcm2niix (DICOM)",
    )
