"""The bench of nnU-Net on slices, as far as it goes without nnU-Net: its data, its time, its figures, the tables."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import tables
from gliamap.errors import ConfigError
from gliamap.sources.splits import Split, write_split
from gliamap.workflows.common.folds import Fold

BENCH = Path(__file__).resolve().parent.parent / "bench"

TRUTH = np.array([[0, 1, 1, 0], [0, 2, 3, 0], [0, 2, 3, 0], [0, 0, 0, 0]], np.uint8)
"""MSD labels: 1 edema, 2 necrotic or non-enhancing core, 3 enhancing tumour."""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    import nnunet_slices  # noqa: PLC0415

    return nnunet_slices


@pytest.fixture
def process(bench: ModuleType) -> ModuleType:
    import nnunet_slices_run  # noqa: PLC0415

    return nnunet_slices_run


def write_slices(folder: Path) -> None:
    """Two patients of two slices each in the layout of the course set; what is outside the brain is zero."""
    for kind in ("images", "labels"):
        (folder / f"training_{kind}").mkdir(parents=True)
    for number, case_id in enumerate(("BRATS_001_z46", "BRATS_001_z62", "BRATS_002_z46", "BRATS_002_z62")):
        Image.fromarray(TRUTH * 20 + 50 + number).save(folder / "training_images" / f"{case_id}.png")
        Image.fromarray(TRUTH).save(folder / "training_labels" / f"{case_id}.png")


def fold_of(folder: Path) -> Fold:
    """Trains on one slice of the first patient, validates on the other; tests one of the second, leaves one out."""
    split = Split(train=("BRATS_001_z46",), val=("BRATS_001_z62",), test=("BRATS_002_z46",), seed=0)
    folder.mkdir(parents=True)
    write_split(folder / "split.json", split)
    return Fold("fold 2", folder, folder.parent / "masks", 2, 0, split)


class TestSchedule:
    def test_epochs_are_those_of_nnunet_where_time_allows(self, process: ModuleType) -> None:
        long = process.schedule_for(275 * 1000, (1.0, 0.5))  # 250 iterations and 50 of validation: 275 s an epoch
        assert (long.epochs, long.iterations, long.validation) == (1000, 250, 50)
        assert process.schedule_for(275 * 2000, (1.0, 0.5)).epochs == 1000
        assert process.schedule_for(275 * 60, (1.0, 0.5)).epochs == 60

    def test_in_an_hour_there_are_more_and_shorter_epochs(self, process: ModuleType) -> None:
        short = process.schedule_for(3600, (5.0, 1.0))  # 692 iterations, 13 in each of 50 epochs; 68 s an epoch
        assert (short.epochs, short.iterations, short.validation) == (52, 13, 3)
        assert short.expected_seconds == 52 * (13 * 5 + 3 * 1)

    def test_there_is_one_iteration_at_least(self, process: ModuleType) -> None:
        assert process.schedule_for(1, (10.0, 1.0)).epochs == 1

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(seconds=st.floats(1, 1e6), train=st.floats(0.001, 100), share=st.floats(0.05, 1))
    def test_it_ends_in_time_and_one_epoch_more_would_not(
        self, process: ModuleType, seconds: float, train: float, share: float
    ) -> None:
        found = process.schedule_for(seconds, (train, share * train))
        epoch = found.expected_seconds / found.epochs
        assert found.epochs == 1 or found.expected_seconds <= seconds * (1 + 1e-9)
        assert found.epochs == 1000 or found.expected_seconds + epoch > seconds * (1 - 1e-9)
        assert found.iterations <= 250


def test_nnunet_gets_the_folds_own_cases_and_labels_as_classes(bench: ModuleType, tmp_path: Path) -> None:
    write_slices(tmp_path / "data")
    place = bench.Place(tmp_path / "data", tmp_path / "python", tmp_path / "work")
    fold = fold_of(tmp_path / "study" / "fold2")
    assert bench.export_fold(fold, place) == "Dataset502_slices"
    root = tmp_path / "work" / "raw" / "Dataset502_slices"
    names = {kind: sorted(path.name for path in (root / kind).iterdir()) for kind in ("imagesTr", "imagesTs")}
    assert names["imagesTr"] == ["BRATS_001_z46_0000.png", "BRATS_001_z62_0000.png"]
    assert names["imagesTs"] == ["BRATS_002_z46_0000.png"]
    splits = json.loads((root / "splits_final.json").read_text())
    assert splits == [{"train": ["BRATS_001_z46"], "val": ["BRATS_001_z62"]}]
    assert np.array_equal(np.asarray(Image.open(root / "labelsTr" / "BRATS_001_z46.png")), TRUTH)
    said = json.loads((root / "dataset.json").read_text())
    assert said["labels"] == {"background": 0, "ED": 1, "NCR": 2, "ET": 3} and "regions_class_order" not in said


def test_a_study_that_is_not_finished_is_refused(bench: ModuleType, tmp_path: Path) -> None:
    fold_of(tmp_path / "repeat0" / "fold2")
    with pytest.raises(ConfigError, match="fold 2: not trained"):
        bench.folds_of(tmp_path, [])
    with pytest.raises(ConfigError, match="no folds"):
        bench.folds_of(tmp_path / "repeat0", [])


def test_our_curve_is_read_from_the_log(bench: ModuleType, tmp_path: Path) -> None:
    write_run(tmp_path)
    found = bench.our_training(tmp_path)
    assert (found["minutes"], found["iterations"], found["batch"]) == (3, 30, 16)
    assert found["curve"]["minutes"] == [1, 2, 3] and found["curve"]["loss"] == [0.9, 0.7, 0.5]
    assert found["curve"]["validated"] == [2] and found["curve"]["dice"] == {"WT": [0.4], "ET": [0.3]}


def write_run(folder: Path) -> None:
    """A run of 30 steps, interrupted after step 20 and resumed at 10; what fold it belongs to is not asked."""
    rows = ["step,seconds,loss,dice_WT,dice_ET", "10,60,0.9,,", "20,100,0.8,,", "20,120,0.7,0.4,0.3", "30,180,0.5,,"]
    (folder / "log.csv").write_text("\n".join(rows))
    train = {"batch": 16, "patch": [96, 112, 1], "precision": "bf16", "seed": 0}
    record: dict[str, Any] = {"settings": {"train": train, "network": {"widths": [16, 32]}}, "recipe": "tiny"}
    record |= {"commit": "c" * 12, "data": {"fingerprint": "d1"}, "machine": {"threads": 1}}
    (folder / "run.json").write_text(json.dumps(record))


REPORT: dict[str, Any] = {
    "versions": {"nnunetv2": "2.8.1"},
    "plan": {"patch": [80, 80], "batch": 43, "widths": [32, 512]},
    "classes": ["ED", "NCR", "ET"],
    "schedule": {"seconds": 130, "epochs": 2, "iterations": 50, "validation": 10, "pace": [1, 1]},
    "epoch_seconds": [60.0, 66.0],
    "loss": [1.5, 1.0],
    "dice": [[0.1, None, 0.3], [0.2, 0.4, 0.6]],
}


def test_nnunets_epochs_are_counted_in_its_own(bench: ModuleType) -> None:
    found = bench.their_training(REPORT)
    assert (found["iterations"], found["full_epochs"], found["minutes"]) == (100, 0.4, 2.1)
    assert found["curve"]["validated"] == [1.0, 2.1]
    assert found["curve"]["dice"] == {"ED": [0.1, 0.2], "NCR": [None, 0.4], "ET": [0.3, 0.6]}


def test_long_curves_are_thinned_to_means_of_neighbours(bench: ModuleType) -> None:
    across, up = bench.thinned([(float(x), 2.0 * x) for x in range(250)])
    assert len(across) == 84 and across[:2] == [1, 4] and up[:2] == [2, 8]
    assert across[-1] == 249  # one point is left over


def test_figures_of_all_systems_stand_in_a_picture_and_in_tables(bench: ModuleType, tmp_path: Path) -> None:
    """nnU-Net finds all, gliamap with flips misses the enhancing tumour, gliamap without finds nothing."""
    write_slices(tmp_path / "data")
    fold = fold_of(tmp_path / "study" / "fold2")
    fold.run.mkdir()
    write_run(fold.run)
    place = bench.Place(tmp_path / "data", tmp_path / "python", tmp_path / "work")
    no_et = np.where(TRUTH == 3, 2, TRUTH).astype(np.uint8)
    said = {bench.OURS + bench.FLIPS: no_et, bench.THEIRS: TRUTH, bench.THEIRS + bench.FLIPS: TRUTH}
    for folder, mask in [(fold.masks, 0 * TRUTH), *((place.masks(title), mask) for title, mask in said.items())]:
        folder.mkdir(parents=True)
        Image.fromarray(mask).save(folder / "BRATS_002_z46.png")
    trainings = {bench.OURS: bench.our_training(fold.run), bench.THEIRS: bench.their_training(REPORT)}
    text = bench.result_of([fold], [{"fold": 2, **trainings}], place)
    result = json.loads(text)
    assert result["by_case"][0]["dice"]["gliamap, flips"] == {"WT": 1, "TC": 1, "ET": 0}
    assert str(tmp_path) not in text
    table = tables.KINDS["nnunet"]([("x", result), ("y", None)])
    assert "| gliamap | 0.000 | 0.000 | 0.000 | -1.000 | -1.000 | -1.000 |" in table
    assert "| gliamap, flips | 1.000 | 1.000 | 0.000 | +0.000 | +0.000 | -1.000 |" in table
    assert "| nnU-Net, flips | 1.000 | 1.000 | 1.000 | - | - | - |" in table
    assert "| 2 | nnU-Net | 2.1 | 100 | 43 | 80x80 | 32 to 512 | fp32 | 0.4 of 1000 |" in table
    assert "| y | not run |" in table
    bench.draw_curves(result["folds"], tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width == 1920
