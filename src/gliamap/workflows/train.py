"""From a store to a trained model in a run folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gliamap.boxes import Shape
from gliamap.config import ModelSpec, NetConfig, OutputConfig, TrainConfig, WindowConfig
from gliamap.errors import ConfigError
from gliamap.io.store import StoreInfo, read_store
from gliamap.nets.zoo import DEEP_SUPERVISION
from gliamap.recipes.recipe import Recipe, network_inputs
from gliamap.sources.layout import summarise
from gliamap.sources.phantom import PHANTOM_PREFIX
from gliamap.sources.splits import Split, SplitOptions, divided_patients, make_split, read_split
from gliamap.sources.strata import sizes_in_store
from gliamap.training.devices import Devices
from gliamap.training.loop import Job, check_job
from gliamap.training.loop import train as run_training
from gliamap.workflows.failures import plain_settings
from gliamap.workflows.run_record import claimed, describe_run, versions
from gliamap.workflows.teach import check_lessons
from gliamap.workflows.tracking import Observer, TrackerName, observers, open_trackers


class TrainOptions(Recipe):
    """A recipe and how to divide the cases.

    ``split`` says how cases are divided; ``split_file`` takes a division made elsewhere instead, and ``leaky`` one
    that has a patient on both sides. ``lessons``: what teachers say of the cases, from ``gliamap teach``. ``track``:
    where figures and pictures go beside the run's folder.
    """

    split: SplitOptions = SplitOptions()
    split_file: Path | None = None
    leaky: bool = False
    lessons: Path | None = None
    track: tuple[TrackerName, ...] = ()


@dataclass(frozen=True)
class Trained:
    """A finished run: its folder, the spec of its best model, and how the cases were divided.

    ``first``: this process is the only one of the training, or the one of several that writes and reports.
    """

    run: Path
    spec: ModelSpec
    split: Split
    first: bool = True


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
    ``split.json``, ``log.csv``, ``curves.png``, ``examples/``, ``best/`` and ``last/`` (checkpoints),
    ``state.safetensors`` (for ``resume``). With ``resume`` a run goes on where it stopped, and begins where there is
    none. Started by torchrun, several processes share the training; the first writes and calls ``observe``.

    ``OutputError`` where the folder holds a run already and ``resume`` is not set; ``ConfigError`` where the settings
    do not fit, or differ, like the data or the split, from those of the run to resume (unless ``accept_changes``; the
    network cannot change). Nothing is written then.
    """
    options = options or TrainOptions()
    devices = open_devices()
    with devices.first_ahead():
        info = read_store(store)
        split = _split(info, options)
        spec, config = plan(info, options, run.resolve().name)
        taught = options.lessons and check_lessons(options.lessons, info, spec.output, split, leaky=options.leaky)
        job = Job(store, split.train, split.val, config, spec, run, soft=options.lessons)
        check_job(job, devices.processes)
    record = describe_run(info, split, options.split, spec, config)
    record["settings"]["teachers"] = list(taught.teachers) if taught else []
    record |= {"recipe": options.name, "leaky": options.leaky}
    trackers = open_trackers(options.track, run, resume=resume, settings=record["settings"])
    _check_alike(devices, record)
    with ExitStack() as held:
        with devices.first_ahead():
            if devices.writes:
                held.enter_context(claimed(run, record, split, resume=resume, accept_changes=accept_changes))
        _check_shared(devices, run)
        if not devices.writes:
            best = run_training(job, resume=resume, devices=devices)
        else:
            tracker = held.enter_context(trackers)
            best = run_training(job, resume=resume, devices=devices, observe=observers(run, tracker, observe))
    return Trained(run, best, split, first=devices.writes)


def _check_alike(devices: Devices, record: Mapping[str, Any]) -> None:
    """``ConfigError`` where the processes of a training were not given the same."""
    differing = [what for what in ("data", "settings", "versions") if not devices.alike(json.dumps(record[what]))]
    if differing:
        raise ConfigError(
            "the processes of this training do not agree",
            found=f"other {' and '.join(differing)} on some machine",
            remedy="give every machine the same store, the same command and the same versions",
        )


def _check_shared(devices: Devices, run: Path) -> None:
    """``ConfigError`` where not every process sees what the first one has written."""
    record = run / "run.json"
    if not devices.alike(record.read_text(encoding="utf-8") if record.is_file() else ""):
        raise ConfigError(
            f"the processes of this training do not see the same folder {run}",
            remedy="put the run on a file system that all machines share",
        )


