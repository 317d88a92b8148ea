"""How far each place of one surface lies from the nearest place of another. Exact; fast where the two lie close.

Two surfaces of one tumour mostly lie a voxel or two apart. So the places around are looked up first, nearest first.
What is still without an answer is searched for in a tree; where that is much, as in scattered predictions, by a
distance transform, whose cost depends on the boxes of the places, hardly on their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_REACH = 2
"""How many voxels around a place are looked up, along every axis."""

_MANY = 20_000
"""From how many far places on the transform is sooner done than the tree, measured on BraTS masks."""


def nearest(source: NDArray[np.intp], target: NDArray[np.intp], spacing: Sequence[float]) -> NDArray[np.float64]:
    """The distance ``(N,)`` from each place of ``source`` ``(N, axes)`` to the nearest of ``target`` ``(M, axes)``.

    Places are voxel indices, ``spacing`` has a step for each axis; its unit is that of the result.
    Infinite where ``target`` has no place.
    """
    found = np.full(len(source), np.inf)
    if not len(source) or not len(target):
        return found
    low, high = target.min(axis=0) - _REACH, target.max(axis=0) + _REACH
    shape = high - low + 1 + 2 * _REACH
    strides = np.cumprod([1, *shape[:0:-1]])[::-1]
    there = np.zeros(shape.prod(), np.bool_)
    there[(target - low + _REACH) @ strides] = True
    left = np.flatnonzero(((source >= low) & (source <= high)).all(axis=1))
    at = (source[left] - low + _REACH) @ strides
    for offset, length in _around(np.asarray(spacing, np.float64)):
        hit = there[at + offset @ strides]
        found[left[hit]] = length
        at, left = at[~hit], left[~hit]
        if not left.size:
            break
    left = np.flatnonzero(np.isinf(found))
    if not left.size:
        return found
    found[left] = (_transformed if left.size >= _MANY else _searched)(source[left], target, np.asarray(spacing))
    return found


def _around(steps: NDArray[np.float64]) -> list[tuple[NDArray[np.intp], float]]:
    """Offsets in voxels and their lengths, ascending: all that are nearer than any place out of ``_REACH``."""
    offsets = np.array(list(product(range(-_REACH, _REACH + 1), repeat=steps.size)))
    lengths = np.sqrt(((offsets * steps) ** 2).sum(axis=1))
    order = np.argsort(lengths, kind="stable")
    complete = order[lengths[order] < (_REACH + 1) * steps.min()]
    return [(offsets[i], float(lengths[i])) for i in complete]


def _searched(source: NDArray[np.intp], target: NDArray[np.intp], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    # A plain tree is sooner built, and measured on surfaces also sooner asked, than a balanced one.
    tree = cKDTree(target * steps, leafsize=32, balanced_tree=False, compact_nodes=False)
    return np.asarray(tree.query(source * steps)[0])


def _transformed(source: NDArray[np.intp], target: NDArray[np.intp], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """The exact distance transform of ``target``, one axis after the other, computed only where ``source`` needs it.

    Squares of distances add up over the axes: the least along z is known for each column of the target, from these
    the least in each of its slices along x, and from these the least of all.
    """
    if steps.size == 2:
        source, target, steps = np.pad(source, ((0, 0), (1, 0))), np.pad(target, ((0, 0), (1, 0))), np.r_[1, steps]
    low = target.min(axis=0)
    source, columns = source - low, _columns(target - low)
    # Even steps are counted as 1: squares are whole numbers then, which single precision holds exactly, at half the
    # cost. The diagonal of a grid would have to be above 4000 voxels to exceed it.
    unit, kind = (steps[0], np.float32) if (steps == steps[0]).all() else (1.0, np.float64)
    ahead, behind = columns
    squares = np.empty(len(source))
    order = np.argsort(source[:, 2], kind="stable")
    heights, starts = np.unique(source[order, 2], return_index=True)
    for z, rows in zip(heights.tolist(), np.split(order, starts[1:]), strict=True):
        at = min(max(z, 0), len(ahead) - 1)
        along_z = np.minimum(abs(ahead[at] - z), abs(z - behind[at])) * (steps[2] / unit)
        squares[rows] = _in_plane(source[rows, :2], (along_z**2).astype(kind), steps[:2] / unit)
    return np.asarray(np.sqrt(squares) * unit)


def _columns(target: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At every place ``[z, x, y]`` of the target's box the next z ahead and behind where the target is; or infinite."""
    x, y, z = target.T
    ahead = np.full(target.max(axis=0)[[2, 0, 1]] + 1, np.inf)
    behind = -ahead
    ahead[z, x, y] = behind[z, x, y] = z
    for upper in range(1, len(ahead)):
        np.maximum(behind[upper], behind[upper - 1], out=behind[upper])
        np.minimum(ahead[-upper - 1], ahead[-upper], out=ahead[-upper - 1])
    return ahead, behind


def _in_plane(
    places: NDArray[np.intp], squares: NDArray[np.floating], steps: NDArray[np.float64]
) -> NDArray[np.floating]:
    """The least sum ``(N,)`` of a plane's ``squares`` ``[x, y]`` and the squared distance from a place to there."""
    low, high = places[:, 1].min(), places[:, 1].max() + 1
    along_x, along_y = (
        (((np.arange(size) - asked[:, None]) * step) ** 2).astype(squares.dtype)
        for asked, size, step in zip((places[:, 0], np.arange(low, high)), squares.shape, steps, strict=True)
    )
    least = np.full((len(squares), high - low), np.inf, squares.dtype)
    for y, column in enumerate(np.ascontiguousarray(along_y.T)):
        np.minimum(least, squares[:, y, None] + column, out=least)
    return np.asarray((np.ascontiguousarray(least.T)[places[:, 1] - low] + along_x).min(axis=1))
