"""Losses: functions of logits and target masks, both ``(B, R, *space)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from monai.losses.dice import DiceLoss
from torch import Tensor
from torch.nn import functional


def dice_ce(logits: Tensor, target: Tensor, kind: Literal["regions", "classes"]) -> Tensor:
    """Batch Dice loss plus cross-entropy, a scalar, computed in float32.

    ``regions``: sigmoid and binary cross-entropy a channel. ``classes``: softmax and cross-entropy; the Dice part
    leaves the background channel out. Dice is taken over the whole batch (Isensee et al. 2021), so that patches
    without a region do not dominate it; a region absent from batch and prediction costs nothing.
    """
    logits, mask = logits.float(), target.float()
    if kind == "regions":
        dice = DiceLoss(sigmoid=True, batch=True)(logits, mask)
        return _scalar(dice + functional.binary_cross_entropy_with_logits(logits, mask))
    dice = DiceLoss(softmax=True, include_background=False, batch=True)(logits, mask)
    return _scalar(dice + functional.cross_entropy(logits, mask))


def deeply_supervised(levels: Sequence[Tensor], target: Tensor, kind: Literal["regions", "classes"]) -> Tensor:
    """The mean of :func:`dice_ce` over levels of equal size, finest first, with weights 1, 1/2, 1/4, ..."""
    weights = [0.5**i for i in range(len(levels))]
    total = sum((w * dice_ce(x, target, kind) for w, x in zip(weights, levels, strict=True)), target.new_zeros(()))
    return _scalar(total / sum(weights))


def _scalar(value: Tensor) -> Tensor:
    return value.reshape(())
