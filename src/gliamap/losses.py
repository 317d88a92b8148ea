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


def soft_ce(logits: Tensor, soft: Tensor, kind: Literal["regions", "classes"]) -> Tensor:
    """Cross-entropy against teachers' probabilities ``soft`` ``(B, R, *space)``, a scalar, computed in float32.

    Hinton, Vinyals, Dean: Distilling the knowledge in a neural network, 2015, at temperature 1.
    """
    if kind == "regions":
        return functional.binary_cross_entropy_with_logits(logits.float(), soft)
    return functional.cross_entropy(logits.float(), soft)


def deeply_supervised(
    levels: Sequence[Tensor],
    target: Tensor,
    kind: Literal["regions", "classes"],
    *,
    soft: Tensor | None = None,
    soft_weight: float = 0.0,
) -> Tensor:
    """The mean over levels of equal size, finest first, with weights 1, 1/2, 1/4, ...

    Of each level it is :func:`dice_ce`; where there are teachers, a share ``soft_weight`` of it is :func:`soft_ce`.
    """

    def of_level(logits: Tensor) -> Tensor:
        hard = dice_ce(logits, target, kind)
        return hard if soft is None else (1 - soft_weight) * hard + soft_weight * soft_ce(logits, soft, kind)

    weights = [0.5**i for i in range(len(levels))]
    total = sum((w * of_level(x) for w, x in zip(weights, levels, strict=True)), target.new_zeros(()))
    return _scalar(total / sum(weights))


def _scalar(value: Tensor) -> Tensor:
    return value.reshape(())
