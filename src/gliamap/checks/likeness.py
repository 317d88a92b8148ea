"""Whether a case is like those that a model was trained on: a few figures of each, compared with their ranges.

Sizes (of voxels, heads, tumours) are compared by ratio: the distance is the factor by which one lies outside the range
of the training cases, 1 inside it. Intensities of MRI have no unit, so those of the prepared image are compared, which
has mean 0 and standard deviation 1: the distance of a modality is how far its worst quantile lies outside its range,
over the width of that range (at least :data:`LEAST_WIDTH`), 0 inside it. Knows arrays only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gliamap.boxes import bounding_box
from gliamap.case import PreparedCase
from gliamap.checks.brightness import thinned
from gliamap.checks.findings import Finding
from gliamap.components import label_components
from gliamap.config import Range, Seen
from gliamap.labels import LabelMap, Region, region_mask
from gliamap.volume import Grid, Unit, volume_unit

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Of the voxels of a modality that are not 0."""

LESION = {"mm": 0.05, "px": 10.0}
"""Smaller parts of a tumour, in mL or pixels, are specks; BraTS 2023 does not count them as lesions either."""

FAR_SPACING, FAR_EXTENT, FAR_VOLUME, FAR_INTENSITY = 1.3, 1.2, 2.0, 1.0
"""Beyond these distances a case is said to be unlike those of the training."""

LEAST_WIDTH = 0.5
"""The range of a quantile counts as at least this wide: few cases are alike by chance."""

_FEWEST = 100  # voxels of a modality, below which nothing is said of its intensities
_ACROSS = {2: 120, 3: 40}  # voxels an axis that are looked at, in a slice and in a volume

Sides = tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """The figures of a prepared case: see :class:`gliamap.config.Seen`, which holds the ranges of many."""

    unit: Unit
    spacing: Sides
    extent: Sides
    intensities: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Tumour:
    """The size of each region, mL or pixels, and the number of lesions that are no specks."""

    volumes: Mapping[Region, float]
    lesions: int


def look_of(prepared: PreparedCase, modalities: Sequence[str]) -> Look:
    """The figures of a case whose image has these ``modalities``; a channel of zeros has no intensities."""
    record = prepared.record
    x, y, z = (record.native.spacing[axis] for axis in record.axes)
    a, b, c = (n * s for n, s in zip(record.shape, record.spacing, strict=True))
    few = thinned(record.shape, _ACROSS[2 if record.shape[2] == 1 else 3])
    intensities = {}
    for name, channel in zip(modalities, prepared.image, strict=True):
        values = channel[few]
        values = values[values != 0]
        if values.size >= _FEWEST:
            intensities[name] = tuple(np.quantile(values.astype(np.float32), QUANTILES).tolist())
    return Look(record.native.unit, (x, y, z), (a, b, c), intensities)


def tumour_of(labels: LabelMap, grid: Grid) -> Tumour:
    """What a map of tissues ``(X, Y, Z)`` holds."""
    size = grid.voxel_size
    volumes = {region: int(region_mask(labels, region).sum()) * size for region in Region}
    whole = region_mask(labels, Region.WT)
    box = bounding_box(whole)
    parts = np.bincount(label_components(whole[box.slices]).ravel())[1:] if box else np.zeros(0)
    return Tumour(volumes, count_lesions(parts * size, grid.unit))


def count_lesions(sizes: Iterable[float], unit: Unit) -> int:
    """How many of these parts of a tumour are lesions, no specks."""
    return sum(size >= LESION[unit] for size in sizes)


def seen_in(cases: Sequence[tuple[Look, Tumour]]) -> Seen:
    """The ranges of at least one case, all of one unit."""
    looks, tumours = zip(*cases, strict=True)
    names = dict.fromkeys(name for look in looks for name in look.intensities)
    return Seen(
        cases=len(cases),
        without_tumour=sum(tumour.volumes[Region.WT] == 0 for tumour in tumours),
        unit=looks[0].unit,
        spacing=_ranges_of_sides([look.spacing for look in looks]),
        extent=_ranges_of_sides([look.extent for look in looks]),
        volumes={
            region: _range(found)
            for region in Region
            if (found := [t.volumes[region] for t in tumours if t.volumes[region]])
        },
        most_lesions=max(tumour.lesions for tumour in tumours),
        intensities={
            name: tuple(map(_range, zip(*(k.intensities[name] for k in looks if name in k.intensities), strict=True)))
            for name in names
        },
    )


