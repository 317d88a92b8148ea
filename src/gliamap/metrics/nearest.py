"""How far each place of one surface lies from the nearest place of another. Exact; fast where the two lie close.

Two surfaces of one tumour mostly lie a voxel or two apart. So the places around are looked up first, nearest first;
only what is still without an answer is searched for in a tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_REACH = 3
"""How many voxels around a place are looked up, along every axis."""


def nearest(source: NDArray[np.intp], target: NDArray[np.intp], spacing: Sequence[float]) -> NDArray[np.float64]:
    """The distance ``(N,)`` from each place of ``source`` ``(N, axes)`` to the nearest of ``target`` ``(M, axes)``.

    Places are voxel indices from 0 on, ``spacing`` has a step for each axis; its unit is that of the result.
    Infinite where ``target`` has no place.
    """
    found = np.full(len(source), np.inf)
    if not len(source) or not len(target):
        return found
    shape = np.maximum(source.max(axis=0), target.max(axis=0)) + 1 + 2 * _REACH
    strides = np.cumprod([1, *shape[:0:-1]])[::-1]
    there = np.zeros(shape.prod(), np.bool_)
    there[(target + _REACH) @ strides] = True
    at, left = (source + _REACH) @ strides, np.arange(len(source))
    for offset, length in _around(np.asarray(spacing, np.float64)):
        hit = there[at + offset @ strides]
        found[left[hit]] = length
        at, left = at[~hit], left[~hit]
        if not left.size:
            return found
    # A plain tree is sooner built, and measured on surfaces also sooner asked, than a balanced one.
    tree = cKDTree(target * spacing, balanced_tree=False, compact_nodes=False)
    found[left] = tree.query(source[left] * spacing)[0]
    return found


def _around(steps: NDArray[np.float64]) -> list[tuple[NDArray[np.intp], float]]:
    """Offsets in voxels and their lengths, ascending: all that are nearer than any place out of ``_REACH``."""
    offsets = np.array(list(product(range(-_REACH, _REACH + 1), repeat=steps.size)))
    lengths = np.sqrt(((offsets * steps) ** 2).sum(axis=1))
    order = np.argsort(lengths, kind="stable")
    complete = order[lengths[order] < (_REACH + 1) * steps.min()]
    return [(offsets[i], float(lengths[i])) for i in complete]
