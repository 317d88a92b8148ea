"""Masks, logits and targets for the tests of the losses."""

from __future__ import annotations

import torch
from torch import Tensor

from gliamap.losses.target import Kind, Target

KINDS: tuple[Kind, ...] = ("regions", "classes")
SURE = 20.0
"""A logit whose probability is 1 to float32 precision."""


def voxels(*values: int) -> Tensor:
    """A mask ``(1, 1, X, 1)`` of one region."""
    return torch.tensor(values, dtype=torch.uint8).reshape(1, 1, -1, 1)


def as_classes(mask: Tensor) -> Tensor:
    """The mask of one region with the background before it."""
    return torch.cat([1 - mask, mask], dim=1)


def blob(kind: Kind, *, batch: int = 2) -> Tensor:
    """Masks (B, R, 6, 6) uint8 with a square of the last channel; classes add the background."""
    inner = torch.zeros(batch, 6, 6, dtype=torch.uint8)
    inner[:, 1:4, 2:5] = 1
    middle = torch.ones_like(inner) if kind == "regions" else torch.zeros_like(inner)
    channels = [middle, inner] if kind == "regions" else [1 - inner, middle, inner]
    return torch.stack(channels, dim=1)


def empty(kind: Kind) -> Tensor:
    """Masks (2, R, 6, 6) of nothing: no region, or background alone."""
    masks = torch.zeros_like(blob(kind))
    if kind == "classes":
        masks[:, 0] = 1
    return masks


def target_of(masks: Tensor) -> Target:
    """All that any loss needs: 1 from the surface everywhere, inside and outside, and every voxel weighing 1."""
    return Target(masks, distances=1 - 2.0 * masks, weights=torch.ones(masks.shape))


def sure_of(masks: Tensor) -> Tensor:
    """Logits that say with certainty what the masks say."""
    return (masks.float() * 2 - 1) * SURE


def random_logits(masks: Tensor, *, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Float32 logits for masks, from a seed."""
    return torch.randn(masks.shape, generator=torch.Generator().manual_seed(seed)) * scale
