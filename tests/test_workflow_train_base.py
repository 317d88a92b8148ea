"""A recipe with a base: that is trained first, with cases divided alike, and once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import studies
import tiny
from gliamap.errors import ConfigError, OutputError
from gliamap.io.checkpoint import read_spec
from gliamap.recipes.recipe import Recipe
from gliamap.sources.splits import read_split
from gliamap.training.progress import StepReport
from gliamap.workflows.common.folds import CrossValidateOptions
from gliamap.workflows.common.run_record import is_finished
from gliamap.workflows.data.patches import make_patch_table
from gliamap.workflows.studies.cross_validate import cross_validate
from gliamap.workflows.studies.fold_work import StudyReport
from gliamap.workflows.training.train import TrainOptions, train
from gliamap.workflows.training.train_base import base_options

STEPS = 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five prepared phantoms: three to train on, one to validate on, one to test on."""
    return tiny.write_store(tmp_path_factory.mktemp("phantoms"), 5)


def base(**changes: Any) -> Recipe:
    """Tumour or not, four steps."""
    return Recipe(output="binary", config=tiny.CONFIG | {"steps": STEPS} | changes)


def options(*, base_changes: dict[str, Any] | None = None, **changes: Any) -> TrainOptions:
    """Four steps of a U-Net of two levels, after four of its base."""
    asked = tiny.options(**({"steps": STEPS, "freeze_encoder_steps": 2} | changes))
    return asked.model_copy(update={"base": base(**(base_changes or {}))})


class Stopper:
    """Notes every report, and stops at step ``at`` of the base, or of what follows it."""

    def __init__(self, *, at: int = 0, base: bool = True) -> None:
        self.told: list[tuple[bool, int]] = []
        self._at = (base, at)

    def __call__(self, report: StepReport) -> None:
        self.told.append((report.base, report.step))
        if self.told[-1] == self._at:
            raise KeyboardInterrupt


BASE, REST = ([(first, step) for step in range(1, STEPS + 1)] for first in (True, False))


