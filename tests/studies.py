"""Phantoms to cross-validate on, and a training and a prediction that take no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from gliamap.comparison.nouns import Comparison, RunResult, as_json
from gliamap.io.atomic import write_json
from gliamap.io.cases import read_mask_file, write_mask
from gliamap.io.checkpoint import read_spec
from gliamap.recipes.recipe import Recipe
from gliamap.sources.splits import read_split
from gliamap.training.progress import StepReport
from gliamap.workflows.common.apart import Ended, Told
from gliamap.workflows.data.prepare import prepare
from gliamap.workflows.prediction.segment import Segmented, SegmentOptions
from gliamap.workflows.studies import compare_results, fold_work
from gliamap.workflows.studies.fold_work import FoldTask, StudyReport
from gliamap.workflows.training.tracking import Observer
from gliamap.workflows.training.train import TrainOptions

Run = Callable[..., tuple[int, str, str]]
"""A command with some words: exit code, standard output, standard error."""

CASES = [f"Phantom_{number:05d}" for number in range(1, 7)]
PATIENTS = dict(zip(CASES, ("p", "p", "q", "r", "s", "t"), strict=True))  # p was scanned twice


def recipe(**changes: Any) -> Recipe:
    """A U-Net of two levels, two steps."""
    config = {"steps": 2, "validate_every": 2} | changes
    return Recipe(name="tiny", network="unet", widths=(4, 8), config=tiny.CONFIG | config)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six phantoms of five patients under ``scans``, and their ``store``: ``data = studies.data`` in a test module."""
    return write_data(tmp_path_factory.mktemp("phantoms"))


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

    def name(self, run: Path) -> str:
        """The last folders that a run's lies in."""
        return f"{run.parent.parent.name}/{run.parent.name}"

    def train(
        self, _store: Path, run: Path, *, options: TrainOptions, observe: Observer = lambda _: None, **_: Any
    ) -> None:
        name = self.name(run)
        self.trained.append(name)
        self.options.append(options)
        if name in self.fail:
            raise self.fail[name]
        for part in ("best", "last"):
            tiny.write_model(run / part, bias=(len(self.trained), 0, 0))
        steps = options.config["steps"]
        write_json(run / "run.json", {"settings": {"train": {"steps": steps}}})
        (run / "log.csv").write_text("step,seconds,seconds_validate\n1,9,9\n2,90,30\n")
        observe(StepReport(steps, steps, loss=1.0, seconds=90.0, learning_rate=0.0, gradient_norm=1.0))

    def segment(self, scans: Path, out: Path, *, model: Path, options: SegmentOptions, **_: Any) -> Segmented:
        held_out = read_split(model.parent / "split.json").test
        for case_id in options.cases or ():
            assert case_id in held_out and options.part == "test"
            reference = scans / case_id / f"{case_id}_seg.nii.gz"
            values = read_mask_file(reference)[0].astype(np.uint8)
            good = self.perfect(self.name(model))
            write_mask(out / f"{case_id}.nii.gz", values if good else 0 * values, reference)
            about = {"model": {"weights_sha256": read_spec(model / "best").weights_sha256}, "seconds": 2.0}
            write_json(out / f"{case_id}.json", about | {"mask": f"{case_id}.nii.gz", "label_convention": "brats2021"})
            self.predicted.append(case_id)
        return Segmented([], {})


def stubbed(monkeypatch: pytest.MonkeyPatch, found: Stub | None = None) -> Stub:
    """A stub that is called in place of training and prediction."""
    found = found or Stub()
    monkeypatch.setattr(fold_work, "train", found.train)
    monkeypatch.setattr(fold_work, "segment", found.segment)
    return found


class ArmStub(Stub):
    """For comparisons: runs are named by arm, seed and fold, and are done in this process."""

    def name(self, run: Path) -> str:
        return "/".join(run.parts[-4:-1])


def compared_here(monkeypatch: pytest.MonkeyPatch) -> ArmStub:
    """A stub for a comparison, whose trainings take no process of their own and whose figures are not drawn."""
    found = ArmStub()
    stubbed(monkeypatch, found)

    def here(
        work: Callable[..., str], items: Sequence[FoldTask], *, at_once: int
    ) -> Iterator[Told[StudyReport] | Ended[str]]:
        assert at_once > 0
        for number, item in enumerate(items):
            told: list[StudyReport] = []
            why = work(item, told.append)
            yield from (Told(number, report) for report in told)
            yield Ended(number, why)

    def plainly(out: Path, comparison: Comparison, *, runs: Sequence[RunResult]) -> None:
        assert sum(not run.tested_on for run in runs) == sum(arm.runs_wanted for arm in comparison.arms)
        write_json(out / "comparison.json", as_json(comparison))

    monkeypatch.setattr(fold_work, "each_apart", here)
    monkeypatch.setattr(compare_results, "write_comparison", plainly)
    return found
