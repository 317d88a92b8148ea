"""The loss on masks that a reader can work out by hand."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from gliamap.losses import deeply_supervised, dice_ce

Kind = Literal["regions", "classes"]
KINDS: tuple[Kind, ...] = ("regions", "classes")
SURE = 20.0
"""A logit whose probability is 1 to float32 precision."""


def blob(kind: Kind, *, batch: int = 2) -> Tensor:
    """Masks (B, R, 6, 6) uint8 with a square of the last channel; classes add the background."""
    inner = torch.zeros(batch, 6, 6, dtype=torch.uint8)
    inner[:, 1:4, 2:5] = 1
    middle = torch.ones_like(inner) if kind == "regions" else torch.zeros_like(inner)
    channels = [middle, inner] if kind == "regions" else [1 - inner, middle, inner]
    return torch.stack(channels, dim=1)


def sure_of(target: Tensor) -> Tensor:
    return (target.float() * 2 - 1) * SURE


def test_regions_by_hand() -> None:
    # p = 0.5 at both voxels, one of them in the mask: Dice loss 1 - 2 * 0.5 / (1 + 1), cross-entropy ln 2.
    loss = dice_ce(torch.zeros(1, 1, 2, 1), torch.tensor([[[[1], [0]]]], dtype=torch.uint8), "regions")
    assert loss.shape == ()
    assert float(loss) == pytest.approx(0.5 + math.log(2), abs=1e-4)


def test_classes_by_hand() -> None:
    # Two classes, p = 0.5 each. Dice of the tumour alone: 1 - 2 * 0.5 / (1 + 1); cross-entropy ln 2.
    target = torch.tensor([[[[1], [0]], [[0], [1]]]], dtype=torch.uint8)
    assert float(dice_ce(torch.zeros(1, 2, 2, 1), target, "classes")) == pytest.approx(0.5 + math.log(2), abs=1e-4)


def test_regions_are_independent_and_classes_exclude_each_other() -> None:
    logits = torch.tensor([3.0, 3.0]).reshape(1, 2, 1, 1)
    both = torch.ones(1, 2, 1, 1)
    sigmoid = 1 / (1 + math.exp(-3))
    expected = 1 - 2 * sigmoid / (1 + sigmoid) - math.log(sigmoid)
    assert float(dice_ce(logits, both, "regions")) == pytest.approx(expected, abs=1e-4)
    one = torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1)
    expected = 1 - 2 * 0.5 / (1 + 0.5) - math.log(0.5)
    assert float(dice_ce(logits, one, "classes")) == pytest.approx(expected, abs=1e-4)


def test_dice_is_taken_over_the_batch() -> None:
    # One patch full of the region, one without: p = 0.5 everywhere gives 1 - 2 * 1 / (2 + 2) over four voxels. Patch
    # by patch it would be the mean of 1 - 2 * 1 / (1 + 2) and 1.
    target = torch.tensor([[[[1], [1]]], [[[0], [0]]]], dtype=torch.uint8)
    assert float(dice_ce(torch.zeros(2, 1, 2, 1), target, "regions")) == pytest.approx(0.5 + math.log(2), abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_prediction_costs_nothing(kind: Kind) -> None:
    assert float(dice_ce(sure_of(blob(kind)), blob(kind), kind)) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_better_is_cheaper(kind: Kind) -> None:
    target = blob(kind)
    shifted = sure_of(target.roll(1, dims=2))
    losses = [
        float(dice_ce(x, target, kind)) for x in (-sure_of(target), shifted, sure_of(target) / 40, sure_of(target))
    ]
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_empty_masks_are_finite_and_have_finite_gradients(kind: Kind, scale: float) -> None:
    target = blob(kind)
    target[:, -1] = 0
    logits = (torch.randn(target.shape, generator=torch.Generator().manual_seed(0)) * scale).requires_grad_()
    loss = dice_ce(logits, target, kind)
    torch.autograd.backward(loss)
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_region_absent_from_truth_and_prediction_costs_nothing(kind: Kind) -> None:
    target = blob(kind)
    target[:, -1] = 0
    if kind == "classes":
        target[:, 0] = 1
    assert float(dice_ce(sure_of(target), target, kind)) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_that_of_the_loss(kind: Kind) -> None:
    target = blob(kind, batch=1)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(target.shape, generator=generator).requires_grad_()
    torch.autograd.backward(dice_ce(logits, target, kind))
    assert logits.grad is not None
    for _ in range(5):
        direction = torch.randn(target.shape, generator=generator)
        with torch.no_grad():
            up, down = (dice_ce(logits + s * 1e-2 * direction, target, kind) for s in (1, -1))
        assert float((up - down) / 2e-2) == pytest.approx(float((logits.grad * direction).sum()), abs=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_low_precision_logits_are_taken_to_float32(kind: Kind) -> None:
    logits = torch.randn(blob(kind).shape, generator=torch.Generator().manual_seed(0)).bfloat16()
    loss = dice_ce(logits, blob(kind), kind)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, dice_ce(logits.float(), blob(kind), kind))


def test_deeper_levels_weigh_half_each() -> None:
    target = blob("regions")
    good, bad = sure_of(target), -sure_of(target)
    a, b = (float(dice_ce(x, target, "regions")) for x in (good, bad))
    assert float(deeply_supervised([good], target, "regions")) == pytest.approx(a)
    assert float(deeply_supervised([bad, good], target, "regions")) == pytest.approx((b + a / 2) / 1.5)
    assert float(deeply_supervised([good, bad, bad], target, "regions")) == pytest.approx((a + b / 2 + b / 4) / 1.75)
