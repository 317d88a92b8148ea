"""The loss on masks that a reader can work out by hand."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from gliamap.config import TrainConfig
from gliamap.losses import LOSSES, Kind, deeply_supervised, dice, dice_ce, soft_ce, tversky

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


def voxels(*values: int) -> Tensor:
    """A mask ``(1, 1, X, 1)`` of one region."""
    return torch.tensor(values, dtype=torch.uint8).reshape(1, 1, -1, 1)


def test_dice_alone_by_hand() -> None:
    # Sure of two voxels, one of them right, one missed: 1 - 2 * 1 / (2 + 2). The background of classes does not count.
    truth, said = voxels(1, 1, 0, 0), voxels(1, 0, 1, 0)
    assert float(dice(sure_of(said), truth, "regions")) == pytest.approx(0.5, abs=1e-4)
    as_classes = [torch.cat([1 - mask, mask], dim=1) for mask in (said, truth)]
    assert float(dice(sure_of(as_classes[0]), as_classes[1], "classes")) == pytest.approx(0.5, abs=1e-4)


def test_tversky_by_hand() -> None:
    # One voxel found, one missed: 1 - 1 / (1 + 0.7). One found, one too many: 1 - 1 / (1 + 0.3).
    missed = tversky(sure_of(voxels(1, 0, 0)), voxels(1, 1, 0), "regions")
    too_many = tversky(sure_of(voxels(1, 1, 0)), voxels(1, 0, 0), "regions")
    assert float(missed) == pytest.approx(1 - 1 / 1.7, abs=1e-4)
    assert float(too_many) == pytest.approx(1 - 1 / 1.3, abs=1e-4)
    # Classes: background, and a tumour that is missed in one voxel of two.
    truth = torch.cat([1 - voxels(1, 1, 0), voxels(1, 1, 0)], dim=1)
    said = torch.cat([1 - voxels(1, 0, 0), voxels(1, 0, 0)], dim=1)
    assert float(tversky(sure_of(said), truth, "classes")) == pytest.approx(1 - 1 / 1.7, abs=1e-4)


def test_tversky_is_taken_over_the_batch() -> None:
    # p = 0.5 in four voxels, two of them in the mask, all in one patch: TP 1, FP 1, FN 1.
    target = torch.tensor([[[[1], [1]]], [[[0], [0]]]], dtype=torch.uint8)
    assert float(tversky(torch.zeros(2, 1, 2, 1), target, "regions")) == pytest.approx(1 - 1 / 2, abs=1e-4)


def test_every_loss_that_can_be_asked_for_is_there() -> None:
    assert tuple(LOSSES) == get_args(TrainConfig.model_fields["loss"].annotation)
    assert LOSSES[TrainConfig().loss] is dice_ce


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
@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_prediction_costs_nothing(kind: Kind, name: str) -> None:
    assert float(LOSSES[name](sure_of(blob(kind)), blob(kind), kind)) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LOSSES)
def test_better_is_cheaper(kind: Kind, name: str) -> None:
    target = blob(kind)
    shifted = [sure_of(target.roll(by, dims=2)) for by in (2, 1)]
    said = (-sure_of(target), *shifted, sure_of(target))
    losses = [float(LOSSES[name](x, target, kind)) for x in said]
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("name", LOSSES)
def test_empty_masks_are_finite_and_have_finite_gradients(kind: Kind, scale: float, name: str) -> None:
    target = blob(kind)
    target[:, -1] = 0
    logits = (torch.randn(target.shape, generator=torch.Generator().manual_seed(0)) * scale).requires_grad_()
    loss = LOSSES[name](logits, target, kind)
    torch.autograd.backward(loss)
    assert loss.isfinite() and float(loss.detach()) >= 0
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
@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_the_loss(kind: Kind, name: str) -> None:
    target = blob(kind, batch=1)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(target.shape, generator=generator).requires_grad_()
    torch.autograd.backward(LOSSES[name](logits, target, kind))
    assert logits.grad is not None
    for _ in range(5):
        direction = torch.randn(target.shape, generator=generator)
        with torch.no_grad():
            up, down = (LOSSES[name](logits + s * 1e-2 * direction, target, kind) for s in (1, -1))
        assert float((up - down) / 2e-2) == pytest.approx(float((logits.grad * direction).sum()), abs=2e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LOSSES)
def test_low_precision_logits_are_taken_to_float32(kind: Kind, name: str) -> None:
    logits = torch.randn(blob(kind).shape, generator=torch.Generator().manual_seed(0)).bfloat16()
    loss = LOSSES[name](logits, blob(kind), kind)
    assert loss.dtype == torch.float32 and loss.shape == ()
    assert torch.equal(loss, LOSSES[name](logits.float(), blob(kind), kind))


def test_deeper_levels_weigh_half_each() -> None:
    target = blob("regions")
    good, bad = sure_of(target), -sure_of(target)
    a, b = (float(dice_ce(x, target, "regions")) for x in (good, bad))
    assert float(deeply_supervised([good], target, "regions")) == pytest.approx(a)
    assert float(deeply_supervised([bad, good], target, "regions")) == pytest.approx((b + a / 2) / 1.5)
    assert float(deeply_supervised([good, bad, bad], target, "regions")) == pytest.approx((a + b / 2 + b / 4) / 1.75)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_deeply_supervised_and_taught(name: str) -> None:
    target = blob("regions")
    good, bad = sure_of(target), -sure_of(target)
    a, b = (float(LOSSES[name](x, target, "regions")) for x in (good, bad))
    levels, soft = [good, bad], target.float()
    assert float(deeply_supervised(levels, target, "regions", loss=LOSSES[name])) == pytest.approx((a + b / 2) / 1.5)
    taught = deeply_supervised([bad], target, "regions", loss=LOSSES[name], soft=soft, soft_weight=0.25)
    assert float(taught) == pytest.approx(0.75 * b + 0.25 * float(soft_ce(bad, soft, "regions")))
