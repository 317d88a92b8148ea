"""Random variation of training patches: parameters are drawn first (numpy generator), then applied (torch).

Patches are ``(C, X, Y, Z)`` with Z = 1 in 2D. What is exactly 0 stays 0 under the intensity steps: the padding around
a case, and what lies outside the brain in skull-stripped ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from gliamap.boxes import Shape
from gliamap.config import AugmentConfig


@dataclass(frozen=True, eq=False)
class Augmentation:
    """Drawn parameters. ``None`` leaves a step out; per-channel arrays have length C."""

    flips: tuple[bool, bool, bool]
    matrix: NDArray[np.float64] | None
    scale: NDArray[np.float64] | None
    shift: NDArray[np.float64] | None
    gamma: NDArray[np.float64] | None
    noise: tuple[float, int] | None
    bias: NDArray[np.float64] | None


def draw_augmentation(rng: np.random.Generator, config: AugmentConfig, channels: int, patch: Shape) -> Augmentation:
    """Draw all parameters for one patch. Axes of one voxel are neither flipped nor turned out of their plane."""
    flat = patch[2] == 1
    fx, fy, fz = (bool(rng.random() < 0.5) and config.flip for _ in range(3))
    affine = _draw_matrix(rng, config, patch) if rng.random() < config.affine else None
    intensity = rng.random() < config.intensity
    return Augmentation(
        flips=(fx, fy, fz and not flat),
        matrix=affine,
        scale=rng.uniform(0.75, 1.3, channels) if intensity else None,
        shift=rng.uniform(-0.2, 0.2, channels) if intensity else None,
        gamma=np.exp(rng.uniform(-0.35, 0.35, channels)) if rng.random() < config.gamma else None,
        noise=(rng.uniform(0.02, 0.15), int(rng.integers(2**31))) if rng.random() < config.noise else None,
        bias=rng.uniform(-0.3, 0.3, (channels, 3, 3, 1 if flat else 3)) if rng.random() < config.bias else None,
    )


def _draw_matrix(rng: np.random.Generator, config: AugmentConfig, patch: Shape) -> NDArray[np.float64]:
    """A 3x4 sampling matrix in units of half the patch, as ``grid_sample`` takes it: rotation, scale, no shift.

    Coordinates are normalised by each axis' size, so the rotation is wrapped in the patch's proportions.
    """
    limit = np.radians(config.rotate_degrees)
    angles = rng.uniform(-limit, limit, 3)
    scale = np.exp(rng.uniform(-config.scale, config.scale))
    matrix = np.eye(3)
    planes = [(0, 1)] if patch[2] == 1 else [(0, 1), (0, 2), (1, 2)]
    for (a, b), angle in zip(planes, angles, strict=False):
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    size = np.array(patch, np.float64)
    matrix = matrix * scale * size[None, :] / size[:, None]
    if patch[2] == 1:
        matrix[2] = matrix[:, 2] = (0, 0, 0)
        matrix[2, 2] = 1
    return np.concatenate([matrix, np.zeros((3, 1))], axis=1)


def apply_augmentation(image: Tensor, labels: Tensor, drawn: Augmentation) -> tuple[Tensor, Tensor]:
    """Apply to an ``(C, X, Y, Z)`` float image and its ``(X, Y, Z)`` uint8 labels; both are new tensors.

    The image is interpolated linearly, labels take the nearest voxel.
    """
    axes = [axis for axis, flip in enumerate(drawn.flips) if flip]
    image, labels = image.flip([1 + a for a in axes]), labels.flip(axes)
    if drawn.matrix is not None:
        image = _warp(image, drawn.matrix, "bilinear")
        labels = _warp(labels[None].float(), drawn.matrix, "nearest")[0].to(torch.uint8)
    return _vary_intensity(image, drawn), labels


def _warp(image: Tensor, matrix: NDArray[np.float64], mode: str) -> Tensor:
    """Sample ``image`` through ``matrix``; ``grid_sample`` counts axes from the last, hence the reversals."""
    if image.shape[-1] == 1:
        theta = torch.from_numpy(matrix[:2][:, [0, 1, 3]][::-1][:, [1, 0, 2]].copy()).float()
        flat = image[None, ..., 0]
        grid = functional.affine_grid(theta[None], list(flat.shape), align_corners=False)
        return functional.grid_sample(flat, grid, mode=mode, align_corners=False)[0, ..., None]
    theta = torch.from_numpy(matrix[::-1][:, [2, 1, 0, 3]].copy()).float()
    grid = functional.affine_grid(theta[None], [1, *image.shape], align_corners=False)
    return functional.grid_sample(image[None], grid, mode=mode, align_corners=False)[0]


def _vary_intensity(image: Tensor, drawn: Augmentation) -> Tensor:
    inside = image != 0
    if drawn.bias is not None:
        coarse = torch.from_numpy(drawn.bias).float()[None]
        mode = "bilinear" if image.shape[-1] == 1 else "trilinear"
        if image.shape[-1] == 1:
            field = functional.interpolate(coarse[..., 0], list(image.shape[1:3]), mode=mode)[0, ..., None]
        else:
            field = functional.interpolate(coarse, list(image.shape[1:]), mode=mode)[0]
        image = image * field.exp()
    if drawn.gamma is not None:
        image = torch.stack([_gamma(c, float(g)) for c, g in zip(image, drawn.gamma, strict=True)])
    if drawn.scale is not None and drawn.shift is not None:
        scale, shift = (torch.from_numpy(v).float()[:, None, None, None] for v in (drawn.scale, drawn.shift))
        image = image * scale + shift
    if drawn.noise is not None:
        strength, seed = drawn.noise
        generator = torch.Generator().manual_seed(seed)
        image = image + strength * torch.randn(image.shape, generator=generator)
    return image * inside


def _gamma(channel: Tensor, gamma: float) -> Tensor:
    """A power curve over the channel's own range, which it keeps."""
    low, high = channel.min(), channel.max()
    if high <= low:
        return channel
    span = high - low
    return ((channel - low) / span) ** gamma * span + low
