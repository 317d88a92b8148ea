"""Brightness without units: what is background, what is tissue, how bright against normal brain. Knows arrays only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MARGIN_VOXELS = 3
"""This far around a tumour, on the grid that is looked at, brain does not count as normal."""

_SAMPLED = 40  # values an axis that the background of a volume is told from
_BINS = 128
_NORMALISED = 0.1  # a background this far up the range is not the air of a scan,
_MOST_OF_IT = 0.9  # if it is more than the rest of this: air with noise has no frequent value
_FAR = 100.0


def background_of(image: NDArray[np.float32]) -> float:
    """The most frequent value of a plane, or of a sample of a volume: zero around a brain, whatever it became."""
    planar = image.ndim == 2 or 1 in image.shape
    sample = image if planar else image[tuple(slice(None, None, max(1, n // _SAMPLED)) for n in image.shape)]
    values, counts = np.unique(sample, return_counts=True)
    return float(values[int(np.argmax(counts))])


def brightness(image: NDArray[np.float32], background: float) -> NDArray[np.float32]:
    """The image on a scale from 0 (its darkest half percent) to 1 (its brightest percent), cut off at both ends.

    Voxels of the ``background`` value are 0. Where that is not the darkest, as in brains that were normalised, all
    else is put above a quarter of the scale, where the fluid of such a brain was before.
    """
    outside = image == np.float32(background)
    rest = image[~outside]
    if rest.size == 0:
        return np.zeros(image.shape, np.float32)
    dark, high = (float(value) for value in np.percentile(rest, [0.5, 99]))
    is_normalised = rest.size < _MOST_OF_IT * image.size and background - dark > _NORMALISED * (high - dark)
    low = dark - (high - dark) / 3 if is_normalised else min(dark, background)
    bright = np.clip((image.astype(np.float64) - low) / max(high - low, 1e-30), 0, 1).astype(np.float32)
    bright[outside] = 0
    return np.asarray(bright)


def tissue_of(bright: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where :func:`brightness` is above noise: well below Otsu's threshold (1979) on a scale of square roots.

    Of the root, so that bright fat does not hide the brain.
    """
    counts, edges = np.histogram(np.sqrt(bright), _BINS, (0.0, 1.0))
    middle = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = bright.size - below
    sums = np.cumsum(counts * middle)
    gap = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    threshold = edges[1 + int(np.argmax(below * above * gap**2))]
    return np.asarray(bright > 0.6 * threshold**2)


def brain_of(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where every modality of skull-stripped ``(C, X, Y, Z)`` shows something, ``(X, Y, Z)``."""
    return np.asarray(np.stack([channel != np.float32(background_of(channel)) for channel in image]).all(axis=0))


def against_normal(image: NDArray[np.float32], normal: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    """Each channel of ``(C, X, Y, Z)`` less its median in ``normal``, over its spread there (1.4826 MAD), in +-100.

    ``None`` where too little is normal, or where a channel does not vary there.
    """
    if int(normal.sum()) < 100:
        return None
    out = np.empty(image.shape, np.float32)
    for channel, target in zip(image, out, strict=True):
        inside = channel[normal].astype(np.float64)
        middle = float(np.median(inside))
        spread = 1.4826 * float(np.median(np.abs(inside - middle)))
        if spread <= 1e-6 * abs(middle):
            return None
        target[...] = np.clip((channel - middle) / spread, -_FAR, _FAR)
    return out


def away_from(tumour: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where ``(X, Y, Z)`` is more than ``MARGIN_VOXELS`` away from ``tumour``."""
    if not tumour.any():
        return np.ones(tumour.shape, np.bool_)
    return np.asarray(~ndimage.binary_dilation(tumour, iterations=MARGIN_VOXELS))


def thinned(shape: tuple[int, ...], goal: int = 80) -> tuple[slice, ...]:
    """Slices that leave about ``goal`` voxels an axis of ``(X, Y, Z)``: enough to tell brightness from."""
    return tuple(slice(None, None, max(1, round(n / goal))) for n in shape)
