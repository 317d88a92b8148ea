"""What one viewer is given: a case with its labels and maps, cut to the head, as plain JSON and packed volumes.

The form is that which the viewer's scripts read: eight bits a voxel, first axis fastest, on the grid of
:mod:`gliamap.viewer.frame`. Where all does not fit into a page, modalities are left out first, down to two; then
several voxels are taken as one. Nothing is measured on a payload.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import bounding_box
from gliamap.case import Case
from gliamap.errors import GridError
from gliamap.labels import TISSUE_COLOURS, TISSUE_NAMES, LabelMap, Region, Tissue, region_mask, values_in
from gliamap.report.figures import MODALITY_TITLES, preferred_modality
from gliamap.report.planes import display_window, head_of
from gliamap.viewer.frame import Frame, whole_frame
from gliamap.viewer.packing import base64_bytes, packed, quantised
from gliamap.viewer.surfaces import make_surfaces
from gliamap.volume import OBLIQUE_DEGREES, obliqueness_degrees

FORM = 1
"""Raised whenever scripts must read payloads in another way."""

_KEPT = 2  # modalities that are rather shown coarser than left out
_COARSEST = 32  # voxels along the longest axis: no limit makes it coarser
_BELOW, _ABOVE = 1.0, 0.5  # how far the 256 greys reach beyond the window at first, in widths of it
_MARGIN = 2  # voxels around the head


@dataclass(frozen=True)
class Limits:
    """How large a payload may become: all blobs in base64, and modalities; and whether surfaces are made at all."""

    base64_bytes: int = 7_400_000
    images: int = 4
    surfaces: bool = True


@dataclass(frozen=True, eq=False)
class ScalarMap:
    """A map over a case, such as its uncertainty: ``values`` is ``(X, Y, Z)`` on the case's own grid.

    ``name`` is one word, ``title`` is for readers. ``range`` is what the two ends of the colour bar stand for; values
    beyond are cut off.
    """

    name: str
    title: str
    values: NDArray[np.floating]
    range: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Payload:
    """One viewer's data: ``about`` is plain JSON, ``blobs`` holds the gzip bytes that it names.

    ``frame`` says where the viewer's voxels lie in the case's own grid. ``remarks`` say in words what was left out or
    made coarser.
    """

    about: Mapping[str, Any]
    blobs: Mapping[str, bytes]
    frame: Frame
    remarks: tuple[str, ...] = ()


def make_payload(
    case: Case,
    labels: LabelMap | None,
    *,
    reference: LabelMap | None = None,
    maps: Sequence[ScalarMap] = (),
    limits: Limits | None = None,
    title: str | None = None,
) -> Payload:
    """The payload of ``case`` with the tissues of ``labels`` and of ``reference``, ``(X, Y, Z)`` on its own grid.

    ``title`` is the case's id by default. The modalities that show the tumour best come first. A case of one slice is
    shown whole and has no surfaces; else what lies far from the head and holds no label is cut away. ``GridError``
    where labels or a map have another shape than the case.
    """
    limits = limits or Limits()
    given = _Given(case, labels, reference, tuple(maps))
    _check_shapes(given)
    wanted = _modalities(given)[: limits.images]
    head = head_of(case.image[case.modalities.index(wanted[0])])
    frame = _cut_to(head, given)
    for factor in count(1):
        used = frame if factor == 1 else frame.coarser(factor)
        pieces = _Pieces(limits.base64_bytes)
        _add_masks(pieces, given, used)
        _add_maps(pieces, given, used)
        if limits.surfaces:
            _add_surfaces(pieces, given, used, head)
        coarsest = max(used.shape) <= _COARSEST
        shown = _add_images(pieces, given, used, wanted, least=1 if coarsest else 0)
        if coarsest or shown >= min(_KEPT, len(wanted)):
            break
    about = {
        "version": FORM,
        "title": case.case_id if title is None else title,
        "grid": _grid(case, used),
        **pieces.about,
        "start": _start(given, used),
    }
    left_out = [name for name in case.modalities if name not in wanted[:shown]]
    return Payload(about, pieces.blobs, used, tuple(_remarks(case, used, left_out)))


@dataclass(frozen=True, eq=False)
class _Given:
    """What was asked for, all of it on the case's own grid."""

    case: Case
    labels: LabelMap | None
    reference: LabelMap | None
    maps: tuple[ScalarMap, ...]

    @property
    def masks(self) -> dict[str, LabelMap]:
        """The label maps that there are, by the names of their blobs; the prediction first."""
        both = {"labels": self.labels, "reference": self.reference}
        return {name: tissues for name, tissues in both.items() if tissues is not None}