def unlike_looks(look: Look, seen: Seen, pixel_mm: float | None = None) -> list[Finding]:
    """``spacing-``, ``size-`` and ``intensities-unlike-training``; the first alone where the units differ.

    Where a model of images knows how wide its pixels are, the slices of a volume are compared with them. They are
    brought to such pixels, so finer ones are not unlike them.
    """
    sides = 3
    if (look.unit, seen.unit) == ("mm", "px") and pixel_mm:
        seen, sides = _in_mm(seen, pixel_mm), 2
    if look.unit != seen.unit:
        text = f"in {look.unit}, in training in {seen.unit}"
        return [Finding("spacing-unlike-training", text)]
    found = []
    for code, own, ranges, most in (
        ("spacing-unlike-training", look.spacing, seen.spacing, FAR_SPACING),
        ("size-unlike-training", look.extent, seen.extent, FAR_EXTENT),
    ):
        if max(map(times_outside, own[:sides], ranges[:sides])) > most:
            said, then = " x ".join(f"{side:.4g}" for side in own[:sides]), " x ".join(map(_span, ranges[:sides]))
            found.append(Finding(code, f"{said} {look.unit}, in training {then} {seen.unit}"))
    far = {
        name: distance
        for name, own in look.intensities.items()
        if name in seen.intensities
        and (distance := max(map(widths_outside, own, seen.intensities[name]))) > FAR_INTENSITY
    }
    if far:
        text = ", ".join(f"{name} by {distance:.1f}" for name, distance in far.items())
        found.append(Finding("intensities-unlike-training", f"{text} times the range of the training cases"))
    return found


def _in_mm(seen: Seen, pixel_mm: float) -> Seen:
    """What slices were like, in mm; of their thickness nothing is known."""
    x, y, z = (tuple(pixel_mm * side for side in known) for known in seen.extent)
    return seen.model_copy(update={"unit": "mm", "spacing": ((0.0, pixel_mm),) * 3, "extent": (x, y, z)})


def unlike_tumours(tumour: Tumour, seen: Seen) -> list[Finding]:
    """``volume-unlike-training`` of regions that are there, and ``lesions-unlike-training``; units must agree."""
    unit = volume_unit(seen.unit)
    far = [
        f"{region} {tumour.volumes[region]:.4g} {unit}, in training {_span(known)} {unit}"
        for region, known in seen.volumes.items()
        if tumour.volumes[region] and times_outside(tumour.volumes[region], known) > FAR_VOLUME
    ]
    found = [Finding("volume-unlike-training", "; ".join(far))] if far else []
    if tumour.lesions > FAR_VOLUME * max(1, seen.most_lesions):
        text = f"{tumour.lesions}, at most {seen.most_lesions} in a training case"
        found.append(Finding("lesions-unlike-training", text))
    return found


def times_outside(value: float, known: Range) -> float:
    """By which factor a positive ``value`` lies outside the range, 1 inside it."""
    low, high = known
    return max(low / value, value / high, 1.0)


def widths_outside(value: float, known: Range) -> float:
    """How far ``value`` lies outside the range, in widths of it that are at least :data:`LEAST_WIDTH`; 0 inside."""
    low, high = known
    return max(low - value, value - high, 0.0) / max(high - low, LEAST_WIDTH)


def _range(values: Sequence[float]) -> Range:
    return float(min(values)), float(max(values))


def _ranges_of_sides(sides: Sequence[Sides]) -> tuple[Range, Range, Range]:
    x, y, z = map(_range, zip(*sides, strict=True))
    return x, y, z


def _span(known: Range) -> str:
    low, high = (f"{value:.4g}" for value in known)
    return low if low == high else f"{low}-{high}"
