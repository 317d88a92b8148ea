"""Turning and bending: one grid, true to shape, never folded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gliamap.boxes import Shape
from gliamap.sampling.warp import BEND_LIMIT, affine_matrix, displacement, draw_bend, sample, sampling_grid

PATCHES: list[Shape] = [(32, 24, 16), (20, 20, 20), (28, 36, 1)]


@pytest.mark.parametrize("patch", PATCHES)
def test_control_points_that_do_not_move_bend_nothing(patch: Shape) -> None:
    image = torch.randn(2, *patch)
    grid = sampling_grid(patch, None, 0 * draw_bend(np.random.default_rng(0), patch))
    assert torch.allclose(sample(image, grid, "bilinear"), image, atol=1e-4)
    assert torch.equal(sample(image, grid, "nearest"), image)


@pytest.mark.parametrize("patch", PATCHES)
def test_control_points_that_all_move_alike_shift_the_patch(patch: Shape) -> None:
    # Output voxel x shows input voxel x + (3, -2, 0): what was at (9, 9) is seen at (6, 11).
    image = torch.zeros(1, *patch)
    image[0, 9, 9] = 2
    points = 0 * draw_bend(np.random.default_rng(0), patch) + np.reshape([3, -2, 0], (3, 1, 1, 1))
    grid = sampling_grid(patch, None, points)
    nearest = sample(image, grid, "nearest")[0]
    assert torch.argwhere(nearest[..., 0]).tolist() == [[6, 11]]
    assert torch.allclose(sample(image, grid, "bilinear")[0], nearest, atol=1e-4)


@pytest.mark.parametrize("patch", PATCHES)
def test_mirrored_control_points_give_the_mirrored_bend(patch: Shape) -> None:
    points = draw_bend(np.random.default_rng(0), patch)
    for axis in (1, 2, 3):
        mirrored = displacement(np.flip(points, axis).copy(), patch)
        assert torch.allclose(mirrored, displacement(points, patch).flip(axis), atol=1e-4)


@pytest.mark.parametrize("patch", [*PATCHES, (64, 48, 1), (48, 64, 40)])
@pytest.mark.parametrize("seed", range(5))
def test_bending_keeps_to_its_limit_and_never_folds(patch: Shape, seed: int) -> None:
    points = draw_bend(np.random.default_rng(seed), patch)
    limit = BEND_LIMIT * np.array([1 if n == 1 else n / (c - 3) for n, c in zip(patch, points.shape[1:], strict=True)])
    limit *= np.array(patch) > 1
    assert (np.abs(points).max(axis=(1, 2, 3)) <= limit).all()
    # The worst there can be: every control point at the limit, in all directions.
    worst = np.sign(points) * limit[:, None, None, None]
    for chosen in (points, worst):
        field = displacement(chosen, patch).numpy()
        assert (np.abs(field).max(axis=(1, 2, 3)) <= np.abs(chosen).max(axis=(1, 2, 3)) + 1e-5).all()
        assert volume_change(field).min() > 0
    assert np.abs(field).max() > 0.5


def volume_change(field: NDArray[np.float32]) -> NDArray[np.float64]:
    """The Jacobian's determinant of x + field(x)."""
    axes = [axis for axis in range(3) if field.shape[1 + axis] > 1]
    jacobian = np.stack([np.stack([np.gradient(field[a], axis=b) for b in axes], -1) for a in axes], -2)
    return np.linalg.det(jacobian + np.eye(len(axes)))


@pytest.mark.parametrize("patch", PATCHES)
def test_turning_and_bending_interpolate_once(patch: Shape) -> None:
    # A straight ramp is sampled exactly, so it shows where each voxel was taken from: matrix (x + displacement(x)).
    rng = np.random.default_rng(3)
    points, angle = draw_bend(rng, patch), 0.3
    places = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in patch], indexing="ij")).astype(np.float32)
    grid = sampling_grid(patch, affine_matrix([angle, 0, 0], patch, scale=1.1), points)
    seen = sample(torch.from_numpy(places) + 100, grid, "bilinear").numpy() - 100
    x, y, z = places + displacement(points, patch).numpy()
    cos, sin = 1.1 * np.cos(angle), 1.1 * np.sin(angle)
    wanted = np.stack([cos * x - sin * y, sin * x + cos * y, 1.1 * z])
    half = (np.reshape(patch, (3, 1, 1, 1)) - 1) / 2
    whole = (np.abs(wanted) <= half).all(axis=0)  # beyond it, zeros are mixed in
    assert whole.mean() > 0.3
    assert np.abs(seen - wanted)[:, whole].max() < 1e-2
