"""Losses of single voxels: cross-entropy, plain, weighted, and focal.

Of ``regions`` each channel is asked by itself, and the mean is over voxels and channels; of ``classes`` the voxel's
class, and the mean is over voxels.
"""

from __future__ import annotations

import torch
from monai.losses.focal_loss import sigmoid_focal_loss, softmax_focal_loss
from torch import Tensor
from torch.nn import functional

from gliamap.losses.target import Kind, Target, precise

FOCUS = 2.0
"""The exponent gamma of the focal loss, the best of Lin et al. 2017."""


def ce(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """Cross-entropy, a scalar: binary a channel, or over all classes."""
    logits, target = precise(logits, target)
    if kind == "regions":
        return functional.binary_cross_entropy_with_logits(logits, target.masks)
    return functional.cross_entropy(logits, target.masks)


def weighted_ce(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """Cross-entropy in which each class has the same share, however few its voxels: the mean of the classes' means.

    The classes are background and tissues, or each region and all that is not in it, as they are in the batch; one that
    the batch lacks is left out. With two classes it is the balanced cross-entropy of Xie and Tu (Holistically-nested
    edge detection, 2015), up to a factor.
    """
    logits, target = precise(logits, target)
    costs, masks = _costs(logits, target, kind), target.masks
    # (K, B, R, *space): the K classes of each of R questions, which is one question where classes exclude each other
    members = torch.stack([masks, 1 - masks]) if kind == "regions" else masks.movedim(1, 0).unsqueeze(2)
    axes = [1, *range(3, members.ndim)]
    counts = members.sum(axes)
    means = (members * costs).sum(axes) / counts.clamp_min(1)
    return (means.sum(0) / (counts > 0).sum(0)).mean()


def lesion_ce(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """Cross-entropy with the target's weight for each voxel (of ``classes``, the weight in the voxel's class).

    With weights by inverse lesion size (:func:`gliamap.sampling.extras.lesion_weights`) after Shirokikh et al.,
    Universal loss reweighting to balance lesion size inequality in 3D medical image segmentation, 2020.
    ``ValueError`` without weights.
    """
    weights = target.weights
    if weights is None:
        raise ValueError("the loss needs weights of voxels")
    logits, target = precise(logits, target)
    of_voxels = weights if kind == "regions" else (weights * target.masks).sum(1, keepdim=True)
    return (_costs(logits, target, kind) * of_voxels).mean()


def focal(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """Cross-entropy of each voxel times (1 - p) squared, p the probability of the truth: what is sure hardly counts.

    Lin, Goyal, Girshick, He, Dollár: Focal loss for dense object detection, 2017, without their weights of classes.
    """
    logits, target = precise(logits, target)
    if kind == "regions":
        return sigmoid_focal_loss(logits, target.masks, FOCUS).mean()
    return softmax_focal_loss(logits, target.masks, FOCUS).sum(1).mean()


def soft_ce(logits: Tensor, soft: Tensor, kind: Kind) -> Tensor:
    """Cross-entropy against teachers' probabilities ``soft`` ``(B, R, *space)``, a scalar.

    Hinton, Vinyals, Dean: Distilling the knowledge in a neural network, 2015, at temperature 1.
    """
    return ce(logits, Target(soft), kind)


def _costs(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """The cross-entropy of each voxel: ``(B, R, *space)`` of regions, ``(B, 1, *space)`` of classes."""
    if kind == "regions":
        return functional.binary_cross_entropy_with_logits(logits, target.masks, reduction="none")
    return functional.cross_entropy(logits, target.masks, reduction="none").unsqueeze(1)