def is_finished(run: Path) -> bool:
    """The run was trained to its last step."""
    return (run / "last" / "model.json").is_file()


@cache
def open_devices() -> Devices:
    """This process' part in a training: alone, or one of those that torchrun started."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Devices()
    from gliamap.training.fabric import FabricDevices

    return FabricDevices()


def plan(info: StoreInfo, options: TrainOptions, name: str) -> tuple[ModelSpec, TrainConfig]:
    """The full settings of a run: what the user set, and for the rest what fits the data.

    Networks for slices where every case is one slice. The patch covers the median case, rounded up to what the
    network divides by, at most 64 a side in 3D and 256 in 2D. Where modalities are dropped in training, the model is
    told which are there, and any but one may be missing. ``ConfigError`` where that one is the only one.
    """
    shapes = np.array([entry.shape for entry in info.cases])
    slices = bool((shapes[:, 2] == 1).all())
    dims = options.dims or (2 if slices else 3)
    if slices and dims == 3:
        raise ConfigError("a network for volumes cannot learn from single slices", remedy="leave --dims out, or say 2")
    widths = options.widths or ((32, 64, 128, 256, 512) if dims == 2 else (16, 32, 64, 128, 256))
    deep_supervision = options.deep_supervision
    if deep_supervision is None:
        deep_supervision = options.network in DEEP_SUPERVISION
    output = OutputConfig(kind=options.output, convention=info.convention)
    modalities = info.prep.modalities
    with plain_settings():
        defaults = {"patch": _patch(shapes, dims, 2 ** (len(widths) - 1)), "batch": 16 if dims == 2 else 2}
        config = TrainConfig.model_validate(defaults | options.config)
        inputs = network_inputs(options, config, modalities)
        network = NetConfig(
            name=options.network,
            dims=dims,
            in_channels=inputs.channels(len(modalities)),
            out_channels=len(output.channels),
            widths=widths,
            deep_supervision=deep_supervision,
        )
        spec = ModelSpec(
            name=name,
            network=network,
            output=output,
            prep=info.prep,
            inputs=inputs,
            window=WindowConfig(patch=config.patch, overlap=options.overlap, batch=8 if dims == 2 else 1),
            may_be_missing=modalities if inputs.presence else (),
            phantom_only=all(entry.case_id.startswith(PHANTOM_PREFIX) for entry in info.cases),
            training_data={"fingerprint": info.fingerprint, "layouts": ", ".join(info.layouts)},
            versions=versions(),
        )
    return spec, config


def _patch(shapes: np.ndarray[Any, Any], dims: int, divisor: int) -> Shape:
    largest = 256 if dims == 2 else 64
    x, y, z = (min(largest, -(-int(n) // divisor) * divisor) for n in np.median(shapes, axis=0))
    return (x, y, 1 if dims == 2 else z)


def _split(info: StoreInfo, options: TrainOptions) -> Split:
    """The split asked for. A file's split is held to the closed folds, too."""
    identities = [entry.identity for entry in info.cases]
    drawn = make_split(
        identities,
        options.split.model_copy(update={"patients_known": info.patients_known}),
        sizes_in_store(info),
    )
    if options.split_file is None:
        return drawn
    if options.split.test_fold is not None:
        raise ConfigError("--split and --test-fold both say what to test on", remedy="leave one of them out")
    split = read_split(options.split_file)
    used = {*split.train, *split.val}
    unknown = used - {entry.case_id for entry in info.cases}
    if unknown:
        raise ConfigError(
            f"the split {options.split_file} names cases that the store does not have",
            found=", ".join(sorted(unknown)[:5]),
            remedy="make the split from this store, or prepare the missing cases",
        )
    closed = used & drawn.left_out.keys()
    if closed:
        raise ConfigError(
            f"the split {options.split_file} trains or validates on closed cases",
            found="; ".join(f"{case_id}: {drawn.left_out[case_id]}" for case_id in sorted(closed)[:5]),
            remedy="take these cases out of the file, or leave out --closed-fold",
        )
    torn = divided_patients(split, identities)
    if torn and not options.leaky:
        raise ConfigError(
            f"the split {options.split_file} has the same patients in more than one part",
            found=f"{len(torn)} patients: " + summarise(f"{name} ({', '.join(parts)})" for name, parts in torn.items()),
            expected="each patient in one part",
            remedy="make it by patient with gliamap split, or say --leaky: its scores do not hold for new patients",
        )
    return split
