"""NIfTI files: voxels and grid in, voxels on the grid of a reference file out.

Headers are read and made by nibabel. Orientation is left as the file has it: see ``prep`` for RAS+.
"""

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
from numpy.typing import NDArray

from gliamap.boxes import Shape
from gliamap.errors import FileError, GridError, LabelError
from gliamap.io.atomic import atomic_path
from gliamap.volume import Grid

_SILENT = logging.Logger("nibabel", logging.CRITICAL + 1)  # it mends small faults aloud, without naming the file

NIFTI_SUFFIXES = (".nii", ".nii.gz")

MAX_VOXELS = 2**30
"""No scan has more; a header that says so is damaged or hostile, and would fill the memory."""

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_MAX_RATIO = 1032  # deflate cannot pack tighter, so a smaller file cannot hold what its header declares
_COMPRESSION = 2  # isal knows 0 to 3
_MM_PER_UNIT = {1: 1000.0, 3: 0.001}  # metres, microns; every other code is taken as millimetres
_GRID_FIELDS = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z", "xyzt_units"),
)

# nibabel and isal say little of their types.
_NIFTI1: Any = nib.Nifti1Header
_NIFTI2: Any = nib.Nifti2Header
_GZIP: Any = igzip.IGzipFile
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


def read_grid(path: Path) -> Grid:
    """The grid of a 3D file, from its header alone."""
    with _opened(path) as stream:
        return _grid(_read_header(stream, path), path)


def read_volume(path: Path) -> tuple[NDArray[np.float32], Grid]:
    """The voxels ``(X, Y, Z)`` of a 3D file, scaled by its slope and intercept, and their grid.

    Voxels that are not finite are returned as they stand: see :func:`replace_nonfinite`. ``FileError`` where the
    file is missing, damaged, not NIfTI, not 3D, of complex or colour values, or without a usable affine.
    """
    raw, slope, intercept, grid = _read(path)
    with np.errstate(over="ignore"):  # beyond float32 becomes inf, which replace_nonfinite reports
        volume = raw.astype(np.float32, order="C")
        if (slope, intercept) != (1.0, 0.0):
            volume *= np.float32(slope)
            volume += np.float32(intercept)
    return volume, grid


def replace_nonfinite(volume: NDArray[np.float32]) -> int:
    """Set NaN and infinite voxels to 0, in place; how many there were."""
    bad = ~np.isfinite(volume)
    count = int(np.count_nonzero(bad))
    if count:
        volume[bad] = 0
    return count


def read_labels(path: Path) -> tuple[NDArray[np.integer], Grid]:
    """The label map ``(X, Y, Z)`` of a 3D file, as uint8 where its values allow, and its grid.

    Whole numbers stored as floats are labels too; ``LabelError`` where a value is not a whole number, ``FileError``
    as in :func:`read_volume`.
    """
    raw, slope, intercept, grid = _read(path)
    values = raw if (slope, intercept) == (1.0, 0.0) else raw.astype(np.float64) * slope + intercept
    return whole_numbers(values, path), grid


def whole_numbers(values: NDArray[np.generic], path: Path) -> NDArray[np.integer]:
    """``values`` as integers, uint8 where they fit; ``LabelError`` naming ``path`` where one is not whole."""
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = values.astype(np.int64)
        odd = values != whole  # NaN, infinity and what int64 cannot hold differ as well
        if odd.any():
            raise LabelError(
                f"{path} is not a label map",
                found=f"{np.count_nonzero(odd)} values that are not whole numbers, for example {values[odd][0]:g}",
                expected="integer labels",
                remedy="resample masks with nearest neighbours only, or check that this is the mask",
            )
        values = whole
    if values.size and values.min() >= 0 and values.max() <= 255:
        return values.astype(np.uint8, order="C")
    return np.array(values)  # not a map of the file