@pytest.fixture(scope="module")
def straight(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one go."""
    run = tmp_path_factory.mktemp("straight") / "run"
    noted = Stopper()
    assert train(store, run, options=options(seed=3), observe=noted).spec.output.convention == "brats2021"
    assert noted.told == BASE + REST
    return run


def test_the_base_is_a_run_of_its_own_for_the_same_network_cases_and_seed(straight: Path) -> None:
    first = straight / "base"
    assert is_finished(first) and is_finished(straight)
    assert read_split(first / "split.json") == read_split(straight / "split.json")
    one, two = (read_spec(run / "best") for run in (first, straight))
    assert (one.network.name, one.network.widths) == (two.network.name, two.network.widths) == ("unet", (4, 8))
    assert one.output.channels == ("WT",) and two.output.channels == ("WT", "TC", "ET")
    records = [json.loads((run / "run.json").read_text()) for run in (first, straight)]
    assert [record["settings"]["train"]["seed"] for record in records] == [3, 3]
    assert [record["settings"]["init_from"] for record in records] == [None, one.weights_sha256]
    taken = json.loads((straight / "transfer.json").read_text())["transfer"]
    assert taken["taken"] and all(tensor["name"].startswith("head.") for tensor in taken["adapted"] + taken["new"])


@pytest.mark.parametrize("in_base", [True, False])
def test_interrupted_and_resumed_is_as_in_one_go(store: Path, straight: Path, tmp_path: Path, in_base: bool) -> None:
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(store, run, options=options(seed=3), observe=Stopper(at=2, base=in_base))
    assert (run / "run.json").is_file() != in_base
    noted = Stopper()
    train(store, run, options=options(seed=3), resume=True, observe=noted)
    assert noted.told == (BASE[1:] + REST if in_base else REST[1:])  # what was told of when it stopped is told again
    for part in ("base/last", "last"):
        assert tiny.same(tiny.weights(run / part), tiny.weights(straight / part))


def test_a_finished_run_is_not_trained_again(store: Path, straight: Path) -> None:
    before = {path: path.read_bytes() for path in straight.rglob("*.safetensors")}
    noted = Stopper()
    train(store, straight, options=options(seed=3), resume=True, observe=noted)
    assert noted.told == []
    assert {path: path.read_bytes() for path in straight.rglob("*.safetensors")} == before


def test_the_base_runs_on_the_machine_of_what_follows() -> None:
    asked = options(seed=3, steps=9, workers=0, save_every_minutes=7, micro_batch=1)
    own = Recipe(config={"steps": 5, "micro_batch": 2})
    first = base_options(own, asked)
    assert first.config == {"steps": 5, "seed": 3, "workers": 0, "save_every_minutes": 7, "micro_batch": 2}


def test_a_table_of_slices_makes_the_base_a_network_for_slices(store: Path, tmp_path: Path) -> None:
    table = tmp_path / "patches.parquet"
    make_patch_table(store, table, size=(16, 16, 1), stride=16)
    asked = options(base_changes={"patch": (16, 16, 1)}).model_copy(update={"patches": table})
    asked.config.pop("patch")
    done = train(store, tmp_path / "run", options=asked)
    assert [read_spec(run / "best").network.dims for run in (done.run / "base", done.run)] == [2, 2]


def test_a_run_that_began_without_a_base_does_not_go_on_with_one(store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(store, run, options=options().model_copy(update={"base": None, "config": tiny.CONFIG | {"steps": 1}}))
    with pytest.raises(ConfigError, match="did not begin with a base"):
        train(store, run, options=options(), resume=True)
    assert not (run / "base").exists()


def test_nothing_is_overwritten(store: Path, straight: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"run holds a run already.*--resume"):
        train(store, straight, options=options(seed=3))
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(store, run, options=options(), observe=Stopper(at=2))
    with pytest.raises(OutputError, match=r"run/base holds a run already.*--resume"):
        train(store, run, options=options())
    with pytest.raises(ConfigError, match=r"not the run in .*base.*Found: train.steps 5"):
        train(store, run, options=options(base_changes={"steps": 5}), resume=True)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (options(patch=(17, 16, 16)), "the patch 17x16x16 does not fit"),
        (options(base_changes={"patch": (17, 16, 16)}), "the patch 17x16x16 does not fit"),
        (options(base_changes={"freeze_encoder_steps": 1}), "none are taken over"),
        (options(base_changes={"ratio": "1:1"}), "needs a patch table"),
        (options().model_copy(update={"init_from": Path("other")}), "begins with a base of its own"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_base_is_trained(
    store: Path, tmp_path: Path, asked: TrainOptions, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(store, tmp_path / "run", options=asked)
    assert tiny.files_in(tmp_path) == []


def test_a_cross_validation_trains_the_base_of_every_fold(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = studies.write_data(tmp_path_factory.mktemp("study"))
    recipe = studies.recipe().model_copy(update={"base": base()})
    stub = studies.stubbed(monkeypatch)
    told: list[StudyReport] = []
    whole = stub.train

    def report_of_both(*words: Any, observe: Callable[[StepReport], None], **more: Any) -> None:
        for first in (True, False):
            observe(StepReport(1, 2, 0.5, 1.0, 1e-3, 1.0, base=first))
        whole(*words, **more)

    monkeypatch.setattr("gliamap.workflows.studies.fold_work.train", report_of_both)
    asked = CrossValidateOptions(recipe=recipe, folds=3, seed=7)
    cross_validate(data / "store", data / "scans", out=tmp_path / "study", options=asked, observe=told.append)
    assert [one.base for one in stub.options] == [recipe.base] * 3
    shares = [(report.note, report.done) for report in told if report.step]
    assert shares[:2] == [("repeat 0, fold 0, base", 0.25), ("repeat 0, fold 0", 0.75)]
    (tmp_path / "study" / "repeat0" / "fold0" / "run" / "base").mkdir()
    gathered = cross_validate(
        data / "store", data / "scans", out=tmp_path / "study", options=asked.model_copy(update={"gather": True})
    )
    assert gathered.scores is not None
