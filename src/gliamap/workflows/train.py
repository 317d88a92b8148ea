"""From a store to a trained model in a run folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gliamap.boxes import Shape
from gliamap.config import ModelSpec, NetConfig, TrainConfig, WindowConfig
from gliamap.errors import ConfigError
from gliamap.io.checkpoint import read_spec, resolve_model
from gliamap.io.store import StoreInfo, read_store
from gliamap.nets.zoo import DEEP_SUPERVISION
from gliamap.recipes.recipe import DEFAULT_NETWORK, Recipe, base_of, network_inputs, network_output
from gliamap.sources.layout import summarise
from gliamap.sources.phantom import PHANTOM_PREFIX
from gliamap.sources.splits import Split, SplitOptions, divided_patients, make_split, read_split
from gliamap.sources.strata import sizes_in_store
from gliamap.training.devices import Devices
from gliamap.training.loop import Job, check_job
from gliamap.training.loop import train as run_training
from gliamap.training.progress import StepReport
from gliamap.workflows.failures import plain_settings
from gliamap.workflows.patch_drawing import ROWS, Epoch, check_drawing, find_patches, with_table
from gliamap.workflows.run_record import check_new, claimed, describe_run, versions
from gliamap.workflows.teach import Lessons, check_lessons
from gliamap.workflows.tracking import Observer, TrackerName, observers, open_trackers
from gliamap.workflows.transfer import Origin, find_origin, write_origin

BASE = "base"
"""The folder in a run's where the base of its recipe was trained."""


class TrainOptions(Recipe):
    """A recipe and how to divide the cases.

    ``split`` says how cases are divided; ``split_file`` takes a division made elsewhere instead, and ``leaky`` one
    that has a patient on both sides. ``lessons``: what teachers say of the cases, from ``gliamap teach``. ``track``:
    where figures and pictures go beside the run's folder. ``patches``: the table that patches are drawn from, from
    ``gliamap patches``; ``stride`` alone has one made. ``init_from``: the run or model whose weights it starts from.
    """

    split: SplitOptions = SplitOptions()
    split_file: Path | None = None
    leaky: bool = False
    lessons: Path | None = None
    track: tuple[TrackerName, ...] = ()
    patches: Path | None = None
    init_from: Path | None = None


