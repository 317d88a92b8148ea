"""Fingerprints of cases, by which an image, a mask or a patient is known again after re-saving. Knows arrays only.

An image is brought to RAS, cut to what is not background, and described by the ranks of its brightness in blocks of
its box, less their neighbourhood: what is left is the pattern of gyri, ventricles and tumour, whatever the data type,
the scaling, the voxel order, the empty border or any other monotone change of brightness.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gliamap.boxes import bounding_box
from gliamap.checks.brightness import background_of, brightness, tissue_of
from gliamap.prep.steps import reorient
from gliamap.volume import Grid, ras_order

BLOCKS_3D = 16
"""Blocks along each axis of a volume's box."""

BLOCKS_2D = 24
"""Blocks along each axis of a slice's box."""

_GREY_LEVELS = 63.0  # few, so that the rounding of float32 hardly ever moves a voxel to another
_OFF_TIES = 0.137  # values that scaling put between two levels are rounded alike whatever the scaling
_RANK_BINS = 1024
_TRIM = 0.004  # of the tissue that may lie outside the box on either side, so that specks do not move it
_LOOK_VOXELS = {True: 600, False: 10_000}  # least tissue to be described, for a slice and for a volume
_OUTLINE_VOXELS = {True: 200, False: 5_000}
_MASK_VOXELS = {True: 64, False: 200}
_LEAST_OUTSIDE = 0.05  # of the outline's box: less is no outline but an image that fills its file
_FINEST = 80  # voxels an axis that are looked at, about


@dataclass(frozen=True)
class Fingerprint:
    """About 20 kB of plain strings for four modalities, 1 kB for a slice.

    ``hashes`` by modality: the same for the same voxels up to scaling and data type. ``looks`` by modality: a
    description that may be compared, see :func:`look_values`; images with too little tissue have none. ``outline`` is
    a hash of the brain's outline, ``None`` unless the background is one value. ``mask`` is a hash of the labels,
    whatever their numbers; ``None`` without a mask of some size.
    """

    hashes: Mapping[str, str]
    looks: Mapping[str, str]
    outline: str | None = None
    mask: str | None = None


def fingerprint_of(
    image: NDArray[np.float32], modalities: Sequence[str], grid: Grid, labels: NDArray[np.integer] | None = None
) -> Fingerprint:
    """The fingerprint of ``(C, X, Y, Z)`` on ``grid``; ``labels`` ``(X, Y, Z)`` may hold tissues or file values."""
    axes, flips = ras_order(grid.affine)
    shown = np.zeros(grid.shape, np.bool_)
    hashes, looks = {}, {}
    for name, channel in zip(modalities, image, strict=True):
        background = background_of(channel)
        occupied = channel != np.float32(background)
        np.logical_or(shown, occupied, out=shown)
        box = bounding_box(occupied)
        if box is None:
            continue
        step = 1 if grid.is_2d else max(1, round(max(box.shape) / _FINEST))
        part = reorient(channel[box.slices], axes, flips)[::step, ::step, ::step]
        hashes[name] = _hash_image(part)
        look = _look(part, background, step**3)
        if look is not None:
            looks[name] = look
    return Fingerprint(
        hashes, looks, _hash_outline(reorient(shown, axes, flips)),
        None if labels is None else _hash_mask(reorient(labels, axes, flips)),
    )  # fmt: skip


def look_values(look: str) -> NDArray[np.float32]:
    """The values of a look as a vector of length 1: the product of two is their correlation."""
    values = np.frombuffer(base64.b64decode(look), np.int8).astype(np.float32)
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-6))


def _hash_image(part: NDArray[np.float32]) -> str:
    low, high = float(part.min()), float(part.max())
    levels = (part.astype(np.float64) - low) * (_GREY_LEVELS / max(high - low, 1e-30)) + _OFF_TIES
    return _digest(np.rint(levels).astype(np.uint8))


