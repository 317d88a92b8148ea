"""What a reader writes down of a tumour: volumes, lesions, diameters, side, share of the brain. Knows arrays only.

Lesions are the 26-connected parts of the whole tumour; a resection cavity is none. Left and right are the patient's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box, bounding_box, whole
from gliamap.components import Component, find_components
from gliamap.labels import LabelMap, Region, Tissue, region_mask, values_in
from gliamap.metrics.diameters import Diameters, largest_diameters
from gliamap.metrics.midline import Midline
from gliamap.volume import OBLIQUE_DEGREES, Grid, Unit, obliqueness_degrees, ras_order, volume_unit

LESIONS_LISTED = 20
"""So many lesions, largest first, are described one by one; the others are only counted."""

ONE_SIDE_SHARE = 0.95
"""What lies to this share on one side of the midline lies on that side."""

CROSSING_MM = 5.0
"""A lesion crosses the midline where it reaches further than this beyond it on both sides, and further than the midline
is unsure by its spread. Planes found in eleven cases of BraTS 2021 lie within 2.5 mm of the atlas's own in ten and 5 mm
from it in one, whose tumour pushes the brain aside."""


class Side(StrEnum):
    """Where something lies, as the patient would say it."""

    LEFT = "left"
    RIGHT = "right"
    BOTH = "both"


@dataclass(frozen=True)
class SideMeasure:
    """On which side of the midline something lies, and which share (0..1) of it on the left.

    ``crosses``: one connected lesion reaches to both sides, see ``CROSSING_MM``.
    """

    side: Side
    left_share: float
    crosses: bool


@dataclass(frozen=True)
class RegionMeasure:
    """One region. ``volume`` is in mL, or pixels for an image without spacing.

    ``lesions``: its 26-connected parts. ``diameters``: of the part whose product is largest; ``None`` where the region
    is empty. ``share``: of the brain or head (0..1), ``None`` where that is not known.
    """

    region: Region
    volume: float
    share: float | None
    lesions: int
    diameters: Diameters | None


@dataclass(frozen=True)
class LesionMeasure:
    """One lesion; number 1 is the largest.

    ``volume`` and that of each of the ``regions`` in it are in mL (pixels for an image without spacing), regions that
    it lacks left out. ``centre`` is its mean place as a voxel of the case's own grid. ``side`` is ``None`` without a
    midline.
    """

    number: int
    volume: float
    diameters: Diameters
    centre: tuple[float, float, float]
    side: SideMeasure | None
    regions: Mapping[Region, float]


@dataclass(frozen=True)
class Measures:
    """All measures of one label map.

    ``unit`` is that of lengths, ``volume_unit`` that of volumes: mm and mL, or px for an image without spacing.
    ``tissues`` gives the volume of each tissue present. ``regions`` are those asked for, empty ones with volume 0.
    ``lesions`` are the ``LESIONS_LISTED`` largest of ``lesion_count``. ``side`` is that of the whole tumour, ``None``
    without tumour or without a ``midline``. ``foreground`` says whether ``foreground_volume`` is that of a brain or of
    a head; both ``None`` where that is not known. ``notes`` say in words what was not measured, or not surely.
    """

    unit: Unit
    volume_unit: Literal["mL", "px"]
    tissues: Mapping[Tissue, float]
    regions: tuple[RegionMeasure, ...]
    lesions: tuple[LesionMeasure, ...]
    lesion_count: int
    side: SideMeasure | None
    midline: Midline | None
    foreground: Literal["brain", "head"] | None
    foreground_volume: float | None
    notes: tuple[str, ...] = ()

    def region(self, region: Region) -> RegionMeasure | None:
        """The measures of ``region``; ``None`` where it was not asked for."""
        return next((one for one in self.regions if one.region == region), None)

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON: tissues and regions by their names, numbers rounded, what is not known ``None``."""
        return {
            "unit": self.unit,
            "volume_unit": self.volume_unit,
            "tissues": {tissue.name: round(volume, 4) for tissue, volume in self.tissues.items()},
            "regions": {str(one.region): _region_json(one) for one in self.regions},
            "lesion_count": self.lesion_count,
            "lesions": [_lesion_json(one) for one in self.lesions],
            "side": self.side and _side_json(self.side),
            "midline": self.midline and _midline_json(self.midline),
            "foreground": self.foreground,
            "foreground_volume": None if self.foreground_volume is None else round(self.foreground_volume, 3),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, eq=False)
