"""What scanners and patients do to MRI, imitated: thick slices, motion, ghosting, spikes. Drawn first, applied second.

Images are ``(C, X, Y, Z)`` float with Z = 1 in 2D. Artefacts arise in k-space, where the background is dark and not,
as after normalisation, as bright as the brain's mean: each channel is therefore lifted so that its darkest voxel is as
dark as the background, and lowered again afterwards. What leaves the brain is cut. Lines of k-space are those of the
patch and its mirror image behind it, so that no ghost of the patch's border is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fft
from torch.nn import functional

from gliamap.boxes import Shape
from gliamap.sampling.warp import affine_matrix, sample, sampling_grid

_Number = TypeVar("_Number", bound=np.generic)
_FURTHER_CHANNEL = 0.2  # mostly one sequence is spoilt, hardly ever all of them


@dataclass(frozen=True, eq=False)
class LowResolution:
    """``factor`` voxels along ``axis`` are measured as one."""

    channels: NDArray[np.bool_]
    axis: int
    factor: float


@dataclass(frozen=True, eq=False)
class Ghosting:
    """Two ghosts, ``shift`` voxels along ``axis`` to either side, hold ``share`` of the signal."""

    channels: NDArray[np.bool_]
    axis: int
    shift: float
    share: float


@dataclass(frozen=True, eq=False)
class Spikes:
    """Stripes: ``waves`` ``(n, 3)`` in cycles per voxel, ``phases`` ``(n,)``, ``height`` in units of the image."""

    channels: NDArray[np.bool_]
    waves: NDArray[np.float64]
    phases: NDArray[np.float64]
    height: float


@dataclass(frozen=True, eq=False)
class Motion:
    """Lines of k-space beyond ``starts[i]`` (cycles per voxel along ``axis``, its sign the side) saw pose i.

    ``poses`` ``(n, 6)``: three angles in degrees, three shifts in voxels. The later start wins. The centre of k-space
    saw the head where the labels are.
    """

    channels: NDArray[np.bool_]
    axis: int
    starts: NDArray[np.float64]
    poses: NDArray[np.float64]


Artefact = LowResolution | Ghosting | Spikes | Motion


def draw_low_resolution(rng: np.random.Generator, channels: int, patch: Shape) -> LowResolution:
    """Slices 2 to 5 voxels thick along an axis of more than one voxel."""
    return LowResolution(_draw_channels(rng, channels), _draw_axis(rng, patch), rng.uniform(2, 5))


def draw_ghosting(rng: np.random.Generator, channels: int, patch: Shape) -> Ghosting:
    """Ghosts half to a sixth of the patch away, along an axis of more than one voxel."""
    spoilt, axis = _draw_channels(rng, channels), _draw_axis(rng, patch)
    return Ghosting(spoilt, axis, patch[axis] / rng.uniform(2, 6), rng.uniform(0.06, 0.25))


def draw_spikes(rng: np.random.Generator, channels: int, patch: Shape) -> Spikes:
    """1 to 3 stripe patterns, 4 to 30 voxels from stripe to stripe, in the plane of a slice where Z = 1."""
    spoilt, count = _draw_channels(rng, channels), int(rng.integers(1, 4))
    waves = rng.normal(size=(count, 3)) * (np.array(patch) > 1)
    waves /= np.maximum(np.linalg.norm(waves, axis=1, keepdims=True), 1e-9)
    waves /= np.exp(rng.uniform(np.log(4), np.log(30), (count, 1)))
    return Spikes(spoilt, waves, rng.uniform(0, 2 * np.pi, count), rng.uniform(0.08, 0.3) / np.sqrt(count))


def draw_motion(rng: np.random.Generator, channels: int, patch: Shape) -> Motion:
    """1 to 3 movements by up to 3 degrees and 2.5 voxels, none while the middle sixth of k-space is measured."""
    spoilt, axis, count = _draw_channels(rng, channels), _draw_axis(rng, patch), int(rng.integers(1, 4))
    starts = rng.uniform(0.08, 0.35, count) * rng.choice([-1, 1], count)
    poses = np.concatenate([rng.uniform(-3, 3, (count, 3)), rng.uniform(-2.5, 2.5, (count, 3))], axis=1)
    return Motion(spoilt, axis, starts, poses)


def _draw_channels(rng: np.random.Generator, channels: int) -> NDArray[np.bool_]:
    spoilt = rng.random(channels) < _FURTHER_CHANNEL
    spoilt[rng.integers(channels)] = True
    return spoilt


def _draw_axis(rng: np.random.Generator, patch: Shape) -> int:
    axes = [axis for axis, size in enumerate(patch) if size > 1] or [0]
    return axes[rng.integers(len(axes))]


def repeated(drawn: NDArray[_Number], channels: int) -> NDArray[_Number]:
    """Parameters ``(C, ...)`` for ``channels`` = kC channels: once for each copy of the modalities."""
    assert channels % len(drawn) == 0
    return np.concatenate([drawn] * (channels // len(drawn)))


def add_artefact(image: Tensor, inside: Tensor, drawn: Artefact) -> Tensor:
    """``image`` with the artefact in the channels drawn for it, and only where ``inside`` (of the same shape).

    An image with a multiple of the channels that were drawn for repeats them. A channel with nothing inside stays.
    """
    spoilt = torch.from_numpy(repeated(drawn.channels, image.shape[0]))
    signal, mask = image[spoilt], inside[spoilt]
    darkest = torch.where(mask, signal, torch.inf).amin((1, 2, 3), keepdim=True)
    seen = _seen(torch.where(mask, signal - darkest, 0), drawn)
    out = image.clone()
    out[spoilt] = torch.where(mask, seen + darkest, signal)
    return out


def _seen(signal: Tensor, drawn: Artefact) -> Tensor:
    """What the scanner makes of ``signal`` ``(C, X, Y, Z)``, which is 0 in the background and above 0 elsewhere."""
    match drawn:
        case LowResolution():
            return _thick_slices(signal, drawn)
        case Ghosting():
            return _ghosts(signal, drawn)
        case Spikes():
            return signal + _stripes(signal, drawn)
        case Motion():
            return _moved(signal, drawn)


def _thick_slices(signal: Tensor, drawn: LowResolution) -> Tensor:
    """Means over slices, then interpolated linearly as preparation would."""
    lines = signal.movedim(1 + drawn.axis, -1)
    size = lines.shape[-1]
    rows = lines.reshape(1, -1, size)
    few = functional.interpolate(rows, max(1, round(size / drawn.factor)), mode="area")
    back = functional.interpolate(few, size, mode="linear", align_corners=False)
    return back.reshape(lines.shape).movedim(-1, 1 + drawn.axis)


def _ghosts(signal: Tensor, drawn: Ghosting) -> Tensor:
    """Breath or pulse makes the lines of k-space wax and wane, the centre being brightest."""
    both = _with_mirror_image(signal, drawn.axis)
    axis = 1 + drawn.axis
    frequency = _along(fft.rfftfreq(both.shape[axis]), drawn.axis)
    gain = 1 - drawn.share * (1 - torch.cos(2 * torch.pi * drawn.shift * frequency))
    seen: Tensor = fft.irfft(fft.rfft(both, dim=axis) * gain, n=both.shape[axis], dim=axis)
    return seen.narrow(axis, 0, signal.shape[axis])


def _stripes(signal: Tensor, drawn: Spikes) -> Tensor:
    """A spike in k-space is a plane wave in the image."""
    x, y, z = (torch.arange(n, dtype=torch.float32) for n in signal.shape[1:])
    total = torch.zeros(signal.shape[1:])
    for (fx, fy, fz), phase in zip(drawn.waves, drawn.phases, strict=True):
        cycles = (float(fx) * x)[:, None, None] + (float(fy) * y)[:, None] + float(fz) * z
        total += torch.cos(2 * torch.pi * cycles + float(phase))
    return drawn.height * total


def _moved(signal: Tensor, drawn: Motion) -> Tensor:
    """K-space put together from the head in several poses; its magnitude, as scanners show."""
    axis = 1 + drawn.axis
    x, y, z = signal.shape[1:]
    lines = fft.fft(_with_mirror_image(signal, drawn.axis), dim=axis)
    frequency = _along(fft.fftfreq(lines.shape[axis]), drawn.axis)
    for i in np.argsort(np.abs(drawn.starts)):
        start, pose = float(drawn.starts[i]), drawn.poses[i]
        matrix = affine_matrix(np.radians(pose[:3]), (x, y, z), shift=pose[3:])
        other = sample(signal, sampling_grid((x, y, z), matrix), "bilinear", "border")
        beyond = frequency > start if start > 0 else frequency < start
        lines = torch.where(beyond, fft.fft(_with_mirror_image(other, drawn.axis), dim=axis), lines)
    seen: Tensor = fft.ifft(lines, dim=axis).narrow(axis, 0, signal.shape[axis])
    return seen.abs()


def _with_mirror_image(signal: Tensor, axis: int) -> Tensor:
    """``(C, X, Y, Z)`` twice as long along spatial ``axis``, without a jump anywhere."""
    return torch.cat([signal, signal.flip(1 + axis)], 1 + axis)


def _along(values: Tensor, axis: int) -> Tensor:
    """A vector laid along spatial ``axis`` of ``(C, X, Y, Z)``."""
    return values.reshape([-1 if i == 1 + axis else 1 for i in range(4)])
