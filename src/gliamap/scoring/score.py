"""The scores of one case: every figure of every region, from a predicted and a reference label map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box, bounding_box
from gliamap.labels import REGION_TISSUES, LabelMap, Region, Tissue, region_mask
from gliamap.metrics import overlap
from gliamap.metrics.overlap import Counts
from gliamap.metrics.surface import SurfaceDistances, hd95, surface_dice, surface_distances
from gliamap.metrics.undefined import worst_hd95
from gliamap.volume import Grid, Unit


@dataclass(frozen=True)
class RegionScore:
    """The figures of one region of one case.

    Dice, IoU, sensitivity, specificity, precision, accuracy and surface Dice (at a tolerance of 1 mm, or 1 pixel) are
    in 0..1; ``hd95`` is in mm (pixels for an image without spacing), volumes are in mL (pixels likewise), differences
    are predicted minus reference. The volumes of a missing prediction are ``None``, and so is
    ``volume_difference_percent`` where only the reference is empty.
    Empty masks: :mod:`gliamap.metrics.undefined`.
    """

    dice: float
    iou: float
    sensitivity: float
    specificity: float
    precision: float
    accuracy: float
    hd95: float
    surface_dice: float
    reference_volume: float
    predicted_volume: float | None
    volume_difference: float | None
    volume_difference_percent: float | None
    counts: Counts


@dataclass(frozen=True)
class CaseScore:
    """The scores of one case. ``unit`` is that of distances: ``mm``, or ``px`` for an image (volumes: mL, or px).

    ``classes`` counts each tissue's voxels; ``mean_iou`` is over the classes, background included, that the
    prediction or the reference holds (``None`` where the classes of the two cannot be compared). ``missing`` marks
    a case without a prediction: it has the worst of every figure.
    """

    regions: Mapping[Region, RegionScore]
    classes: Mapping[Tissue, Counts]
    mean_iou: float | None
    unit: Unit
    missing: bool = False


def score_case(
    prediction: LabelMap,
    reference: LabelMap,
    grid: Grid,
    regions: Sequence[Region],
    *,
    classes: bool = True,
) -> CaseScore:
    """Score a predicted map of tissues against a reference, both ``(X, Y, Z)`` on ``grid``.

    ``classes`` is false where the two maps come from conventions that divide the tumour differently, so that regions
    can be compared but classes cannot.
    """
    box = _box(prediction, reference, grid)
    table = _tally(prediction, reference, box)
    scores = {}
    for region in regions:
        masks = [region_mask(labels[box.slices], region) for labels in (prediction, reference)]
        surfaces = surface_distances(masks[0], masks[1], grid.spacing)
        scores[region] = _region_score(overlap.counts_of(table, REGION_TISSUES[region]), surfaces, grid)
    by_class = _class_counts(table) if classes else {}
    return CaseScore(scores, by_class, overlap.mean_iou(table, tuple(Tissue)) if classes else None, grid.unit)


def score_missing(reference: LabelMap, grid: Grid, regions: Sequence[Region], *, classes: bool = True) -> CaseScore:
    """The scores of a case without a prediction: the worst of every figure, even where the reference is empty.

    Its voxels count as not found, so that pooled figures suffer as well.
    """
    nothing = np.zeros_like(reference)
    table = _tally(nothing, reference, _box(nothing, reference, grid))
    scores = {}
    for region in regions:
        counts = overlap.counts_of(table, REGION_TISSUES[region])
        scores[region] = RegionScore(
            dice=0.0,
            iou=0.0,
            sensitivity=0.0,
            specificity=0.0,
            precision=0.0,
            accuracy=0.0,
            hd95=worst_hd95(grid),
            surface_dice=0.0,
            reference_volume=counts.reference * grid.voxel_size,
            predicted_volume=None,
            volume_difference=None,
            volume_difference_percent=None,
            counts=counts,
        )
    by_class = _class_counts(table) if classes else {}
    return CaseScore(scores, by_class, 0.0 if classes else None, grid.unit, missing=True)


def _box(prediction: LabelMap, reference: LabelMap, grid: Grid) -> Box:
    """The box that holds both tumours: all that scoring needs to look at, the rest is background in both."""
    if not prediction.shape == reference.shape == grid.shape:
        raise ValueError(f"prediction {prediction.shape}, reference {reference.shape} and grid {grid.shape} must agree")
    return bounding_box((prediction != 0) | (reference != 0)) or Box((0, 0, 0), (0, 0, 0))


def _tally(prediction: LabelMap, reference: LabelMap, box: Box) -> NDArray[np.int64]:
    """:func:`~gliamap.metrics.overlap.confusion` over the whole grid, counted inside ``box``."""
    inside = prediction[box.slices]
    table = overlap.confusion(inside, reference[box.slices])
    table[Tissue.BACKGROUND, Tissue.BACKGROUND] += prediction.size - inside.size
    return table


def _class_counts(table: NDArray[np.int64]) -> dict[Tissue, Counts]:
    """The counts of each class that the prediction or the reference holds; background always."""
    each = {tissue: overlap.counts_of(table, (tissue,)) for tissue in Tissue}
    return {t: c for t, c in each.items() if t == Tissue.BACKGROUND or c.predicted or c.reference}


def _region_score(counts: Counts, surfaces: SurfaceDistances, grid: Grid) -> RegionScore:
    voxel_size = grid.voxel_size
    return RegionScore(
        dice=overlap.dice(counts),
        iou=overlap.iou(counts),
        sensitivity=overlap.sensitivity(counts),
        specificity=overlap.specificity(counts),
        precision=overlap.precision(counts),
        accuracy=overlap.accuracy(counts),
        hd95=hd95(surfaces, worst=worst_hd95(grid)),
        surface_dice=surface_dice(surfaces),
        reference_volume=counts.reference * voxel_size,
        predicted_volume=counts.predicted * voxel_size,
        volume_difference=overlap.volume_difference(counts, voxel_size),
        volume_difference_percent=overlap.volume_difference_percent(counts),
        counts=counts,
    )