class Head:
    """What is known of the head around a tumour: its mask ``(X, Y, Z)``, what that shows, and its midline."""

    mask: NDArray[np.bool_]
    shows: Literal["brain", "head"]
    midline: Midline | None


def measure_tumour(
    labels: LabelMap, grid: Grid, *, regions: Sequence[Region] = tuple(Region), head: Head | None = None
) -> Measures:
    """The measures of a map of tissues ``(X, Y, Z)`` on ``grid``; without a ``head`` no shares and no sides.

    Diameters are taken in the slices of the file that are nearest to axial; the number of a slice is that in the file,
    from 0. An image of one slice is measured in that slice, whichever plane it shows. A side that is not sure is given
    all the same, and a note says so.
    """
    sizes = np.bincount(labels.ravel(order="K"), minlength=len(Tissue)) * grid.voxel_size
    tumour = region_mask(labels, Region.WT)
    inside = None if head is None else int(np.count_nonzero(head.mask | tumour)) * grid.voxel_size
    box = bounding_box(tumour) or Box((0, 0, 0), (1, 1, 1))
    near = _Near(labels[box.slices], box.start, grid, None if head is None else head.midline)
    numbers, parts = find_components(tumour[box.slices])
    lesions = tuple(
        _lesion(rank, near, part, numbers[part.box.slices] == part.number, regions)
        for rank, part in enumerate(parts[:LESIONS_LISTED], 1)
    )
    return Measures(
        unit=grid.unit,
        volume_unit=volume_unit(grid.unit),
        tissues={tissue: float(sizes[tissue]) for tissue in map(Tissue, values_in(labels))},
        regions=tuple(_region(region, near, inside) for region in regions),
        lesions=lesions,
        lesion_count=len(parts),
        side=_side_of_all(near, tumour[box.slices], lesions),
        midline=near.midline,
        foreground=None if head is None else head.shows,
        foreground_volume=inside,
        notes=tuple(_notes(near, head, lesions)),
    )


@dataclass(frozen=True, eq=False)
class _Near:
    """The tumour's part ``labels`` of a grid, which begins at the voxel ``start``."""

    labels: LabelMap
    start: tuple[int, int, int]
    grid: Grid
    midline: Midline | None

    def diameters(self, mask: NDArray[np.bool_], start: Sequence[int]) -> Diameters | None:
        """Of one part that begins at ``start`` here, with the slice as it is numbered in the whole grid."""
        axes = self._axes
        x, y, z = (self.grid.spacing[axis] for axis in axes)
        found = largest_diameters(mask.transpose(axes), (x, y, z))
        return found and replace(found, slice=found.slice + start[axes[2]] + self.start[axes[2]])

    def most(self, part: Component) -> float:
        """What the product of the diameters of ``part`` cannot exceed."""
        x, y, _ = (part.box.shape[axis] * self.grid.spacing[axis] for axis in self._axes)
        return 2 * x * y

    @property
    def _axes(self) -> tuple[int, int, int]:
        """The axes of the grid with that across the slices last."""
        return (0, 1, 2) if self.grid.is_2d else ras_order(self.grid.affine)[0]

    def rightwards(self, midline: Midline, box: Box) -> NDArray[np.float64]:
        """How far the voxels in ``box`` lie to the right of the midline, ``(X, Y, Z)`` in mm."""
        at = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(box.start, box.stop, strict=True)), indexing="ij"))
        places = np.moveaxis(at, 0, -1) + self.start
        return midline.distance(places @ self.grid.affine[:3, :3].T + self.grid.affine[:3, 3])


def _lesion(
    rank: int, near: _Near, part: Component, mask: NDArray[np.bool_], regions: Sequence[Region]
) -> LesionMeasure:
    inside = near.labels[part.box.slices][mask]
    amounts = {region: int(np.count_nonzero(region_mask(inside, region))) for region in regions}
    diameters = near.diameters(mask, part.box.start)
    assert diameters is not None  # a part is never empty
    x, y, z = (at + start for at, start in zip(part.centre, near.start, strict=True))
    return LesionMeasure(
        number=rank,
        volume=part.voxels * near.grid.voxel_size,
        diameters=diameters,
        centre=(x, y, z),
        side=None if near.midline is None else _side(near.rightwards(near.midline, part.box)[mask], near.midline),
        regions={region: voxels * near.grid.voxel_size for region, voxels in amounts.items() if voxels},
    )


