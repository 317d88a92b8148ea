"""The boundary loss, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gliamap.losses.boundary import boundary, boundary_weight
from gliamap.losses.named import dice_ce, dice_ce_boundary
from gliamap.losses.target import Target
from gliamap.prep.distances import signed_distances
from losses import as_classes, random_logits, sure_of, voxels

MASK = voxels(0, 0, 1, 1, 0, 0, 0)
DISTANCES = torch.tensor([2.0, 1, -1, -1, 1, 2, 3]).reshape(1, 1, -1, 1)


def test_a_wrong_voxel_costs_its_distance_to_the_surface() -> None:
    def cost(*said: int) -> float:
        return float(boundary(sure_of(voxels(*said)), Target(MASK, distances=DISTANCES), "regions")) * 7

    assert cost(0, 0, 1, 1, 0, 0, 0) == pytest.approx(0, abs=1e-5)
    assert cost(0, 0, 1, 1, 1, 0, 0) == pytest.approx(1, abs=1e-5)  # one too many, next to the surface
    assert cost(0, 0, 1, 1, 0, 0, 1) == pytest.approx(3, abs=1e-5)  # one too many, three away
    assert cost(0, 0, 1, 0, 0, 0, 0) == pytest.approx(1, abs=1e-5)  # one missed
    assert cost(1, 1, 0, 0, 1, 1, 1) == pytest.approx(2 + 1 + 1 + 1 + 1 + 2 + 3, abs=1e-5)


def test_the_mean_is_over_voxels_and_regions() -> None:
    target = Target(MASK.repeat(1, 2, 1, 1), distances=DISTANCES.repeat(1, 2, 1, 1))
    logits = torch.cat([sure_of(MASK), sure_of(1 - MASK)], dim=1)
    assert float(boundary(logits, target, "regions")) == pytest.approx(11 / 14, abs=1e-5)


def test_a_region_without_a_surface_is_left_to_the_region_loss() -> None:
    nothing = voxels(0, 0, 0)
    distances = torch.from_numpy(signed_distances(np.zeros((3, 1, 1), bool), (1, 1, 1)).astype(np.float32))
    logits = random_logits(nothing).requires_grad_()
    target = Target(nothing, distances=distances.reshape(1, 1, 3, 1))
    cost = boundary(logits, target, "regions")
    assert cost.item() == 0 and not torch.autograd.grad(cost, logits)[0].any()
    assert torch.equal(dice_ce_boundary(logits, target, "regions"), dice_ce(logits, target, "regions"))


def test_the_weight_rises_as_the_authors_had_it() -> None:
    # 0.01 in the first of 200 epochs, 0.01 more in each, 2 in the last; the region loss keeps its weight of 1.
    for epoch in (1, 50, 100, 200):
        assert boundary_weight((epoch - 1) / 199) == pytest.approx(epoch / 100)
    logits = random_logits(MASK)
    for progress in (0.0, 0.5, 1.0):
        target = Target(MASK, distances=DISTANCES, progress=progress)
        parts = float(dice_ce(logits, target, "regions")), float(boundary(logits, target, "regions"))
        expected = parts[0] + boundary_weight(progress) * parts[1]
        assert float(dice_ce_boundary(logits, target, "regions")) == pytest.approx(expected, rel=1e-6)


def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(ValueError, match="needs distances"):
        boundary(sure_of(MASK), Target(MASK), "regions")
    with pytest.raises(ValueError, match="for regions"):
        boundary(sure_of(as_classes(MASK)), Target(as_classes(MASK), distances=DISTANCES), "classes")
