"""Slices in MATLAB v7.3 files, as figshare 1512427 (Cheng) has them: one ``cjdata`` of image, mask, patient and class.

Such a file is HDF5. MATLAB stores columns first, so that an image of R rows and C columns lies in it as ``(C, R)``: our
own order of axes, ``(columns, rows, 1)``, without transposing. Only numbers that lie in the file itself are read, in
sizes that are checked before: links, other files and more than a slice's worth of packed data are refused.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gliamap.errors import FileError
from gliamap.io.archive import open_binary
from gliamap.io.nifti import whole_numbers
from gliamap.io.raster import MAX_PIXELS
from gliamap.volume import Grid, image_grid

CLASSES = {1: "meningioma", 2: "glioma", 3: "pituitary tumour"}
"""What ``cjdata/label`` says."""

_MAX_FIELD = 4096  # values that a field beside image and mask may have
_MAX_ID = 64
_MAX_FOLDS = 2**20
_MAX_CHUNKS = 4096  # MATLAB cuts an image into a few dozen
_MAX_BYTES = 8 * MAX_PIXELS
_MAGIC_V5 = b"MATLAB 5.0 MAT-file"
_SHUFFLE, _DEFLATE = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE
_FILTERS = ((), (_DEFLATE,), (_SHUFFLE,), (_SHUFFLE, _DEFLATE))  # MATLAB's is the second
# What h5py raises on broken files, as found by breaking them.
_DAMAGE = (OSError, RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, zlib.error)


def is_matlab(path: Path) -> bool:
    """Whether the file's name says MATLAB."""
    return path.suffix.lower() == ".mat"


def read_image(path: Path) -> tuple[NDArray[np.float32], Grid]:
    """The grey values ``(columns, rows, 1)`` of the slice, and its grid in pixels: what a picture of it would give.

    ``FileError`` where the file is missing, damaged, of MATLAB's older format, or holds no such slice.
    """
    values = _slice(path, "image")
    with np.errstate(over="ignore"):  # beyond float32 becomes inf, which the reader of a case reports
        image = values[..., None].astype(np.float32, order="C")
    return image, image_grid((image.shape[0], image.shape[1], 1))


def read_mask(path: Path) -> tuple[NDArray[np.integer], Grid]:
    """The label values ``(columns, rows, 1)`` of the tumour mask, on the grid of the image.

    ``LabelError`` where a value is not a whole number, ``FileError`` as in :func:`read_image`.
    """
    labels = whole_numbers(_slice(path, "tumorMask")[..., None], path)
    return labels, image_grid((labels.shape[0], labels.shape[1], 1))


def read_grid(path: Path) -> Grid:
    """The grid of the image, in pixels, without unpacking it; ``FileError`` as in :func:`read_image`."""
    with _opened(path) as file:
        columns, rows = _dataset(file, "cjdata/image", MAX_PIXELS, path).shape
    return image_grid((columns, rows, 1))


def read_patient(path: Path) -> str | None:
    """The patient of the slice, such as ``MR024220F``; ``None`` where the file names none.

    ``FileError`` as in :func:`read_image`.
    """
    with _opened(path) as file:
        group = _own(file, "cjdata")
        if not isinstance(group, h5py.Group) or _own(group, "PID") is None:
            return None
        values = _values(file, "cjdata/PID", _MAX_FIELD, path).ravel()
    if values.dtype == np.uint16:  # MATLAB's text
        text = "".join(map(chr, values.tolist()))
    else:
        text = "-".join(f"{value:.15g}" for value in values.tolist())
    return "".join(letter for letter in text if letter.isprintable()).strip()[:_MAX_ID] or None


def read_class(path: Path) -> int:
    """The kind of tumour in the slice, one of :data:`CLASSES`; ``FileError`` where the file does not say."""
    with _opened(path) as file:
        values = _values(file, "cjdata/label", 1, path)
    if values.size != 1 or values.item() not in CLASSES:
        kinds = ", ".join(f"{number} {name}" for number, name in CLASSES.items())
        raise _unexpected(path, f"cjdata/label is {values.ravel().tolist()}", f"one of {kinds}")
    return int(values.item())


def read_folds(path: Path) -> tuple[int, ...]:
    """The fold of each slice from ``cvind.mat``: that of slice N at place N - 1, numbered as the file does.

    ``FileError`` where the file is missing, damaged, or holds no list of whole numbers called ``cvind``.
    """
    with _opened(path) as file:
        values = _values(file, "cvind", _MAX_FOLDS, path)
    folds = values.ravel().astype(np.float64)
    if min(values.shape) > 1 or (folds != np.round(folds)).any() or not np.abs(folds).max() < 2**31:  # NaN too
        raise _unexpected(path, "cvind that is no list of folds", "a row or column of whole numbers")
    return tuple(int(fold) for fold in folds)


