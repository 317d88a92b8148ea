"""The scores of one case: every figure of every region, from a predicted and a reference label map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box, bounding_box
from gliamap.labels import REGION_TISSUES, LabelMap, Region, Tissue, region_mask
from gliamap.metrics import calibration, overlap, surface, voxel_surface
from gliamap.metrics.calibration import Reliability
from gliamap.metrics.lesions import Lesion, LesionMatch, match_lesions
from gliamap.metrics.overlap import Counts
from gliamap.metrics.undefined import worst_hd95
from gliamap.scoring.protocols import LEGACY, Protocol
from gliamap.volume import Grid, Unit


@dataclass(frozen=True, kw_only=True)
class RegionScore:
    """The figures of one region of one case: each is defined where it is computed, in :mod:`gliamap.metrics`.

    Overlap, surface Dice, Brier score and ``ece`` (expected calibration error) are in 0..1. Distances are in mm
    (pixels for an image without spacing), volumes in mL (pixels likewise), differences are predicted minus reference.
    Surfaces are weighted by area; figures that end in ``_voxels`` count border voxels instead. The tolerance of
    surface and boundary Dice is 1 mm, or 1 pixel.

    ``None`` are: the volumes, ``lesion_fp`` and ``false_positive_volume`` of a missing prediction;
    ``volume_difference_percent`` where only the reference is empty; ``brier``, ``ece`` and ``reliability`` without
    probabilities; what begins with ``lesion``, and ``false_positive_volume``, where the protocol has no rule for
    lesions; ``lesion_recall`` and ``lesion_precision`` as these functions say. ``lesions`` are the rows behind these.
    Empty masks: :mod:`gliamap.metrics.undefined`.
    """

    dice: float
    iou: float
    boundary_dice: float
    sensitivity: float
    specificity: float
    precision: float
    accuracy: float
    hd95: float
    hd: float
    assd: float
    surface_dice: float
    hd95_voxels: float
    hd_voxels: float
    assd_voxels: float
    surface_dice_voxels: float
    reference_volume: float
    predicted_volume: float | None
    volume_difference: float | None
    volume_difference_percent: float | None
    brier: float | None = None
    ece: float | None = None
    lesion_dice: float | None = None
    lesion_hd95: float | None = None
    lesion_tp: float | None = None
    lesion_fp: float | None = None
    lesion_fn: float | None = None
    lesion_recall: float | None = None
    lesion_precision: float | None = None
    lesion_f1: float | None = None
    false_positive_volume: float | None = None
    counts: Counts
    lesions: tuple[Lesion, ...] = ()
    reliability: Reliability | None = None


@dataclass(frozen=True)
class CaseScore:
    """The scores of one case. ``unit`` is that of distances: ``mm``, or ``px`` for an image (volumes: mL, or px).

    ``classes`` counts each tissue's voxels; ``mean_iou`` is over the classes, background included, that the
    prediction or the reference holds (``None`` where the classes of the two cannot be compared). ``missing`` marks
    a case without a prediction, see :func:`score_missing`.
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
    protocol: Protocol = LEGACY,
) -> CaseScore:
    """Score a predicted map of tissues against a reference, both ``(X, Y, Z)`` on ``grid``.

    ``classes`` is false where the two maps come from conventions that divide the tumour differently, so that regions
    can be compared but classes cannot.
    """
    box = _box(prediction, reference, grid)
    table = _tally(prediction, reference, box)
    worst = worst_hd95(grid, protocol.worst_hd95_mm)
    scores = {}
    for region in regions:
        masks = region_mask(prediction[box.slices], region), region_mask(reference[box.slices], region)
        score = _region_score(masks, overlap.counts_of(table, REGION_TISSUES[region]), grid, worst)
        if protocol.lesions is not None:
            match = match_lesions(*masks, grid, protocol.lesions, worst=worst, whole=score.hd95)
            score = _with_lesions(score, match.shift(box.start))
        scores[region] = score
    by_class = _class_counts(table) if classes else {}
    return CaseScore(scores, by_class, overlap.mean_iou(table, tuple(Tissue)) if classes else None, grid.unit)


def with_calibration(
    score: CaseScore, reference: LabelMap, grid: Grid, probabilities: Mapping[Region, NDArray[np.float32]]
) -> CaseScore:
    """The scores of a case with the Brier score and the calibration error of the regions that have ``probabilities``.

    These are ``(X, Y, Z)`` maps in 0..1 on ``grid``, as ``reference`` is.
    """
    regions = dict(score.regions)
    for region, probability in probabilities.items():
        if region in regions:
            found = calibration.reliability(probability, region_mask(reference, region), grid.spacing)
            ece = calibration.expected_calibration_error(found)
            regions[region] = replace(regions[region], brier=calibration.brier(found), ece=ece, reliability=found)
    return replace(score, regions=regions)


