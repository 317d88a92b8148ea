"""What a patch table holds in all, and examples of its patches: little and much tumour, healthy brain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape, read_padded
from gliamap.io.patch_table import PatchTableInfo, read_columns, tissue_column
from gliamap.io.store import read_case, read_store
from gliamap.labels import Region, Tissue, get_convention
from gliamap.report.figures import MODALITY_TITLES, preferred_modality
from gliamap.report.patch_sheet import COLUMNS, PatchGroup, PatchItem, draw_patch_sheet
from gliamap.report.planes import display_window
from gliamap.survey.cohort import digits
from gliamap.volume import Unit

MOSTLY = 0.5
"""A healthy patch teaches most where at least this share of it shows the patient."""

_DRAWN = 2 * COLUMNS  # patches of a group
_ID_LENGTH = 20  # characters of a case's name that a tile has room for
_QUARTILES = (0, 25, 50, 75, 100)
_SHOWN = ("number", "case_id", "x", "y", "z", "tumour_fraction", "largest_lesion", "brain_fraction")


@dataclass(frozen=True)
class Balance:
    """How the patches of a table divide.

    ``mostly``: the healthy ones of which half or more shows the patient. ``tissues``: the patches that hold some of it.
    ``patients``: how many; ``None`` where they are not known, and each case counts as one. ``per_patient``: patches
    with tumour of the patients who have any: fewest, median, most. ``lesions``: of patches with tumour, the size of the
    largest lesion that they touch: least, quartiles, largest; mL, or pixels where ``unit`` says so. Both are empty
    without tumour.
    """

    patches: int
    tumour: int
    mostly: int
    tissues: dict[Tissue, int]
    patients: int | None
    per_patient: tuple[float, ...]
    lesions: tuple[float, ...]
    unit: Unit


def count_balance(store: Path, path: Path, info: PatchTableInfo) -> Balance:
    """The balance of the table at ``path``."""
    prepared = read_store(store)
    tissues = [tissue_column(tissue) for tissue in info.tissues]
    columns = read_columns(path, ("patient_id", "tumour", "largest_lesion", "brain_fraction", *tissues))
    tumour, patients = columns["tumour"], columns["patient_id"]
    found = Counter(patients[tumour].tolist())
    return Balance(
        patches=len(tumour),
        tumour=int(np.count_nonzero(tumour)),
        mostly=int(np.count_nonzero(~tumour & (columns["brain_fraction"] >= MOSTLY))),
        tissues={t: int(np.count_nonzero(columns[tissue_column(t)])) for t in info.tissues},
        patients=len(set(patients.tolist())) if prepared.patients_known else None,
        per_patient=_percentiles(list(found.values()), (0, 50, 100)),
        lesions=_percentiles(columns["largest_lesion"][tumour], _QUARTILES),
        unit=read_case(store, prepared.cases[0].case_id).record.native.unit,
    )


def draw_examples(store: Path, path: Path, info: PatchTableInfo, out: Path) -> None:
    """Draw patches of the table at ``path`` as the PNG ``out``: with tumour, from little of it to much, and healthy.

    They are spread evenly over the table, so that an equal table gives equal bytes.
    """
    prep = read_store(store).prep
    columns = read_columns(path, (*_SHOWN, "tumour"))
    tumour = np.flatnonzero(columns["tumour"])
    by_share = tumour[np.argsort(columns["tumour_fraction"][tumour], kind="stable")]
    healthy = np.flatnonzero(~columns["tumour"] & (columns["brain_fraction"] >= MOSTLY))
    modality = preferred_modality(prep.modalities, core=Region.TC in get_convention(info.convention).regions)
    groups = []
    for heading, rows in (
        ("With tumour, from the patch with least of it to the one with most", by_share),
        (f"Healthy, half of the patch or more inside the {prep.foreground}", healthy),
    ):
        shown = [{name: columns[name][row] for name in _SHOWN} for row in _evenly(rows)]
        items = [_item(store, row, info.size, channel=prep.modalities.index(modality)) for row in shown]
        groups.append(PatchGroup(heading, tuple(items)))
    about = MODALITY_TITLES.get(modality, modality)
    if info.size[2] > 1:
        about += " · of each patch the slice with most tumour, or the middle one"
    title = f"{len(columns['number']):,} patches of {info.describe()}"
    draw_patch_sheet(groups, out, title=title, about=about)


def lesion_words(size: float, unit: Unit) -> str:
    """The size of a lesion for readers."""
    return f"{digits(size)} {'px' if unit == 'px' else 'mL'}"


def _percentiles(values: Any, percent: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(round(float(v), 4) for v in np.percentile(values, percent)) if len(values) else ()


def _evenly(rows: NDArray[np.intp]) -> list[int]:
    """At most ``_DRAWN`` of the rows, evenly spread, the first and the last among them."""
    return [int(rows[round(at)]) for at in np.linspace(0, len(rows) - 1, min(len(rows), _DRAWN))]


def _item(store: Path, row: Mapping[str, Any], size: Shape, *, channel: int) -> PatchItem:
    """The picture of one row of the table."""
    case = read_case(store, row["case_id"])
    assert case.labels is not None
    x, y, z = (int(row[axis]) for axis in "xyz")
    box = Box((x, y, z), (x + size[0], y + size[1], z + size[2]))
    image = read_padded(case.image, box).astype(np.float32)
    window = display_window(case.image[channel][..., box.clip(case.record.shape).slices[2]].astype(np.float32))
    # Beside a normalised brain lies 0, a middling grey inside it: shown black.
    grey = np.where((image != 0).any(axis=0), image[channel], np.float32(window[0]))
    name = case.case_id if len(case.case_id) <= _ID_LENGTH else f"{case.case_id[: _ID_LENGTH - 1]}…"
    held = f"inside {row['brain_fraction']:.0%}"
    if row["tumour_fraction"]:
        lesion = lesion_words(float(row["largest_lesion"]), case.record.native.unit)
        held = f"{100 * row['tumour_fraction']:.3g}%, lesion {lesion}"
    lines = (name, f"patch {row['number']} at {x}, {y}, {z}", held)
    return PatchItem(grey, read_padded(case.labels, box).astype(np.uint8), window, case.record.spacing, lines)
