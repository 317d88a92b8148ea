"""The picture of a case: its tumour in three planes and as a series of slices, alone or beside a reference.

A volume is shown as a radiologist expects it: patient's right on the left, nose up or left, true proportions, equal
millimetres per pixel within a row. An image is shown as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Shape, whole
from gliamap.case import Case
from gliamap.errors import ConfigError, GridError
from gliamap.labels import (
    REGION_NAMES,
    REGION_TISSUES,
    LabelMap,
    Region,
    Tissue,
    get_convention,
    region_mask,
)
from gliamap.report import canvas as ink
from gliamap.report.canvas import Canvas, tissues_in
from gliamap.report.planes import Cut, Plane, choose_cuts, choose_series, content_box, display_window, make_turn
from gliamap.report.sheet import CAPTION, MARGIN, Panel, Row, Volume, draw_key, draw_row, place_rows
from gliamap.volume import OBLIQUE_DEGREES, Grid, Unit, obliqueness_degrees

HEADER = 78
FOOTER = 46
MAIN_HEIGHT = 460
SERIES_HEIGHT = 260
IMAGE_HEIGHT = 620
TITLE_LENGTH = 44
COLUMN = 184

MODALITY_TITLES = {"t1": "T1", "t1c": "T1 post-contrast", "t2": "T2", "flair": "FLAIR"}


@dataclass(frozen=True)
class MosaicOptions:
    """What a mosaic shows.

    ``channel``: the modality; by default ``t1c`` where core is marked, else ``flair``, else the first.
    ``convention``: whose regions get a volume; by default the case's own, else what the masks hold. ``notice``: a few
    words of warning for the header. ``series``: how many axial slices. ``width``: of the picture, in pixels.
    """

    channel: str | None = None
    convention: str | None = None
    notice: str = ""
    show_case_id: bool = True
    series: int = 8
    width: int = 1600


@dataclass(frozen=True, eq=False)
class _Masks:
    """The label maps to draw, both on the shown grid."""

    labels: LabelMap | None
    reference: LabelMap | None

    @property
    def all(self) -> tuple[LabelMap, ...]:
        """Those that there are."""
        return tuple(m for m in (self.labels, self.reference) if m is not None)

    def marked(self, shape: Shape) -> NDArray[np.bool_]:
        """Tumour in either map; where there is none, anything marked, such as a resection cavity."""
        found = np.zeros(shape, np.bool_)
        for tissues in self.all:
            found |= region_mask(tissues, Region.WT)
        if not found.any():
            for tissues in self.all:
                found |= tissues != Tissue.BACKGROUND
        return found


def draw_mosaic(
    case: Case,
    labels: LabelMap | None,
    out: Path,
    *,
    reference: LabelMap | None = None,
    options: MosaicOptions | None = None,
) -> None:
    """Write the mosaic of ``case`` with the tissues of ``labels`` as a PNG to ``out``.

    ``labels`` and ``reference`` are ``(X, Y, Z)`` maps of tissues on the case's native grid; with a reference the
    same slices are shown for both. Where nothing is marked the slices stay plain and the title says that no tumour
    was found; where ``labels`` is ``None`` it says nothing. ``ConfigError`` for a channel that the case lacks,
    ``GridError`` for a map of another shape.
    """
    options = options or MosaicOptions()
    native = _Masks(labels, reference)
    _check_shapes(case, native)
    channel = choose_channel(case, native.all, options.channel)
    turn = make_turn(case.grid)
    values = turn.apply(case.image[case.modalities.index(channel)])
    volume = Volume(values, display_window(values), turn, case.grid.unit)
    shown = _Masks(*(None if m is None else turn.apply(m) for m in (labels, reference)))
    rows = [_image_row(volume, shown)] if case.grid.is_2d else _volume_rows(volume, shown, options.series)
    placed = place_rows(rows, volume, HEADER, options.width)
    bottom = placed[-1].bottom + CAPTION
    canvas = Canvas(options.width, round(bottom + FOOTER))
    _draw_title(canvas, case, channel, options)
    _draw_sizes(canvas, native, case.grid, convention=options.convention or case.convention, right=placed[0].right)
    for row, places in zip(rows, placed, strict=True):
        draw_row(canvas, row, places, volume)
    _draw_legend(canvas, shown, bottom + FOOTER / 2, right=placed[0].right)
    canvas.save(out)


def _check_shapes(case: Case, masks: _Masks) -> None:
    for tissues in masks.all:
        if tissues.shape != case.grid.shape:
            raise GridError(
                f"a mask to draw over case {case.case_id} has another shape than its image",
                found="x".join(map(str, tissues.shape)),
                expected="x".join(map(str, case.grid.shape)),
            )


def choose_channel(case: Case, maps: Sequence[LabelMap], wanted: str | None = None) -> str:
    """The modality to draw: ``wanted``, or ``t1c`` where core is marked, else ``flair``, else the first."""
    if wanted is not None and wanted not in case.modalities:
        known = ", ".join(case.modalities)
        raise ConfigError(f"case {case.case_id} has no modality '{wanted}' to draw", expected=f"one of {known}")
    core = any(region_voxels(tissues, Region.TC) for tissues in maps)
    return wanted or preferred_modality(case.modalities, core=core)


def preferred_modality(modalities: Sequence[str], *, core: bool) -> str:
    """The modality that shows a tumour best: ``t1c`` where its ``core`` is marked, else ``flair``, else the first."""
    preferred = ("t1c", "flair") if core else ("flair",)
    return next((name for name in preferred if name in modalities), modalities[0])


def region_voxels(labels: LabelMap, region: Region) -> int:
    """How many voxels of a map of tissues belong to ``region``."""
    counts = np.bincount(labels.ravel(order="K"), minlength=len(Tissue))
    return int(sum(counts[tissue] for tissue in REGION_TISSUES[region]))


def _volume_rows(volume: Volume, masks: _Masks, series: int) -> list[Row]:
    marked = masks.marked(volume.turn.shape)
    box = content_box(volume.values, marked)
    axial, coronal, sagittal = choose_cuts(marked, box)
    planes, slices = (axial, coronal, sagittal), choose_series(marked, box, series)
    if not marked.any():
        first = Row("Through the middle", _panels(planes, None), MAIN_HEIGHT)
        return [first, Row("Axial series", _panels(slices, None), SERIES_HEIGHT, small=True)]
    plain = Panel(axial, "plain")
    where = "axial at the largest tumour area, coronal and sagittal through the tumour's middle"
    if len(masks.all) == 1:
        (only,) = masks.all
        first = Row(where.capitalize(), (plain, *_panels(planes, only)), MAIN_HEIGHT)
        return [first, Row("Axial series through the tumour", _panels(slices, only), SERIES_HEIGHT, small=True)]
    both = Panel(axial, "outlines of both", both=_outlines(masks))
    return [
        Row(f"Prediction: {where}", (plain, *_panels(planes, masks.labels)), MAIN_HEIGHT),
        Row("Reference: the same slices", (both, *_panels(planes, masks.reference)), MAIN_HEIGHT),
        Row("Prediction: axial series", _panels(slices, masks.labels), SERIES_HEIGHT, small=True),
        Row("Reference: axial series", _panels(slices, masks.reference), SERIES_HEIGHT, small=True),
    ]


def _panels(cuts: Sequence[Cut], tissues: LabelMap | None) -> tuple[Panel, ...]:
    return tuple(Panel(cut, tissues=tissues) for cut in cuts)


def _outlines(masks: _Masks) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    prediction, reference = (region_mask(tissues, Region.WT) for tissues in masks.all)
    return prediction, reference


def _image_row(volume: Volume, masks: _Masks) -> Row:
    turn = volume.turn
    cut = Cut(turn.only_plane or Plane.AXIAL, 0, whole(turn.shape))
    panels = [Panel(cut, "image")]
    if len(masks.all) == 1 and masks.all[0].any():
        panels.append(Panel(cut, "with the tumour", tissues=masks.all[0]))
    if len(masks.all) == 2:
        panels.append(Panel(cut, "prediction", tissues=masks.labels))
        panels.append(Panel(cut, "reference", tissues=masks.reference))
        panels.append(Panel(cut, "outlines of both", both=_outlines(masks)))
    return Row("", tuple(panels), IMAGE_HEIGHT)


def _draw_title(canvas: Canvas, case: Case, channel: str, options: MosaicOptions) -> None:
    title = case.case_id if options.show_case_id else "case"
    if len(title) > TITLE_LENGTH:
        title = title[: TITLE_LENGTH - 1] + "…"
    canvas.text((MARGIN, 32), title, ink.TITLE)
    about = f"{MODALITY_TITLES.get(channel, channel)} · {grid_words(case.grid)}"
    width = canvas.text((MARGIN, 62), about, ink.QUIET)
    angle = obliqueness_degrees(case.grid.affine)
    notices = [options.notice]
    if case.grid.unit == "mm" and angle > OBLIQUE_DEGREES:
        notices.append(f"oblique by {angle:.0f}°: approx. orientation")
    canvas.text((MARGIN + width + 16, 62), " · ".join(filter(None, notices)), ink.NOTICE)


def grid_words(grid: Grid) -> str:
    """How many voxels of which size, or pixels, for readers."""
    if grid.unit == "px":
        return f"{grid.shape[0]} × {grid.shape[1]} pixels"
    spacing = " × ".join(f"{s:.3g}" for s in grid.spacing)
    return f"{' × '.join(map(str, grid.shape))} voxels of {spacing} mm"


def _draw_sizes(canvas: Canvas, masks: _Masks, grid: Grid, *, convention: str | None, right: float) -> None:
    """A column for each region at the right end of the header, a line for each map."""
    if not masks.all:
        return
    regions = _regions(masks, convention)
    if not any(region_voxels(m, Region.WT) for m in masks.all):
        canvas.text((right, 32), "no tumour found", ink.VALUE, align="right")
        return
    style = ink.VALUE if len(masks.all) == 1 else ink.BODY
    ys = (56,) if len(masks.all) == 1 else (46, 66)
    for column, region in enumerate(reversed(regions)):
        x = right - COLUMN * column
        canvas.text((x, 26), f"{REGION_NAMES[region]} ({region})", ink.QUIET, align="right")
        for y, tissues in zip(ys, masks.all, strict=True):
            amount = region_voxels(tissues, region) * grid.voxel_size
            canvas.text((x, y), format_amount(amount, grid.unit), style, align="right")
    if len(masks.all) == 2 and regions:
        for y, name in zip(ys, ("prediction", "reference"), strict=True):
            canvas.text((right - COLUMN * len(regions), y), name, ink.QUIET, align="right")


def format_amount(amount: float, unit: Unit) -> str:
    """A size for readers: whole pixels, or millilitres with two decimals below 1 mL and one above."""
    if unit == "px":
        return f"{amount:,.0f} px"
    return f"{amount:.2f} mL" if amount < 1 else f"{amount:.1f} mL"


def _regions(masks: _Masks, convention: str | None) -> tuple[Region, ...]:
    if convention is not None:
        return get_convention(convention).regions
    return tuple(region for region in Region if any(region_voxels(m, region) for m in masks.all))


def _draw_legend(canvas: Canvas, masks: _Masks, y: float, *, right: float) -> None:
    present = {tissue for tissues in masks.all for tissue in tissues_in(tissues)}
    x = draw_key(canvas, present, (MARGIN, y))
    if len(masks.all) == 2 and present:
        for name, colour, dashed in (("prediction", ink.PREDICTION, False), ("reference", ink.REFERENCE, True)):
            canvas.line((x, y), 26, colour=colour, dashed=dashed)
            x += 34 + canvas.text((x + 34, y), f"outline of the {name}", ink.BODY) + 26
    canvas.text((right, y), "research use only", ink.NOTICE, align="right")
