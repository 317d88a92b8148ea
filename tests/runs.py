"""What gliamap segment and gliamap evaluate leave, written by hand: no model runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gliamap.case import Case
from gliamap.io.cases import write_mask
from gliamap.labels import Region, from_tissue, get_convention, region_mask
from gliamap.report.figures import draw_mosaic


def numbers(case_id: str, *, whole: float = 30.0, dice: float = 0.9, codes: Sequence[str] = ()) -> dict[str, Any]:
    """The content of a ``CASE.json``: core and enhancing tumour are a half and a quarter of the ``whole``."""
    return {
        "case_id": case_id,
        "unit": "mL",
        "regions": {"WT": whole, "TC": whole / 2, "ET": whole / 4},
        "label_convention": "brats2021",
        "mask": f"{case_id}.nii.gz",
        "warnings": [{"code": code, "text": f"{code.replace('-', ' ')}: so it is"} for code in codes],
        "predicted_dice": {
            region: {"estimate": dice, "low": dice - 0.1, "high": min(1, dice + 0.05)} for region in ("WT", "TC", "ET")
        },
    }


def write_run(folder: Path, cases: Sequence[Mapping[str, Any]], failed: Mapping[str, str] | None = None) -> Path:
    """A run's folder with the numbers of ``cases``, no masks and no pictures; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in cases:
        (folder / f"{one['case_id']}.json").write_text(json.dumps(one))
    manifest = {
        "format": 1,
        "models": [{"name": "tiny", "weights_sha256": "0" * 64}],
        "engine": {"name": "openvino", "precision": "bf16", "version": "2025.3"},
        "versions": {"gliamap": "0.1.0"},
        "cases": {one["case_id"]: {} for one in cases},
        "failed": dict(failed or {}),
    }
    (folder / "segment.json").write_text(json.dumps(manifest))
    return folder


def write_segmented(folder: Path, one: Case, scan: Path, **said: Any) -> dict[str, Any]:
    """Mask and picture of ``one``, as if its own labels had been predicted on the grid of ``scan``; its numbers."""
    assert one.labels is not None
    write_mask(folder / f"{one.case_id}.nii.gz", from_tissue(one.labels, get_convention("brats2021")), scan)
    draw_mosaic(one, one.labels, folder / f"{one.case_id}_mosaic.png")
    sizes = {str(r): float(np.count_nonzero(region_mask(one.labels, r))) * one.grid.voxel_size for r in Region}
    return numbers(one.case_id, **said) | {"regions": sizes}


def write_scores(folder: Path, dice: Mapping[str, float], missing: Sequence[str] = ()) -> Path:
    """An evaluation's folder in which every region of a case has the same Dice, and HD95 is 100 (1 - Dice)."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = [
        {
            "case_id": case_id,
            "patient_id": f"patient of {case_id}",
            "missing": case_id in missing,
            "regions": {region: {"dice": value, "hd95": 100 * (1 - value)} for region in ("WT", "TC", "ET")},
        }
        for case_id, value in dice.items()
    ]
    said = {"format": 1, "references": "truth", "protocol": "legacy", "cases": cases}
    (folder / "scores.json").write_text(json.dumps(said))
    return folder
