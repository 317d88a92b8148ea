"""Lesion by lesion: which lesions of the reference were found, how well each, and what was predicted beside them.

The way is that of the BraTS 2023 challenges (reference code: rachitsaluja/BraTS-2023-Metrics; own code here):

1. The reference is dilated. Parts of it whose dilations touch are one *lesion*; components are 26-connected.
2. A lesion is matched by every predicted component that meets its dilation. One component may match two lesions.
3. Dice and HD95 of a lesion compare the *undilated* lesion with all of the components that match it, taken together.
4. A lesion at or below the size limit does not count, matched or missed. A predicted component that matches no lesion
   is a false positive, however small.
5. The lesion-wise mean is over the lesions that count and the false positives: a missed lesion and a false positive
   add Dice 0 and the worst HD95. Nothing to find and nothing found: Dice 1, HD95 0.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape, bounding_box
from gliamap.components import Component, describe_components, find_components, label_components
from gliamap.metrics.dilation import dilate
from gliamap.metrics.overlap import Counts, dice
from gliamap.metrics.surface import ROUNDING, Surface, find_surface, hd95, measure
from gliamap.metrics.undefined import hd95_when_undefined, overlap_when_undefined
from gliamap.volume import Grid


@dataclass(frozen=True)
class LesionRule:
    """How lesions are told apart and which count.

    ``dilation`` is how often the reference is dilated, each time by a voxel along axes and within planes, not across
    the corner. ``size_limit_mm3``: a lesion of the reference must be larger to count; pixels for an image without
    spacing, by analogy.
    """

    dilation: int
    size_limit_mm3: float


class LesionKind(StrEnum):
    """What became of a lesion. Only ``FALSE_POSITIVE`` is a predicted component, the others are of the reference."""

    FOUND = "found"
    MISSED = "missed"
    TOO_SMALL = "too small"
    FALSE_POSITIVE = "false positive"


@dataclass(frozen=True)
class Lesion:
    """One lesion of the reference, or one predicted component that matches none.

    ``volume`` is in mL (pixels for an image without spacing); ``centre`` (mean place) and ``box`` are in voxels of
    the grid. ``dice`` and ``hd95`` (in the unit of the grid) are what the lesion adds to the lesion-wise means: 0 and
    the worst for a missed lesion and for a false positive. A lesion too small to count has both, but adds to neither.
    ``matched_by`` numbers the predicted components that match it, largest is 1; a false positive has its own number.
    """

    kind: LesionKind
    voxels: int
    volume: float
    centre: tuple[float, float, float]
    box: Box
    dice: float
    hd95: float
    matched_by: tuple[int, ...]


@dataclass(frozen=True)
class LesionMatch:
    """The lesions of one region of one case: those of the reference, then the false positives, each largest first."""

    lesions: tuple[Lesion, ...]

    def of(self, kind: LesionKind) -> tuple[Lesion, ...]:
        """The lesions of one kind."""
        return tuple(lesion for lesion in self.lesions if lesion.kind == kind)

    @property
    def counts(self) -> Counts:
        """Lesions found, false positives and lesions missed, counted as voxels are elsewhere; no true negatives.

        Recall, precision and F1 of lesions are then :func:`~gliamap.metrics.overlap.sensitivity`, ``precision`` and
        ``dice`` of these; where that is 0/0, see :mod:`gliamap.metrics.undefined`.
        """
        kinds = LesionKind.FOUND, LesionKind.FALSE_POSITIVE, LesionKind.MISSED
        found, false_positives, missed = (len(self.of(kind)) for kind in kinds)
        return Counts(found, false_positives, missed, 0)

    @property
    def dice(self) -> float:
        """Lesion-wise Dice, 0..1: the mean over the lesions that count and the false positives; 1 without any."""
        counted = self._counted()
        if not counted:
            return overlap_when_undefined(prediction_empty=True, reference_empty=True)
        return math.fsum(lesion.dice for lesion in counted) / len(counted)

    @property
    def hd95(self) -> float:
        """Lesion-wise HD95, in the unit of the grid: the mean over the same as :attr:`dice`; 0 without any."""
        counted = self._counted()
        if not counted:
            return hd95_when_undefined(prediction_empty=True, reference_empty=True, worst=math.inf)
        return math.fsum(lesion.hd95 for lesion in counted) / len(counted)

    @property
    def false_positive_volume(self) -> float:
        """Volume of the false positives, in mL (pixels for an image without spacing)."""
        return math.fsum(lesion.volume for lesion in self.of(LesionKind.FALSE_POSITIVE))

    def shift(self, by: Shape) -> LesionMatch:
        """The same match where places were counted from the voxel ``by``."""
        return LesionMatch(tuple(_moved(lesion, by) for lesion in self.lesions))

    def _counted(self) -> list[Lesion]:
        return [lesion for lesion in self.lesions if lesion.kind != LesionKind.TOO_SMALL]


def match_lesions(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    grid: Grid,
    rule: LesionRule,
    *,
    worst: float,
    whole: float | None = None,
) -> LesionMatch:
    """Match the lesions of two ``(X, Y, Z)`` masks of one region by ``rule``.

    The masks are a part of ``grid`` that holds both whole. ``worst`` is the HD95 of a missed lesion and of a false
    positive, in the unit of the grid; ``whole`` that of the two masks, if known: often it is also that of a lesion.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} must have one shape")
    around = bounding_box(prediction | reference)
    if around is None:
        return LesionMatch(())
    # Nothing outside this box is needed: where two dilations touch, they also touch between the voxels they come from.
    # Grown by a voxel, here and below, so that a lesion of one slice is not taken for an image of one slice.
    x, y, z = prediction.shape
    around = around.grow(1, (x, y, z))
    both = _overlay(prediction[around.slices], reference[around.slices], rule.dilation)
    hd95s = _lesion_hd95s(both, grid, worst, whole)
    rows = [_score(both, lesion, grid, rule, hd95s[lesion.number]) for lesion in both.lesions]
    matched = {rank for ranks in both.matches.values() for rank in ranks}
    rows += [
        _row(part, grid, LesionKind.FALSE_POSITIVE, (dice(Counts(0, part.voxels, 0, 0)), worst), (rank,))
        for rank, part in enumerate(both.components, 1)
        if rank not in matched
    ]
    return LesionMatch(tuple(rows)).shift(around.start)


