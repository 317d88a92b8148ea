"""Losses of single voxels, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from gliamap.losses.entropy import ce, focal, lesion_ce, soft_ce, weighted_ce
from gliamap.losses.target import Target
from losses import as_classes, random_logits, voxels

LOGITS = torch.tensor([0.0, 2.0, 0.0, -1.0]).reshape(1, 1, 4, 1)
MASK = voxels(1, 0, 0, 0)
P = [1 / (1 + math.exp(-x)) for x in (0.0, 2.0, 0.0, -1.0)]
COSTS = [-math.log(P[0]), *(-math.log(1 - p) for p in P[1:])]
"""The cross-entropy of each of the four voxels: the tumour's, then those of the background."""

BOTH = torch.cat([torch.zeros(1, 1, 4, 1), LOGITS], dim=1)
"""The same probabilities as classes: softmax of 0 and x is the sigmoid of x."""


def test_cross_entropy_by_hand() -> None:
    expected = pytest.approx(sum(COSTS) / 4, rel=1e-6)
    assert float(ce(LOGITS, Target(MASK), "regions")) == expected
    assert float(ce(BOTH, Target(as_classes(MASK)), "classes")) == expected
    assert float(soft_ce(LOGITS, MASK.float(), "regions")) == expected


def test_balanced_cross_entropy_is_the_mean_of_the_classes_means() -> None:
    expected = pytest.approx((COSTS[0] + sum(COSTS[1:]) / 3) / 2, rel=1e-6)
    assert float(weighted_ce(LOGITS, Target(MASK), "regions")) == expected
    assert float(weighted_ce(BOTH, Target(as_classes(MASK)), "classes")) == expected


def test_balanced_cross_entropy_takes_each_region_for_itself() -> None:
    masks = torch.cat([MASK, voxels(1, 1, 1, 0)], dim=1)
    first, second = (float(weighted_ce(LOGITS, Target(masks[:, r : r + 1]), "regions")) for r in range(2))
    both = weighted_ce(LOGITS.repeat(1, 2, 1, 1), Target(masks), "regions")
    assert float(both) == pytest.approx((first + second) / 2, rel=1e-6)


def test_what_the_batch_lacks_is_left_out_of_the_balance() -> None:
    # No tumour: the plain mean over the background, so that what is marked there still costs.
    nothing = voxels(0, 0, 0, 0)
    plain = float(ce(LOGITS, Target(nothing), "regions"))
    assert float(weighted_ce(LOGITS, Target(nothing), "regions")) == pytest.approx(plain, rel=1e-6)
    found = weighted_ce(BOTH, Target(as_classes(nothing)), "classes")
    assert float(found) == pytest.approx(plain, rel=1e-6)


def test_balance_is_taken_over_the_batch() -> None:
    # One voxel of tumour in two patches: it has half of the loss, whichever patch it lies in.
    logits = random_logits(torch.zeros(2, 1, 3, 1))
    masks = torch.zeros(2, 1, 3, 1)
    masks[1, 0, 2] = 1
    costs = torch.nn.functional.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    expected = (costs[1, 0, 2] + (costs.sum() - costs[1, 0, 2]) / 5) / 2
    assert float(weighted_ce(logits, Target(masks), "regions")) == pytest.approx(float(expected), rel=1e-6)


def test_focal_loss_by_hand() -> None:
    expected = ((1 - P[0]) ** 2 * COSTS[0] + sum(p**2 * cost for p, cost in zip(P[1:], COSTS[1:], strict=True))) / 4
    assert float(focal(LOGITS, Target(MASK), "regions")) == pytest.approx(expected, rel=1e-6)
    assert float(focal(BOTH, Target(as_classes(MASK)), "classes")) == pytest.approx(expected, rel=1e-6)


def test_weights_of_voxels_by_hand() -> None:
    weights = torch.tensor([3.0, 1.0, 0.5, 1.0]).reshape(1, 1, 4, 1)
    expected = (3 * COSTS[0] + COSTS[1] + 0.5 * COSTS[2] + COSTS[3]) / 4
    assert float(lesion_ce(LOGITS, Target(MASK, weights=weights), "regions")) == pytest.approx(expected, rel=1e-6)
    # Of classes, a voxel's weight is that in the channel of its own class: the tumour's 3 for the first, else 2.
    of_classes = torch.cat([torch.full((1, 1, 4, 1), 2.0), weights], dim=1)
    expected = (3 * COSTS[0] + 2 * sum(COSTS[1:])) / 4
    found = lesion_ce(BOTH, Target(as_classes(MASK), weights=of_classes), "classes")
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_weights_are_needed_where_they_are_asked_for() -> None:
    with pytest.raises(ValueError, match="needs weights"):
        lesion_ce(LOGITS, Target(MASK), "regions")
