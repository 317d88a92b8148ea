"""The end of making a model: the closed fold is opened once, the model is trained on everything, and packed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch
from safetensors.torch import load_file

from gliamap.config import CleanUpConfig, ModelSpec
from gliamap.errors import ConfigError, OutputError
from gliamap.io.atomic import read_json, write_json
from gliamap.io.checkpoint import file_sha256, read_spec, write_spec
from gliamap.io.tensors import write_tensors
from gliamap.sources.splits import SplitOptions
from gliamap.training.progress import StepReport
from gliamap.workflows.common.folds import Fold, divide, settle_splits
from gliamap.workflows.common.run_record import commit
from gliamap.workflows.common.unchanged import deciding
from gliamap.workflows.prediction.segment_settings import SegmentOptions
from gliamap.workflows.studies.calibrate import calibrate
from gliamap.workflows.studies.fold_work import FoldTask, StudyReport, train_fold
from gliamap.workflows.training.train import TrainOptions, train
from model_making import Making, Row, key_of, say, state_of, tell_cases, tell_study
from model_stages import facts_of, score

LARGEST = 16_000_000
"""Bytes that shipped weights may have."""

WEIGHTS = "weights.safetensors"


def may_open(making: Making, known: Row | None) -> None:
    """``ConfigError`` where there is no closed fold, or it was opened for another recipe: that score chose this one.

    ``known`` is what :func:`opened` says.
    """
    if making.plan.closed_fold is None:
        raise ConfigError(f"{making.plan.name} has no closed fold", remedy="leave --open-closed-fold out")
    if known and known["recipe"] != deciding(making.recipe):
        raise ConfigError(
            f"the closed fold {making.plan.closed_fold} was opened on {known['at']} for another recipe",
            remedy="a fold is opened once: keep that recipe, or leave the fold as it is",
        )


def opened(making: Making, results: Path) -> Row | None:
    """When and for which recipe the closed fold was opened, by the folder's record or the committed results."""
    own = making.folder / "opened.json"
    if own.is_file():
        known: Row = read_json(own)
        return known
    return read_json(results)["evaluation"].get("opened") if results.is_file() else None


def closed_fold(making: Making, size: float, known: Row | None) -> Row:
    """Train on all open folds, test on the closed one, which :func:`may_open` allows: its scores.

    ``known`` is what :func:`opened` said before; from now on it says that the fold is open.
    """
    number = making.plan.closed_fold
    assert number is not None  # may_open refuses that
    split = divide(making.info, SplitOptions()).splits[number]
    folder = making.folder / "closed"
    fold = Fold(f"closed fold {number}", folder, folder / "masks", number, 0, split)
    settle_splits([fold])
    record = known or {
        "recipe": deciding(making.recipe), "at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(),
    }  # fmt: skip
    write_json(making.folder / "opened.json", record)
    train_fold(FoldTask(fold, making.store, making.scans, making.recipe, SplitOptions()), tell_study())
    settle(making, fold.run, size)
    state = state_of((fold,))

    def work() -> Row:
        there = making.predict((fold,), folder / key_of(state), SegmentOptions())
        return facts_of(making, score(making, there))

    return making.once("closed-fold", state, work)


def settle(making: Making, run: Path, size: float) -> None:
    """Write what cross-validation found into the model of a run: window mode, temperature, predicted Dice, clean-up."""
    say(f"{run.name}: the model gets what cross-validation found")
    calibrate(making.study, making.scans, model=run, progress=tell_cases("calibrate"))
    best = run / "best"
    write_spec(best, read_spec(best).model_copy(update={"clean_up": CleanUpConfig(min_size=size)}))


def trained_on_everything(making: Making, size: float, *, closed_too: bool) -> Path:
    """The run of the model to be shipped: trained on every case, those of the closed fold where ``closed_too``.

    Nothing is left to validate on, so its weights are the averaged ones of the last step.
    """
    run = making.folder / ("final" if closed_too or not making.plan.closed else "final-without-closed")
    split = SplitOptions(test_share=0, val_share=0, closed_folds=() if closed_too else making.options.closed_folds)
    config = making.recipe.config | {"seed": 0}
    options = TrainOptions.model_validate(making.recipe.model_dump() | {"config": config, "split": split})
    train(making.store, run, options=options, resume=True, observe=_tell_steps(tell_study(), run.name))
    settle(making, run, size)
    return run


def _tell_steps(tell: Callable[[StudyReport], None], name: str) -> Callable[[StepReport], None]:
    def observe(step: StepReport) -> None:
        tell(StudyReport("train", name, step.step / step.steps, 1, step))

    return observe


def pack(model: Path, out: Path, spec: ModelSpec) -> ModelSpec:
    """Write the weights of the checkpoint ``model`` in half precision into ``out``, and ``spec``, which names them.

    ``OutputError`` where they are larger than ``LARGEST``.
    """
    halved = {
        name: tensor.half() if tensor.dtype == torch.float32 else tensor
        for name, tensor in load_file(model / read_spec(model).weights_file).items()
    }
    write_tensors(out / WEIGHTS, halved, {})
    size = (out / WEIGHTS).stat().st_size
    if size > LARGEST:
        raise OutputError(
            f"the weights of {spec.name} are too large to ship",
            found=f"{size / 1e6:.1f} MB in half precision",
            expected=f"at most {LARGEST / 1e6:.0f} MB",
            remedy="take smaller widths in the recipe",
        )
    sealed = spec.model_copy(update={"weights_file": WEIGHTS, "weights_sha256": file_sha256(out / WEIGHTS)})
    write_spec(out, sealed)
    return sealed
