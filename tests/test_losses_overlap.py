"""Losses of overlap, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from gliamap.losses.named import dice_ce
from gliamap.losses.overlap import dice, dice_sample, focal_tversky, generalised_dice, log_cosh_dice, tversky
from gliamap.losses.target import Kind, Target
from losses import KINDS, as_classes, blob, empty, sure_of, voxels

HALF_OF_TWO_PATCHES = torch.tensor([[[[1], [1]]], [[[0], [0]]]], dtype=torch.uint8)
"""Two patches of two voxels, one full of the region, one without."""


def test_regions_by_hand() -> None:
    # p = 0.5 at both voxels, one of them in the mask: Dice loss 1 - 2 * 0.5 / (1 + 1), cross-entropy ln 2.
    loss = dice_ce(torch.zeros(1, 1, 2, 1), Target(voxels(1, 0)), "regions")
    assert loss.shape == ()
    assert float(loss) == pytest.approx(0.5 + math.log(2), abs=1e-4)


def test_classes_by_hand() -> None:
    # Two classes, p = 0.5 each. Dice of the tumour alone: 1 - 2 * 0.5 / (1 + 1); cross-entropy ln 2.
    target = Target(as_classes(voxels(0, 1)))
    assert float(dice_ce(torch.zeros(1, 2, 2, 1), target, "classes")) == pytest.approx(0.5 + math.log(2), abs=1e-4)


def test_dice_alone_by_hand() -> None:
    # Sure of two voxels, one of them right, one missed: 1 - 2 * 1 / (2 + 2). The background of classes does not count.
    truth, said = voxels(1, 1, 0, 0), voxels(1, 0, 1, 0)
    for measure in (dice, dice_sample):
        assert float(measure(sure_of(said), Target(truth), "regions")) == pytest.approx(0.5, abs=1e-4)
        found = measure(sure_of(as_classes(said)), Target(as_classes(truth)), "classes")
        assert float(found) == pytest.approx(0.5, abs=1e-4)


def test_regions_are_independent_and_classes_exclude_each_other() -> None:
    logits = torch.tensor([3.0, 3.0]).reshape(1, 2, 1, 1)
    sigmoid = 1 / (1 + math.exp(-3))
    expected = 1 - 2 * sigmoid / (1 + sigmoid) - math.log(sigmoid)
    assert float(dice_ce(logits, Target(torch.ones(1, 2, 1, 1)), "regions")) == pytest.approx(expected, abs=1e-4)
    one = Target(torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1))
    expected = 1 - 2 * 0.5 / (1 + 0.5) - math.log(0.5)
    assert float(dice_ce(logits, one, "classes")) == pytest.approx(expected, abs=1e-4)


def test_over_the_batch_or_of_each_patch() -> None:
    # p = 0.5 in all four voxels: 1 - 2 * 1 / (2 + 2) over the batch; patch by patch the mean of 1 - 2 * 1 / (1 + 2), 1.
    logits, target = torch.zeros(2, 1, 2, 1), Target(HALF_OF_TWO_PATCHES)
    assert float(dice(logits, target, "regions")) == pytest.approx(0.5, abs=1e-4)
    assert float(dice_sample(logits, target, "regions")) == pytest.approx((1 / 3 + 1) / 2, abs=1e-4)
    # Tversky over the batch: TP 1, FP 1, FN 1.
    assert float(tversky(logits, target, "regions")) == pytest.approx(1 - 1 / 2, abs=1e-4)


def test_log_cosh_dice_by_hand() -> None:
    found = log_cosh_dice(torch.zeros(2, 1, 2, 1), Target(HALF_OF_TWO_PATCHES), "regions")
    assert float(found) == pytest.approx(math.log(math.cosh(0.5)), abs=1e-4)


@pytest.mark.parametrize(
    ("said", "truth", "expected"), [((1, 0, 0), (1, 1, 0), 0.7 / 1.7), ((1, 1), (1, 0), 0.3 / 1.3)]
)
def test_tversky_by_hand(said: tuple[int, ...], truth: tuple[int, ...], expected: float) -> None:
    # One voxel found, one missed: 1 - 1 / (1 + 0.7). One found, one too many: 1 - 1 / (1 + 0.3).
    found, meant = voxels(*said), voxels(*truth)
    for kind in KINDS:
        logits, target = (found, meant) if kind == "regions" else (as_classes(found), as_classes(meant))
        assert float(tversky(sure_of(logits), Target(target), kind)) == pytest.approx(expected, abs=1e-4)
        assert float(focal_tversky(sure_of(logits), Target(target), kind)) == pytest.approx(expected**0.75, abs=1e-4)


def test_focal_tversky_takes_the_root_of_each_channel() -> None:
    # One region missed altogether, one found whole: (1 + 0) / 2, not 0.5 ** 0.75.
    masks = torch.cat([voxels(1, 0), voxels(1, 0)], dim=1)
    logits = torch.cat([sure_of(voxels(0, 0)), sure_of(voxels(1, 0))], dim=1)
    assert float(focal_tversky(logits, Target(masks), "regions")) == pytest.approx(0.5, abs=1e-3)


def test_generalised_dice_by_hand() -> None:
    # Of five voxels one is tumour, and one beside it is marked. Tumour weighs 1, the four others 1/16 each:
    # the tumour is missed (2 * 0 of 1 + 1), of the background three are right (2 * 3 of 4 + 4).
    truth, said = voxels(1, 0, 0, 0, 0), voxels(0, 1, 0, 0, 0)
    expected = 1 - (0 + 6 / 16) / (2 + 8 / 16)
    assert float(generalised_dice(sure_of(said), Target(truth), "regions")) == pytest.approx(expected, abs=1e-5)
    found = generalised_dice(sure_of(as_classes(said)), Target(as_classes(truth)), "classes")
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_generalised_dice_takes_each_region_for_itself() -> None:
    truth, said = voxels(1, 0, 0, 0, 0), voxels(0, 1, 0, 0, 0)
    masks, logits = torch.cat([truth, truth], dim=1), torch.cat([sure_of(said), sure_of(truth)], dim=1)
    alone = float(generalised_dice(sure_of(said), Target(truth), "regions"))
    assert float(generalised_dice(logits, Target(masks), "regions")) == pytest.approx(alone / 2, abs=1e-5)


def test_generalised_dice_does_not_depend_on_the_number_of_voxels() -> None:
    # The same shares in 5 voxels and in 5 million: weights of 1e-13 are not lost beside what others add to them.
    few, many = voxels(1, 1, 0, 0, 0), voxels(1, 1, 0, 0, 0).repeat(1, 1, 1, 1_000_000)
    found = [float(generalised_dice(torch.zeros(masks.shape), Target(masks), "regions")) for masks in (few, many)]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_generalised_dice_of_an_absent_region_counts_what_is_marked() -> None:
    # Nothing is there, one voxel of four is marked: both classes weigh the same, 1 - 2 * 3 / (4 + 4).
    found = generalised_dice(sure_of(voxels(1, 0, 0, 0)), Target(voxels(0, 0, 0, 0)), "regions")
    assert float(found) == pytest.approx(1 - 6 / 8, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_region_absent_from_truth_and_prediction_costs_nothing(kind: Kind) -> None:
    masks = blob(kind)
    masks[:, -1] = 0
    if kind == "classes":
        masks[:, 0] = 1
    for target in (masks, empty(kind)):
        for measure in (dice, dice_sample, tversky, focal_tversky, generalised_dice, log_cosh_dice):
            assert float(measure(sure_of(target), Target(target), kind)) == pytest.approx(0, abs=0.02)
