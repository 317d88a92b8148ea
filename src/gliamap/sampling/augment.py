"""Random variation of training patches: parameters are drawn first (numpy generator), then applied (torch).

Patches are ``(C, X, Y, Z)`` with Z = 1 in 2D. What is exactly 0 stays 0 under the intensity steps: the padding around
a case, and what lies outside the brain in skull-stripped ones.

What is drawn per channel is drawn for the modalities. An image may repeat them, as that of the mirrored hemisphere
does: it comes from the same scanner, so its channels get the same scale, gamma, bias and artefacts.
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
from gliamap.sampling.artefacts import (
    Ghosting,
    LowResolution,
    Motion,
    Spikes,
    add_artefact,
    draw_ghosting,
    draw_low_resolution,
    draw_motion,
    draw_spikes,
    repeated,
)
from gliamap.sampling.extras import farthest
from gliamap.sampling.warp import affine_matrix, draw_bend, sample, sampling_grid


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
    elastic: NDArray[np.float64] | None = None
    low_resolution: LowResolution | None = None
    ghosting: Ghosting | None = None
    spikes: Spikes | None = None
    motion: Motion | None = None


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
        elastic=draw_bend(rng, patch) if _chosen(rng, config.elastic) else None,
        low_resolution=draw_low_resolution(rng, channels, patch) if _chosen(rng, config.low_resolution) else None,
        ghosting=draw_ghosting(rng, channels, patch) if _chosen(rng, config.ghosting) else None,
        spikes=draw_spikes(rng, channels, patch) if _chosen(rng, config.spikes) else None,
        motion=draw_motion(rng, channels, patch) if _chosen(rng, config.motion) else None,
    )


def _chosen(rng: np.random.Generator, probability: float) -> bool:
    """Draws nothing where the step is off, so that patches do not change when a new step is added."""
    return probability > 0 and rng.random() < probability


def _draw_matrix(rng: np.random.Generator, config: AugmentConfig, patch: Shape) -> NDArray[np.float64]:
    """Rotation and scale, no shift."""
    limit = np.radians(config.rotate_degrees)
    angles = rng.uniform(-limit, limit, 3)
    return affine_matrix(angles, patch, scale=np.exp(rng.uniform(-config.scale, config.scale)))


def apply_augmentation(
    image: Tensor, labels: Tensor, drawn: Augmentation, soft: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Apply to an ``(kC, X, Y, Z)`` float image and its ``(X, Y, Z)`` uint8 labels; all results are new tensors.

    ``C`` is the number of channels that were drawn for; an image with a multiple of them (the modalities, then the
    same from the mirrored hemisphere) repeats what was drawn per channel. ``soft`` ``(R, X, Y, Z)`` in 0..1 moves like
    the labels. Image and ``soft`` are interpolated linearly, labels take the nearest voxel.
    """
    image, labels = _flipped(image, drawn), _flipped(labels[None], drawn)[0]
    soft = None if soft is None else _flipped(soft, drawn)
    grid = _grid(drawn, image)
    if grid is not None:
        image = sample(image, grid, "bilinear")
        labels = sample(labels[None].float(), grid, "nearest")[0].to(torch.uint8)
        soft = None if soft is None else sample(soft, grid, "bilinear").clamp(0, 1)  # against rounding
    return _vary_intensity(image, drawn), labels, soft


def move_distances(distances: Tensor, drawn: Augmentation) -> Tensor:
    """Signed distances ``(R, X, Y, Z)`` moved like the labels, interpolated linearly; a new tensor.

    Beyond the patch, where labels are background, they are as large as anywhere in it (:func:`farthest`). They are
    moved, not taken anew: where the anatomy is scaled or bent they are of the anatomy as it was.
    """
    moved, grid = _flipped(distances, drawn), _grid(drawn, distances)
    if grid is None:
        return moved
    far = farthest(distances)
    return sample(moved - far, grid, "bilinear") + far


def _flipped(maps: Tensor, drawn: Augmentation) -> Tensor:
    return maps.flip([1 + axis for axis, flip in enumerate(drawn.flips) if flip])


def _grid(drawn: Augmentation, maps: Tensor) -> Tensor | None:
    """Where the voxels of ``(K, X, Y, Z)`` maps come from; ``None`` where they stay."""
    if drawn.matrix is None and drawn.elastic is None:
        return None
    x, y, z = maps.shape[1:]
    return sampling_grid((x, y, z), drawn.matrix, drawn.elastic)


def _vary_intensity(image: Tensor, drawn: Augmentation) -> Tensor:
    inside = image != 0
    channels = image.shape[0]
    if drawn.bias is not None:
        coarse = torch.from_numpy(repeated(drawn.bias, channels)).float()[None]
        mode = "bilinear" if image.shape[-1] == 1 else "trilinear"
        if image.shape[-1] == 1:
            field = functional.interpolate(coarse[..., 0], list(image.shape[1:3]), mode=mode)[0, ..., None]
        else:
            field = functional.interpolate(coarse, list(image.shape[1:]), mode=mode)[0]
        image = image * field.exp()
    if drawn.gamma is not None:
        image = torch.stack([_gamma(c, float(g)) for c, g in zip(image, repeated(drawn.gamma, channels), strict=True)])
    if drawn.scale is not None and drawn.shift is not None:
        scale, shift = (repeated(v, channels)[:, None, None, None] for v in (drawn.scale, drawn.shift))
        image = image * torch.from_numpy(scale).float() + torch.from_numpy(shift).float()
    for artefact in (drawn.low_resolution, drawn.motion, drawn.ghosting, drawn.spikes):
        if artefact is not None:
            image = add_artefact(image, inside, artefact)
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
