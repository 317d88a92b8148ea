"""The steps of preparation, each with its inverse beside it. Arrays are ``(..., X, Y, Z)``; knows no files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gliamap.boxes import Box, Shape

Axes = tuple[int, int, int]
Flips = tuple[bool, bool, bool]
T = TypeVar("T", bound=np.generic)

_CONSTANT = 1e-6
"""A standard deviation up to this share of the mean is the rounding of float32 values, not contrast."""

TAILS_PERCENT = (0.5, 99.5)
"""Where robust normalisation cuts intensities; nnU-Net cuts those of CT there."""


def reorient(array: NDArray[T], axes: Axes, flips: Flips) -> NDArray[T]:
    """Bring voxel axes into the order R, A, S: output axis i is input axis ``axes[i]``, reversed if ``flips[i]``.

    A view, no copy. Inverse: :func:`undo_reorient`.
    """
    lead = array.ndim - 3
    moved = array.transpose(*range(lead), *(lead + a for a in axes))
    return moved[(..., *(slice(None, None, -1) if f else slice(None) for f in flips))]


def undo_reorient(array: NDArray[T], axes: Axes, flips: Flips) -> NDArray[T]:
    """The inverse of :func:`reorient` with the same ``axes`` and ``flips``."""
    lead = array.ndim - 3
    unflipped = array[(..., *(slice(None, None, -1) if f else slice(None) for f in flips))]
    return unflipped.transpose(*range(lead), *(lead + axes.index(a) for a in range(3)))


def undo_crop(array: NDArray[T], crop: Box, shape: Shape) -> NDArray[T]:
    """Put ``array`` back at ``crop`` in a grid of ``shape``, zero elsewhere: the inverse of slicing by ``crop``.

    The array itself where the crop is the whole grid.
    """
    if crop.shape == shape:
        return array
    out = np.zeros((*array.shape[:-3], *shape), array.dtype)
    out[(..., *crop.slices)] = array
    return out


def resampled_shape(shape: Shape, spacing: tuple[float, ...], target: tuple[float, ...]) -> Shape:
    """The shape that covers the same extent at ``target`` spacing, at least one voxel an axis.

    An axis of one voxel (a 2D image) stays as it is.
    """
    x, y, z = (n if n == 1 else max(1, round(n * s / t)) for n, s, t in zip(shape, spacing, target, strict=True))
    return (x, y, z)


def resample(array: NDArray[np.float32], shape: Shape) -> NDArray[np.float32]:
    """Linear interpolation of ``(C, X, Y, Z)`` to ``shape`` over the same extent (voxel edges, not centres, align).

    Axes that shrink are smoothed first (Gaussian of half the step), so that fine detail does not alias. The inverse
    is the same function with the old shape, exact up to what interpolation loses.
    """
    if array.shape[1:] == shape:
        return array
    steps = [n / m for n, m in zip(array.shape[1:], shape, strict=True)]
    sigma = [0.5 * (s - 1) if s > 1 else 0.0 for s in steps]
    out = np.empty((len(array), *shape), np.float32)
    for channel, target in zip(array, out, strict=True):
        smooth = ndimage.gaussian_filter(channel, sigma) if any(sigma) else channel
        ndimage.zoom(smooth, [1 / s for s in steps], target, order=1, mode="nearest", grid_mode=True)
    return out


def resample_labels(labels: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """A label map on a new grid: each label's mask is resampled as in :func:`resample` and the largest share wins."""
    if labels.shape == shape:
        return labels
    values = np.unique(labels)
    shares = resample(np.stack([(labels == v).astype(np.float32) for v in values]), shape)
    return np.asarray(values[np.argmax(shares, axis=0)])


