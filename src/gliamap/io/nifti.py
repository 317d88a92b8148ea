"""NIfTI files: voxels and grid in, voxels on the grid of a reference file out.

Headers are read and made by nibabel. Orientation is left as the file has it: see ``prep`` for RAS+.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from gliamap.errors import FileError, GridError, LabelError
from gliamap.io.atomic import atomic_path
from gliamap.io.nifti_header import NIFTI1, Header, check_size, grid_of, read_header, shape_of, sizes_of
from gliamap.io.packing import GZIP
from gliamap.io.voxels import Stored, first_channel, opened, read_images
from gliamap.volume import Grid

_COMPRESSION = 2  # isal knows 0 to 3
_SLAB_VOXELS = 2**22
_LARGEST_LABEL = 2**31 - 1
_LABEL_TYPES = (np.uint8, np.int16, np.int32)
_GRID_FIELDS = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z", "xyzt_units"),
)


def read_grid(path: Path) -> Grid:
    """The grid of a file, from its header alone; for a 4D file, that of each of its images."""
    with opened(path) as stream:
        header = read_header(stream, path)
    return grid_of(header, path, first_channel(sizes_of(header)))


def read_volume(path: Path, channel: int | None = None) -> tuple[NDArray[np.float32], Grid]:
    """The voxels ``(X, Y, Z)`` of a 3D file, scaled by its slope and intercept, and their grid.

    ``channel`` names one image of a 4D file, counted along the fourth axis; such a file is refused without it.
    Voxels that are not finite are returned as they stand: see :func:`replace_nonfinite`. ``FileError`` where the
    file is missing, damaged, not NIfTI, of complex or colour values, without a usable affine or that channel.
    """
    ((_, volume, grid),) = read_volumes(path, (channel,))
    return volume, grid


def read_volumes(
    path: Path, channels: Collection[int | None]
) -> Iterator[tuple[int | None, NDArray[np.float32], Grid]]:
    """Several images of a 4D file as :func:`read_volume` gives them, one at a time, in the order of the file.

    The file is opened once, and one image is in memory at a time.
    """
    for channel, raw, (slope, intercept), grid in read_stored(path, channels):
        # Beyond float32 becomes inf, and nought times inf NaN, which replace_nonfinite reports.
        with np.errstate(over="ignore", invalid="ignore"):
            volume = raw.astype(np.float32, order="C")
            if (slope, intercept) != (1.0, 0.0):
                volume *= np.float32(slope)
                volume += np.float32(intercept)
        yield channel, volume, grid


def replace_nonfinite(volume: NDArray[np.float32]) -> int:
    """Set NaN and infinite voxels to 0, in place; how many there were."""
    bad = np.isfinite(volume)
    np.logical_not(bad, out=bad)
    count = int(np.count_nonzero(bad))
    if count:
        volume[bad] = 0
    return count


def read_labels(path: Path) -> tuple[NDArray[np.integer], Grid]:
    """The label map ``(X, Y, Z)`` of a 3D file, as uint8 where its values allow, and its grid.

    Whole numbers stored as floats are labels too; ``LabelError`` where a value is not a whole number, ``FileError``
    as in :func:`read_volume`.
    """
    ((_, raw, scale, grid),) = read_stored(path, (None,))
    return whole_numbers(raw, path, scale), grid


def whole_numbers(
    values: NDArray[np.generic], path: Path, scale: tuple[float, float] = (1.0, 0.0)
) -> NDArray[np.integer]:
    """``values``, times slope plus intercept, as integers: uint8 where they fit, else of 16 or 32 bits.

    ``LabelError`` naming ``path`` where one is not whole, or larger than any label. Temporary arrays stay small.
    """
    if values.dtype == np.uint8 and scale == (1.0, 0.0):
        return values.astype(np.uint8, order="C")
    odd, example, low, high = 0, 0.0, 0.0, 0.0
    for part in _slabs(values, scale):
        strange = ~((part <= _LARGEST_LABEL) & (part >= -_LARGEST_LABEL))  # NaN is neither
        if part.dtype.kind == "f":
            strange |= part != np.rint(part)
        count = int(np.count_nonzero(strange))
        example = float(part[strange][0]) if count and not odd else example
        odd += count
        low, high = min(low, float(part.min())), max(high, float(part.max()))
    if odd:
        raise LabelError(
            f"{path} is not a label map",
            found=f"{odd} values that are not whole numbers, for example {example:g}",
            expected="integer labels",
            remedy="resample masks with nearest neighbours only, or check that this is the mask",
        )
    fitting = next(kind for kind in _LABEL_TYPES if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    out: NDArray[np.integer] = np.empty(values.shape, fitting)
    for start, part in zip(_starts(values), _slabs(values, scale), strict=True):
        out[..., start : start + part.shape[-1]] = part
    return out


def _starts(values: NDArray[np.generic]) -> range:
    return range(0, values.shape[-1], max(1, _SLAB_VOXELS // max(1, math.prod(values.shape[:-1]))))


def _slabs(values: NDArray[np.generic], scale: tuple[float, float]) -> Iterator[NDArray[Any]]:
    """Parts of ``values`` along the last axis, scaled."""
    starts = _starts(values)
    for start in starts:
        part = values[..., start : start + starts.step]
        yield part if scale == (1.0, 0.0) else part.astype(np.float64) * scale[0] + scale[1]


def write_like(
    path: Path, data: NDArray[np.generic], reference: Path, *, scaling: tuple[float, float] = (1.0, 0.0)
) -> None:
    """Write ``data`` ``(X, Y, Z)`` or ``(X, Y, Z, R)`` on the grid of the NIfTI file ``reference``.

    Affine, qform and sform with their codes, and units are exactly those of the reference; for ``(X, Y, Z)`` so is
    the shape, without the images of a 4D reference. The type is that of ``data``; ``scaling`` is the slope and
    intercept that readers are to apply. ``GridError`` where the sizes differ.
    """
    with opened(reference) as stream:
        header = read_header(stream, reference)
    sizes = sizes_of(header)
    shape = shape_of(header, reference, first_channel(sizes))
    if data.shape[:3] != shape:
        raise GridError(f"{path} cannot be written", found=f"size {data.shape}", expected=f"{shape} as in {reference}")
    out = type(header)()
    for field in _GRID_FIELDS:
        out[field] = header[field]
    if data.ndim == 3 and first_channel(sizes) is None:
        data = data.reshape(sizes)  # the same voxels, with or without axes of size 1
    out.set_data_shape(data.shape)
    out["pixdim"][:4] = header["pixdim"][:4]
    _write(path, data, out, scaling)


def write_new(path: Path, data: NDArray[np.generic], grid: Grid) -> None:
    """Write ``data`` ``(X, Y, Z)`` or ``(X, Y, Z, R)`` as NIfTI-1 on ``grid`` (both codes 1: scanner)."""
    header = NIFTI1()
    header.set_data_shape(data.shape)
    header.set_xyzt_units("mm" if grid.unit == "mm" else 0)
    header.set_sform(grid.affine, code=1)
    header.set_qform(grid.affine, code=1)
    _write(path, data, header)


def _write(path: Path, data: NDArray[np.generic], header: Header, scaling: tuple[float, float] = (1.0, 0.0)) -> None:
    data = data.astype(np.uint8) if data.dtype == np.bool_ else data.astype(data.dtype.newbyteorder("<"), copy=False)
    header.set_data_dtype(data.dtype)
    header["scl_slope"], header["scl_inter"] = scaling
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


def read_stored(
    path: Path, channels: Collection[int | None]
) -> Iterator[tuple[int | None, NDArray[Any], tuple[float, float], Grid]]:
    """Of each image: channel, stored voxels ``(X, Y, Z)`` in native byte order, slope and intercept, grid."""
    with opened(path) as stream:
        header = read_header(stream, path)
        grids = {channel: grid_of(header, path, channel) for channel in channels}
        check_size(header, path)
        scale = scaling(header, path)
        sizes = sizes_of(header)
        # The offset is a float32: added as such, it would lose the last bytes of a place beyond 16 MB.
        shape, offset = shape_of(header, path, first_channel(sizes)), int(header["vox_offset"])
        stored = Stored(shape, math.prod(sizes[3:]), header.get_data_dtype(), offset)
        for channel, raw in read_images(stream, stored, path, grids):
            yield channel, raw, scale, grids[channel]


def scaling(header: Header, path: Path) -> tuple[float, float]:
    """Slope and intercept, 1 and 0 where the header names none; ``FileError`` where they are not finite."""
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
