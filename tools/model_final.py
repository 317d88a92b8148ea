"""The end of making a model: it is trained on all open folds, tested on the closed one, once, and packed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch
from safetensors.torch import load_file

from gliamap.config import CleanUpConfig, ModelSpec
from gliamap.errors import ConfigError, OutputError
from gliamap.io.atomic import read_json, write_json
from gliamap.io.checkpoint import file_sha256, read_spec, write_spec
from gliamap.io.tensors import named_tensors, write_tensors
from gliamap.nets.zoo import build_network
from gliamap.sources.detect import scan
from gliamap.sources.same_patient import met_elsewhere
from gliamap.sources.splits import SplitOptions, make_split, without
from gliamap.sources.strata import sizes_in_store
from gliamap.workflows.common.folds import Fold, settle_splits
from gliamap.workflows.common.run_record import commit
from gliamap.workflows.common.unchanged import changes, deciding
from gliamap.workflows.prediction.segment import segment
from gliamap.workflows.prediction.segment_settings import SegmentOptions
from gliamap.workflows.scores.evaluate import evaluate
from gliamap.workflows.studies.calibrate import calibrate
from gliamap.workflows.studies.fold_work import FoldTask, train_fold
from gliamap.workflows.training.train_settings import TrainOptions, full_settings
from model_facts import enhancing_rule
from model_making import Making, Row, key_of, say, state_of, tell_cases, tell_study
from model_plan import joined
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
    if known and changes(known["recipe"], deciding(making.recipe)):
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


def final_fold(making: Making) -> Fold:
    """The training of the model to be shipped: on every case but those of the closed fold, which it holds out.

    Other cases of the patients of ``strangers`` are left out.
    """
    number, info, folder = making.plan.closed_fold, making.info, making.folder / "final"
    how = SplitOptions(val_share=0, test_share=0, test_fold=number, patients_known=info.patients_known)
    identities = [entry.identity for entry in info.cases]
    split = make_split(identities, how, sizes_in_store(info))
    for place in making.plan.strangers:
        there = [case.identity for case in scan(making.data / place).cases]
        split = without(split, met_elsewhere(identities, there), f"same patient as a case of {place}")
    return Fold("final", folder, folder / "masks", number or 0, 0, split)


def trained(making: Making, size: float) -> Fold:
    """The final training, done, and its model given what cross-validation found: window mode, temperature, clean-up.

    Nothing is left to validate on, so its weights are the averaged ones of the last step.
    """
    fold = final_fold(making)
    settle_splits([fold])
    how = SplitOptions(val_share=0)
    task = FoldTask(fold, making.store, making.scans, making.recipe, how, auxiliary=making.auxiliary)
    train_fold(task, tell_study())
    say("final: the model gets what cross-validation found")
    calibrate(making.study, making.scans, model=fold.run, progress=tell_cases("calibrate"))
    best = fold.run / "best"
    write_spec(best, read_spec(best).model_copy(update={"clean_up": CleanUpConfig(min_size=size)}))
    return fold


def elsewhere(making: Making, fold: Fold) -> Row:
    """Scores of the model to be shipped on the ``strangers``, whose patients it does not know; empty without any."""
    if not making.plan.strangers:
        return {}
    state, folder = state_of((fold,)), making.folder / "elsewhere"

    def work() -> Row:
        scans, masks = joined(making.data, making.plan.strangers, folder), folder / key_of(state)
        options = SegmentOptions(pictures=False, resume=True)
        segment(scans, masks, model=fold.run, options=options, progress=tell_cases("elsewhere"))
        found = evaluate(masks, scans)
        dice = {region: asdict(of.figures["dice"]) for region, of in found.summary.regions.items()}
        about = {"sets": list(making.plan.strangers), "modalities": list(making.info.prep.modalities)}
        return about | {"dice": dice, "enhancing_rule": enhancing_rule(found.cases)}

    return making.once("elsewhere", state, work)


def closed_fold(making: Making, fold: Fold, known: Row | None) -> Row:
    """Test the model to be shipped on the closed fold, which :func:`may_open` allows: its scores.

    ``known`` is what :func:`opened` said before; from now on it says that the fold is open.
    """
    record = known or {
        "recipe": deciding(making.recipe), "at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(),
    }  # fmt: skip
    write_json(making.folder / "opened.json", record)
    state = state_of((fold,))

    def work() -> Row:
        there = making.predict((fold,), fold.folder / key_of(state), SegmentOptions())
        return facts_of(making, score(making, there))

    return making.once("closed-fold", state, work)


def pack(model: Path, out: Path, spec: ModelSpec) -> ModelSpec:
    """Write the weights of the checkpoint ``model`` in half precision into ``out``, and ``spec``, which names them.

    ``OutputError`` where they are larger than ``LARGEST``.
    """
    halved = {
        name: tensor.half() if tensor.dtype == torch.float32 else tensor
        for name, tensor in load_file(model / read_spec(model).weights_file).items()
    }
    write_tensors(out / WEIGHTS, halved, {})
    _check_size(spec.name, (out / WEIGHTS).stat().st_size)
    sealed = spec.model_copy(update={"weights_file": WEIGHTS, "weights_sha256": file_sha256(out / WEIGHTS)})
    write_spec(out, sealed)
    return sealed


def check_widths(making: Making) -> None:
    """``OutputError`` where the weights of the recipe's network would be too large: before they are trained."""
    options = TrainOptions.model_validate(making.recipe.model_dump())
    spec, _ = full_settings(making.info, options, making.plan.name)
    with torch.device("meta"):
        network = build_network(spec.network)
    _check_size(spec.name, 2 * sum(tensor.numel() for tensor in named_tensors(network).values()))


def _check_size(name: str, size: int) -> None:
    if size > LARGEST:
        raise OutputError(
            f"the weights of {name} are too large to ship",
            found=f"{size / 1e6:.1f} MB in half precision",
            expected=f"at most {LARGEST / 1e6:.0f} MB",
            remedy="take smaller widths in the recipe",
        )
