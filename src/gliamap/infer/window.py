"""Sliding an engine over a prepared image. Validation and users go through this one function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape, window_boxes
from gliamap.config import WindowConfig
from gliamap.errors import ConfigError
from gliamap.infer.engine import Engine
from gliamap.infer.one_pass import one_pass_patch
from gliamap.inputs import NetworkInput


def predict_windows(
    shown: NetworkInput,
    engine: Engine,
    config: WindowConfig,
    progress: Callable[[int, int], None] | None = None,
    *,
    half: bool = False,
) -> NDArray[np.floating]:
    """Probabilities ``(R, X, Y, Z)`` of a prepared image, float32, or float16 where ``half`` saves memory.

    Windows of ``config.patch`` overlap by at least ``config.overlap`` and are averaged as probabilities with a
    Gaussian weight (sigma = 1/8 of the patch, Isensee et al. 2021), so that a window's border counts least; in the mode
    ``one-pass`` there is one, as large as the grid. A grid
    smaller than the patch is padded with zeros, what training saw around its patches. Windows of zeros alone, such as
    those beside a stripped brain, are all alike: the network is shown one of them. ``progress`` is told how many
    windows of how many are done. ``ConfigError`` where the patch does not fit the engine.
    """
    shape, patch, overlap = shown.shape, config.patch, config.overlap
    if config.mode == "one-pass":
        patch, overlap = one_pass_patch(shape, patch, engine.divisor), 0.0
    _check_patch(patch, engine.divisor)
    boxes = window_boxes(shape, patch, overlap)
    weight = gaussian_weight(patch)
    total = np.zeros((engine.channels, *shape), np.float16 if half else np.float32)
    weights = np.zeros(shape, np.float32)
    for number, (box, answer) in enumerate(_answers(shown, engine, boxes, config.batch)):
        _add(total, weights, box, answer, weight)
        if progress:
            progress(number + 1, len(boxes))
    total /= weights
    return total


def _answers(
    shown: NetworkInput, engine: Engine, boxes: Sequence[Box], batch: int
) -> Iterator[tuple[Box, NDArray[np.float32]]]:
    """Each box in turn and the engine's probabilities there, which come from the first blank one for all blank ones."""
    blank = [box for box in boxes if shown.is_blank(box)]
    again = frozenset(blank[1:])
    asked = [box for box in boxes if box not in again]
    groups = (asked[start : start + batch] for start in range(0, len(asked), batch))
    answers = (answer for group in groups for answer in engine(np.stack([shown.cut(box) for box in group])))
    of_blank: NDArray[np.float32] = np.empty(0, np.float32)
    for box in boxes:
        answer = of_blank if box in again else next(answers)
        if blank and box == blank[0]:
            of_blank = answer.copy()  # an engine may write its next answers over these
        yield box, answer


def _check_patch(patch: Shape, divisor: int) -> None:
    if any(n > 1 and n % divisor for n in patch):
        raise ConfigError(
            f"the window {'x'.join(map(str, patch))} does not fit the network",
            expected=f"sizes divisible by {divisor}, or 1 along Z for slices",
            remedy="restore the window of model.json",
        )


def _add(
    total: NDArray[np.floating],
    weights: NDArray[np.float32],
    box: Box,
    answer: NDArray[np.float32],
    weight: NDArray[np.float32],
) -> None:
    """Add a weighted window, cut to the grid, to the running sums in place."""
    inside = box.clip((weights.shape[0], weights.shape[1], weights.shape[2]))
    cut = inside.relative_to(box).slices
    weights[inside.slices] += weight[cut]
    for channel, said in zip(total, answer, strict=True):
        channel[inside.slices] += said[cut] * weight[cut]


def gaussian_weight(patch: Shape) -> NDArray[np.float32]:
    """A separable Gaussian over the patch, 1 at its centre, at least 1e-3 so that every voxel is divisible."""
    axes = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in patch]
    weight = axes[0][:, None, None] * axes[1][None, :, None] * axes[2][None, None, :]
    return np.asarray(np.maximum(weight / weight.max(), 1e-3), np.float32)