def write_like(path: Path, data: NDArray[np.generic], reference: Path) -> None:
    """Write ``data`` ``(X, Y, Z)`` or ``(X, Y, Z, R)`` on the grid of the NIfTI file ``reference``.

    Affine, qform and sform with their codes, and units are exactly those of the reference; for ``(X, Y, Z)`` so is
    the shape. The type is that of ``data``, unscaled. ``GridError`` where the sizes differ.
    """
    with _opened(reference) as stream:
        header = _read_header(stream, reference)
    shape = _shape(header, reference)
    if data.shape[:3] != shape:
        raise GridError(f"{path} cannot be written", found=f"size {data.shape}", expected=f"{shape} as in {reference}")
    out = type(header)()
    for field in _GRID_FIELDS:
        out[field] = header[field]
    if data.ndim == 3:
        data = data.reshape(tuple(header.get_data_shape()))  # the same voxels, with or without axes of size 1
    out.set_data_shape(data.shape)
    out["pixdim"][:4] = header["pixdim"][:4]
    _write(path, data, out)


def write_new(path: Path, data: NDArray[np.generic], grid: Grid) -> None:
    """Write ``data`` ``(X, Y, Z)`` or ``(X, Y, Z, R)`` as NIfTI-1 on ``grid`` (both codes 1: scanner)."""
    header = _NIFTI1()
    header.set_data_shape(data.shape)
    header.set_xyzt_units("mm" if grid.unit == "mm" else 0)
    header.set_sform(grid.affine, code=1)
    header.set_qform(grid.affine, code=1)
    _write(path, data, header)


def _write(path: Path, data: NDArray[np.generic], header: Header) -> None:
    data = data.astype(np.uint8) if data.dtype == np.bool_ else data.astype(data.dtype.newbyteorder("<"), copy=False)
    header.set_data_dtype(data.dtype)
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["magic"] = header.single_magic
    header["vox_offset"] = header.single_vox_offset
    head = header.as_byteswapped("<").binaryblock
    blob = head + bytes(header.single_vox_offset - len(head)) + data.tobytes(order="F")
    with atomic_path(path) as part:
        if not path.name.lower().endswith(".gz"):
            part.write_bytes(blob)
            return
        # No file name and no time inside, so that equal masks give equal files.
        with (
            part.open("wb") as plain,
            _GZIP("", "wb", compresslevel=_COMPRESSION, fileobj=plain, mtime=0) as stream,
        ):
            stream.write(blob)


def _read(path: Path) -> tuple[NDArray[np.generic], float, float, Grid]:
    """Stored voxels ``(X, Y, Z)`` in native byte order, slope, intercept, grid."""
    with _opened(path) as stream:
        header = _read_header(stream, path)
        grid = _grid(header, path)
        _check_size(header, path)
        raw = header.raw_data_from_fileobj(stream)
        stream.read(1)  # lets gzip reach its end mark and compare checksums
    slope, intercept = _scaling(header, path)
    raw = raw.reshape(grid.shape, order="F")
    raw = raw.astype(raw.dtype.newbyteorder("="), copy=False)
    return raw, slope, intercept, grid


def _scaling(header: Header, path: Path) -> tuple[float, float]:
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise FileError(
            f"{path} does not say how its values are scaled",
            found=str(error),
            expected="a finite slope and intercept, or none",
            remedy="repair the header, or export the file again",
        ) from error
    return 1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
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
            with _GZIP(fileobj=plain, mode="rb") as stream:
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


def _read_header(stream: BinaryIO, path: Path) -> Header:
    block = stream.read(_NIFTI1.sizeof_hdr)
    kind = _NIFTI1
    if _size_field(block) == _NIFTI2.sizeof_hdr:
        kind = _NIFTI2
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


def _grid(header: Header, path: Path) -> Grid:
    shape = _shape(header, path)
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


def _shape(header: Header, path: Path) -> Shape:
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


def _check_size(header: Header, path: Path) -> None:
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
