"""Phantoms to cross-validate on, and a training and a prediction that take no time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from gliamap.io.atomic import write_json
from gliamap.io.cases import read_mask_file, write_mask
from gliamap.io.checkpoint import read_spec
from gliamap.recipes.recipe import Recipe
from gliamap.sources.splits import read_split
from gliamap.workflows import fold_work
from gliamap.workflows.prepare import prepare
from gliamap.workflows.segment import Segmented, SegmentOptions
from gliamap.workflows.train import TrainOptions

CASES = [f"Phantom_{number:05d}" for number in range(1, 7)]
PATIENTS = dict(zip(CASES, ("p", "p", "q", "r", "s", "t"), strict=True))  # p was scanned twice


def recipe(**changes: Any) -> Recipe:
    """A U-Net of two levels, two steps."""
    config = {"steps": 2, "validate_every": 2} | changes
    return Recipe(name="tiny", network="unet", widths=(4, 8), config=tiny.CONFIG | config)


def write_data(root: Path) -> Path:
    """Six phantoms of five patients under ``root/scans``, and their ``root/store``; returns ``root``."""
    tiny.write_set(root / "scans", 6)
    rows = [f"{case_id},{patient}\n" for case_id, patient in PATIENTS.items()]
    (root / "scans" / "manifest.csv").write_text("case,patient\n" + "".join(rows))
    prepare([root / "scans"], root / "store")
    return root


class Stub:
    """In place of training and prediction: ``predict`` says what becomes of a reference, by repeat and fold."""

    def __init__(self) -> None:
        self.trained: list[str] = []
        self.predicted: list[str] = []
        self.options: list[TrainOptions] = []
        self.perfect: Callable[[str], bool] = lambda _: True
        self.fail: dict[str, Exception] = {}

    def train(self, _store: Path, run: Path, *, options: TrainOptions, **_: Any) -> None:
        name = f"{run.parent.parent.name}/{run.parent.name}"
        self.trained.append(name)
        self.options.append(options)
        if name in self.fail:
            raise self.fail[name]
        for part in ("best", "last"):
            tiny.write_model(run / part, bias=(len(self.trained), 0, 0))
        write_json(run / "run.json", {})

    def segment(self, scans: Path, out: Path, *, model: Path, options: SegmentOptions, **_: Any) -> Segmented:
        held_out = read_split(model.parent / "split.json").test
        for case_id in options.cases or ():
            assert case_id in held_out and options.part == "test"
            reference = scans / case_id / f"{case_id}_seg.nii.gz"
            values = read_mask_file(reference)[0].astype(np.uint8)
            good = self.perfect(f"{model.parent.parent.name}/{model.parent.name}")
            write_mask(out / f"{case_id}.nii.gz", values if good else 0 * values, reference)
            about = {"model": {"weights_sha256": read_spec(model / "best").weights_sha256}}
            write_json(out / f"{case_id}.json", about | {"mask": f"{case_id}.nii.gz", "label_convention": "brats2021"})
            self.predicted.append(case_id)
        return Segmented([], {})


def stubbed(monkeypatch: pytest.MonkeyPatch) -> Stub:
    """A stub that is called in place of training and prediction."""
    found = Stub()
    monkeypatch.setattr(fold_work, "train", found.train)
    monkeypatch.setattr(fold_work, "segment", found.segment)
    return found
