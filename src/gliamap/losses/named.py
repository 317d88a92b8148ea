"""The losses by name, those of several parts, and the loss of several levels. Another one is a function and a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from torch import Tensor

from gliamap.losses.boundary import boundary, boundary_weight
from gliamap.losses.entropy import ce, focal, lesion_ce, soft_ce, weighted_ce
from gliamap.losses.overlap import (
    as_scalar,
    dice,
    dice_sample,
    focal_tversky,
    generalised_dice,
    log_cosh_dice,
    tversky,
)
from gliamap.losses.target import Kind, Loss, Target, precise


def dice_ce(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """Batch Dice plus cross-entropy (Isensee et al. 2021), a scalar."""
    logits, target = precise(logits, target)
    return dice(logits, target, kind) + ce(logits, target, kind)


def dice_focal(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """Batch Dice plus the focal loss (Zhu et al., AnatomyNet, 2019; Dice over the batch here), a scalar."""
    logits, target = precise(logits, target)
    return dice(logits, target, kind) + focal(logits, target, kind)


def dice_ce_boundary(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """:func:`dice_ce` plus the boundary loss, whose weight rises with the target's progress, a scalar."""
    logits, target = precise(logits, target)
    return dice_ce(logits, target, kind) + boundary_weight(target.progress) * boundary(logits, target, kind)


def lesion_dice_ce(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """Batch Dice plus cross-entropy in which each lesion of a patch weighs the same, whatever its size, a scalar."""
    logits, target = precise(logits, target)
    return dice(logits, target, kind) + lesion_ce(logits, target, kind)


@dataclass(frozen=True)
class NamedLoss:
    """A loss, what it is in a line, and what of the target it needs beside the masks."""

    compute: Loss
    description: str
    needs: Literal["distances", "weights"] | None = None


LOSSES: Mapping[str, NamedLoss] = MappingProxyType(
    {
        "dice-ce": NamedLoss(dice_ce, "Dice over the batch + cross-entropy."),
        "ce": NamedLoss(ce, "Cross-entropy: every voxel counts the same."),
        "weighted-ce": NamedLoss(weighted_ce, "Cross-entropy: tumour and background count the same."),
        "focal": NamedLoss(focal, "Cross-entropy in which what is sure already hardly counts."),
        "dice": NamedLoss(dice, "Dice over the batch."),
        "dice-sample": NamedLoss(dice_sample, "Dice of each patch for itself."),
        "dice-focal": NamedLoss(dice_focal, "Dice over the batch + focal loss."),
        "generalised-dice": NamedLoss(generalised_dice, "Dice of all classes together, small ones weighing more."),
        "log-cosh-dice": NamedLoss(log_cosh_dice, "Dice over the batch, smoothed where it is nearly perfect."),
        "tversky": NamedLoss(tversky, "Like Dice, but a missed voxel costs more than one too many."),
        "focal-tversky": NamedLoss(focal_tversky, "Tversky, steeper for what is nearly done."),
        "boundary": NamedLoss(
            dice_ce_boundary, "Dice + cross-entropy + how far wrong voxels lie from the surface.", needs="distances"
        ),
        "lesion-dice-ce": NamedLoss(
            lesion_dice_ce, "Dice + cross-entropy in which small lesions count as much as large.", needs="weights"
        ),
    }
)
"""The losses by the names of :attr:`gliamap.config.TrainConfig.loss`."""


def deeply_supervised(
    levels: Sequence[Tensor],
    target: Target,
    kind: Kind,
    *,
    loss: Loss = dice_ce,
    soft_weight: float = 0.0,
    level_weight: float = 0.5,
) -> Tensor:
    """The mean over levels of equal size, finest first, each of which weighs ``level_weight`` of the one before.

    Of each level it is ``loss``; where there are teachers, a share ``soft_weight`` of it is :func:`soft_ce`.
    """
    soft = target.soft

    def of_level(logits: Tensor) -> Tensor:
        hard = loss(logits, target, kind)
        return hard if soft is None else (1 - soft_weight) * hard + soft_weight * soft_ce(logits, soft, kind)

    weights = [level_weight**i for i in range(len(levels))]
    total = sum((w * of_level(x) for w, x in zip(weights, levels, strict=True)), target.masks.new_zeros(()))
    return as_scalar(total / sum(weights))
