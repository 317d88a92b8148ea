"""NIfTI files: voxels and grid in, voxels on the grid of a reference file out.

Headers are read and made by nibabel. Orientation is left as the file has it: see ``prep`` for RAS+.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from gliamap.errors import FileError, GridError, LabelError
from gliamap.io.atomic import atomic_path
from gliamap.io.nifti_header import GZIP, NIFTI1, Header, check_size, grid_of, opened, read_header, shape_of
from gliamap.volume import Grid

_COMPRESSION = 2  # isal knows 0 to 3
_GRID_FIELDS = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z", "xyzt_units"),
)


def read_grid(path: Path) -> Grid:
    """The grid of a 3D file, from its header alone."""
    with opened(path) as stream:
        return grid_of(read_header(stream, path), path)


def read_volume(path: Path, channel: int | None = None) -> tuple[NDArray[np.float32], Grid]:
    """The voxels ``(X, Y, Z)`` of a 3D file, scaled by its slope and intercept, and their grid.

    Voxels that are not finite are returned as they stand: see :func:`replace_nonfinite`. ``FileError`` where the
    file is missing, damaged, not NIfTI, not 3D, of complex or colour values, or without a usable affine.
    """
    raw, slope, intercept, grid = _read(path, channel)
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
    with opened(reference) as stream:
        header = read_header(stream, reference)
    shape = shape_of(header, reference)
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
    header = NIFTI1()
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
            GZIP("", "wb", compresslevel=_COMPRESSION, fileobj=plain, mtime=0) as stream,
        ):
            stream.write(blob)


def _read(path: Path, channel: int | None = None) -> tuple[NDArray[np.generic], float, float, Grid]:
    """Stored voxels ``(X, Y, Z)`` in native byte order, slope, intercept, grid."""
    with opened(path) as stream:
        header = read_header(stream, path)
        grid = grid_of(header, path)
        check_size(header, path)
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