def _slice(path: Path, name: str) -> NDArray[np.generic]:
    with _opened(path) as file:
        return _values(file, f"cjdata/{name}", MAX_PIXELS, path)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, open; whatever goes wrong while it is read becomes a ``FileError``."""
    try:
        with open_binary(path) as stream:
            start = stream.read(len(_MAGIC_V5))
            if start == _MAGIC_V5:
                raise _old_format(path)
            stream.seek(0)
            with h5py.File(stream, "r") as file:
                yield file
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist", expected="a MATLAB file", remedy="check the path") from error
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.strerror:  # h5py has its own text alone
            raise FileError(f"{path} cannot be read", found=error.strerror, remedy="check the path") from error
        raise FileError(
            f"{path} is not a readable MATLAB file",
            found=str(error).partition("\n")[0] or "damaged content",
            expected="a complete file of MATLAB v7.3",
            remedy="copy or download it again, or save it in MATLAB with -v7.3",
        ) from error


def _own(group: Any, name: str) -> Any:
    """What lies under ``name`` in the group itself; ``None`` where nothing does, or a link that leads elsewhere."""
    key = name.encode()
    # Asked in any other way, HDF5 follows the link first, into other files as well.
    if not group.id.links.exists(key) or group.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
        return None
    return group[name]


def _dataset(file: Any, name: str, most: int, path: Path) -> Any:
    """The numbers called ``name``, not read yet: at most ``most`` of them, in two axes, in the file itself."""
    found: Any = file
    for part in name.split("/"):
        found = _own(found, part) if isinstance(found, h5py.Group) else None
    if not isinstance(found, h5py.Dataset):
        raise _unexpected(path, f"no {name}", f"{name}, as in the files of figshare 1512427")
    if found.is_virtual or found.external is not None:  # before anything else: its size may depend on other files
        raise _unexpected(path, f"{name} with values that lie in another file", "values in the file itself")
    if found.dtype.kind not in "iuf" or found.dtype.itemsize > 8 or found.ndim != 2:
        raise _unexpected(path, f"{name} with {found.ndim} axes of {found.dtype} values", "numbers in rows and columns")
    if not 0 < found.size <= most:
        raise _unexpected(path, f"{name} of size {'x'.join(map(str, found.shape))}", f"1 to {most} values")
    return found


def _values(file: Any, name: str, most: int, path: Path) -> NDArray[np.generic]:
    """The numbers called ``name`` with MATLAB's axes reversed, see :func:`_dataset`."""
    dataset = _dataset(file, name, most, path)
    if dataset.chunks is not None and not _unpacks_to_its_size(dataset):
        raise _unexpected(path, f"{name} packed in a way that MATLAB does not use", "chunks packed by deflate")
    values: NDArray[np.generic] = dataset[()]
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _unpacks_to_its_size(dataset: Any) -> bool:
    """Whether the chunks are few, and unpack to what they must and not more: HDF5 itself has no such bound."""
    settings = dataset.id.get_create_plist()
    filters = tuple(settings.get_filter(at)[0] for at in range(settings.get_nfilters()))
    chunk_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
    count = math.prod(math.ceil(n / step) for n, step in zip(dataset.shape, dataset.chunks, strict=True))
    if filters not in _FILTERS or count > _MAX_CHUNKS or count * chunk_bytes > 4 * _MAX_BYTES:
        return False
    stored: list[Any] = []
    dataset.id.chunk_iter(stored.append)
    if len(stored) > count or any(chunk.filter_mask or chunk.size > 2 * chunk_bytes + 1024 for chunk in stored):
        return False
    if _DEFLATE not in filters:
        return all(chunk.size == chunk_bytes for chunk in stored)
    for chunk in stored:
        unpacker = zlib.decompressobj()
        _, packed = dataset.id.read_direct_chunk(chunk.chunk_offset)
        if len(unpacker.decompress(packed, chunk_bytes + 1)) != chunk_bytes:
            return False
    return True


def _old_format(path: Path) -> FileError:
    return FileError(
        f"{path} is of an older MATLAB format",
        found="MATLAB 5.0 MAT-file",
        expected="MATLAB v7.3",
        remedy="load it in MATLAB and save it again with -v7.3, or export the slice as PNG",
    )


def _unexpected(path: Path, found: str, expected: str) -> FileError:
    return FileError(
        f"{path} does not hold what it should",
        found=found,
        expected=expected,
        remedy="check that it is a slice of the data set (N.mat) or its folds (cvind.mat), or download it again",
    )