def _hash_outline(shown: NDArray[np.bool_]) -> str | None:
    box = bounding_box(shown)
    if box is None:
        return None
    part = shown[box.slices]
    inside = int(part.sum())
    if inside < _OUTLINE_VOXELS[1 in shown.shape] or inside > (1 - _LEAST_OUTSIDE) * part.size:
        return None
    return _digest(part)


def _hash_mask(labels: NDArray[np.integer]) -> str | None:
    """Of the labels numbered by their first voxel, so that a converted mask stays the same."""
    tumour = labels != 0
    box = bounding_box(tumour)
    if box is None or int(tumour.sum()) < _MASK_VOXELS[1 in labels.shape]:
        return None
    part = labels[box.slices]
    values, first = np.unique(part, return_index=True)
    order = [int(value) for _, value in sorted(zip(first, values, strict=True)) if value != 0]
    numbered = np.zeros(part.shape, np.uint8)
    for number, value in enumerate(order, 1):
        numbered[part == value] = min(number, 255)
    return _digest(numbered)


def _digest(array: NDArray[np.generic]) -> str:
    shape = "x".join(str(n) for n in array.shape)
    return blake2b(shape.encode() + np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()


def _look(part: NDArray[np.float32], background: float, voxels: int) -> str | None:
    is_slice = 1 in part.shape
    bright = brightness(part, background)
    tissue = tissue_of(bright)
    if int(tissue.sum()) * voxels < _LOOK_VOXELS[is_slice]:
        return None
    blocks = [1 if n == 1 else BLOCKS_2D if is_slice else BLOCKS_3D for n in part.shape]
    edges = [_edges(tissue, axis, count) for axis, count in enumerate(blocks)]
    filled = _block_means(tissue.astype(np.float64), edges)
    mean = _block_means(_ranks(bright, tissue), edges) / np.maximum(filled, 0.05)
    weight = np.clip((filled - 0.3) / 0.4, 0, 1)
    nearby = ndimage.uniform_filter(mean * weight, 3, mode="constant")
    pattern = (mean - nearby / np.maximum(ndimage.uniform_filter(weight, 3, mode="constant"), 1e-2)) * weight
    largest = float(np.abs(pattern).max())
    if largest <= 1e-9:
        return None
    return base64.b64encode(np.rint(pattern * (127 / largest)).astype(np.int8).tobytes()).decode("ascii")


def _ranks(bright: NDArray[np.float32], tissue: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of the tissue that is darker than each of its voxels; 0 elsewhere."""
    inside = bright[tissue]
    counts, edges = np.histogram(inside, _RANK_BINS, (0.0, 1.0))
    darker = (np.cumsum(counts) - counts / 2) / inside.size
    out = np.zeros(bright.shape, np.float64)
    out[tissue] = np.interp(inside, (edges[:-1] + edges[1:]) / 2, darker)
    return out


def _edges(tissue: NDArray[np.bool_], axis: int, blocks: int) -> NDArray[np.float64]:
    """Where blocks begin and end along an axis, in voxels: even parts of where nearly all tissue lies."""
    size = tissue.shape[axis]
    along = tissue.sum(axis=tuple(other for other in range(3) if other != axis))
    share = np.concatenate([[0.0], np.cumsum(along) / along.sum()])
    low, high = np.interp([_TRIM, 1 - _TRIM], share, np.arange(size + 1.0)) if size > 1 else (0.0, 1.0)
    return np.linspace(float(low), float(high), blocks + 1)


def _block_means(array: NDArray[np.float64], edges: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Exact means over blocks whose edges need not be whole voxels."""
    for axis, bounds in enumerate(edges):
        sums = np.insert(np.cumsum(array, axis=axis), 0, 0, axis=axis)
        whole = np.minimum(np.floor(bounds).astype(np.intp), array.shape[axis] - 1)
        rest = np.expand_dims(bounds - whole, [other for other in range(3) if other != axis])
        at_bounds = np.take(sums, whole, axis) * (1 - rest) + np.take(sums, whole + 1, axis) * rest
        array = np.diff(at_bounds, axis=axis) / max(float(bounds[1] - bounds[0]), 1e-9)
    return array
