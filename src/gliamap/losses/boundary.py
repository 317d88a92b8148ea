"""The boundary loss of Kervadec, Bouchtiba, Desrosiers, Granger, Dolz, Ben Ayed: Boundary loss for highly unbalanced
segmentation, MIDL 2019 and Medical Image Analysis 67, 2021.

The area between the surfaces of prediction and truth, each of its voxels weighted by its distance to the true surface,
is the sum of phi * (p - g): phi the signed distance to that surface, negative inside, p the probability, g the mask.
The authors leave g out, since it has no gradient; here it stays, so that 0 is perfect.
"""

from __future__ import annotations

from torch import Tensor

from gliamap.losses.target import Kind, Target, precise

FIRST, LAST = 0.01, 2.0
"""The weight alpha of the boundary in a training's first and last step, beside a region loss of weight 1: the authors'
strategy 'increase' begins with 0.01 and adds 0.01 an epoch, for 200 epochs. Here it rises with the steps."""


def boundary_weight(progress: float) -> float:
    """The weight of the boundary when the share ``progress`` of the training is done."""
    return FIRST + (LAST - FIRST) * progress


def boundary(logits: Tensor, target: Target, kind: Kind) -> Tensor:
    """The mean of distance times (probability - mask) over voxels and regions, a scalar, in the unit of the distances.

    A region without a surface has distance 0 everywhere and costs nothing: that is for the region loss beside it. Only
    of ``regions``, since distances are kept of these alone. ``ValueError`` of classes and without distances.
    """
    if kind != "regions":
        raise ValueError("the boundary loss is for regions")
    distances = target.distances
    if distances is None:
        raise ValueError("the boundary loss needs distances")
    logits, target = precise(logits, target)
    return (distances * (logits.sigmoid() - target.masks)).mean()
