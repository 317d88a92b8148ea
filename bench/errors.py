"""Where the errors of predictions sit: at the border, far off, in small tumours, beside bright vessels.

    python bench/errors.py --set NAME MASKS DATA --set ... --out docs/results/errors

MASKS is what ``gliamap segment`` wrote for cases of DATA; ``--set`` may name more of either with commas. Written are
three tables of the kind ``grid``: ``errors-border.json`` (of each region's wrong voxels, how many lie within one voxel
of the reference's border, within three, further in or out, and in parts that touch no reference), ``errors-size.json``
(Dice of the whole tumour by thirds of its size) and ``errors-enhancing.json`` (what lies where enhancing tumour was
said and is none). Voxels are those of the scan's own grid, of all cases together; Dice is a mean over patients.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from run import commit, machine
from scipy.ndimage import distance_transform_edt

from gliamap.boxes import bounding_box
from gliamap.components import label_components
from gliamap.io.atomic import write_text
from gliamap.labels import REGION_TISSUES, LabelMap, Region, get_convention, region_mask
from gliamap.metrics.overlap import confusion, counts_of, dice
from gliamap.scoring.estimate import estimate
from gliamap.scoring.pairs import find_predictions, pairs_of, read_prediction, read_reference
from gliamap.sources.detect import scan
from gliamap.workflows.common.conventions import settle_convention

NEAR, CLOSE = 1.0, 3.0
"""Voxels from the border: no further than it can be drawn, and than readers differ."""

THIRDS = ("small", "medium", "large")


@dataclass
class Tally:
    """What was counted over the cases of one set."""

    border: dict[Region, NDArray[np.int64]] = field(default_factory=dict)
    """Per region, missed and false voxels (rows): near, close, further, apart from any reference."""

    enhancing: NDArray[np.int64] = field(default_factory=lambda: np.zeros(4, np.int64))
    """False ET inside the reference's core, in its edema, beside the tumour, in parts apart from it."""

    cases: list[tuple[str, int, float]] = field(default_factory=list)
    """Patient, voxels of tumour and Dice of each case that has tumour."""


def pairs_in(masks: Path, data: Path) -> Iterator[tuple[str, LabelMap, LabelMap, frozenset[Region]]]:
    """Patient, prediction, reference, and the regions that both can tell, case by case."""
    found = scan(data)
    told = settle_convention(found, None).apply(found)
    conventions = {case.case_id: get_convention(case.conventions[0]) for case in told.cases if case.labels}
    pairs, _ = find_predictions(pairs_of(found)[0], masks, None)
    for pair in pairs:
        if pair.prediction is None:
            continue
        reference, grid = read_reference(pair, conventions[pair.case_id])
        predicted, convention = read_prediction(pair, pair.prediction, grid, conventions[pair.case_id])
        regions = frozenset(convention.regions) & frozenset(conventions[pair.case_id].regions)
        yield pair.patient_id, predicted, reference, regions


def add(tally: Tally, patient: str, predicted: LabelMap, reference: LabelMap, regions: frozenset[Region]) -> None:
    """Count one case."""
    for region in sorted(regions, key=list(Region).index):
        counts = by_distance(region_mask(predicted, region), region_mask(reference, region))
        tally.border[region] = tally.border.get(region, np.zeros((2, 4), np.int64)) + counts
    if Region.ET in regions:
        tally.enhancing += false_enhancing(predicted, reference)
    size = int(np.count_nonzero(region_mask(reference, Region.WT)))
    if size:
        table = confusion(predicted, reference)
        tally.cases.append((patient, size, dice(counts_of(table, REGION_TISSUES[Region.WT]))))


