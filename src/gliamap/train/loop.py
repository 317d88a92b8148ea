"""The training loop, whole and visible."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from gliamap.config import ModelSpec, TrainConfig
from gliamap.errors import ConfigError, TrainingError
from gliamap.infer.engine import Precision, TorchEngine
from gliamap.io.checkpoint import save_checkpoint
from gliamap.io.store import read_store
from gliamap.labels import Region
from gliamap.losses import deeply_supervised
from gliamap.nets.zoo import build_network, heads, size_divisor
from gliamap.sampling.dataset import Batch, PatchDataset, batches
from gliamap.train.optim import learning_rate, make_optimiser, update_average
from gliamap.train.state import Progress, load_state, save_state
from gliamap.train.track import CsvLog
from gliamap.train.validate import validate

LOG_EVERY = 10


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
    ``state.safetensors``. An interruption (Ctrl-C) saves the state first; ``resume`` goes on from the last one.
    """
    config, spec = job.config, job.spec
    check_patch(job)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_flush_denormal(True)  # vanishing activations would slow a CPU down tenfold
    torch.manual_seed(config.seed)
    model = build_network(spec.network).to(device)
    average = copy.deepcopy(model).requires_grad_(False)
    optimiser = make_optimiser(model, config)
    state_path = job.run / "state.safetensors"
    progress = load_state(state_path, model, average, optimiser) if resume else Progress()
    log = CsvLog(job.run / "log.csv", spec.output.regions, keep_until=progress.step)
    entries = {entry.case_id: entry for entry in read_store(job.store).cases}
    dataset = PatchDataset(job.store, [entries[i] for i in job.train_ids], config, spec.output)

    started = time.monotonic() - progress.seconds
    saved_at = time.monotonic()
    try:
        for batch in batches(dataset, config, first_step=progress.step, dims=spec.network.dims):
            rate = learning_rate(progress.step, config)
            loss = _learn(model, optimiser, batch, job, rate)
            update_average(average, model, progress.step, config.ema_decay)
            progress.step += 1
            progress.seconds = time.monotonic() - started
            last = progress.step == config.steps
            dice = None
            if last or progress.step % config.validate_every == 0:
                dice = _validate_and_keep(job, average, progress)
            if dice or progress.step % LOG_EVERY == 0:
                row = {"step": progress.step, "seconds": progress.seconds, "loss": loss, "learning_rate": rate}
                log.add(row | {f"dice_{region}": score for region, score in (dice or {}).items()})
            if last or time.monotonic() - saved_at > 60 * config.save_every_minutes:
                save_state(state_path, model, average, optimiser, progress)
                saved_at = time.monotonic()
            if observe:
                observe(StepReport(progress.step, config.steps, loss, progress.seconds, dice))
    except KeyboardInterrupt:
        save_state(state_path, model, average, optimiser, progress)
        raise
    return save_checkpoint(job.run / "last", average, spec)


def _learn(model: nn.Module, optimiser: torch.optim.Optimizer, batch: Batch, job: Job, rate: float) -> float:
    """One optimiser step at learning rate ``rate``; returns the loss. A loss that is not finite changes no weight."""
    config, spec = job.config, job.spec
    device = next(model.parameters()).device
    for group in optimiser.param_groups:
        group["lr"] = rate
    model.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        levels = heads(model(batch.image.to(device)), spec.network)
    loss = deeply_supervised(levels, batch.target.to(device), spec.output.kind)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss became {value}",
            remedy="--resume goes on from the last save; if it comes back, lower --learning-rate or use fp32",
        )
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    optimiser.step()
    return value


def _validate_and_keep(job: Job, average: nn.Module, progress: Progress) -> dict[Region, float]:
    """Validate the averaged weights; keep them as ``best/`` where no earlier ones scored higher."""
    if not job.val_ids:
        save_checkpoint(job.run / "best", average, job.spec)
        return {}
    precision: Precision = job.config.precision
    dice = validate(job.store, job.val_ids, TorchEngine(average, job.spec, precision), job.spec)
    mean = sum(dice.values()) / len(dice)
    if mean > progress.best_dice:
        progress.best_dice, progress.best_step = mean, progress.step
        metrics = {f"validation_dice_{region}": score for region, score in dice.items()} | {"step": progress.step}
        save_checkpoint(job.run / "best", average, job.spec.model_copy(update={"metrics": metrics}))
    return dice


def check_patch(job: Job) -> None:
    """``ConfigError`` where the patch does not fit the network or a network for slices gets a block."""
    patch, network = job.config.patch, job.spec.network
    divisor = size_divisor(network)
    sizes = patch[: network.dims]
    if any(n % divisor for n in sizes) or (network.dims == 2) != (patch[2] == 1):
        shape = "x".join(str(n) for n in patch)
        raise ConfigError(
            f"the patch {shape} does not fit the network {network.name} in {network.dims}D",
            expected=f"sizes divisible by {divisor}" + (" and a third size of 1" if network.dims == 2 else ""),
            remedy="change --patch, or the number of levels in --widths",
        )
    if not job.train_ids:
        raise ConfigError("the split leaves no case to train on", remedy="check the folds and --closed-fold")
