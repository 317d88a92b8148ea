"""NIfTI headers: opening a file, reading its header by nibabel, the grid that it declares. Faults become messages."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib
from nibabel.spatialimages import HeaderDataError

from gliamap.boxes import Shape
from gliamap.errors import FileError
from gliamap.volume import Grid

_SILENT = logging.Logger("nibabel", logging.CRITICAL + 1)  # it mends small faults aloud, without naming the file

NIFTI_SUFFIXES = (".nii", ".nii.gz")

MAX_VOXELS = 2**30
"""No scan has more; a header that says so is damaged or hostile, and would fill the memory."""

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_MAX_RATIO = 1032  # deflate cannot pack tighter, so a smaller file cannot hold what its header declares
_MM_PER_UNIT = {1: 1000.0, 3: 0.001}  # metres, microns; every other code is taken as millimetres

# nibabel and isal say little of their types.
NIFTI1: Any = nib.Nifti1Header
NIFTI2: Any = nib.Nifti2Header
GZIP: Any = igzip.IGzipFile
_ISAL_ERROR = cast("type[Exception]", isal_zlib.error)
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


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's unpacked bytes; whatever goes wrong while they are read becomes a ``FileError``."""
    try:
        with path.open("rb") as plain:
            start = plain.read(2)
            plain.seek(0)
            packed = start == _GZIP_MAGIC
            _check_name(path, start, packed=packed)
            if not packed:
                yield plain
                return
            with GZIP(fileobj=plain, mode="rb") as stream:
                yield stream
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist", expected="a NIfTI file", remedy="check the path") from error
    except (EOFError, _ISAL_ERROR, zlib.error, igzip.BadGzipFile) as error:
        raise _truncated(path, str(error)) from error
    except OSError as error:
        # nibabel reports too few bytes as a plain OSError without a number.
        if error.errno is None:
            raise _truncated(path, str(error)) from error
        raise FileError(f"{path} cannot be read", found=error.strerror, remedy="check the path") from error


def _check_name(path: Path, start: bytes, *, packed: bool) -> None:
    if not start:
        raise FileError(f"{path} is empty", expected="a NIfTI file", remedy="copy or download it again")
    named = path.name.lower().endswith(".gz")
    if named != packed and is_nifti(path):
        raise FileError(
            f"{path} is not what its name says",
            found="gzip content" if packed else "no gzip content",
            expected="gzip content" if named else "plain NIfTI content",
            remedy=f"rename it to end in {'.nii' if named else '.nii.gz'} if it is NIfTI, or copy it again",
        )


def read_header(stream: BinaryIO, path: Path) -> Header:
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
    except HeaderDataError as error:
        raise _not_nifti(path, str(error)) from error
    if bytes(header["magic"])[:3] != kind.single_magic[:3]:
        raise _not_nifti(path, "a header without its voxels, as in .hdr/.img pairs or Analyze files")
    return header


def _size_field(block: bytes) -> int:
    sizes = (int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big"))
    return min(sizes)  # the wrong byte order gives a huge number


def grid_of(header: Header, path: Path) -> Grid:
    shape = shape_of(header, path)
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise FileError(
            f"{path} does not hold one number per voxel",
            found="colour values" if dtype.kind == "V" else f"{dtype} values",
            expected="integers or floats",
            remedy="export the magnitude image as a plain NIfTI volume",
        )
    try:
        affine = np.array(header.get_best_affine(), np.float64)
    except HeaderDataError as error:
        raise _bad_affine(path, str(error)) from error
    affine[:3] *= _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    if not np.isfinite(affine).all():
        raise _bad_affine(path, "values that are not finite")
    if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise _bad_affine(path, "a singular matrix: a voxel would have no volume")
    return Grid(shape, affine)


def shape_of(header: Header, path: Path) -> Shape:
    """The three sizes; a 2D file gets Z = 1, further axes of size 1 are dropped."""
    sizes = [int(n) for n in header.get_data_shape()]
    if len(sizes) < 2 or min(sizes) < 1 or any(n != 1 for n in sizes[3:]):
        raise FileError(
            f"{path} is not one 3D volume",
            found=f"size {'x'.join(map(str, sizes)) or 'none'}",
            expected="three axes",
            remedy="split a 4D file into one file per modality or time point",
        )
    x, y, z = (*sizes, 1)[:3]
    return (x, y, z)


def check_size(header: Header, path: Path) -> None:
    voxels = math.prod(int(n) for n in header.get_data_shape())
    if voxels > MAX_VOXELS:
        raise FileError(
            f"{path} is too large",
            found=f"{voxels} voxels declared",
            expected=f"at most {MAX_VOXELS}",
            remedy="check the header; crop or resample the volume if it is right",
        )
    needed = voxels * header.get_data_dtype().itemsize + float(header["vox_offset"])
    ratio = _GZIP_MAX_RATIO if path.name.lower().endswith(".gz") else 1
    size = path.stat().st_size
    if not size * ratio >= needed:  # an offset may be NaN
        raise _truncated(path, f"{size} bytes where the header asks for {needed:.0f}")


def _truncated(path: Path, found: str) -> FileError:
    return FileError(
        f"{path} is damaged or cut short",
        found=found or "an unexpected end",
        expected="a complete NIfTI file",
        remedy="copy or download it again",
    )


def _not_nifti(path: Path, found: str) -> FileError:
    return FileError(
        f"{path} is not a NIfTI file",
        found=found,
        expected="NIfTI-1 or NIfTI-2 in one file (.nii, .nii.gz)",
        remedy="convert it to NIfTI, for example with dcm2niix (DICOM) or mri_convert (MGZ)",
    )


def _bad_affine(path: Path, found: str) -> FileError:
    return FileError(
        f"{path} does not say where its voxels lie",
        found=found,
        expected="an invertible affine in qform or sform",
        remedy="repair the header, or export the file again",
    )
