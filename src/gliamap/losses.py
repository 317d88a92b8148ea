"""Losses: functions of logits and target masks, both ``(B, R, *space)``. Another one is a function and a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from monai.losses.dice import DiceLoss
from monai.losses.tversky import TverskyLoss
from torch import Tensor
from torch.nn import functional

Kind = Literal["regions", "classes"]
"""``regions``: a sigmoid each. ``classes``: a softmax over all, the first of them the background."""

FALSE_POSITIVES, FALSE_NEGATIVES = 0.3, 0.7
"""The Tversky loss' weights of voxels marked too many and too few, alpha and beta: the best of Salehi et al. 2017."""


def dice(logits: Tensor, target: Tensor, kind: Kind) -> Tensor:
    """Batch Dice loss, 1 minus the mean soft Dice of the channels, a scalar, computed in float32.

    Of ``classes`` the background is left out. Dice is taken over the whole batch (Isensee et al. 2021), so that patches
    without a region do not dominate it; a region absent from batch and prediction costs nothing.
    """
    regions = kind == "regions"
    measure = DiceLoss(sigmoid=regions, softmax=not regions, include_background=regions, batch=True)
    return _scalar(measure(logits.float(), target.float()))


def tversky(logits: Tensor, target: Tensor, kind: Kind) -> Tensor:
    """Batch Tversky loss, 1 minus the mean of TP / (TP + 0.3 FP + 0.7 FN) of the channels, a scalar, in float32.

    Salehi, Erdogmus, Gholipour: Tversky loss function for image segmentation, 2017. A missed voxel costs more than one
    marked too many; with 0.5 and 0.5 it would be the Dice loss. Background, batch and absent regions as in
    :func:`dice`.
    """
    regions = kind == "regions"
    measure = TverskyLoss(
        sigmoid=regions,
        softmax=not regions,
        include_background=regions,
        alpha=FALSE_POSITIVES,
        beta=FALSE_NEGATIVES,
        batch=True,
    )
    return _scalar(measure(logits.float(), target.float()))


def dice_ce(logits: Tensor, target: Tensor, kind: Kind) -> Tensor:
    """:func:`dice` plus cross-entropy, a scalar, computed in float32: binary a channel, or over all classes."""
    logits, mask = logits.float(), target.float()  # once: gradients of both parts are added in float32
    cross_entropy = functional.binary_cross_entropy_with_logits if kind == "regions" else functional.cross_entropy
    return _scalar(dice(logits, mask, kind) + cross_entropy(logits, mask))


Loss = Callable[[Tensor, Tensor, Kind], Tensor]
"""A loss of logits and masks, both ``(B, R, *space)``."""

LOSSES: Mapping[str, Loss] = MappingProxyType({"dice-ce": dice_ce, "dice": dice, "tversky": tversky})
"""The losses by the names of :attr:`gliamap.config.TrainConfig.loss`."""


def soft_ce(logits: Tensor, soft: Tensor, kind: Kind) -> Tensor:
    """Cross-entropy against teachers' probabilities ``soft`` ``(B, R, *space)``, a scalar, computed in float32.

    Hinton, Vinyals, Dean: Distilling the knowledge in a neural network, 2015, at temperature 1.
    """
    if kind == "regions":
        return functional.binary_cross_entropy_with_logits(logits.float(), soft)
    return functional.cross_entropy(logits.float(), soft)


def deeply_supervised(
    levels: Sequence[Tensor],
    target: Tensor,
    kind: Kind,
    *,
    loss: Loss = dice_ce,
    soft: Tensor | None = None,
    soft_weight: float = 0.0,
) -> Tensor:
    """The mean over levels of equal size, finest first, with weights 1, 1/2, 1/4, ...

    Of each level it is ``loss``; where there are teachers, a share ``soft_weight`` of it is :func:`soft_ce`.
    """

    def of_level(logits: Tensor) -> Tensor:
        hard = loss(logits, target, kind)
        return hard if soft is None else (1 - soft_weight) * hard + soft_weight * soft_ce(logits, soft, kind)

    weights = [0.5**i for i in range(len(levels))]
    total = sum((w * of_level(x) for w, x in zip(weights, levels, strict=True)), target.new_zeros(()))
    return _scalar(total / sum(weights))


def _scalar(value: Tensor) -> Tensor:
    return value.reshape(())