def _region(region: Region, near: _Near, inside: float | None) -> RegionMeasure:
    mask = region_mask(near.labels, region)
    numbers, parts = find_components(mask)
    best: Diameters | None = None
    for part in parts:
        if best is None or near.most(part) > best.product:
            found = near.diameters(numbers[part.box.slices] == part.number, part.box.start)
            best = max(filter(None, (best, found)), key=lambda one: one.product)
    volume = int(np.count_nonzero(mask)) * near.grid.voxel_size
    return RegionMeasure(region, volume, volume / inside if inside else None, len(parts), best)


def _side(rightwards: NDArray[np.float64], midline: Midline) -> SideMeasure:
    """The side of one connected lesion, from how far its voxels lie to the right."""
    reach = max(CROSSING_MM, midline.spread_mm)
    crosses = bool(rightwards.max() > reach and rightwards.min() < -reach)
    return _sided(float(np.mean(rightwards < 0)), crosses=crosses)


def _side_of_all(near: _Near, tumour: NDArray[np.bool_], lesions: Sequence[LesionMeasure]) -> SideMeasure | None:
    if near.midline is None or not lesions:
        return None
    x, y, z = tumour.shape
    rightwards = near.rightwards(near.midline, whole((x, y, z)))[tumour]
    crosses = any(one.side.crosses for one in lesions if one.side is not None)
    return _sided(float(np.mean(rightwards < 0)), crosses=crosses)


def _sided(left_share: float, *, crosses: bool) -> SideMeasure:
    sides = {Side.LEFT: left_share, Side.RIGHT: 1 - left_share}
    side = next((side for side, share in sides.items() if share >= ONE_SIDE_SHARE), Side.BOTH)
    return SideMeasure(side, left_share, crosses)


def _notes(near: _Near, head: Head | None, lesions: Sequence[LesionMeasure]) -> Iterator[str]:
    oblique = obliqueness_degrees(near.grid.affine)
    if lesions and not near.grid.is_2d and oblique > OBLIQUE_DEGREES:
        yield f"the slices of the file lie {oblique:.0f}° off: diameters are not quite axial"
    if lesions and near.grid.is_2d:
        yield "one slice: diameters and sizes are those of the slice, and no side can be told"
    elif lesions and near.midline is None:
        yield "no midline was found: no side can be told"
    elif lesions and near.midline is not None and not near.midline.sure:
        yield "the midline is not sure, and with it the side"
    if head is None:
        yield "it is not known whether the images show a brain or a head: no share of it can be told"


def _region_json(one: RegionMeasure) -> dict[str, Any]:
    return {
        "volume": round(one.volume, 4),
        "share": None if one.share is None else round(one.share, 6),
        "lesions": one.lesions,
        "diameters": one.diameters and _diameters_json(one.diameters),
    }


def _lesion_json(one: LesionMeasure) -> dict[str, Any]:
    return {
        "number": one.number,
        "volume": round(one.volume, 4),
        "diameters": _diameters_json(one.diameters),
        "centre": [round(at, 2) for at in one.centre],
        "side": one.side and _side_json(one.side),
        "regions": {str(region): round(volume, 4) for region, volume in one.regions.items()},
    }


def _diameters_json(one: Diameters) -> dict[str, Any]:
    longest, perpendicular = round(one.longest, 2), round(one.perpendicular, 2)
    return {"longest": longest, "perpendicular": perpendicular, "product": round(one.product, 2), "slice": one.slice}


def _side_json(one: SideMeasure) -> dict[str, Any]:
    return {"side": str(one.side), "left_share": round(one.left_share, 4), "crosses": one.crosses}


def _midline_json(one: Midline) -> dict[str, Any]:
    return {
        "normal": [round(part, 5) for part in one.normal],
        "offset": round(one.offset, 3),
        "symmetry": round(one.symmetry, 3),
        "spread_mm": round(one.spread_mm, 2),
        "sure": one.sure,
    }