def by_distance(predicted: NDArray[np.bool_], reference: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Missed and false voxels (rows) by their distance from the reference's border: near, close, further, apart.

    A missed voxel is apart in a part of the reference that the prediction does not touch, a false one in a part of the
    prediction that does not touch the reference.
    """
    out = np.zeros((2, 4), np.int64)
    box = bounding_box(predicted | reference)
    if box is None:
        return out
    inside = box.grow(1, _shape(reference)).slices
    p, r = predicted[inside], reference[inside]
    for row, (wrong, own, other) in enumerate(((r & ~p, r, p), (p & ~r, p, r))):
        if not wrong.any():
            continue
        apart = wrong & ~touching(own, other)
        out[row, 3] = np.count_nonzero(apart)
        if r.any():
            # Of a missed voxel the distance to the outside, of a false one that to the inside.
            distance = distance_transform_edt(r if row == 0 else ~r)[wrong & ~apart]
            out[row, :3] = np.histogram(distance, [0, NEAR + 1e-6, CLOSE + 1e-6, np.inf])[0]
    return out


def touching(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels of ``mask`` whose connected part has a voxel in common with ``other``."""
    parts = label_components(mask)
    touched = np.zeros(int(parts.max(initial=0)) + 1, np.bool_)
    touched[np.unique(parts[other])] = True
    return np.asarray(touched[parts] & mask)


def false_enhancing(predicted: LabelMap, reference: LabelMap) -> NDArray[np.int64]:
    """Voxels of false enhancing tumour: in the core, in edema, outside but in touch with tumour, apart from it."""
    false = region_mask(predicted, Region.ET) & ~region_mask(reference, Region.ET)
    core, whole = region_mask(reference, Region.TC), region_mask(reference, Region.WT)
    outside = false & ~whole
    apart = outside & ~touching(region_mask(predicted, Region.ET), whole)
    masks = (false & core, false & whole & ~core, outside & ~apart, apart)
    return np.array([np.count_nonzero(mask) for mask in masks], np.int64)


def _shape(mask: NDArray[np.bool_]) -> tuple[int, int, int]:
    x, y, z = mask.shape
    return (x, y, z)


def border_rows(name: str, tally: Tally) -> list[list[Any]]:
    """A row a region and kind of error, in per cent of the voxels of that kind."""
    rows = []
    for region, counts in tally.border.items():
        for kind, line in zip(("missed", "false"), counts, strict=True):
            total = int(line.sum())
            share = [round(100 * float(n) / total, 1) if total else None for n in line]
            rows.append([name, region.value, kind, total, *share])
    return rows


def size_rows(name: str, tally: Tally) -> list[list[Any]]:
    """A row a third of the cases by size: how large, how many, mean Dice with its interval; none for a handful."""
    if len(tally.cases) < 3 * len(THIRDS):
        return []
    ranked = sorted(tally.cases, key=lambda case: case[1])
    rows: list[list[Any]] = []
    for title, part in zip(THIRDS, np.array_split(np.arange(len(ranked)), 3), strict=True):
        chosen = [ranked[i] for i in part]
        found = estimate((patient, score) for patient, _, score in chosen)
        shown = f"{found.mean:.3f}" + ("" if found.low is None else f" [{found.low:.3f}, {found.high:.3f}]")
        missed = sum(score == 0 for _, _, score in chosen)
        rows.append([name, title, f"{chosen[0][1]} to {chosen[-1][1]}", len(chosen), shown, missed])
    return rows


def enhancing_rows(name: str, tally: Tally) -> list[list[Any]]:
    """One row: false enhancing voxels, and where they lie in per cent."""
    if Region.ET not in tally.border:
        return []
    total = int(tally.enhancing.sum())
    return [[name, total, *(round(100 * float(n) / total, 1) if total else None for n in tally.enhancing)]]


def write(out: Path, name: str, head: Sequence[str], rows: Sequence[Sequence[Any]], note: str) -> None:
    """One table."""
    content = {"commit": commit(), "machine": machine(), "head": list(head), "rows": list(rows), "note": note}
    write_text(out.with_name(f"{out.name}-{name}.json"), json.dumps(content, indent=1) + "\n")


def main() -> None:
    """Count, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs=3, action="append", required=True, metavar=("NAME", "MASKS", "DATA"))
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    border: list[list[Any]] = []
    size: list[list[Any]] = []
    enhancing: list[list[Any]] = []
    for name, masks, data in given.set:
        tally = Tally()
        for one in masks.split(","):
            for folder in data.split(","):
                for pair in pairs_in(Path(one), Path(folder)):
                    add(tally, *pair)
        border += border_rows(name, tally)
        size += size_rows(name, tally)
        enhancing += enhancing_rows(name, tally)
    near = f"within {NEAR:g} voxel of the border, %"
    head = ["Set", "Region", "Error", "Voxels", near, f"within {CLOSE:g}, %", "further, %", "in parts apart, %"]
    write(given.out, "border", head, border, "Missed: of the reference; false: of the prediction. All cases together")
    head = ["Set", "Tumours", "Voxels", "Cases", "Dice WT", "Dice 0"]
    write(given.out, "size", head, size, "Cases with tumour, in thirds by its size; means over patients")
    head = ["Set", "False ET, voxels", "in the core, %", "in edema, %", "around the tumour, %", "apart from it, %"]
    write(given.out, "enhancing", head, enhancing, "Where enhancing tumour was said and is none")


if __name__ == "__main__":
    main()