@dataclass(frozen=True)
class Trained:
    """A finished run: its folder, the spec of its best model, and how the cases were divided.

    ``first``: this process is the only one of the training, or the one of several that writes and reports; it knows
    the ``epoch``, where patches were drawn from a table. ``origin``: the network whose weights it started from.
    """

    run: Path
    spec: ModelSpec
    split: Split
    first: bool = True
    epoch: Epoch | None = None
    origin: Origin | None = None


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
    none. Started by torchrun, several processes share the training; the first writes and calls ``observe``. Where the
    options name a ``base``, that is trained first, into ``run/base``, with cases divided alike.

    ``OutputError`` where the folder holds a run already and ``resume`` is not set; ``ConfigError`` where the settings
    do not fit, or differ, like the data or the split, from those of the run to resume (unless ``accept_changes``; the
    network cannot change). Nothing is written then.
    """
    options = options or TrainOptions()
    options = _after_base(store, run, options=options, resume=resume, accept_changes=accept_changes, observe=observe)
    devices = open_devices()
    with devices.first_ahead():
        info = read_store(store)
        options = with_table(options, info)
        split = _split(info, options)
        spec, config = plan(info, options, run.resolve().name)
        taught = options.lessons and check_lessons(options.lessons, info, spec.output, split, leaky=options.leaky)
        listed = run / ROWS if options.stride else None
        origin = find_origin(options.init_from, info, spec=spec, config=config, split=split, leaky=options.leaky)
        source = options.init_from and resolve_model(options.init_from)
        job = Job(store, split.train, split.val, config, spec, run, soft=options.lessons, patches=listed, source=source)
        check_job(job, devices.processes)
    record = _record(info, split, options=options, job=job, taught=taught or None, origin=origin)
    trackers = open_trackers(options.track, run, resume=resume, settings=record["settings"])
    _check_alike(devices, record)
    epoch = None
    with ExitStack() as held:
        with devices.first_ahead():
            if devices.writes:
                drawn = find_patches(job, info, options.stride, options.patches) if options.stride else None
                record["data"] |= {"patches": drawn.record()} if drawn else {}
                held.enter_context(claimed(run, record, split, resume=resume, accept_changes=accept_changes))
                epoch = drawn.write(run) if drawn else None
                if origin:
                    write_origin(run, origin)
                del drawn  # the list is long; from here on it is read from the file
        _check_shared(devices, run)
        if not devices.writes:
            best = run_training(job, resume=resume, devices=devices)
        else:
            tracker = held.enter_context(trackers)
            best = run_training(job, resume=resume, devices=devices, observe=observers(run, tracker, observe))
    return Trained(run, best, split, first=devices.writes, epoch=epoch, origin=origin)


def _record(
    info: StoreInfo,
    split: Split,
    *,
    options: TrainOptions,
    job: Job,
    taught: Lessons | None,
    origin: Origin | None,
) -> dict[str, Any]:
    """What ``run.json`` says of a training."""
    record = describe_run(info, split, options.split, job.spec, job.config)
    record["settings"] |= {
        "teachers": list(taught.teachers) if taught else [],
        "patches": {"stride": options.stride} if options.stride else {},
        "init_from": origin.weights_sha256 if origin else None,
    }
    return record | {
        "recipe": options.name,
        "leaky": options.leaky,
        "init_from": origin.summary if origin else None,
    }


def _after_base(
    store: Path, run: Path, *, options: TrainOptions, resume: bool, accept_changes: bool, observe: Observer | None
) -> TrainOptions:
    """Train the base of ``options``, if there is one, into ``run/base``; returns what is left to do.

    ``ConfigError`` or ``OutputError`` where the rest could not even begin: better now than after the base's hours.
    """
    base, devices = base_of(options), open_devices()
    if base is None:
        return options
    if options.init_from is not None:
        raise ConfigError(
            f"the recipe {options.name} begins with a base of its own",
            found=f"--init-from {options.init_from}",
            remedy="leave --init-from out, or take another recipe",
        )
    with devices.first_ahead():
        if not resume:
            check_new(run)
        info = read_store(store)
        rest, split = with_table(options, info), _split(info, options)
        spec, config = plan(info, rest, run.resolve().name)
        if options.lessons:
            check_lessons(options.lessons, info, spec.output, split, leaky=options.leaky)
        check_job(Job(store, split.train, split.val, config, spec, run), devices.processes)

    def tell(report: StepReport) -> None:
        if observe:
            observe(replace(report, base=True))

    first = _base_options(base, options)
    train(store, run / BASE, options=first, resume=resume, accept_changes=accept_changes, observe=tell)
    return options.model_copy(update={"base": None, "init_from": run / BASE})


def _base_options(base: Recipe, options: TrainOptions) -> TrainOptions:
    """What trains the ``base`` of ``options``, with their seed and division of the cases."""
    shared = options.model_dump(include={"split", "split_file", "leaky", "track"})
    config = base.config | {"seed": options.config.get("seed", 0)}
    return TrainOptions.model_validate(base.model_dump() | shared | {"config": config})


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
    check_drawing(options)
    shapes = np.array([entry.shape for entry in info.cases])
    slices = bool((shapes[:, 2] == 1).all())
    source = read_spec(resolve_model(options.init_from)) if options.init_from else None
    chosen = _network(options, source, slices=slices)
    dims = chosen["dims"]
    if slices and dims == 3:
        raise ConfigError("a network for volumes cannot learn from single slices", remedy="leave --dims out, or say 2")
    output = network_output(options, info.convention)
    modalities = info.prep.modalities
    before = {"init_from": f"{source.name}, weights {source.weights_sha256}"} if source else {}
    with plain_settings():
        defaults = {"patch": _patch(shapes, dims, 2 ** (len(chosen["widths"]) - 1)), "batch": 16 if dims == 2 else 2}
        config = TrainConfig.model_validate(defaults | options.config)
        inputs = network_inputs(options, config, modalities)
        channels = {"in_channels": inputs.channels(len(modalities)), "out_channels": len(output.channels)}
        network = NetConfig.model_validate(chosen | channels)
        spec = ModelSpec(
            name=name,
            network=network,
            output=output,
            prep=info.prep,
            inputs=inputs,
            window=WindowConfig(patch=config.patch, overlap=options.overlap, batch=8 if dims == 2 else 1),
            may_be_missing=modalities if inputs.presence else (),
            phantom_only=all(entry.case_id.startswith(PHANTOM_PREFIX) for entry in info.cases),
            training_data={"fingerprint": info.fingerprint, "layouts": ", ".join(info.layouts)} | before,
            versions=versions(),
        )
    return spec, config


def _network(options: TrainOptions, source: ModelSpec | None, *, slices: bool) -> dict[str, Any]:
    """Settings of the network: those said, else those of the one whose weights are taken over, else the usual ones."""
    names = ("name", "dims", "widths", "deep_supervision")
    values = (options.network, options.dims, options.widths, options.deep_supervision)
    said = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    if source:
        return {name: getattr(source.network, name) for name in names} | said
    usual = {"name": DEFAULT_NETWORK, "dims": 2 if slices else 3} | said
    usual["widths"] = (32, 64, 128, 256, 512) if usual["dims"] == 2 else (16, 32, 64, 128, 256)
    usual["deep_supervision"] = usual["name"] in DEEP_SUPERVISION
    return usual | said


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
