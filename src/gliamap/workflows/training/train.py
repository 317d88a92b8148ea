"""From a store to a trained model in a run folder."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gliamap.config import ModelSpec
from gliamap.io.store import StoreInfo, read_store
from gliamap.models.shipped import resolve_model
from gliamap.sources.splits import Split
from gliamap.training.loop import Job, check_job
from gliamap.training.loop import train as run_training
from gliamap.workflows.common.auxiliary import AuxiliaryRecord, find_auxiliary, write_auxiliary
from gliamap.workflows.common.processes import check_alike, check_shared, open_devices
from gliamap.workflows.common.run_record import claimed, describe_run
from gliamap.workflows.training.division import divide_cases
from gliamap.workflows.training.patch_drawing import ROWS, Epoch, find_patches, with_table
from gliamap.workflows.training.pretrained import with_pretrained
from gliamap.workflows.training.seen import collect_seen
from gliamap.workflows.training.teach import Lessons, check_lessons
from gliamap.workflows.training.tracking import Observer, observers, open_trackers
from gliamap.workflows.training.train_base import BASE, after_base, find_base, of_base
from gliamap.workflows.training.train_settings import TrainOptions, full_settings
from gliamap.workflows.training.transfer import Origin, find_origin, write_origin

__all__ = ["TrainOptions", "Trained", "train"]


@dataclass(frozen=True)
class Trained:
    """A finished run: its folder, the spec of its best model, and how the cases were divided.

    ``first``: this process is the only one of the training, or the one of several that writes and reports; it knows
    the ``epoch``, where patches were drawn from a table. ``origin``: the network whose weights it started from.
    ``other``: what was learned from besides.
    """

    run: Path
    spec: ModelSpec
    split: Split
    first: bool = True
    epoch: Epoch | None = None
    origin: Origin | None = None
    other: AuxiliaryRecord | None = None


def train(
    store: Path,
    run: Path,
    *,
    options: TrainOptions | None = None,
    resume: bool = False,
    accept_changes: bool = False,
    observe: Observer | None = None,
) -> Trained:
    """Train a network on the store's training cases into the folder ``run``.

    The folder explains itself: ``run.json`` (command, settings, seed, fingerprints, versions, commit, machine),
    ``split.json``, ``log.csv``, ``curves.png``, ``examples/``, ``best/`` and ``last/`` (checkpoints), and the state.
    With ``resume`` a run goes on where it stopped, or begins. Started by torchrun, several processes share the
    training; the first writes and calls ``observe``. A ``base`` is trained first, into ``run/base``, divided alike.

    ``OutputError`` where the folder holds a run already and ``resume`` is not set; ``ConfigError`` where the settings
    do not fit, or differ, like the data or the split, from those of the run to resume (unless ``accept_changes``; the
    network cannot change). Nothing is written then.
    """
    options = options or TrainOptions()
    first = find_base(store, run, options, resume=resume)
    if first:
        train(store, run / BASE, options=first, resume=resume, accept_changes=accept_changes, observe=of_base(observe))
        options = after_base(run, options)
    devices = open_devices()
    with devices.first_ahead():
        plan = _plan(store, run, options, processes=devices.processes)
    options, split, job, origin, other = plan.options, plan.split, plan.job, plan.origin, plan.other
    record = _record(plan)
    trackers = open_trackers(options.track, run, resume=resume, settings=record["settings"])
    check_alike(devices, record)
    epoch = None
    with ExitStack() as held:
        with devices.first_ahead():
            if devices.writes:
                drawn = find_patches(job, plan.info, options.stride, options.patches) if options.stride else None
                record["data"] |= {"patches": drawn.record()} if drawn else {}
                held.enter_context(claimed(run, record, split, resume=resume, accept_changes=accept_changes))
                epoch = drawn.write(run) if drawn else None
                if origin:
                    write_origin(run, origin)
                if other:
                    write_auxiliary(run, other)
                del drawn  # the list is long; from here on it is read from the file
        check_shared(devices, run)
        if not devices.writes:
            best = run_training(job, resume=resume, devices=devices)
        else:
            tracker = held.enter_context(trackers)
            best = run_training(job, resume=resume, devices=devices, observe=observers(run, tracker, observe))
    return Trained(run, best, split, first=devices.writes, epoch=epoch, origin=origin, other=other)


@dataclass(frozen=True)
class _Plan:
    """A training before it begins: the data, how it is divided, what is learned from besides, and the settings."""

    info: StoreInfo
    options: TrainOptions
    split: Split
    job: Job
    taught: Lessons | None
    origin: Origin | None
    other: AuxiliaryRecord | None


def _plan(store: Path, run: Path, options: TrainOptions, *, processes: int) -> _Plan:
    """Read and check all that a training needs; ``ConfigError`` where it could not even begin. Writes nothing."""
    info = read_store(store)
    options = with_table(options, info)
    split = divide_cases(info, options)
    spec, config = full_settings(info, options, run.resolve().name)
    spec, pretrained = with_pretrained(options, spec)
    taught = options.lessons and check_lessons(options.lessons, info, spec.output, split, leaky=options.leaky)
    listed = run / ROWS if options.stride else None
    origin = find_origin(options.init_from, info, spec=spec, config=config, split=split, leaky=options.leaky)
    source = options.init_from and resolve_model(options.init_from)
    other = find_auxiliary(options.auxiliary, info, spec=spec, split=split)
    beside = other and other.auxiliary
    job = Job(store, split.train, split.val, config, spec, run, options.lessons, listed, source, pretrained, beside)
    check_job(job, processes)
    job = replace(job, spec=spec.model_copy(update={"seen": collect_seen(store, info, job.train_ids)}))
    return _Plan(info, options, split, job, taught or None, origin, other and other.record)


def _record(plan: _Plan) -> dict[str, Any]:
    """What ``run.json`` says of a training."""
    options, job, taught, origin = plan.options, plan.job, plan.taught, plan.origin
    record = describe_run(plan.info, plan.split, options.split, job.spec, job.config)
    record["settings"] |= {
        "teachers": list(taught.teachers) if taught else [],
        "patches": {"stride": options.stride} if options.stride else {},
        "init_from": origin.weights_sha256 if origin else None,
        "pretrained": job.spec.training_data.get("pretrained"),
        "auxiliary": plan.other.summary if plan.other else {},
    }
    return record | {
        "recipe": options.name,
        "leaky": options.leaky,
        "init_from": origin.summary if origin else None,
    }
