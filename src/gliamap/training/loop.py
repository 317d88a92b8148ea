"""The training loop, whole and visible."""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gliamap.config import ModelSpec, TrainConfig
from gliamap.errors import ConfigError, TrainingError
from gliamap.infer.engine import Precision, TorchEngine
from gliamap.io.checkpoint import read_spec, save_checkpoint
from gliamap.io.store import StoreEntry, read_case, read_store
from gliamap.labels import Region, decode_regions, get_convention
from gliamap.losses import deeply_supervised
from gliamap.nets.zoo import build_network, heads, size_divisor
from gliamap.sampling.dataset import Batch, PatchDataset, batches
from gliamap.training.optim import learning_rate, make_optimiser, update_average
from gliamap.training.state import Progress, load_state, save_state
from gliamap.training.track import CsvLog
from gliamap.training.validate import validate

LOG_EVERY = 10
STATE = "state.safetensors"


@dataclass(frozen=True)
class Job:
    """One training: the store, the cases to learn from and to validate on, the settings, the folder of the run."""

    store: Path
    train_ids: tuple[str, ...]
    val_ids: tuple[str, ...]
    config: TrainConfig
    spec: ModelSpec
    run: Path


@dataclass(frozen=True)
class StepReport:
    """What an observer is told after each step; ``dice`` is filled where the step was followed by a validation."""

    step: int
    steps: int
    loss: float
    seconds: float
    dice: Mapping[Region, float] | None


def train(job: Job, *, resume: bool = False, observe: Callable[[StepReport], None] | None = None) -> ModelSpec:
    """Train to the last step and return the spec of the best checkpoint.

    The run folder gets ``log.csv``, ``best/`` (highest mean validation Dice of the averaged weights), ``last/`` and
    ``state.safetensors``. An interruption (Ctrl-C) saves the state first; ``resume`` goes on from the last state
    saved, or from the start where there is none. On a CPU, with the same number of threads on the same machine, the
    result is that of an uninterrupted run.
    """
    config, spec = job.config, job.spec
    check_job(job)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(config.seed)
    model = build_network(spec.network).to(device)
    average = copy.deepcopy(model).requires_grad_(False)
    optimiser = make_optimiser(model, config)
    state_path = job.run / STATE
    progress = Progress()
    if resume and state_path.is_file():
        progress = load_state(state_path, model, average, optimiser)
    log = CsvLog(job.run / "log.csv", spec.output.regions, keep_until=progress.step - progress.pending)
    entries = {entry.case_id: entry for entry in read_store(job.store).cases}
    dataset = PatchDataset(job.store, [entries[i] for i in job.train_ids], config, spec.output)
    held_out = [entries[i] for i in job.val_ids]
    upcoming = batches(dataset, config, first_step=progress.step, dims=spec.network.dims)

    started = time.monotonic() - progress.seconds
    saved_at = time.monotonic()
    try:
        while progress.pending or progress.step < config.steps:
            if not progress.pending:  # else the run stopped between a step and its validation
                _learn(model, average, optimiser, next(upcoming), job, progress)
                progress.seconds = time.monotonic() - started
            last = progress.step == config.steps
            dice = None
            if last or progress.step % config.validate_every == 0:
                dice = _validate_and_keep(job, held_out, average, progress)
            if dice is not None or progress.step % LOG_EVERY == 0:
                log.add(_row(progress, config, dice or {}))
            progress.pending = False
            if last or time.monotonic() - saved_at > 60 * config.save_every_minutes:
                save_state(state_path, model, average, optimiser, progress)
                saved_at = time.monotonic()
            if observe:
                observe(StepReport(progress.step, config.steps, progress.loss, progress.seconds, dice))
    except KeyboardInterrupt:
        save_state(state_path, model, average, optimiser, progress)
        raise
    save_checkpoint(job.run / "last", average, spec)
    return read_spec(job.run / "best")