def score_missing(
    reference: LabelMap, grid: Grid, regions: Sequence[Region], *, classes: bool = True, protocol: Protocol = LEGACY
) -> CaseScore:
    """The scores of a case without a prediction: the worst of every figure that has one, even of an empty reference.

    Its voxels and lesions count as not found, so that pooled figures suffer as well. What was predicted has no value:
    its volume, how that differs, false positives, how sure it was. Nor has ``lesion_recall`` where no lesion counts.
    """
    score = score_case(np.zeros_like(reference), reference, grid, regions, classes=classes, protocol=protocol)
    worst = worst_hd95(grid, protocol.worst_hd95_mm)
    worsts = {region: _missing(found, worst) for region, found in score.regions.items()}
    return replace(score, regions=worsts, mean_iou=0.0 if classes else None, missing=True)


def lesion_recall(counts: Counts) -> float | None:
    """The share of the lesions that count which were found, 0..1; ``None`` where none counts."""
    return overlap.sensitivity(counts) if counts.reference else None


def lesion_precision(counts: Counts) -> float | None:
    """Lesions found, of these and the false positives, 0..1; ``None`` without either: where no component was predicted,
    or those that were match only lesions too small to count.
    """
    return overlap.precision(counts) if counts.predicted else None


def _box(prediction: LabelMap, reference: LabelMap, grid: Grid) -> Box:
    """The box that holds both tumours: all that scoring needs to look at, the rest is background in both."""
    if not prediction.shape == reference.shape == grid.shape:
        raise ValueError(f"prediction {prediction.shape}, reference {reference.shape} and grid {grid.shape} must agree")
    box = bounding_box((prediction != 0) | (reference != 0))
    # Grown by a voxel, so that a tumour of one slice is not taken for an image of one slice.
    return box.grow(1, grid.shape) if box else Box((0, 0, 0), (0, 0, 0))


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


def _region_score(
    masks: tuple[NDArray[np.bool_], NDArray[np.bool_]], counts: Counts, grid: Grid, worst: float
) -> RegionScore:
    """The figures of prediction's and reference's masks that need neither lesions nor probabilities."""
    areas = surface.surface_distances(*masks, grid.spacing)
    voxels = voxel_surface.voxel_distances(*masks, grid.spacing)
    return RegionScore(
        dice=overlap.dice(counts),
        iou=overlap.iou(counts),
        boundary_dice=voxel_surface.boundary_dice(*masks, grid.spacing),
        sensitivity=overlap.sensitivity(counts),
        specificity=overlap.specificity(counts),
        precision=overlap.precision(counts),
        accuracy=overlap.accuracy(counts),
        hd95=surface.hd95(areas, worst=worst),
        hd=surface.hd(areas, worst=worst),
        assd=surface.assd(areas, worst=worst),
        surface_dice=surface.surface_dice(areas),
        hd95_voxels=voxel_surface.hd95_voxels(voxels, worst=worst),
        hd_voxels=surface.hd(voxels, worst=worst),
        assd_voxels=surface.assd(voxels, worst=worst),
        surface_dice_voxels=surface.surface_dice(voxels),
        reference_volume=counts.reference * grid.voxel_size,
        predicted_volume=counts.predicted * grid.voxel_size,
        volume_difference=overlap.volume_difference(counts, grid.voxel_size),
        volume_difference_percent=overlap.volume_difference_percent(counts),
        counts=counts,
    )


def _with_lesions(score: RegionScore, match: LesionMatch) -> RegionScore:
    counts = match.counts
    return replace(
        score,
        lesion_dice=match.dice,
        lesion_hd95=match.hd95,
        lesion_tp=counts.tp,
        lesion_fp=counts.fp,
        lesion_fn=counts.fn,
        lesion_recall=lesion_recall(counts),
        lesion_precision=lesion_precision(counts),
        lesion_f1=overlap.dice(counts),
        false_positive_volume=match.false_positive_volume,
        lesions=match.lesions,
    )


def _missing(score: RegionScore, worst: float) -> RegionScore:
    """The score of an empty prediction made that of none at all."""
    score = replace(
        score,
        dice=0.0,
        iou=0.0,
        boundary_dice=0.0,
        sensitivity=0.0,
        specificity=0.0,
        precision=0.0,
        accuracy=0.0,
        hd95=worst,
        hd=worst,
        assd=worst,
        surface_dice=0.0,
        hd95_voxels=worst,
        hd_voxels=worst,
        assd_voxels=worst,
        surface_dice_voxels=0.0,
        predicted_volume=None,
        volume_difference=None,
        volume_difference_percent=None,
        lesion_fp=None,
        false_positive_volume=None,
    )
    if score.lesion_dice is None:
        return score
    return replace(score, lesion_dice=0.0, lesion_hd95=worst, lesion_precision=0.0, lesion_f1=0.0)
