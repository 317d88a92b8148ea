"""A procedural healthy brain: soft tissue maps from implicit surfaces and smooth noise. Knows numpy only.

Positions are millimetres in an atlas-like frame: x to the right, y to anterior, z to superior, the anterior
commissure near the origin. Surfaces are approximate signed distances in mm, positive inside. The numbers below are
rounded sizes and places of a textbook adult brain; nothing here is fitted to anybody's data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Shape

Field = NDArray[np.float32]
"""One value a voxel, ``(X, Y, Z)``."""

FIELD_OF_VIEW_MM = ((-74.0, 74.0), (-110.0, 75.0), (-72.0, 80.0))
"""What the grid spans along x, y, z; the brain fills nearly all of it."""

GREY_THICKNESS_MM = 3.8
GYRUS_WAVELENGTHS_MM = (15.0, 27.0)
SULCUS_WAVES = 20


@dataclass(frozen=True, eq=False)
class Space:
    """A grid in the atlas frame: voxel centres along each axis, in mm, and the voxel's edge lengths."""

    axes: tuple[Field, Field, Field]
    spacing: tuple[float, float, float]

    @property
    def shape(self) -> Shape:
        """Voxels along X, Y, Z."""
        x, y, z = (axis.size for axis in self.axes)
        return (x, y, z)

    @property
    def voxel_mm(self) -> float:
        """The geometric mean of the edge lengths."""
        return float(np.prod(self.spacing) ** (1 / 3))

    def positions(self) -> Field:
        """``(3, X, Y, Z)`` positions in mm."""
        return np.stack(np.meshgrid(*self.axes, indexing="ij"))


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Soft tissue maps in 0..1, each ``(X, Y, Z)``; within ``brain`` the part that is neither CSF nor grey is white.

    ``pial_mm`` is the distance to the nearest cerebrospinal fluid outside the ventricles, folds included.
    """

    brain: NDArray[np.bool_]
    csf: Field
    grey: Field
    ventricles: Field
    vessels: Field
    pial_mm: Field


def make_space(shape: Shape) -> Space:
    """The grid of ``shape`` voxels over the field of view."""
    spacing = [(high - low) / n for (low, high), n in zip(FIELD_OF_VIEW_MM, shape, strict=True)]
    x, y, z = (
        (low + step * (np.arange(n) + 0.5)).astype(np.float32)
        for (low, _), step, n in zip(FIELD_OF_VIEW_MM, spacing, shape, strict=True)
    )
    return Space((x, y, z), (spacing[0], spacing[1], spacing[2]))


def smooth_noise(space: Space, scale_mm: float, rng: np.random.Generator) -> Field:
    """A smooth random field of about zero mean and unit deviation; ``scale_mm`` is the sigma of its Gaussian bumps.

    Bumps stand on a grid in mm, so that one generator state gives one field whatever the voxel size.
    """
    lattice = [np.arange(low - 2 * scale_mm, high + 2 * scale_mm, scale_mm) for low, high in FIELD_OF_VIEW_MM]
    field = rng.standard_normal([line.size for line in lattice], np.float32)
    for axis, line in zip(space.axes, lattice, strict=True):
        weights = np.exp(-0.5 * ((axis[:, None] - line[None, :]) / scale_mm) ** 2)
        weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
        field = np.tensordot(field, weights.astype(np.float32), axes=(0, 1))
    return field


def ramp(distance: Field, width: float) -> Field:
    """0 outside to 1 inside across ``width`` mm: the share of a voxel of that size that a surface cuts off."""
    return np.asarray(np.clip(distance / width + 0.5, 0, 1), np.float32)


def cerebrum(p: Field) -> Field:
    """Signed distance to the smooth hull of the hemispheres at positions ``p`` ``(3, X, Y, Z)``."""
    x, y, z = np.abs(p[0]), p[1], p[2]
    dome = _ellipsoid((x, y, z), (0, -17, 4), (68, 88, 71))
    cheek = 64 - 0.0045 * np.maximum(y + 20, 0) ** 2 - x
    frontal = 21 - 0.006 * np.clip((y - 5) / 20, 0, 1) * x * x
    base = z + np.where(y > -25, frontal, np.maximum(21 - 0.4 * (-25 - y), 8) + 0.1 * np.clip((-25 - y) / 15, 0, 1) * x)
    upper = _blend(_blend(dome, cheek, -8), base, -14)
    temporal = _blend(
        _ellipsoid((x, y, z), (45, -4, -22), (19, 30, 22)), _ellipsoid((x, y, z), (46, -40, -12), (18, 36, 16)), 6
    )
    return _blend(upper, temporal, 4)


def build_anatomy(space: Space, p: Field, push: Field, rng: np.random.Generator) -> Anatomy:
    """The tissue maps at positions ``p`` ``(3, X, Y, Z)``; what lies deep is drawn at ``p + push`` (mass effect)."""
    deep = p + push
    soft = space.voxel_mm
    hull = cerebrum(p)
    pial = _blend(hull, _fissure(deep) - 0.6, -5)
    noise = np.stack([smooth_noise(space, 9.0, rng) for _ in range(3)])
    folded = _fold(space, p + 3 * noise, pial, rng)
    folded = np.minimum(folded, _sylvian(deep + 2 * noise) - 1.0)
    hind, hind_csf, hind_grey = _hindbrain(space, p, rng)
    in_cerebrum = ramp(hull, soft)
    in_hind = ramp(hind, soft) * (1 - in_cerebrum)
    size = float(rng.uniform(0.65, 1.25))
    ventricles = ramp(_ventricles(deep, size), soft)
    cortex = ramp(GREY_THICKNESS_MM - folded, soft)
    csf = in_cerebrum * ramp(-folded, soft) + in_hind * hind_csf + (1 - in_cerebrum - in_hind)
    grey = in_cerebrum * np.maximum(cortex, 0.9 * _nuclei(deep, soft)) + in_hind * hind_grey
    csf = np.maximum(csf, ventricles)
    vessels = csf * (1 - ventricles) * ramp(smooth_noise(space, 4.0, rng) - 1.2, 0.8) * in_cerebrum
    brain = (hull > 0.4) | (hind > 0)
    return Anatomy(brain, csf, np.minimum(grey, 1 - csf), ventricles, vessels, folded)


def _ellipsoid(p: tuple[Field, Field, Field], centre: Sequence[float], radii: Sequence[float]) -> Field:
    scaled = [(c - m) / r for c, m, r in zip(p, centre, radii, strict=True)]
    k0 = np.sqrt(sum(s * s for s in scaled)) + 1e-6
    k1 = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii, strict=True))) + 1e-6
    return np.asarray(k0 * (1 - k0) / k1, np.float32)


def _blend(a: Field, b: Field, width: float) -> Field:
    """Smooth maximum (union) of two distances; with a negative ``width`` the smooth minimum (intersection)."""
    h = np.maximum(abs(width) - np.abs(a - b), 0) / abs(width)
    rounding = h * h * abs(width) / 4
    return np.asarray(np.maximum(a, b) + rounding if width > 0 else np.minimum(a, b) - rounding)


def _capsules(p: tuple[Field, Field, Field], path: Sequence[tuple[float, float, float, float]]) -> Field:
    """Signed distance to a tube along ``path``: points ``(x, y, z, radius)``."""
    out = np.full(p[0].shape, -np.inf, np.float32)
    for (*a, ra), (*b, rb) in pairwise(path):
        line = [e - s for s, e in zip(a, b, strict=True)]
        along = sum((c - s) * d for c, s, d in zip(p, a, line, strict=True)) / sum(d * d for d in line)
        t = np.clip(along, 0, 1)
        gap = np.sqrt(sum((c - s - t * d) ** 2 for c, s, d in zip(p, a, line, strict=True)))
        out = np.maximum(out, ra + (rb - ra) * t - gap)
    return out


def _fissure(p: Field) -> Field:
    """Distance to the gap between the hemispheres: the plane x = 0 outside corpus callosum and brain stem."""
    x, y, z = p
    inner = _ellipsoid((0 * x, y, z), (1, -6, 2), (1e3, 37, 27))
    stem = 14 - np.sqrt((y + 18) ** 2 + np.maximum(z, 0) ** 2)
    return np.asarray(np.sqrt(x * x + np.maximum(np.maximum(inner, stem), 0) ** 2))


def _fold(space: Space, p: Field, pial: Field, rng: np.random.Generator) -> Field:
    """Distance to the folded surface.

    Sulci are sheets that run inwards from the zero lines of a band-limited random field (a sum of plane waves of
    similar wavelengths) on the smooth surface, each to its own depth.
    """
    normal: Field = np.stack(list(np.gradient(pial, *space.spacing)))
    normal /= np.sqrt((normal**2).sum(axis=0)) + 1e-3
    foot = p - np.clip(pial, -5, 30) * normal
    foot[0] += 50 * np.sign(p[0])  # otherwise the two banks of the fissure would mirror each other
    directions = rng.standard_normal((SULCUS_WAVES, 3))
    wavelengths = rng.uniform(*GYRUS_WAVELENGTHS_MM, SULCUS_WAVES)
    directions *= (2 * np.pi / wavelengths / np.linalg.norm(directions, axis=1))[:, None]
    phases = rng.uniform(0, 2 * np.pi, SULCUS_WAVES)
    wave = np.zeros(space.shape, np.float32)
    for (a, b, c), phase in zip(directions.astype(np.float32), phases.astype(np.float32), strict=True):
        wave += np.cos(a * foot[0] + b * foot[1] + c * foot[2] + phase)
    slope = np.sqrt(sum(g * g for g in np.gradient(wave, *space.spacing)))
    sheet = np.abs(wave) / np.maximum(slope, 0.35 * slope.mean())
    reach = np.maximum(14 + 5 * smooth_noise(space, 12.0, rng), 8)
    sulcus = np.sqrt(sheet**2 + np.maximum(pial - reach, 0) ** 2) - 0.55
    return np.asarray(np.minimum(pial, sulcus), np.float32)


def _sylvian(p: Field) -> Field:
    """Distance to the lateral fissure and the insula behind it."""
    x, y, z = np.abs(p[0]), p[1], p[2]
    level = z + 1 + 0.42 * y
    beyond = np.maximum(np.abs(y + 8) - 30, 0)
    slit = np.sqrt(level**2 + np.maximum(39 - x, 0) ** 2 + beyond**2)
    wall = np.sqrt((x - 39 - 0.012 * (y - 2) ** 2) ** 2 + np.maximum(np.abs(level - 4) - 11, 0) ** 2)
    insula = np.sqrt(wall**2 + np.maximum(np.abs(y - 2) - 20, 0) ** 2)
    return np.asarray(np.minimum(slit, insula), np.float32)


def _ventricles(p: Field, size: float) -> Field:
    x, y, z = np.abs(p[0]), p[1], p[2]
    body = ((16, 35, 1, 1.5), (9, 19, 10, 5), (7, 2, 18, 4.5), (9, -15, 23, 4.5), (18, -32, 19, 5.5), (25, -45, 10, 6))
    back = ((25, -45, 10, 6), (26, -60, 6, 4), (23, -76, 3, 1))
    down = ((25, -45, 10, 4), (33, -32, -8, 2.2), (32, -14, -17, 1.5))
    tubes = [_capsules((x, y, z), [(a, b, c, r * size) for a, b, c, r in path]) for path in (body, back, down)]
    lateral = np.maximum.reduce(tubes)
    lateral = np.minimum(lateral, x - 0.9)
    third = np.minimum(1.6 * size - x, _ellipsoid((0 * x, y, z), (1, -14, 0), (1e3, 15, 9)))
    fourth = _ellipsoid((x, y, z), (0, -42, -32), (6 * size, 4.5, 9))
    return np.asarray(np.maximum(np.maximum(lateral, third), fourth))


def _nuclei(p: Field, soft: float) -> Field:
    """Share of deep grey matter: caudate, putamen, pallidum, thalamus, amygdala with hippocampus."""
    q = (np.abs(p[0]), p[1], p[2])
    caudate = _capsules(q, ((13, 20, 4, 6.5), (14, 8, 12, 5), (16, -10, 21, 2.5)))
    putamen = _ellipsoid(q, (26, 2, 1), (5.5, 17, 11))
    pallidum = _ellipsoid(q, (18.5, -4, -1), (4.5, 9, 6))
    thalamus = _ellipsoid(q, (11, -18, 7), (9.5, 15, 9))
    hippocampus = _capsules(q, ((24, -5, -19, 7), (26, -20, -16, 5), (24, -34, -5, 3)))
    parts = [ramp(d, soft) * w for d, w in ((caudate, 1.0), (putamen, 1.0), (pallidum, 0.4), (thalamus, 0.75))]
    return np.asarray(np.maximum.reduce([*parts, ramp(hippocampus, soft)]))


def _hindbrain(space: Space, p: Field, rng: np.random.Generator) -> tuple[Field, Field, Field]:
    """Cerebellum and brain stem: signed distance, share of fluid, share of grey matter (leaves of the cerebellum)."""
    x, y, z = np.abs(p[0]), p[1], p[2]
    lobe = _ellipsoid((x, y, z), (20, -63, -34), (30, 28, 21))
    vermis = _ellipsoid((x, y, z), (0, -63, -28), (12, 25, 18))
    cerebellum = _blend(lobe, vermis, 5)
    stem = _capsules((x, y, z), ((6, -20, -5, 11), (0, -25, -28, 15), (0, -33, -52, 10), (0, -38, -80, 8)))
    angle = np.arctan2(z + 30, -(y + 34)) + 0.08 * smooth_noise(space, 10.0, rng)
    radius = np.sqrt((y + 34) ** 2 + (z + 30) ** 2) + 0.3 * x
    leaves = np.cos(angle * 22 + 0.005 * x * x)
    grey = np.clip((0.45 + 0.55 * leaves) + ramp(7 - cerebellum, 4) * 0.4, 0, 1) * ramp(radius - 16, 6)
    fluid = np.clip(leaves - 0.72, 0, 1) * 2.0 * ramp(9 - cerebellum, 4)
    outside_stem = ramp(-stem, space.voxel_mm)
    distance = np.maximum(cerebellum, stem)
    return distance, np.clip(fluid, 0, 0.8) * outside_stem, 0.85 * grey * outside_stem + 0.25 * (1 - outside_stem)
