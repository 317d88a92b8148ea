"""Images handed on as they are: voxels, scaling and grid of the source, in the files that others expect."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gliamap.errors import FileError
from gliamap.io.archive import open_binary
from gliamap.io.atomic import atomic_path
from gliamap.io.cases import read_grid, read_image_file
from gliamap.io.nifti import read_stored, write_like, write_new
from gliamap.io.nifti_header import is_nifti
from gliamap.io.packing import GZIP, GZIP_MAGIC

Source = tuple[Path, int | None]
"""An image file and, where it holds several images, which one."""

_COMPRESSION = 2  # isal knows 0 to 3
_CHUNK = 2**20


def copy_volumes(sources: Mapping[Path, Source]) -> None:
    """Write each volume as a file of its own (``.nii.gz``), its target; files that hold several are read once.

    A NIfTI file of one volume is copied byte for byte, and packed where it is not. One of several volumes in a file
    keeps grid, type and scaling. What comes in another format is written as gliamap reads it.
    """
    for path in dict.fromkeys(path for path, _ in sources.values()):
        targets: dict[int | None, list[Path]] = {}
        for target, (own, channel) in sources.items():
            if own == path:
                targets.setdefault(channel, []).append(target)
        if not is_nifti(path):
            for channel, files in targets.items():
                for target in files:
                    write_new(target, *read_image_file(path, channel))
        elif targets.keys() == {None}:
            for target in targets[None]:
                _copy_packed(target, path)
        else:
            for channel, raw, scaling, _ in read_stored(path, targets):
                for target in targets[channel]:
                    write_like(target, raw, path, scaling=scaling)


def stack_volumes(target: Path, sources: Sequence[Source]) -> None:
    """Write volumes that share a grid as one file ``(X, Y, Z, C)``, ``target`` (``.nii.gz``), on the grid of the first.

    The type is one that holds all of them without loss. Where some are scaled, and not all alike, it is float32 and
    the values are those that gliamap reads.
    """
    first = sources[0][0]
    data, scaling = _stacked(sources)
    if is_nifti(first):
        write_like(target, data, first, scaling=scaling)
    else:
        write_new(target, data, read_grid(first))


def write_slice(target: Path, values: NDArray[np.float32]) -> None:
    """Write grey values ``(columns, rows, 1)`` as ``target`` (``.png``), with 8 bits where they suffice, else 16.

    ``FileError`` where a value is not a whole number from 0 to 65535.
    """
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 65535 and np.array_equal(values, np.rint(values))):
        raise FileError(
            f"{target.name} cannot hold the image without loss",
            found=f"values from {low:g} to {high:g}",
            expected="whole numbers from 0 to 65535",
        )
    rows = np.ascontiguousarray(values[..., 0].T.astype(np.uint8 if high <= 255 else np.uint16))
    with atomic_path(target) as part:
        Image.fromarray(rows).save(part, format="PNG")


def _copy_packed(target: Path, source: Path) -> None:
    with atomic_path(target) as part, part.open("wb") as out, open_binary(source) as stream:
        packed = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        stream.seek(0)
        if packed:
            shutil.copyfileobj(stream, out, _CHUNK)
            return
        with GZIP("", "wb", compresslevel=_COMPRESSION, fileobj=out, mtime=0) as zipped:
            shutil.copyfileobj(stream, zipped, _CHUNK)


def _stacked(sources: Sequence[Source]) -> tuple[NDArray[np.generic], tuple[float, float]]:
    """``(X, Y, Z, C)``, and slope and intercept."""
    stored = _stored(sources)
    scalings = {scaling for _, scaling in stored}
    types = {raw.dtype for raw, _ in stored}
    if len(scalings) == 1 and (len(types) == 1 or scalings == {(1.0, 0.0)}):
        dtype = np.result_type(*types)
        return np.stack([raw.astype(dtype, copy=False) for raw, _ in stored], axis=-1), scalings.pop()
    return np.stack([read_image_file(*source)[0] for source in sources], axis=-1), (1.0, 0.0)


def _stored(sources: Sequence[Source]) -> list[tuple[NDArray[np.generic], tuple[float, float]]]:
    """Voxels, slope and intercept of each; files that hold several are read once."""
    found: dict[Source, tuple[NDArray[np.generic], tuple[float, float]]] = {}
    for path in dict.fromkeys(path for path, _ in sources):
        channels = {channel for own, channel in sources if own == path}
        if is_nifti(path):
            found |= {(path, channel): (raw, scaling) for channel, raw, scaling, _ in read_stored(path, channels)}
        else:
            found |= {(path, channel): (read_image_file(path, channel)[0], (1.0, 0.0)) for channel in channels}
    return [found[source] for source in sources]
