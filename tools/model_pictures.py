"""The pictures of a card: are probabilities what they say, is the predicted Dice, and, where it may be shown, what
failed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from gliamap.io.cases import read_case
from gliamap.labels import Region, get_convention
from gliamap.metrics.calibration import Reliability
from gliamap.report.evaluation_reliability import draw_reliability
from gliamap.report.figures import MosaicOptions, draw_mosaic
from gliamap.scoring.pairs import find_predictions, pairs_of, read_prediction
from gliamap.sources.masks import scan_with_masks
from gliamap.workflows.studies.calibrate import FOLDER
from gliamap.workflows.studies.calibrate_files import FIGURE
from model_making import Making, Row

SHOWN = "BraTS2021_"
"""How the ids of cases begin that may be shown."""


def draw_pictures(making: Making, evaluation: Row, masks: Path, out: Path) -> dict[str, str]:
    """Write ``model-NAME-reliability.png``, ``-predicted-dice.png`` and, where they may be shown, ``-worst-N.png``.

    ``evaluation`` is a study as JSON, ``masks`` the held-out predictions of its first repeat. Returns what
    each shows, by its name.
    """
    stem, drawn = f"model-{making.plan.name}", dict[str, str]()
    regions = evaluation["summary"]["regions"]
    found = {Region(r): Reliability(**of["reliability"]) for r, of in regions.items() if of["reliability"]}
    if found:
        (out / f"{stem}-reliability.png").write_bytes(draw_reliability(found))
        drawn[f"{stem}-reliability.png"] = (
            "Share of the voxels inside the tumour, by the probability said; one temperature was fitted on these cases"
        )
    shutil.copyfile(making.study / FOLDER / FIGURE, out / f"{stem}-predicted-dice.png")
    drawn[f"{stem}-predicted-dice.png"] = "Predicted against true Dice"
    for number, row in enumerate(evaluation["worst"] if making.plan.pictures else (), 1):
        if row["case_id"].startswith(SHOWN):
            name = f"{stem}-worst-{number}.png"
            draw_failure(making, row["case_id"], masks, out / name)
            drawn[name] = f"{row['case_id']}, prediction and reference; CC BY 4.0, Baid et al. 2021"
    return drawn


def draw_failure(making: Making, case_id: str, masks: Path, out: Path) -> None:
    """The mosaic of a held-out case with prediction and reference."""
    data = scan_with_masks(making.scans)
    convention = making.conventions[case_id]
    case = read_case(next(files for files in data.cases if files.case_id == case_id), convention=convention)
    pairs, _ = find_predictions([pair for pair in pairs_of(data)[0] if pair.case_id == case_id], masks, None)
    assert pairs[0].prediction is not None
    labels, _ = read_prediction(pairs[0], pairs[0].prediction, case.grid, get_convention(convention))
    options = MosaicOptions(convention=convention, notice="held-out case")
    draw_mosaic(case, labels, out, reference=case.labels, options=options)