@dataclass(frozen=True, eq=False)
class _Overlay:
    """Two masks taken apart: the maps ``(X, Y, Z)`` of lesions and of predicted components, and how they meet.

    Both lists are largest first. ``matches`` gives, by the number of a lesion, the components that match it, counted
    from 1 in their list; ``hits``, how many of its voxels were predicted.
    """

    lesion_map: NDArray[np.integer]
    lesions: list[Component]
    component_map: NDArray[np.integer]
    components: list[Component]
    matches: dict[int, list[int]]
    hits: NDArray[np.integer]


def _overlay(prediction: NDArray[np.bool_], reference: NDArray[np.bool_], dilation: int) -> _Overlay:
    component_map, components = find_components(prediction)
    dilated = label_components(dilate(reference, dilation))
    lesion_map = dilated * reference  # what one dilated part holds of the reference is one lesion
    ranks = np.zeros(len(components) + 1, np.int64)
    ranks[[part.number for part in components]] = np.arange(1, len(components) + 1)
    meet = prediction & (dilated != 0)
    pairs = np.unique(dilated[meet].astype(np.int64) * ranks.size + ranks[component_map[meet]])
    matches = defaultdict(list)
    for number, rank in zip((pairs // ranks.size).tolist(), (pairs % ranks.size).tolist(), strict=True):
        matches[number].append(rank)
    hits = np.bincount(lesion_map[prediction], minlength=int(lesion_map.max()) + 1)
    return _Overlay(lesion_map, describe_components(lesion_map), component_map, components, matches, hits)


def _lesion_hd95s(both: _Overlay, grid: Grid, worst: float, whole: float | None) -> dict[int, float]:
    """The HD95 of each lesion of the reference, by its number, against all the components that match it."""
    if whole is not None and len(both.lesions) == 1 and len(both.matches[1]) == len(both.components):
        return {1: whole}
    # Components never touch, so their surfaces are apart: each is found once, however many lesions it matches.
    found: dict[int, Surface] = {}
    hd95s = {}
    for lesion in both.lesions:
        ranks = both.matches[lesion.number]
        for rank in ranks:
            if rank not in found:
                found[rank] = _part_surface(both.component_map, both.components[rank - 1], grid)
        reference = _part_surface(both.lesion_map, lesion, grid)
        together = Surface(
            np.concatenate([reference.places[:0], *(found[rank].places for rank in ranks)]),
            np.concatenate([reference.sizes[:0], *(found[rank].sizes for rank in ranks)]),
        )
        axes = reference.places.shape[1]
        hd95s[lesion.number] = hd95(measure(together, reference, grid.spacing[:axes]), worst=worst)
    return hd95s


def _part_surface(numbers: NDArray[np.integer], part: Component, grid: Grid) -> Surface:
    """The surface of one part of a map ``(X, Y, Z)``, or its contour where the map is one slice."""
    mask = numbers[part.box.slices] == part.number
    surface = find_surface(mask[:, :, 0] if numbers.shape[2] == 1 else mask, grid.spacing)
    return replace(surface, places=surface.places + part.box.start[: surface.places.shape[1]])


def _score(both: _Overlay, lesion: Component, grid: Grid, rule: LesionRule, hd95: float) -> Lesion:
    """One lesion of the reference against all the components that match it."""
    ranks = both.matches[lesion.number]
    matching = [both.components[rank - 1] for rank in ranks]
    predicted, tp = sum(part.voxels for part in matching), int(both.hits[lesion.number])
    scores = dice(Counts(tp, predicted - tp, lesion.voxels - tp, 0)), hd95
    kind = LesionKind.FOUND if ranks else LesionKind.MISSED
    if lesion.voxels * math.prod(grid.spacing) <= rule.size_limit_mm3 * (1 + ROUNDING):
        kind = LesionKind.TOO_SMALL
    return _row(lesion, grid, kind, scores, tuple(ranks))


def _row(
    part: Component, grid: Grid, kind: LesionKind, scores: tuple[float, float], matched_by: tuple[int, ...]
) -> Lesion:
    return Lesion(kind, part.voxels, part.voxels * grid.voxel_size, part.centre, part.box, *scores, matched_by)


def _moved(row: Lesion, by: Shape) -> Lesion:
    """The same lesion where its place was counted from the voxel ``by``."""
    x, y, z = (a + b for a, b in zip(row.centre, by, strict=True))
    return replace(row, centre=(x, y, z), box=row.box.shift(by))
