"""Losses of overlap: Dice and its relatives. MONAI's where it has them.

A region absent from masks and prediction costs nothing. But in :func:`generalised_dice`, the background of ``classes``
is left out, and 1e-5 is added above and below the line of each ratio.
"""

from __future__ import annotations

import torch
from monai.losses.dice import DiceLoss, GeneralizedDiceLoss
from monai.losses.tversky import TverskyLoss
from torch import Tensor

from gliamap.losses.target import Kind, Target, precise

FALSE_POSITIVES, FALSE_NEGATIVES = 0.3, 0.7
"""The Tversky loss' weights of voxels marked too many and too few, alpha and beta: the best of Salehi et al. 2017."""

FOCUS = 0.75
"""The exponent of the focal Tversky loss, 1 / gamma with the gamma of 4/3 that Abraham and Khan 2019 found best."""

_ROOT_FROM = 1e-6  # below it, the root's slope would grow without end


def dice(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """Batch Dice loss, 1 minus the mean soft Dice of the channels, a scalar.

    Dice is taken over the whole batch (Isensee et al. 2021), so that patches without a region do not dominate it.
    """
    return _dice(logits, target, kind, batch=True)


def dice_sample(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """:func:`dice` of each patch for itself, averaged: small tumours count as much as large.

    Milletari et al. 2016 do so, but square the terms below the line. A patch without a region costs up to 1 for
    whatever little is marked in it.
    """
    return _dice(logits, target, kind, batch=False)


def _dice(logits: Tensor, target: Target, kind: Kind, *, batch: bool) -> Tensor:
    logits, target = precise(logits, target)
    regions = kind == "regions"
    measure = DiceLoss(sigmoid=regions, softmax=not regions, include_background=regions, batch=batch)
    return as_scalar(measure(logits, target.masks))


def log_cosh_dice(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """The logarithm of the hyperbolic cosine of :func:`dice` (Jadon 2020): flat where the overlap is nearly whole."""
    return dice(logits, target, kind).cosh().log()


def generalised_dice(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """1 minus the Dice of all classes together, each weighted by its inverse squared volume in the batch.

    Sudre, Li, Vercauteren, Ourselin, Cardoso: Generalised Dice overlap as a deep learning loss function, 2017. The
    background is one of the classes; regions overlap, so each is taken for itself, against all that is not in it. What
    is absent from the batch weighs as much as the smallest class that is there.
    """
    logits, target = precise(logits, target)
    measure = GeneralizedDiceLoss(batch=True, smooth_nr=0, smooth_dr=0)  # every voxel is of some class: no 0 / 0
    if kind == "classes":
        return as_scalar(measure(logits.softmax(1), target.masks))
    inside, outside, masks = logits.sigmoid(), (-logits).sigmoid(), target.masks
    each = [
        measure(torch.stack([outside[:, r], inside[:, r]], 1), torch.stack([1 - masks[:, r], masks[:, r]], 1))
        for r in range(masks.shape[1])
    ]
    return torch.stack(each).mean()


def tversky(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """Batch Tversky loss, 1 minus the mean of TP / (TP + 0.3 FP + 0.7 FN) of the channels, a scalar.

    Salehi, Erdogmus, Gholipour: Tversky loss function for image segmentation, 2017. A missed voxel costs more than one
    marked too many; with 0.5 and 0.5 it would be the Dice loss.
    """
    return _tversky(logits, target, kind).mean()


def focal_tversky(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """:func:`tversky` with each channel's loss raised to 0.75: the steeper, the nearer a region is to done.

    Abraham, Khan: A novel focal Tversky loss function with improved attention U-Net for lesion segmentation, 2019.
    Without their deep supervision, and without a slope where the loss is below 1e-6.
    """
    return _tversky(logits, target, kind).clamp_min(_ROOT_FROM).pow(FOCUS).mean()


def _tversky(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """The batch Tversky loss of each channel."""
    logits, target = precise(logits, target)
    regions = kind == "regions"
    measure = TverskyLoss(
        sigmoid=regions,
        softmax=not regions,
        include_background=regions,
        alpha=FALSE_POSITIVES,
        beta=FALSE_NEGATIVES,
        batch=True,
        reduction="none",
    )
    losses: Tensor = measure(logits, target.masks)
    return losses


def as_scalar(value: Tensor) -> Tensor:
    """The loss as a tensor without axes, which MONAI does not promise."""
    return value.reshape(())