class _Pieces:
    """The parts of a payload so far, and how much room is left."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.blobs: dict[str, bytes] = {}
        self.about: dict[str, Any] = {
            "images": [],
            "tissues": [],
            "labels": None,
            "reference": None,
            "maps": [],
            "surfaces": [],
        }

    def add(self, name: str, blob: bytes) -> str:
        """Take ``blob`` in and return its name."""
        self.room -= base64_bytes(blob)
        self.blobs[name] = blob
        return name


def _check_shapes(given: _Given) -> None:
    shapes = [mask.shape for mask in given.masks.values()] + [one.values.shape for one in given.maps]
    for shape in shapes:
        if shape != given.case.grid.shape:
            raise GridError(
                f"a map to show over case {given.case.case_id} has another shape than its image",
                found="x".join(map(str, shape)),
                expected="x".join(map(str, given.case.grid.shape)),
            )


def _modalities(given: _Given) -> list[str]:
    """All modalities, those that show the tumour best first."""
    core = any(region_mask(mask, Region.TC).any() for mask in given.masks.values())
    left, found = list(given.case.modalities), []
    while left:
        found.append(preferred_modality(left, core=core))
        left.remove(found[-1])
    return found


def _cut_to(head: NDArray[np.bool_], given: _Given) -> Frame:
    """The frame of head and labels with a small margin; of a slice, or where there is nothing, of everything."""
    frame = whole_frame(given.case.grid)
    shown = head.copy()
    for mask in given.masks.values():
        shown |= mask != Tissue.BACKGROUND
    box = bounding_box(frame.cut(shown))
    if given.case.grid.is_2d or box is None:
        return frame
    return frame.cropped(box.grow(_MARGIN, frame.shape))


def _add_masks(pieces: _Pieces, given: _Given, frame: Frame) -> None:
    present = {value for mask in given.masks.values() for value in values_in(mask)}
    pieces.about["tissues"] = [
        {"value": int(t), "name": t.name, "title": TISSUE_NAMES[t], "colour": colour}
        for t, colour in TISSUE_COLOURS.items()
        if t in present
    ]
    for name, mask in given.masks.items():
        pieces.about[name] = pieces.add(name, packed(frame.middle(mask)))


def _add_maps(pieces: _Pieces, given: _Given, frame: Frame) -> None:
    for one in given.maps:
        blob = packed(quantised(frame.averaged(one.values), *one.range))
        name = pieces.add(f"map-{one.name}", blob)
        low, high = (_short(value) for value in one.range)
        pieces.about["maps"].append({"name": one.name, "title": one.title, "range": [low, high], "blob": name})


def _add_surfaces(pieces: _Pieces, given: _Given, frame: Frame, head: NDArray[np.bool_]) -> None:
    """The surfaces of the prediction, or of the reference where there is none, and of the head."""
    tissues = next(iter(given.masks.values()), None)
    if tissues is None or given.case.grid.is_2d:
        return
    surfaces = make_surfaces(frame.middle(tissues), _solid(frame.middle(head)), frame.spacing)
    for number, surface in enumerate(surfaces):
        vertices = pieces.add(f"s{number}v", packed(surface.vertices))
        faces = pieces.add(f"s{number}f", packed(surface.faces))
        pieces.about["surfaces"].append(surface.describe(vertices, faces))


def _solid(head: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The head with its dark inside: whatever has some of it on four sides in its axial slice."""
    filled = np.ones(head.shape, np.bool_)
    for axis in (0, 1):
        filled &= np.logical_or.accumulate(head, axis=axis)
        filled &= np.flip(np.logical_or.accumulate(np.flip(head, axis), axis=axis), axis)
    return filled


