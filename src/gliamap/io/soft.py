"""Teachers' probabilities on disk: one array a case on its prepared grid, 8 bit, read by patch through a memory map.

FOLDER/CASE_ID.npy   (R, X, Y, Z) uint8: probabilities times 255
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliamap.errors import FileError
from gliamap.io.atomic import atomic_path

STEPS = 255
"""The largest stored value, which stands for 1: a step of 0.4 % is far below what teachers agree on."""


def write_soft(folder: Path, case_id: str, probabilities: NDArray[np.float32]) -> None:
    """Write one case's probabilities ``(R, X, Y, Z)`` in 0..1."""
    with atomic_path(folder / f"{case_id}.npy") as part:
        np.save(part, np.rint(probabilities * STEPS).astype(np.uint8), allow_pickle=False)


def open_soft(folder: Path, case_id: str) -> NDArray[np.uint8]:
    """A case's probabilities times ``STEPS`` as a memory map; ``FileError`` where they are missing or damaged."""
    path = folder / f"{case_id}.npy"
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.dtype != np.uint8 or array.ndim != 4:
            raise ValueError(f"{array.dtype} values with {array.ndim} axes")
    except (OSError, ValueError, EOFError) as error:
        raise FileError(
            f"the teachers' probabilities {path} are missing or damaged",
            found=str(error).partition(". ")[0],
            remedy="remove the file and repeat the command: it is made again",
        ) from error
    return array
