"""The training loop, whole and visible."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gliamap.config import ModelSpec, TrainConfig
from gliamap.errors import ConfigError, OutputError
from gliamap.infer.engine import TorchEngine
from gliamap.io.atomic import remove_leftovers
from gliamap.io.checkpoint import read_spec, save_checkpoint
from gliamap.io.store import StoreEntry, has_distances, read_case, read_store
from gliamap.labels import decode_regions, get_convention
from gliamap.losses.named import LOSSES
from gliamap.nets.pretrained import backbone_weights, fill
from gliamap.nets.transfer import carry_over, match
from gliamap.nets.zoo import build_network, fits, load_network, network_of, size_divisor
from gliamap.sampling.auxiliary import Auxiliary
from gliamap.sampling.dataset import PatchDataset
from gliamap.sampling.drawing import PatchOrder
from gliamap.sampling.extras import Extras
from gliamap.sampling.loader import make_share
from gliamap.training.devices import Devices, PeerLost
from gliamap.training.optim import learning_rate
from gliamap.training.progress import Clock, Progress, StepReport
from gliamap.training.state import Learner, load_state, make_learner, save_state
from gliamap.training.step import Stepper
from gliamap.training.stop import stoppable
from gliamap.training.track import LOG_EVERY, CsvLog
from gliamap.training.validate import Validation, validate

STATE = "state.safetensors"


@dataclass(frozen=True)
class Job:
    """One training: the store, the cases to learn from and to validate on, the settings, the folder of the run.

    ``soft`` is the folder of the teachers' probabilities (:mod:`gliamap.io.soft`), where there are teachers.
    ``patches`` is the list of those to draw (:mod:`gliamap.io.patch_list`), where they come from a patch table.
    ``source`` is the checkpoint whose weights are taken over, where there is one; ``pretrained`` the file of a
    backbone's weights (:mod:`gliamap.nets.pretrained`), where it starts from that. ``auxiliary``: cases of another
    store that are learned from, too.
    """

    store: Path
    train_ids: tuple[str, ...]
    val_ids: tuple[str, ...]
    config: TrainConfig
    spec: ModelSpec
    run: Path
    soft: Path | None = None
    patches: Path | None = None
    source: Path | None = None
    pretrained: Path | None = None
    auxiliary: Auxiliary | None = None

    @property
    def learned_from(self) -> tuple[tuple[Path, tuple[str, ...]], ...]:
        """The stores that patches are cut from, each with its cases."""
        other = self.auxiliary
        return (
            (self.store, self.train_ids),
            *([(other.store, tuple(e.case_id for e in other.entries))] if other else []),
        )


def train(
    job: Job,
    *,
    resume: bool = False,
    devices: Devices | None = None,
    observe: Callable[[StepReport], None] | None = None,
) -> ModelSpec:
    """Train to the last step and return the spec of the best checkpoint.

    The run folder gets ``log.csv``, ``best/`` (highest mean validation Dice of the averaged weights), ``last/`` and
    ``state.safetensors``. Ctrl-C and SIGTERM save the state first; ``resume`` goes on from the last state saved, or
    from the start where there is none; ``observe`` may be told of a step again then. On a CPU, with the same number
    of threads on the same machine, the result is that of an uninterrupted run, whenever and however the process ended.
    Several processes (``devices``) share the patches of each step; the first of them writes the files.
    ``TrainingError`` where the training cannot go on, ``OutputError`` where a file cannot be written.
    """
    devices = devices or Devices()
    check_job(job, devices.processes)
    config, spec = job.config, job.spec
    learner = _learner(job, devices, resume=resume)
    progress = learner.progress
    if progress.step == config.steps and not progress.pending and (job.run / "last" / "model.json").is_file():
        return read_spec(job.run / "best")
    dataset, held_out = _cases(job)
    clock = Clock()
    started = time.monotonic() - progress.seconds
    with _resumable(), stoppable(devices) as stop:
        keeper = _Keeper(job, learner, devices)
        try:
            stepper = Stepper(learner, dataset, config, spec, devices)
            while progress.pending or progress.step < config.steps:
                if not progress.pending:  # else the run stopped between a step and what follows it
                    stepper.take(clock, stop)
                    progress.seconds = time.monotonic() - started
                found = None
                if progress.step == config.steps or progress.step % config.validate_every == 0:
                    with clock.stage("validate"):
                        found = _validate_and_keep(job, held_out, learner, devices)
                report = _report(progress, config, found, clock.take())
                keeper.log(report)
                if observe:
                    observe(report)
                progress.pending = False  # whoever stops from here on need not repeat any of it
                with clock.stage("save"):
                    keeper.save_if_due()
                stop.check()
            if devices.writes:
                save_checkpoint(job.run / "last", learner.average, spec)
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt | PeerLost) and not stop.asked:
                raise
            lost = isinstance(error, PeerLost) and not stop.asked
            stop.asked = True  # no signal interrupts from here on
            if not stop.torn:
                keeper.save()
            if lost:
                raise
            raise stop.kind from None
    devices.wait()
    return read_spec(job.run / "best")


def _cases(job: Job) -> tuple[PatchDataset, list[StoreEntry]]:
    """The patches to learn from and the cases to validate on."""
    entries = {entry.case_id: entry for entry in read_store(job.store).cases}
    order = PatchOrder(job.patches, job.train_ids, job.config) if job.patches else None
    needs = LOSSES[job.config.loss].needs
    extras = Extras(job.soft, distances=needs == "distances", weights=needs == "weights", auxiliary=job.auxiliary)
    learned = [entries[i] for i in job.train_ids]
    dataset = PatchDataset(job.store, learned, job.config, job.spec, extras, order)
    return dataset, [entries[i] for i in job.val_ids]


@contextmanager
def _resumable() -> Iterator[None]:
    """Say, where a file of the run cannot be written, how to go on."""
    try:
        yield
    except OutputError as error:
        remedy = "free some space there, or check the folder's permissions; then go on with --resume"
        raise OutputError(error.what, found=error.found, remedy=remedy) from error


def _learner(job: Job, devices: Devices, *, resume: bool) -> Learner:
    """The learner of the run's last state, or a new one; what killed writers left in the run's folders is removed."""
    config, going_on = job.config, resume and (job.run / STATE).is_file()
    learner = _new_learner(job, devices, with_weights=not going_on)
    if going_on:
        load_state(job.run / STATE, learner)
    done = learner.progress.step
    if done > config.steps:
        raise ConfigError(
            "the run to resume has done more steps than are asked for",
            found=f"{done} steps done",
            expected=f"at most {config.steps}",
            remedy="ask for more --steps, or start a new run in another folder",
        )
    if devices.writes:
        for folder in (job.run, *(path for path in job.run.glob("*") if path.is_dir())):
            remove_leftovers(folder)
    return learner


def _new_learner(job: Job, devices: Devices, *, with_weights: bool) -> Learner:
    """A learner before its first step. ``with_weights``: starting as its source, where there is one."""
    torch.manual_seed(job.config.seed)
    model = build_network(job.spec.network)
    taken = _take_over(job, model, with_weights=with_weights)
    parts = network_of(job.spec.network.name).parts
    encoder = {name for name in taken if parts.of(name) == "encoder"}
    return make_learner(model.to(devices.device), job.config, transferred=taken, resting=encoder)


def _take_over(job: Job, model: nn.Module, *, with_weights: bool) -> Collection[str]:
    """The tensors that come from elsewhere; ``with_weights``: ``model`` gets them."""
    if job.pretrained:
        weights = backbone_weights(job.pretrained, job.spec)
        if with_weights:
            fill(model, weights)
        return weights.keys()
    if job.source is None:
        return ()
    source = read_spec(job.source)
    if not with_weights:
        return match(source, job.spec).names
    return carry_over(model, job.spec, source=load_network(job.source, source), source_spec=source).names


class _Keeper:
    """Writes log and state of a run; in processes that do not write, nothing."""

    def __init__(self, job: Job, learner: Learner, devices: Devices) -> None:
        self._job, self._learner = job, learner
        self._writes = devices.writes
        self._saved_at = time.monotonic()
        self._stages: dict[str, float] = {}
        if self._writes:
            (job.run / "last" / "model.json").unlink(missing_ok=True)  # of a run that is trained for longer now
            kept = learner.progress.step - learner.progress.pending
            self._log = CsvLog(job.run / "log.csv", job.spec.output.regions, keep_until=kept)

    def log(self, report: StepReport) -> None:
        """Add a row every few steps and after a validation."""
        for name, seconds in report.stages.items():
            self._stages[name] = self._stages.get(name, 0.0) + seconds
        if self._writes and (report.dice is not None or report.step % LOG_EVERY == 0):
            self._log.add(_row(report, self._stages))
            self._stages = {}

    def save_if_due(self) -> None:
        """Save the state at the end, and where the last time is some minutes ago."""
        config = self._job.config
        waited = time.monotonic() - self._saved_at
        if self._learner.progress.step == config.steps or waited > 60 * config.save_every_minutes:
            self.save()

    def save(self) -> None:
        """Save the state."""
        if self._writes:
            save_state(self._job.run / STATE, self._learner)
        self._saved_at = time.monotonic()


def _report(
    progress: Progress, config: TrainConfig, found: Validation | None, stages: Mapping[str, float]
) -> StepReport:
    return StepReport(
        step=progress.step,
        steps=config.steps,
        loss=progress.loss,
        seconds=progress.seconds,
        learning_rate=learning_rate(progress.step - 1, config),
        gradient_norm=progress.gradient_norm,
        dice=found.dice if found else None,
        example=found.example if found else None,
        stages=stages,
    )


def _row(report: StepReport, stages: Mapping[str, float]) -> dict[str, float]:
    """What ``log.csv`` says of the step just done, and of the time since the row before."""
    row = {
        "step": report.step,
        "seconds": report.seconds,
        "loss": report.loss,
        "learning_rate": report.learning_rate,
        "gradient_norm": report.gradient_norm,
    }
    row |= {f"seconds_{name}": seconds for name, seconds in stages.items()}
    return row | {f"dice_{region}": score for region, score in (report.dice or {}).items()}


def _validate_and_keep(job: Job, held_out: Sequence[StoreEntry], learner: Learner, devices: Devices) -> Validation:
    """Validate the averaged weights; keep them as ``best/`` where no earlier ones scored higher."""
    progress = learner.progress
    if not held_out:  # nothing tells which is best: the latest
        if devices.writes:
            save_checkpoint(job.run / "best", learner.average, job.spec)
        return Validation({}, None)
    engine = TorchEngine(learner.average, job.spec, job.config.precision)
    found = validate(job.store, held_out, engine, job.spec, devices)
    mean = sum(found.dice.values()) / len(found.dice)
    if mean > progress.best_dice:
        if devices.writes:
            metrics = {f"validation_dice_{region}": score for region, score in found.dice.items()}
            metrics |= {"step": progress.step}
            save_checkpoint(job.run / "best", learner.average, job.spec.model_copy(update={"metrics": metrics}))
        progress.best_dice, progress.best_step = mean, progress.step  # only now: an interrupted best is saved again
    return found


def check_job(job: Job, processes: int = 1) -> None:
    """``ConfigError`` where a training could not even begin. Writes nothing.

    That is: the network cannot be built, the patch does not fit it (one voxel at the coarsest level cannot be
    normalised), a network for slices gets a block or the reverse, the batch cannot be shared by so many processes, or
    there is no case to train on. ``LabelError`` where the output cannot be decoded to the labels' convention,
    ``FileError`` where a prepared case is damaged.
    """
    patch, network, output = job.config.patch, job.spec.network, job.spec.output
    if output.kind == "regions":
        decode_regions(np.zeros((len(output.regions), 1), np.bool_), output.regions, get_convention(output.convention))
    with torch.device("meta"):  # shapes without numbers: quick for any size
        build_network(network)
    if not fits(network, patch):
        shape = "x".join(str(n) for n in patch)
        raise ConfigError(
            f"the patch {shape} does not fit the network {network.name} in {network.dims}D",
            expected=f"sizes divisible by {size_divisor(network)}, one of them larger"
            + (" and a third size of 1" if network.dims == 2 else ""),
            remedy="for slices say --dims 2 as well"
            if network.dims == 3 and patch[2] == 1
            else "change --patch, or the number of levels in --widths",
        )
    make_share(job.config, processes=processes)
    if not job.train_ids:
        raise ConfigError(
            "the split leaves no case to train on", remedy="check --test-fold, --closed-fold or the file of --split"
        )
    for store, ids in (*job.learned_from, (job.store, job.val_ids)):
        for case_id in ids:
            read_case(store, case_id)
    if LOSSES[job.config.loss].needs == "distances":
        _check_distances(job)


def _check_distances(job: Job) -> None:
    """``ConfigError`` where a training case lacks the distances that the loss needs, or the output has none."""
    loss, output = job.config.loss, job.spec.output
    if output.kind != "regions":
        raise ConfigError(
            f"the loss {loss} is for regions, and for tumour alone",
            found=f"output {output.kind}",
            remedy="say --output regions or binary, or another --loss",
        )
    for store, ids in job.learned_from:
        lacking = [i for i in ids if not has_distances(store, i, output.regions)]
        if lacking:
            raise ConfigError(
                f"the loss {loss} needs distances to the tumour's surfaces, which {store} does not hold",
                found=f"{len(lacking)} of {len(ids)} training cases without, such as {lacking[0]}",
                remedy="run gliamap prepare again as before, with --distances: it adds them, or say another --loss",
            )
