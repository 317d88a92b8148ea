"""Sliding an engine over a prepared image. Validation and users go through this one function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape, window_boxes
from gliamap.config import WindowConfig
from gliamap.errors import ConfigError
from gliamap.infer.engine import Engine
from gliamap.inputs import NetworkInput


def predict_windows(
    shown: NetworkInput,
    engine: Engine,
    config: WindowConfig,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Probabilities ``(R, X, Y, Z)`` of a prepared image.

    Windows of ``config.patch`` overlap by at least ``config.overlap`` and are averaged as probabilities with a
    Gaussian weight (sigma = 1/8 of the patch, Isensee et al. 2021), so that a window's border counts least. A grid
    smaller than the patch is padded with zeros, what training saw around its patches. ``progress`` is told how many
    windows of how many are done. ``ConfigError`` where the patch does not fit the engine.
    """
    _check_patch(config.patch, engine.divisor)
    shape = shown.shape
    boxes = window_boxes(shape, config.patch, config.overlap)
    weight = gaussian_weight(config.patch)
    total = np.zeros((engine.channels, *shape), np.float32)
    weights = np.zeros(shape, np.float32)
    for start in range(0, len(boxes), config.batch):
        group = boxes[start : start + config.batch]
        patches = np.stack([shown.cut(box) for box in group])
        _add(total, weights, group, engine(patches), weight)
        if progress:
            progress(start + len(group), len(boxes))
    total /= weights
    return total


def _check_patch(patch: Shape, divisor: int) -> None:
    if any(n > 1 and n % divisor for n in patch):
        raise ConfigError(
            f"the window {'x'.join(map(str, patch))} does not fit the network",
            expected=f"sizes divisible by {divisor}, or 1 along Z for slices",
            remedy="restore the window of model.json",
        )


def _add(
    total: NDArray[np.float32],
    weights: NDArray[np.float32],
    boxes: Sequence[Box],
    patches: NDArray[np.float32],
    weight: NDArray[np.float32],
) -> None:
    """Add weighted windows, cut to the grid, to the running sums in place."""
    grid: Shape = (weights.shape[0], weights.shape[1], weights.shape[2])
    for box, patch in zip(boxes, patches, strict=True):
        inside = box.clip(grid)
        cut = inside.relative_to(box).slices
        total[(..., *inside.slices)] += patch[(..., *cut)] * weight[cut]
        weights[inside.slices] += weight[cut]


def gaussian_weight(patch: Shape) -> NDArray[np.float32]:
    """A separable Gaussian over the patch, 1 at its centre, at least 1e-3 so that every voxel is divisible."""
    axes = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in patch]
    weight = axes[0][:, None, None] * axes[1][None, :, None] * axes[2][None, None, :]
    return np.asarray(np.maximum(weight / weight.max(), 1e-3), np.float32)
