"""The patches that a training draws from, as one sorted array on disk: read row by row, so memory does not grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliamap.errors import FileError
from gliamap.io.atomic import atomic_path

ROW = np.dtype([("case", "<i4"), ("start", "<i4", (3,)), ("tumour", "?")])
"""The number of the case among the training cases, the patch's first voxel X, Y, Z, and whether it holds tumour."""

Rows = NDArray[np.void]
"""An array of ``ROW``, patches with tumour first."""


def write_rows(path: Path, rows: Rows) -> None:
    """Write ``rows`` as a numpy file."""
    with atomic_path(path) as part:
        np.save(part, rows, allow_pickle=False)


def open_rows(path: Path) -> Rows:
    """The rows as a memory map; ``FileError`` where the file is missing or damaged."""
    try:
        rows: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if rows.dtype != ROW or rows.ndim != 1:
            raise ValueError(f"{rows.dtype} with {rows.ndim} axes")
    except (OSError, ValueError, EOFError) as error:
        raise FileError(
            f"the list of patches {path} is missing or damaged",
            found=str(error).partition(". ")[0],
            remedy="go on with --resume: it is made again",
        ) from error
    return rows