def _add_images(pieces: _Pieces, given: _Given, frame: Frame, wanted: Sequence[str], *, least: int) -> int:
    """As many of the modalities as there is room for, in their order, but ``least`` of them; returns how many."""
    for number, name in enumerate(wanted):
        image = given.case.image[given.case.modalities.index(name)]
        low, high = display_window(frame.cut(image))
        values = frame.averaged(image)
        darkest, brightest = (
            float(find.reduce(values, axis=None, dtype=np.float64, initial=level))  # both pass over NaN
            for find, level in ((np.fmin, low), (np.fmax, high))
        )
        black = max(low - _BELOW * (high - low), darkest)
        white = min(high + _ABOVE * (high - low), brightest)
        blob = packed(quantised(values, black, white))
        if number >= least and base64_bytes(blob) > pieces.room:
            return number
        about = {
            "name": name,
            "title": MODALITY_TITLES.get(name, name),
            "range": [_short(black), _short(white)],
            "window": [_short(low), _short(high)],
            "blob": pieces.add(f"image-{number}", blob),
        }
        pieces.about["images"].append(about)
    return len(wanted)


def _grid(case: Case, frame: Frame) -> dict[str, Any]:
    angle = obliqueness_degrees(case.grid.affine)
    return {
        "shape": list(frame.shape),
        "spacing": [_short(edge) for edge in frame.spacing],
        "unit": case.grid.unit,
        "two_d": case.grid.is_2d,
        "oblique_degrees": round(angle, 1) if case.grid.unit == "mm" and angle > OBLIQUE_DEGREES else 0.0,
        "letters": [list(pair) for pair in frame.letters],
        "numbers": [along.tolist() for along in frame.numbers],
    } | ({"affine": _affine(case, frame)} if case.grid.unit == "mm" else {})


def _affine(case: Case, frame: Frame) -> list[list[float]]:
    """Three rows of four: from a voxel of the viewer to the patient's right, front and head in mm."""
    return [[_short(value) for value in row] for row in (case.grid.affine @ frame.to_native)[:3].tolist()]


def _start(given: _Given, frame: Frame) -> list[int]:
    """The voxel that is shown first: tumour, in the middle of its largest slice; else the middle of all."""
    for mask in given.masks.values():
        tumour = region_mask(frame.middle(mask), Region.WT)
        if tumour.any():
            z = int(np.argmax(np.count_nonzero(tumour, axis=(0, 1))))
            inside = np.argwhere(tumour[:, :, z])
            apart = np.abs(inside - np.median(inside, axis=0)).sum(axis=1)
            x, y = inside[int(np.argmin(apart))].tolist()
            return [x, y, z]
    return [n // 2 for n in frame.shape]


def _remarks(case: Case, frame: Frame, left_out: Sequence[str]) -> Iterator[str]:
    if left_out:
        names = ", ".join(MODALITY_TITLES.get(name, name) for name in left_out)
        yield f"not shown, to keep the page small: {names}"
    if frame.steps != (1, 1, 1):
        shown, own = (" × ".join(f"{edge:.3g}" for edge in edges) for edges in (frame.spacing, frame.edges))
        unit = case.grid.unit
        yield f"shown coarser than scanned, to keep the page small: voxels of {shown} {unit}, not {own} {unit}"


def _short(value: float) -> float:
    """Six digits of a number: what a reader of JSON needs."""
    return float(f"{value:.6g}")
