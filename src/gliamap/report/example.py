"""The picture of a training's example: one slice in every modality with its reference, and what the network says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import bounding_box, whole
from gliamap.case import Case
from gliamap.errors import GridError
from gliamap.labels import TISSUE_COLOURS, LabelMap, Region, region_mask
from gliamap.report import canvas as ink
from gliamap.report.canvas import Canvas, tissues_in
from gliamap.report.figures import MODALITY_TITLES, choose_channel
from gliamap.report.layout import Frame, RowPlaces, place_row
from gliamap.report.planes import Cut, Plane, display_window, make_turn
from gliamap.report.sheet import CAPTION, MARGIN, draw_key, draw_letters

MODALITIES = 4
"""Modalities drawn at most: the first ones."""

HEADER = 60
FOOTER = 42
GAP = 12
PANEL = 300
TALLEST = 400

NARROWEST = 1060
"""Width of the sheet at least, in pixels, so that the longest legend has room."""


@dataclass(frozen=True, eq=False)
class _Slice:
    """What is drawn, all ``(rows, columns)``: ``images`` by modality, the patient, both maps, and ``size`` in mm."""

    images: dict[str, NDArray[np.float32]]
    inside: NDArray[np.bool_]
    reference: LabelMap
    predicted: LabelMap
    size: tuple[float, float]
    plane: Plane | None


def draw_example(case: Case, predicted: LabelMap, out: Path, *, title: str, about: str = "") -> None:
    """Write one slice as a PNG to ``out``: each modality with the reference's tissues outlined, then the prediction.

    ``case`` holds one slice ``(C, X, Y, 1)`` with labels, native or prepared: what is 0 in every modality is drawn
    black. ``predicted`` are tissues ``(X, Y, 1)``; the last panel shows them and, dashed, the reference's whole
    tumour. The case's id is not drawn. ``GridError`` without labels, or where it is no slice or shapes differ.
    """
    one = _make_slice(case, predicted)
    names = tuple(one.images)[:MODALITIES]
    base = _base(case, predicted)
    count = len(names) + 1
    width = max(NARROWEST, 2 * MARGIN + count * (PANEL + GAP) - GAP)
    frame = Frame(width, MARGIN, GAP, 24 if one.plane else 5, TALLEST)
    places = place_row([one.size] * count, HEADER, frame)
    canvas = Canvas(width, round(places.bottom + CAPTION + FOOTER))
    canvas.text((MARGIN, 32), title, ink.VALUE)
    canvas.text((width - MARGIN, 32), about, ink.QUIET, align="right")
    captions = [*(_caption(one, name) for name in names), f"prediction on {MODALITY_TITLES.get(base, base)}"]
    for name, caption, tile, place in zip((*names, base), captions, places.tiles, places.pictures, strict=True):
        canvas.tile(tile)
        canvas.picture(place, *_grey(one, name))
        canvas.text((tile.middle[0], tile.bottom + 14), caption, ink.QUIET, align="center")
        if one.plane:
            draw_letters(canvas, one.plane, tile)
    _draw_maps(canvas, one, places)
    _draw_legend(canvas, one, places.bottom + CAPTION + FOOTER / 2, places.right)
    canvas.save(out)


def _make_slice(case: Case, predicted: LabelMap) -> _Slice:
    """The slice turned as it is shown and cropped to the patient."""
    if case.labels is None or not case.grid.is_2d or predicted.shape != case.grid.shape:
        raise GridError(
            "an example is one slice with labels and a prediction of the same shape",
            found="x".join(map(str, predicted.shape)) + ("" if case.labels is not None else " without labels"),
            expected="x".join(map(str, case.grid.shape)),
        )
    turn = make_turn(case.grid)
    plane = turn.only_plane or Plane.AXIAL
    inside = turn.apply(np.asarray((case.image != 0).any(axis=0)))
    reference, said = turn.apply(case.labels), turn.apply(predicted)
    box = bounding_box(inside | (reference != 0) | (said != 0))
    cut = Cut(plane, 0, box.grow(2, turn.shape) if box else whole(turn.shape))
    return _Slice(
        images={name: cut.of(turn.apply(image)) for name, image in zip(case.modalities, case.image, strict=True)},
        inside=cut.of(inside),
        reference=cut.of(reference),
        predicted=cut.of(said),
        size=cut.size(turn.spacing),
        plane=plane if case.grid.unit == "mm" else None,  # of a picture nobody says which way it looks
    )


def _base(case: Case, predicted: LabelMap) -> str:
    """The modality under the prediction: as for a mosaic, but none that is missing."""
    there = [index for index, image in enumerate(case.image) if image.any()] or [0]
    seen = replace(case, modalities=tuple(case.modalities[i] for i in there), image=case.image[there])
    return choose_channel(seen, [predicted] if case.labels is None else [case.labels, predicted])


def _grey(one: _Slice, name: str) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Values and window of a modality. Around a normalised brain lies 0, which is a middling grey inside it: black."""
    values = one.images[name]
    window = display_window(values[one.inside])
    return np.where(one.inside, values, np.float32(window[0])), window


def _caption(one: _Slice, name: str) -> str:
    title = MODALITY_TITLES.get(name, name)
    return title if one.images[name].any() else f"{title}: missing"


def _draw_maps(canvas: Canvas, one: _Slice, places: RowPlaces) -> None:
    for place in places.pictures[:-1]:
        for tissue in tissues_in(one.reference):
            canvas.outline(place, one.reference == tissue, colour=TISSUE_COLOURS[tissue])
    canvas.tissues(places.pictures[-1], one.predicted)
    canvas.outline(places.pictures[-1], region_mask(one.reference, Region.WT), colour=ink.REFERENCE, dashed=True)


def _draw_legend(canvas: Canvas, one: _Slice, y: float, right: float) -> None:
    x = draw_key(canvas, {*tissues_in(one.reference), *tissues_in(one.predicted)}, (MARGIN, y))
    if one.reference.any():
        canvas.line((x, y), 26, colour=ink.REFERENCE, dashed=True)
        canvas.text((x + 34, y), "reference, whole tumour", ink.BODY)
    canvas.text((right, y), "research use only", ink.NOTICE, align="right")
