"""What one case shows: its tissues, its lesions, where they lie, how bright they are. Knows arrays only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import bounding_box, whole
from gliamap.case import Case
from gliamap.components import find_components
from gliamap.labels import REGION_TISSUES, LabelMap, Region, Tissue, region_mask
from gliamap.prep.steps import foreground_mask, reorient, resample, zscore
from gliamap.survey.counts import PLACES, Counts, Places, count_intensities, count_sizes
from gliamap.survey.quality import Measure, Property, contrast, inner_part, noise, sharpness
from gliamap.volume import Unit, ras_order

UNKNOWN_PLANE = "slice"
"""The plane of pictures: they do not tell theirs."""

_PLANES = ("sagittal", "coronal", "axial")  # by the axis of RAS+ that they lie across


@dataclass(frozen=True)
class CaseFacts:
    """The little of a case that is kept.

    ``unit``: whether its grid is in mm or pixels, ``voxel_size`` in mL or pixels. ``foreground``: voxels of the brain
    or head. ``voxels`` of each tissue present; ``None`` without a mask. ``lesions``: their number, ``largest``: the
    size of the largest one, in mL or pixels (26-connected parts of the whole tumour; 0 without). ``slices``: those that
    show foreground, across the axis with the thickest voxels (axial where equal), and ``tumour_slices`` of them.
    ``extent``: of the foreground along R, A, S, in mm or pixels. ``quality``: see :mod:`gliamap.survey.quality`.
    """

    case_id: str
    patient_id: str
    modalities: tuple[str, ...]
    unit: Unit
    voxel_size: float
    foreground: int
    voxels: Mapping[Tissue, int] | None
    lesions: int
    largest: float
    slices: int
    tumour_slices: int
    extent: tuple[float, float, float]
    quality: Mapping[Property, float]

    @property
    def tumour(self) -> int:
        """Voxels of the whole tumour."""
        voxels = self.voxels or {}
        return sum(voxels.get(tissue, 0) for tissue in REGION_TISSUES[Region.WT])


@dataclass(frozen=True, eq=False)
class CaseSurvey:
    """What a case shows: what is kept of it, and what is added up."""

    facts: CaseFacts
    counts: Counts


@dataclass(frozen=True, eq=False)
class _View:
    """A case in RAS+, cut to its foreground and mask and normalised: ``image`` (C, X, Y, Z), the rest (X, Y, Z)."""

    image: NDArray[np.float32]
    inside: NDArray[np.bool_]
    labels: LabelMap
    spacing: tuple[float, float, float]

    @property
    def through(self) -> int:
        """The axis that slices lie across: that of a single one, else of the thickest voxels, S where equal."""
        single = [axis for axis in range(3) if self.inside.shape[axis] == 1]
        return single[0] if len(single) == 1 else max(range(3), key=lambda axis: (round(self.spacing[axis], 3), axis))


def survey_case(case: Case, foreground: Literal["brain", "head"], cut_off: Mapping[str, float]) -> CaseSurvey:
    """Look at a case, as training would see it: in RAS+, each modality normalised inside the ``foreground``.

    ``cut_off`` is the share of each modality's foreground that was cut off at one value, where it is known. Modalities
    that do not vary say nothing. Without a mask, tumour and places are empty.
    """
    view = _view(case, foreground)
    tumour = region_mask(view.labels, Region.WT)
    _, lesions = find_components(tumour)
    sizes = np.array([lesion.voxels for lesion in lesions]) * case.grid.voxel_size
    slices, tumour_slices = (_slices(mask, view.through) for mask in (view.inside, tumour))
    x, y, z = (n * edge for n, edge in zip(view.inside.shape, view.spacing, strict=True))
    facts = CaseFacts(
        case_id=case.case_id,
        patient_id=case.patient_id,
        modalities=case.modalities,
        unit=case.grid.unit,
        voxel_size=case.grid.voxel_size,
        foreground=int(view.inside.sum()),
        voxels=None if case.labels is None else _count_tissues(view.labels),
        lesions=len(lesions),
        largest=float(sizes.max(initial=0)),
        slices=slices,
        tumour_slices=tumour_slices,
        extent=(x, y, z),
        quality=_quality(case, view, tumour, cut_off),
    )
    places = {} if case.labels is None else _places(view, tumour, case.grid.unit)
    return CaseSurvey(facts, Counts(_intensities(case, view), count_sizes(sizes), places))


def _view(case: Case, foreground: Literal["brain", "head"]) -> _View:
    axes, flips = ras_order(case.grid.affine)
    image = reorient(case.image, axes, flips)
    labels = reorient(np.zeros(case.grid.shape, np.uint8) if case.labels is None else case.labels, axes, flips)
    inside = foreground_mask(image, foreground)
    x, y, z = inside.shape
    box = bounding_box(inside | (labels != 0)) or whole((x, y, z))
    inside = np.ascontiguousarray(inside[box.slices])
    normalised = zscore(np.ascontiguousarray(image[(slice(None), *box.slices)]), inside, zero_outside=False)
    r, a, s = (case.grid.spacing[axis] for axis in axes)
    return _View(normalised, inside, np.ascontiguousarray(labels[box.slices]), (r, a, s))


def _count_tissues(labels: LabelMap) -> dict[Tissue, int]:
    """Voxels of each tissue present, background left out."""
    counts = np.bincount(labels.ravel(), minlength=len(Tissue))
    return {tissue: int(counts[tissue]) for tissue in Tissue if tissue and counts[tissue]}


def _slices(mask: NDArray[np.bool_], through: int) -> int:
    """How many slices show some of the mask."""
    return int(mask.any(axis=tuple(axis for axis in range(3) if axis != through)).sum())


def _intensities(case: Case, view: _View) -> dict[tuple[str, Tissue], NDArray[np.int64]]:
    tissues = view.labels[view.inside]
    return {
        (modality, tissue): counted
        for modality, channel in zip(case.modalities, view.image, strict=True)
        if channel.any()
        for tissue, counted in count_intensities(channel[view.inside], tissues).items()
    }


def _places(view: _View, tumour: NDArray[np.bool_], unit: Unit) -> dict[str, Places]:
    """Tumour and foreground as seen through the head along R, A and S; of a slice, as it lies."""
    if unit == "px":
        return {UNKNOWN_PLANE: _seen_along(2, tumour, view.inside)}
    flat = [axis for axis in range(3) if view.inside.shape[axis] == 1]
    axes = flat if len(flat) == 1 else range(3)
    return {_PLANES[axis]: _seen_along(axis, tumour, view.inside) for axis in axes}


def _seen_along(axis: int, tumour: NDArray[np.bool_], inside: NDArray[np.bool_]) -> Places:
    behind = np.stack([mask.any(axis=axis) for mask in (tumour, inside)]).astype(np.float32)
    there = resample(behind[..., None], (PLACES, PLACES, 1))[..., 0] >= 0.5
    return Places(1, there[0].astype(np.int64), there[1].astype(np.int64))


def _quality(case: Case, view: _View, tumour: NDArray[np.bool_], cut_off: Mapping[str, float]) -> dict[Property, float]:
    inner = inner_part(view.inside)
    measured: dict[Property, float | None] = {}
    for modality, channel in zip(case.modalities, view.image, strict=True):
        if channel.any():
            measured[Property(Measure.NOISE, modality)] = noise(channel, inner, view.through)
            measured[Property(Measure.SHARPNESS, modality)] = sharpness(channel, inner, view.spacing)
            measured[Property(Measure.CUT_OFF, modality)] = cut_off.get(modality)
    measured[Property(Measure.CONTRAST)] = contrast(view.image, view.inside, tumour)
    return {key: value for key, value in measured.items() if value is not None}
