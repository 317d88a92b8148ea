"""Whether the voxels show a skull-stripped brain or a whole head. Knows arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gliamap.checks.brightness import background_of, brightness, tissue_of

Foreground = Literal["brain", "head"]

RING_OF_A_HEAD = 0.3
"""From this depth of the dark ring on (median over all directions), a head."""

RING_OF_A_BRAIN = 0.18
"""Up to this, and with all that follows, a brain."""

DARK_DIRECTIONS_OF_A_BRAIN = 0.1
"""Share of directions in which a brain may have a dark layer all the same: fissures, cysts, cavities."""

LEFT_OUTSIDE_A_BRAIN = 0.14
"""What is not background may lie outside a brain by this share of its area: dark fluid at the rim."""

_DARK = 0.4
_PLANES = 9
_RAYS = 180
_STEPS = 40
_DEPTH = 0.4  # how far a ray runs inwards, as a share of the way to the centre
_SMOOTH = 5  # rays: a gyrus is smoothed away, a skull, which runs along the border, is not
_PLANE_SIZE = 160
_SMALLEST_OBJECT = 200


@dataclass(frozen=True)
class Rim:
    """What a plane shows at the border of its object.

    ``ring`` is the median over all directions of how much darker (0 to 1) a layer under the border is than both what
    lies outside it and what lies inside: skull between scalp and brain. ``dark`` is the share of the directions with
    a layer that is darker by ``_DARK``. ``outside`` is the area outside the object that does not hold the background's
    value, as a share of the object's: noise, or what is too dark.
    """

    ring: float
    dark: float
    outside: float


def stripped_or_head(image: NDArray[np.float32]) -> Foreground | None:
    """What ``(C, X, Y, Z)`` shows (Z = 1 for a slice), in any orientation; ``None`` where it is not sure.

    A head is known by the dark ring of its skull, a brain by the lack of it in a background without any noise. A
    brain in a noisy background, or a head whose skull does not show, is neither.
    """
    rims = [rim for channel in image for plane in _planes(channel) if (rim := measure_rim(plane)) is not None]
    if not rims:
        return None
    ring, dark, outside = np.mean([(rim.ring, rim.dark, rim.outside) for rim in rims], axis=0)
    if ring >= RING_OF_A_HEAD:
        return "head"
    if ring <= RING_OF_A_BRAIN and dark <= DARK_DIRECTIONS_OF_A_BRAIN and outside <= LEFT_OUTSIDE_A_BRAIN:
        return "brain"
    return None


def measure_rim(plane: NDArray[np.float32]) -> Rim | None:
    """The rim of the largest object in a plane ``(A, B)``; ``None`` where there is none of any size."""
    background = background_of(plane)
    bright = brightness(plane, background)
    inside = _largest_object(bright)
    if int(inside.sum()) < _SMALLEST_OBJECT:
        return None
    profile, seen = _profiles(bright, inside)
    known = ndimage.gaussian_filter1d(seen, _SMOOTH, axis=0, mode="wrap")
    smooth = ndimage.gaussian_filter1d(profile * seen, _SMOOTH, axis=0, mode="wrap") / np.maximum(known, 1e-3)
    outer = np.maximum.accumulate(smooth, axis=1)
    inner = np.maximum.accumulate(smooth[:, ::-1], axis=1)[:, ::-1]
    darker = ((1 - smooth / np.maximum(np.minimum(outer, inner), 1e-6)) * seen).max(axis=1)
    outside = int(((plane != np.float32(background)) & ~inside).sum()) / int(inside.sum())
    return Rim(float(np.median(darker)), float((darker >= _DARK).mean()), outside)


def _planes(channel: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Up to ``_PLANES`` planes through the middle of ``(X, Y, Z)``, across its axis with the fewest voxels."""
    axis = int(np.argmin(channel.shape))
    across = np.moveaxis(channel, axis, 0)
    used = np.flatnonzero([bool((plane != across[0, 0, 0]).any()) for plane in across[:, ::4, ::4]])
    if used.size == 0:
        return []
    first, last = int(used[0]), int(used[-1])
    chosen = np.unique(np.rint(np.linspace(first + 0.25 * (last - first), first + 0.75 * (last - first), _PLANES)))
    step = max(1, -(-max(across.shape[1:]) // (2 * _PLANE_SIZE)))
    return [np.nan_to_num(across[int(k), ::step, ::step], posinf=0, neginf=0) for k in chosen]


def _largest_object(bright: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The largest piece of tissue and all that it encloses: a ring of scalp goes with the brain in it."""
    filled = ndimage.binary_fill_holes(ndimage.binary_opening(tissue_of(bright)))
    labelled, count = ndimage.label(filled)
    if count == 0:
        return np.zeros(bright.shape, np.bool_)
    return np.asarray(labelled == 1 + int(np.argmax(np.bincount(labelled.ravel())[1:])))


def _profiles(
    bright: NDArray[np.float32], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Brightness along rays from the outermost border to the centre, ``(rays, steps)``, and whether it is inside."""
    centre = np.array(ndimage.center_of_mass(inside))[:, None, None]
    angles = np.arange(_RAYS) * 2 * np.pi / _RAYS
    directions = np.stack([np.cos(angles), np.sin(angles)])[:, :, None]
    radii = np.arange(0, float(np.hypot(*bright.shape)), 0.5)
    hit = ndimage.map_coordinates(inside.astype(np.uint8), centre + directions * radii, order=0)
    border = (hit * radii).max(axis=1)
    along = border[:, None] * (1 - np.linspace(-0.02, _DEPTH, _STEPS))
    points = centre + directions * along
    seen = ndimage.map_coordinates(inside.astype(np.float64), points, order=0)
    return np.asarray(ndimage.map_coordinates(bright.astype(np.float64), points, order=1)), np.asarray(seen)
