"""How arrays are packed for a page: eight bits a voxel, first axis fastest, gzip."""

from __future__ import annotations

import gzip

import numpy as np
from numpy.typing import NDArray

LEVEL = 6
"""Of gzip: higher ones take much longer and save next to nothing on images."""

_WHITE = 255


def quantised(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    """``(X, Y, Z)`` with ``low`` as 0 and ``high`` as 255, rounded; what lies outside is cut off, NaN becomes 0.
    Where ``high`` is not above ``low`` all is 0.

    Slice by slice, so that no second copy in floats is needed; the result has the first axis fastest.
    """
    out = np.empty(values.shape, np.uint8, order="F")
    scale = np.float32(_WHITE / (high - low) if high > low else 0)
    for index in range(values.shape[2]):
        grey = (values[:, :, index].astype(np.float32) - np.float32(low)) * scale
        out[:, :, index] = np.rint(np.minimum(np.fmax(grey, 0), _WHITE))  # the larger of NaN and 0 is 0 to fmax
    return out


def packed(array: NDArray[np.generic]) -> bytes:
    """The bytes of ``array`` as gzip: a volume ``(X, Y, Z)`` with X fastest, a list ``(N, 3)`` row by row.

    Numbers of several bytes are written the lower one first. Equal arrays give equal bytes.
    """
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return gzip.compress(little.tobytes("F" if array.ndim == 3 else "C"), LEVEL, mtime=0)


def base64_bytes(blob: bytes) -> int:
    """How long ``blob`` is in base64."""
    return -(-len(blob) // 3) * 4