def _learn(
    model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer, batch: Batch, job: Job, progress: Progress
) -> None:
    """One optimiser step. A loss or gradient that is not finite is a ``TrainingError`` and changes no weight."""
    config, spec = job.config, job.spec
    device = next(model.parameters()).device
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(progress.step, config)
    model.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        levels = heads(model(batch.image.to(device)), spec.network)
    loss = deeply_supervised(levels, batch.target.to(device), spec.output.kind)
    value = float(loss.detach())
    _check_finite("loss", value, progress)
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    _check_finite("gradient", float(nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)), progress)
    with _unbroken():
        optimiser.step()
        update_average(average, model, progress.step, config.ema_decay)
        progress.step += 1
        progress.loss, progress.pending = value, True


def _check_finite(what: str, value: float, progress: Progress) -> None:
    if not math.isfinite(value):
        raise TrainingError(
            f"the {what} became {value} at step {progress.step + 1}",
            remedy="start a new run with a lower --learning-rate, or with --precision fp32; best/ of this one is sound",
        )


@contextmanager
def _unbroken() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done: weights, their average and the step count must agree when saved."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    asked: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if asked:
        raise KeyboardInterrupt


def _row(progress: Progress, config: TrainConfig, dice: Mapping[Region, float]) -> dict[str, float]:
    """What ``log.csv`` says of the step just done."""
    rate = learning_rate(progress.step - 1, config)
    row = {"step": progress.step, "seconds": progress.seconds, "loss": progress.loss, "learning_rate": rate}
    return row | {f"dice_{region}": score for region, score in dice.items()}


def _validate_and_keep(
    job: Job, held_out: Sequence[StoreEntry], average: nn.Module, progress: Progress
) -> dict[Region, float]:
    """Validate the averaged weights; keep them as ``best/`` where no earlier ones scored higher."""
    if not held_out:  # nothing tells which is best: the latest
        save_checkpoint(job.run / "best", average, job.spec)
        return {}
    precision: Precision = job.config.precision
    dice = validate(job.store, held_out, TorchEngine(average, job.spec, precision), job.spec)
    mean = sum(dice.values()) / len(dice)
    if mean > progress.best_dice:
        metrics = {f"validation_dice_{region}": score for region, score in dice.items()} | {"step": progress.step}
        save_checkpoint(job.run / "best", average, job.spec.model_copy(update={"metrics": metrics}))
        progress.best_dice, progress.best_step = mean, progress.step  # only now: an interrupted best is saved again
    return dice


def check_job(job: Job) -> None:
    """``ConfigError`` where a training could not even begin. Writes nothing.

    That is: the network cannot be built, the patch does not fit it (one voxel at the coarsest level cannot be
    normalised), a network for slices gets a block or the reverse, or there is no case to train on. ``LabelError``
    where the output cannot be decoded to the labels' convention, ``FileError`` where a prepared case is damaged.
    """
    patch, network, output = job.config.patch, job.spec.network, job.spec.output
    if output.kind == "regions":
        decode_regions(np.zeros((len(output.regions), 1), np.bool_), output.regions, get_convention(output.convention))
    with torch.device("meta"):  # shapes without numbers: quick for any size
        build_network(network)
    divisor = size_divisor(network)
    sizes = patch[: network.dims]
    if any(n % divisor for n in sizes) or max(sizes) == divisor or (network.dims == 2) != (patch[2] == 1):
        shape = "x".join(str(n) for n in patch)
        raise ConfigError(
            f"the patch {shape} does not fit the network {network.name} in {network.dims}D",
            expected=f"sizes divisible by {divisor}, one of them larger"
            + (" and a third size of 1" if network.dims == 2 else ""),
            remedy="change --patch, or the number of levels in --widths",
        )
    if not job.train_ids:
        raise ConfigError(
            "the split leaves no case to train on", remedy="check --test-fold, --closed-fold or the file of --split"
        )
    for case_id in (*job.train_ids, *job.val_ids):
        read_case(job.store, case_id)
