"""What a loss is: a function of a network's logits and of a target, both ``(B, R, *space)``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["regions", "classes"]
"""``regions``: a sigmoid each. ``classes``: a softmax over all, the first of them the background."""


@dataclass(frozen=True, eq=False)
class Target:
    """What logits ``(B, R, *space)`` are compared with.

    ``masks`` of the same shape, 0 or 1; of ``classes`` exactly one is 1. ``soft``: teachers' probabilities, where there
    are teachers. ``distances``: from each voxel to the region's surface, negative inside, 0 everywhere where the region
    is absent from the case; ``weights``: of each voxel in its channel; both only for the losses that need them. Each is
    shaped like the masks. ``progress``: the share of the training's steps that are done, 0..1.
    """

    masks: Tensor
    soft: Tensor | None = None
    distances: Tensor | None = None
    weights: Tensor | None = None
    progress: float = 0.0


Loss = Callable[[Tensor, Target, Kind], Tensor]
"""A scalar of logits and target, in float32, or in float64 where the logits are."""


def precise(logits: Tensor, target: Target) -> tuple[Tensor, Target]:
    """Logits and masks in float32, or in float64 where the logits are.

    A loss of two parts does it once, so that the gradients of both are added in that precision.
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits.to(dtype), replace(target, masks=target.masks.to(dtype))
