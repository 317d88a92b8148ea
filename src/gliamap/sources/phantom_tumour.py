"""Procedural gliomas: drawn as a few parameters first, then turned into tissue maps. Knows numpy and scipy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from gliamap.components import remove_small
from gliamap.labels import LabelMap, Tissue
from gliamap.sources.phantom_anatomy import FIELD_OF_VIEW_MM, Anatomy, Field, Space, cerebrum, ramp, smooth_noise

Enhancement = Literal["none", "thin rim", "thick rim", "solid"]

LESION_COUNT_SHARES = (0.04, 0.60, 0.24, 0.12)
"""How often a case has 0, 1, 2 or 3 lesions."""

ENHANCEMENT_SHARES: dict[Enhancement, float] = {"none": 0.25, "thin rim": 0.35, "thick rim": 0.22, "solid": 0.18}

MIN_PART_ML = 0.15
"""Loose bits of edema smaller than this are dropped."""


@dataclass(frozen=True)
class Lesion:
    """One lesion: ``centre`` in mm, core radius, how far edema reaches beyond the core, and how the core enhances.

    ``stretch`` shortens the core's axes; ``rim_mm`` is the thickness of an enhancing rim, 0 where there is none.
    """

    centre: tuple[float, float, float]
    radius_mm: float
    edema_mm: float
    stretch: tuple[float, float, float]
    enhancement: Enhancement
    rim_mm: float


@dataclass(frozen=True, eq=False)
class Tumour:
    """Shares in 0..1 of edema, core and enhancing part (the latter two nested: ``enhancing <= core``), and labels."""

    edema: Field
    core: Field
    enhancing: Field
    labels: LabelMap


def draw_lesions(rng: np.random.Generator) -> list[Lesion]:
    """Zero to three lesions, apart from each other, deep in the hemispheres; all of a case enhance alike."""
    count = int(rng.choice(len(LESION_COUNT_SHARES), p=LESION_COUNT_SHARES))
    kinds = tuple(ENHANCEMENT_SHARES)
    enhancement = kinds[int(rng.choice(len(kinds), p=tuple(ENHANCEMENT_SHARES.values())))]
    centres = _draw_places(rng)
    lesions: list[Lesion] = []
    for number in range(count):
        radius = float(rng.uniform(12, 22) if number == 0 else rng.uniform(6, 11))
        edema = radius * float(rng.uniform(0.3, 0.7) if enhancement == "none" else rng.uniform(0.7, 1.4))
        rim = {"none": 0.0, "thin rim": rng.uniform(2.4, 3.4), "thick rim": rng.uniform(4.5, 6.5), "solid": 0.0}
        a, b, c = (float(v) for v in rng.uniform(0.8, 1.25, 3))
        x, y, z = (float(v) for v in centres[0])
        lesions.append(Lesion((x, y, z), radius, max(edema, 6.0), (a, b, c), enhancement, float(rim[enhancement])))
        centres = centres[np.linalg.norm(centres - centres[0], axis=1) > 1.5 * radius + 22]
    return lesions


def _draw_places(rng: np.random.Generator) -> NDArray[np.float32]:
    """Possible centres ``(N, 3)`` in mm: deep enough below the surface, off the midline and the central nuclei."""
    low, high = np.array(FIELD_OF_VIEW_MM, np.float32).T
    at = rng.uniform(low, high, (2000, 3)).astype(np.float32)
    depth = cerebrum(at.T.reshape(3, -1, 1, 1)).ravel()
    x, y, z = np.abs(at[:, 0]), at[:, 1], at[:, 2]
    nuclei = (x - 14) ** 2 + (y + 5) ** 2 + (z - 5) ** 2 < 24**2
    return at[(depth > 14) & (depth < 42) & (x > 18) & (y < 55) & (z > -10) & ~nuclei]


def mass_effect(p: Field, lesions: list[Lesion]) -> Field:
    """How far to step back from ``p`` ``(3, X, Y, Z)`` to where its tissue lay before the lesions pushed it."""
    push = np.zeros_like(p)
    for lesion in lesions:
        away = p - np.array(lesion.centre, np.float32)[:, None, None, None]
        gap = np.sqrt((away**2).sum(axis=0))
        push -= away * (0.75 * lesion.radius_mm / (gap + lesion.radius_mm) * np.exp(-((gap / 42) ** 2)))
    return push


def grow_tumour(space: Space, p: Field, anatomy: Anatomy, lesions: list[Lesion], rng: np.random.Generator) -> Tumour:
    """Tissue maps of ``lesions``.

    The core is a deformed ellipsoid. Edema follows white matter, hence its fingers between the sulci, and enters grey
    matter only close to the core. Nothing grows in ventricles, across the midline, or outside the brain.
    """
    soft = space.voxel_mm
    coarse = np.stack([smooth_noise(space, 9.0, rng) for _ in range(3)])
    fine = np.stack([smooth_noise(space, 3.5, rng) for _ in range(3)])
    patchy, pockets = smooth_noise(space, 7.0, rng), smooth_noise(space, 4.0, rng)
    white = 1 - np.clip(anatomy.csf + anatomy.grey, 0, 1)
    core, enhancing, edema = (np.zeros(space.shape, np.float32) for _ in range(3))
    for lesion in lesions:
        away = p - np.array(lesion.centre, np.float32)[:, None, None, None]
        away = away + 0.24 * lesion.radius_mm * coarse + 0.07 * lesion.radius_mm * fine
        stretched = away * np.array(lesion.stretch, np.float32)[:, None, None, None]
        inside = lesion.radius_mm - np.sqrt((stretched**2).sum(axis=0))
        own_side = np.sign(lesion.centre[0]) * p[0] - 3 + 2 * patchy
        inside = np.minimum(inside, own_side)
        core = np.maximum(core, ramp(inside, soft))
        rim = lesion.rim_mm * np.clip(1 + 0.35 * patchy, 0.5, 1.8) - inside
        if lesion.enhancement == "solid":
            rim = 3.0 * (pockets + 1.1) + np.maximum(4 - inside, 0)
        if lesion.enhancement != "none":
            enhancing = np.maximum(enhancing, ramp(rim, soft) * ramp(inside, soft))
        reach = np.minimum(lesion.edema_mm * (1 + 0.35 * patchy + 0.2 * pockets) + inside, own_side)
        tissue = np.maximum(white, ramp(reach - 0.65 * lesion.edema_mm, 3.0) * anatomy.grey)
        edema = np.maximum(edema, ramp(reach, 3.0) * tissue)
    allowed = (1 - anatomy.ventricles) * ramp(cerebrum(p) - 2.5, soft)
    core, enhancing = core * allowed, enhancing * allowed
    edema = np.asarray(gaussian_filter(edema, 0.6), np.float32) * allowed * (anatomy.csf < 0.5)
    return Tumour(edema, core, enhancing, _labels(space, anatomy, edema, core, enhancing))


def _labels(space: Space, anatomy: Anatomy, edema: Field, core: Field, enhancing: Field) -> LabelMap:
    whole: NDArray[np.bool_] = (np.maximum(edema, core) > 0.5) & anatomy.brain
    whole = remove_small(whole, max(2, int(MIN_PART_ML * 1000 / space.voxel_mm**3)))
    labels = np.zeros(space.shape, np.uint8)
    labels[whole] = Tissue.ED
    labels[whole & (core > 0.5)] = Tissue.NCR
    labels[whole & (core > 0.5) & (enhancing > 0.5 * core)] = Tissue.ET
    return labels
