"""From a store to a trained model in a run folder."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from gliamap.boxes import Shape
from gliamap.config import ModelSpec, NetConfig, OutputConfig, Settings, TrainConfig, WindowConfig
from gliamap.errors import ConfigError, OutputError
from gliamap.io.atomic import read_json, write_json
from gliamap.io.store import StoreInfo, read_store
from gliamap.nets.zoo import DEEP_SUPERVISION
from gliamap.report.curves import draw_curves
from gliamap.sources.layout import summarise
from gliamap.sources.phantom import PHANTOM_PREFIX
from gliamap.sources.splits import Split, SplitOptions, divided_patients, make_split, read_split, write_split
from gliamap.sources.strata import sizes_in_store
from gliamap.training.loop import Job, StepReport, check_job
from gliamap.training.loop import train as run_training
from gliamap.workflows.failures import check_folder, plain_settings

_FREE = frozenset({"train.workers", "train.save_every_minutes"})
"""Settings that may change on resuming, because they do not change the result."""


class TrainOptions(Settings):
    """What the user may set; ``None`` takes a default that fits the data (see :func:`plan`).

    ``split`` says how cases are divided; ``split_file`` takes a division made elsewhere instead, and ``leaky`` one
    that has a patient on both sides. ``output`` is ``regions`` (overlapping WT/TC/ET) or ``classes`` (the convention's
    labels). ``config`` overrides single settings of :class:`gliamap.config.TrainConfig` by name.
    """

    split: SplitOptions = SplitOptions()
    split_file: Path | None = None
    leaky: bool = False
    network: str = "dynunet"
    widths: tuple[int, ...] | None = None
    deep_supervision: bool | None = None
    dims: Literal[2, 3] | None = None
    output: Literal["regions", "classes"] = "regions"
    overlap: float = 0.5
    config: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """A finished run: its folder, the spec of its best model, and how the cases were divided."""

    run: Path
    spec: ModelSpec
    split: Split


def train(
    store: Path,
    run: Path,
    *,
    options: TrainOptions | None = None,
    resume: bool = False,
    observe: Callable[[StepReport], None] | None = None,
) -> Trained:
    """Train a network on the store's training cases into the folder ``run``.

    The folder explains itself: ``run.json`` (settings, seed, fingerprints, versions, machine), ``split.json``,
    ``log.csv``, ``curves.png``, ``best/`` and ``last/`` (checkpoints), ``state.safetensors`` (for ``resume``).
    ``OutputError`` where it holds a run already and ``resume`` is not set; ``ConfigError`` where the settings do not
    fit, or differ, like the data or the split, from those of the run to resume. Nothing is written then.
    """
    options = options or TrainOptions()
    info = read_store(store)
    split = _split(info, options)
    spec, config = plan(info, options, run.resolve().name)
    record = _record(info, options, spec, config)
    job = Job(store, split.train, split.val, config, spec, run)
    check_job(job)
    if resume:
        _check_same(run, record, split)
    else:
        _check_free(run)
        write_json(run / "run.json", record)
        write_split(run / "split.json", split)
    best = run_training(job, resume=resume, observe=_drawing(run, observe))
    return Trained(run, best, split)


def plan(info: StoreInfo, options: TrainOptions, name: str) -> tuple[ModelSpec, TrainConfig]:
    """The full settings of a run: what the user set, and for the rest what fits the data.

    Networks for slices where every case is one slice. The patch covers the median case, rounded up to what the
    network divides by, at most 64 a side in 3D and 256 in 2D.
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
    with plain_settings():
        network = NetConfig(
            name=options.network,
            dims=dims,
            in_channels=len(info.prep.modalities),
            out_channels=len(output.channels),
            widths=widths,
            deep_supervision=deep_supervision,
        )
        defaults = {"patch": _patch(shapes, dims, 2 ** (len(widths) - 1)), "batch": 16 if dims == 2 else 2}
        config = TrainConfig.model_validate(defaults | options.config)
        spec = ModelSpec(
            name=name,
            network=network,
            output=output,
            prep=info.prep,
            window=WindowConfig(patch=config.patch, overlap=options.overlap, batch=8 if dims == 2 else 1),
            phantom_only=all(entry.case_id.startswith(PHANTOM_PREFIX) for entry in info.cases),
            training_data={"fingerprint": info.fingerprint, "layouts": ", ".join(info.layouts)},
            versions=_versions(),
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


def _record(info: StoreInfo, options: TrainOptions, spec: ModelSpec, config: TrainConfig) -> dict[str, Any]:
    """What ``run.json`` holds. ``settings`` and ``data`` must agree to resume; the rest informs."""
    return {
        "settings": {
            "train": config.model_dump(mode="json"),
            "network": spec.network.model_dump(mode="json"),
            "output": spec.output.model_dump(mode="json"),
            "window": spec.window.model_dump(mode="json"),
            "split": options.split.model_dump(mode="json"),
        },
        "data": {"fingerprint": info.fingerprint, "cases": len(info.cases)},
        "leaky": options.leaky,
        "versions": _versions(),
        "machine": {"processor": platform.machine(), "threads": torch.get_num_threads()},
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def _check_free(run: Path) -> None:
    check_folder(run)
    if (run / "store.json").is_file():
        raise OutputError(f"{run} is a prepared data set", remedy="choose another folder for the run")
    if (run / "run.json").is_file():
        raise OutputError(f"{run} holds a run already", remedy="choose another folder, or go on with --resume")


def _check_same(run: Path, record: dict[str, Any], split: Split) -> None:
    """``ConfigError`` where the run to resume was another one."""
    if not (run / "run.json").is_file():
        raise ConfigError(f"{run} holds no run to resume", remedy="start it without --resume")
    before = read_json(run / "run.json")
    old, new = (_flat(saved["settings"] | {"data": saved["data"]}) for saved in (before, record))
    differing = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key) and key not in _FREE)
    if differing:
        raise ConfigError(
            f"this is not the run in {run}",
            found=", ".join(f"{key} {new.get(key)}" for key in differing),
            expected=", ".join(f"{key} {old.get(key)}" for key in differing),
            remedy=f"repeat '{shlex.join(before.get('command', []))}' with --resume, or start a new run elsewhere",
        )
    if read_split(run / "split.json") != split:
        raise ConfigError(
            f"the cases are divided in another way than in {run / 'split.json'}",
            remedy="resume with the same --split, or start a new run elsewhere",
        )


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested settings as one table with dotted names."""
    if not isinstance(value, dict):
        return {name: value}
    inner = (_flat(item, f"{name}.{key}".lstrip(".")) for key, item in value.items())
    return {key: item for part in inner for key, item in part.items()}


def _drawing(run: Path, observe: Callable[[StepReport], None] | None) -> Callable[[StepReport], None]:
    """Redraw the curves after every validation, then pass the report on."""

    def watch(report: StepReport) -> None:
        if report.dice is not None:
            draw_curves(run / "log.csv", run / "curves.png")
        if observe:
            observe(report)

    return watch


def _versions() -> dict[str, str]:
    names: Sequence[str] = ("gliamap", "torch", "monai", "numpy", "nibabel")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
