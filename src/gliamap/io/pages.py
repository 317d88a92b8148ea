"""Which parts of a memory-mapped array are about to be read."""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box


def announce(array: NDArray[np.generic], box: Box) -> None:
    """Have the system fetch ``box`` of a memory map (last three axes X, Y, Z), and nothing around it.

    By itself it reads ahead at every place that is touched: for a small box of a large case nearly the whole file.
    Does nothing for an array in memory.
    """
    pages = array.base
    if not isinstance(array, np.memmap) or not isinstance(pages, mmap.mmap) or not array.flags.c_contiguous:
        return
    x, y, z = array.shape[-3:]
    inside = box.clip((x, y, z))
    *_, plane, row, _ = array.strides
    planes = np.arange(int(np.prod(array.shape[:-3])))[:, None] * x + np.arange(inside.start[0], inside.stop[0])
    first = array.offset % mmap.ALLOCATIONGRANULARITY  # where the array begins in the pages
    pages.madvise(mmap.MADV_RANDOM)
    length = (inside.stop[1] - inside.start[1]) * row
    if not length:
        return
    for start in (first + planes.ravel() * plane + inside.start[1] * row).tolist():
        spare = start % mmap.PAGESIZE
        pages.madvise(mmap.MADV_WILLNEED, start - spare, length + spare)
