"""What holds for every loss, and the loss of several levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch

import tiny
from gliamap.config import TrainConfig
from gliamap.losses.entropy import soft_ce
from gliamap.losses.named import LOSSES, deeply_supervised, dice_ce, dice_focal, lesion_dice_ce
from gliamap.losses.target import Kind, Target
from losses import KINDS, blob, empty, random_logits, sure_of, target_of

ROOT = Path(__file__).resolve().parent.parent
EVERY = [
    pytest.param(name, kind, id=f"{name}-{kind}")
    for name in LOSSES
    for kind in KINDS
    if (name, kind) != ("boundary", "classes")
]
"""Every loss with the kinds of output that it is for."""


@pytest.mark.parametrize(("name", "kind"), EVERY)
class TestEveryLoss:
    """What holds for all of them."""

    def test_a_perfect_prediction_costs_nothing(self, name: str, kind: Kind) -> None:
        for masks in (blob(kind), empty(kind)):
            cost = LOSSES[name].compute(2 * sure_of(masks), target_of(masks), kind)
            assert cost.shape == () and float(cost) == pytest.approx(0, abs=2e-3)

    def test_better_is_cheaper(self, name: str, kind: Kind) -> None:
        masks = blob(kind)
        said = (-sure_of(masks), *(sure_of(masks.roll(by, dims=2)) for by in (2, 1)), sure_of(masks))
        costs = [float(LOSSES[name].compute(x, target_of(masks), kind)) for x in said]
        assert costs == sorted(costs, reverse=True) and len(set(costs)) == 4

    @pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
    @pytest.mark.parametrize("absent", ["one channel", "all"])
    def test_empty_masks_are_finite_and_so_are_their_gradients(
        self, name: str, kind: Kind, scale: float, absent: str
    ) -> None:
        masks = blob(kind)
        if absent == "all":
            masks = empty(kind)
        else:
            masks[:, -1] = 0
            masks[:, 0] = 1
        for logits in (random_logits(masks, scale=scale), sure_of(masks), -sure_of(masks)):
            logits.requires_grad_()
            cost = LOSSES[name].compute(logits, target_of(masks), kind)
            (gradient,) = torch.autograd.grad(cost, logits)
            assert cost.isfinite() and float(cost.detach()) >= -1e-6 and gradient.isfinite().all()

    def test_where_nothing_is_to_learn_the_gradient_is_zero(self, name: str, kind: Kind) -> None:
        for masks in (blob(kind), empty(kind)):
            logits = (2 * sure_of(masks)).requires_grad_()  # 40: all but 1e-17 of certainty
            (gradient,) = torch.autograd.grad(LOSSES[name].compute(logits, target_of(masks), kind), logits)
            assert float(gradient.abs().max()) < 1e-6

    def test_the_gradient_is_that_of_the_loss(self, name: str, kind: Kind) -> None:
        for masks in (blob(kind), empty(kind)):
            target = target_of(masks)
            logits = random_logits(masks, seed=1).double().requires_grad_()

            def cost(x: torch.Tensor, target: Target = target) -> torch.Tensor:
                return LOSSES[name].compute(x, target, kind)

            assert cost(logits).dtype == torch.float64
            assert torch.autograd.gradcheck(cost, logits, eps=1e-6, atol=1e-7)

    def test_low_precision_logits_are_taken_to_float32(self, name: str, kind: Kind) -> None:
        masks = blob(kind)
        logits = random_logits(masks).bfloat16()
        cost = LOSSES[name].compute(logits, target_of(masks), kind)
        assert cost.dtype == torch.float32
        assert torch.equal(cost, LOSSES[name].compute(logits.float(), target_of(masks), kind))

    def test_volumes_and_slices_are_the_same_to_it(self, name: str, kind: Kind) -> None:
        masks = blob(kind)
        logits = random_logits(masks)
        flat = LOSSES[name].compute(logits, target_of(masks), kind)
        deep = LOSSES[name].compute(logits[..., None], target_of(masks[..., None]), kind)
        assert float(deep) == pytest.approx(float(flat), rel=1e-6)

    def test_of_several_levels_and_with_teachers(self, name: str, kind: Kind) -> None:
        masks = blob(kind)
        good, bad, compute = sure_of(masks), -sure_of(masks), LOSSES[name].compute
        a, b = (float(compute(x, target_of(masks), kind)) for x in (good, bad))
        levels = deeply_supervised([good, bad], target_of(masks), kind, loss=compute)
        assert float(levels) == pytest.approx((a + b / 2) / 1.5)
        taught = Target(masks, masks.float(), target_of(masks).distances, target_of(masks).weights)
        found = deeply_supervised([bad], taught, kind, loss=compute, soft_weight=0.25)
        assert float(found) == pytest.approx(0.75 * b + 0.25 * float(soft_ce(bad, masks.float(), kind)))


def test_every_loss_that_can_be_asked_for_is_there() -> None:
    assert set(LOSSES) == set(get_args(TrainConfig.model_fields["loss"].annotation))
    assert LOSSES[TrainConfig().loss].compute is dice_ce
    assert {name: loss.needs for name, loss in LOSSES.items() if loss.needs} == {
        "boundary": "distances",
        "lesion-dice-ce": "weights",
    }


def test_every_loss_is_told_in_a_line_and_in_the_docs() -> None:
    text = (ROOT / "docs" / "how-to" / "losses.md").read_text(encoding="utf-8")
    for name, loss in LOSSES.items():
        assert loss.description[0].isupper() and loss.description.endswith(".") and len(loss.description) < 90
        assert f"| `{name}` | {loss.description} |" in text


def test_the_command_names_every_loss(command: Callable[..., tuple[int, str, str]]) -> None:
    _, out, _ = command("train", "--help")
    listed = " ".join(out.replace("│", " ").split())
    for name in LOSSES:
        assert f" {name}" in listed


def test_an_unknown_loss_is_answered_with_the_names(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    tiny.write_store(tmp_path, 3)
    code, _, err = command("train", "store", "-o", "run", "--loss", "dise")
    assert code == 2 and "found     dise" in err and "'dice-sample'" in err
    assert not (tmp_path / "run").exists()


def test_losses_of_two_parts_are_their_sum() -> None:
    masks = blob("regions")
    logits, target = random_logits(masks), target_of(masks)
    of = {name: float(loss.compute(logits, target, "regions")) for name, loss in LOSSES.items()}
    assert of["dice-ce"] == pytest.approx(of["dice"] + of["ce"])
    assert of["dice-focal"] == pytest.approx(of["dice"] + of["focal"])
    assert of["lesion-dice-ce"] == pytest.approx(of["dice-ce"])  # every voxel weighs 1 here
    assert float(dice_focal(logits, target, "regions")) == of["dice-focal"]
    assert float(lesion_dice_ce(logits, target, "regions")) == of["lesion-dice-ce"]


def test_coarser_levels_weigh_half_each_unless_told_otherwise() -> None:
    masks = blob("regions")
    target, good, bad = Target(masks), sure_of(masks), -sure_of(masks)
    a, b = (float(dice_ce(x, target, "regions")) for x in (good, bad))
    assert float(deeply_supervised([good], target, "regions")) == pytest.approx(a)
    assert float(deeply_supervised([bad, good], target, "regions")) == pytest.approx((b + a / 2) / 1.5)
    assert float(deeply_supervised([good, bad, bad], target, "regions")) == pytest.approx((a + b / 2 + b / 4) / 1.75)
    for weight, expected in ((0.0, a), (1.0, (a + 2 * b) / 3), (0.2, (a + 0.24 * b) / 1.24)):
        found = deeply_supervised([good, bad, bad], target, "regions", level_weight=weight)
        assert float(found) == pytest.approx(expected)


def test_the_first_three_losses_stay_what_they_were() -> None:
    """A run goes on as it began after an update only while these numbers stay."""
    masks = blob("regions")
    logits = (torch.arange(masks.numel()).reshape(masks.shape) % 33 - 16) / 8
    found = [LOSSES[name].compute(logits, Target(masks), "regions").item() for name in ("dice-ce", "dice", "tversky")]
    assert found == pytest.approx([1.2492613792419434, 0.46044689416885376, 0.469257116317749], rel=1e-6)
