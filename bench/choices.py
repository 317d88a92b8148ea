"""How much the choice of a score alone moves the number: the same predictions, scored in the ways that studies use.

    python bench/choices.py --set NAME MASKS DATA --set ... > docs/results/choices.json

MASKS is what ``gliamap segment`` wrote for cases of DATA; cases without a prediction are left out. Printed is a table
of the kind ``grid``: Dice and HD95 of whole regions, lesion by lesion (protocol ``brats2023-gli``), HD95 over border
voxels in place of areas, and for slices the means of other studies. ``scores`` holds the figures of every case behind
it, ``weights`` the hashes of the models that predicted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from run import commit, machine

from gliamap.io.atomic import read_json
from gliamap.scoring.estimate import estimate_cell
from gliamap.scoring.evaluation import Evaluation
from gliamap.scoring.summary import RegionSummary
from gliamap.scoring.text_table import NOTHING
from gliamap.sources.masks import scan_with_masks
from gliamap.workflows.scores.evaluate import EvaluateOptions, evaluate

PROTOCOL = "brats2023-gli"

FIGURES = {
    "dice": ("Dice of the region, mean over patients", 3),
    "lesion_dice": ("Dice lesion by lesion", 3),
    "hd95": ("HD95 of the region, weighted by area", 1),
    "hd95_voxels": ("HD95 over border voxels", 1),
    "lesion_hd95": ("HD95 lesion by lesion", 1),
}
"""Means over patients, by their name in words, and digits."""

OTHER_MEANS: Mapping[str, Callable[[RegionSummary], float | None]] = {
    "Dice, mean over slices": lambda of: of.figures["dice"].case_mean,
    "Dice, mean over slices that have the region": lambda of: of.dice_where_present.case_mean,
    "Dice of the voxels of all slices together": lambda of: of.pooled_dice,
}
"""What studies of slices report in place of a mean over patients."""


def scores_of(masks: Path, data: Path) -> Evaluation:
    """The predicted cases of ``data``, scored."""
    cases = tuple(
        case.case_id
        for case in scan_with_masks(data).cases
        if case.labels and (masks / f"{case.case_id}.json").is_file()
    )
    return evaluate(masks, data, options=EvaluateOptions(cases=cases, protocol=PROTOCOL))


def rows_of(name: str, found: Evaluation) -> Iterator[list[str]]:
    """A row a choice: its value for each region. Slices are averaged in other ways, too."""
    summary = found.summary
    set_name = f"{name}, {summary.patients} patients, {summary.cases} cases, {summary.unit}"
    for figure, (words, digits) in FIGURES.items():
        yield [set_name, words, *(estimate_cell(of.figures[figure], digits) for of in summary.regions.values())]
        if figure == "dice" and summary.cases > summary.patients:
            for said, value in OTHER_MEANS.items():
                yield [set_name, said, *(_plain(value(of)) for of in summary.regions.values())]


def _plain(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def case_rows(name: str, found: Evaluation) -> Iterator[list[Any]]:
    """A row a case and region: set, case, patient, region, then the figures of :data:`FIGURES`."""
    for case in found.cases:
        for region, score in case.score.regions.items():
            values = (getattr(score, figure) for figure in FIGURES)
            yield [name, case.case_id, case.patient_id, region.value, *(round(value, 5) for value in values)]


def weights_of(masks: Path) -> list[str]:
    """The hashes of the weights that predicted."""
    return sorted({read_json(path)["model"]["weights_sha256"] for path in masks.glob("*.json")})


def main() -> None:
    """Score, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs=3, action="append", required=True, metavar=("NAME", "MASKS", "DATA"))
    given = [(name, Path(masks), Path(data)) for name, masks, data in parser.parse_args().set]
    found = {name: scores_of(masks, data) for name, masks, data in given}
    content = {
        "commit": commit(),
        "machine": machine(),
        "head": ["Predictions", "Figure", "WT", "TC", "ET"],
        "rows": [row for name, one in found.items() for row in rows_of(name, one)],
        "note": f"The same predictions in every row of a set; lesions by the protocol {PROTOCOL}, 95 % intervals",
        "weights": {name: weights_of(masks) for name, masks, _ in given},
        "scores": [row for name, one in found.items() for row in case_rows(name, one)],
    }
    print(json.dumps(content, indent=None, separators=(",", ":")).replace("],[", "],\n["))


if __name__ == "__main__":
    main()