def foreground_mask(
    image: NDArray[np.float32] | Sequence[NDArray[np.float32]], kind: Literal["brain", "head"]
) -> NDArray[np.bool_]:
    """Where ``(C, X, Y, Z)``, an array or its channels, shows the patient, ``(X, Y, Z)``.

    ``brain``: not zero in any channel (skull-stripped images). ``head``: brighter than Otsu's threshold in any
    channel, holes filled in every slice (the scalp is a ring around a dark skull), the largest piece. All false for
    a blank image.
    """
    bright: NDArray[np.bool_] = np.zeros(image[0].shape, np.bool_)
    for channel in image:  # one at a time: all at once would be as many masks
        np.logical_or(bright, channel if kind == "brain" else channel > _otsu_threshold(channel), out=bright)
    if kind == "brain":
        return bright
    for z in range(bright.shape[2]):
        bright[..., z] = ndimage.binary_fill_holes(bright[..., z])
    labelled, count = ndimage.label(bright)
    if count > 1:
        sizes = np.zeros(count + 1, np.int64)
        for slab in labelled:  # not all at once: bincount makes a copy in 64 bits
            sizes += np.bincount(slab.ravel(), minlength=count + 1)
        bright = labelled == 1 + int(np.argmax(sizes[1:]))
    return bright


def _otsu_threshold(channel: NDArray[np.float32]) -> float:
    """The threshold with the largest between-class variance (Otsu 1979) over 256 bins."""
    # In float64: 256 bins between two neighbouring float32 values would not be distinct.
    low, high = np.float64(channel.min()), np.float64(channel.max())
    if low == high:
        return float(high)
    counts, edges = np.histogram(channel, 256, (low, high))
    middle = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = channel.size - below
    sums = np.cumsum(counts * middle)
    mean_gap = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    return float(edges[1 + int(np.argmax(below * above * mean_gap**2))])


def clip_tails(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Each channel of ``(C, X, Y, Z)`` cut at the ``TAILS_PERCENT`` percentiles of its intensities inside ``mask``.

    What lies outside the mask is cut at the same two intensities. A channel of which all but a few voxels inside the
    mask are equal becomes constant. Where the mask is empty nothing is cut. A new array; it has no inverse.
    """
    if not mask.any():
        return image.copy()
    out = np.empty_like(image)
    for channel, target in zip(image, out, strict=True):
        low, high = np.percentile(channel[mask], TAILS_PERCENT)
        np.clip(channel, low, high, out=target)
    return out


def zscore(image: NDArray[np.float32], mask: NDArray[np.bool_], *, zero_outside: bool) -> NDArray[np.float32]:
    """Each channel of ``(C, X, Y, Z)`` less its mean inside ``mask``, over its standard deviation there.

    A channel that is constant inside the mask (its deviation is rounding noise), and every channel where the mask
    is empty, becomes zero. ``zero_outside`` sets what lies
    outside the mask to 0, so that it equals the padding around a patch. Inverse inside the mask:
    :func:`undo_zscore` with :func:`zscore_statistics`.
    """
    out = np.zeros_like(image)
    for channel, target, (mean, std) in zip(image, out, zscore_statistics(image, mask), strict=True):
        if np.float32(std) > _CONSTANT * abs(mean):
            np.subtract(channel, np.float32(mean), out=target)
            np.divide(target, np.float32(std), out=target)
            if zero_outside:
                np.multiply(target, mask, out=target)
    return out


def zscore_statistics(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Mean and standard deviation of each channel inside ``mask``; (0, 0) where the mask is empty."""
    if not mask.any():
        return [(0.0, 0.0)] * len(image)
    inside = (channel[mask].astype(np.float64) for channel in image)
    return [(float(values.mean()), float(values.std())) for values in inside]


def undo_zscore(image: NDArray[np.float32], statistics: list[tuple[float, float]]) -> NDArray[np.float32]:
    """Intensities back from z-scores, given each channel's mean and standard deviation."""
    mean, std = np.array(statistics, np.float32).T
    return np.asarray(image * std[:, None, None, None] + mean[:, None, None, None])
