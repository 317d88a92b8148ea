"""What a training is asked for, and its full settings: what the user left open fits the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gliamap.boxes import Shape
from gliamap.config import FREELY_CHOSEN, ModelSpec, NetConfig, TrainConfig, WindowConfig
from gliamap.errors import ConfigError
from gliamap.io.checkpoint import read_spec
from gliamap.io.store import StoreInfo
from gliamap.models.shipped import resolve_model
from gliamap.nets.zoo import network_of, widths_of
from gliamap.recipes.recipe import DEFAULT_NETWORK, Recipe, network_inputs, network_output
from gliamap.sources.phantom import PHANTOM_PREFIX
from gliamap.sources.splits import SplitOptions
from gliamap.workflows.common.auxiliary import AuxiliaryOptions
from gliamap.workflows.common.failures import plain_settings
from gliamap.workflows.common.run_record import versions
from gliamap.workflows.training.tracking import TrackerName

LARGEST_SIDE = {2: 256, 3: 64}
"""Of a patch that nobody named, by the network's dimensions."""


class TrainOptions(Recipe):
    """A recipe and how to divide the cases.

    ``split`` says how cases are divided; ``split_file`` takes a division made elsewhere instead, and ``leaky`` one
    that has a patient on both sides. ``lessons``: what teachers say of the cases, from ``gliamap teach``. ``track``:
    where figures and pictures go beside the run's folder. ``patches``: the table that patches are drawn from, from
    ``gliamap patches``; ``stride`` alone has one made. ``auxiliary``: another data set to learn from, too.
    """

    split: SplitOptions = SplitOptions()
    split_file: Path | None = None
    leaky: bool = False
    lessons: Path | None = None
    track: tuple[TrackerName, ...] = ()
    patches: Path | None = None
    auxiliary: AuxiliaryOptions | None = None


def full_settings(info: StoreInfo, options: TrainOptions, name: str) -> tuple[ModelSpec, TrainConfig]:
    """The full settings of a run: what the user set, and for the rest what fits the data.

    Networks for slices where every case is one slice. The patch covers the median case, rounded up to what the
    network divides by, at most 64 a side in 3D and 256 in 2D. Where modalities are dropped in training, the model is
    told which are there, and any but one may be missing. ``ConfigError`` where that one is the only one.
    """
    _check_drawing(options)
    shapes = np.array([entry.shape for entry in info.cases])
    slices = bool((shapes[:, 2] == 1).all())
    source = read_spec(resolve_model(options.init_from)) if options.init_from else None
    chosen = _network(options, source, slices=slices)
    dims, known = chosen["dims"], network_of(chosen["name"])
    if slices and dims == 3:
        raise ConfigError("a network for volumes cannot learn from single slices", remedy="leave --dims out, or say 2")
    output = network_output(options, info.convention)
    modalities = info.prep.modalities
    before = {"init_from": f"{source.name}, weights {source.weights_sha256}"} if source else {}
    with plain_settings():
        defaults = {
            "patch": _patch(shapes, dims, known.divisor(len(chosen["widths"]))),
            "batch": 16 if dims == 2 else 2,
        }
        config = TrainConfig.model_validate(defaults | options.config)
        inputs = network_inputs(options, config, modalities)
        channels = {"in_channels": inputs.channels(len(modalities)), "out_channels": len(output.channels)}
        size = {"input_size": config.patch if known.sized else None}
        network = NetConfig.model_validate(chosen | channels | size)
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


def _check_drawing(options: TrainOptions) -> None:
    """``ConfigError`` where a ratio is asked for without a table, or with one what only patches chosen freely have."""
    if options.stride is None and options.config.get("ratio", "natural") != "natural":
        raise ConfigError(
            "a ratio of patches with tumour and healthy ones needs a patch table",
            found=f"ratio {options.config['ratio']}",
            remedy="say --stride as well, or --patches with a table of gliamap patches",
        )
    # A recipe that states the defaults, as full ones do, asks for nothing that a table cannot give.
    usual = {name: TrainConfig.model_fields[name].default for name in FREELY_CHOSEN}
    chosen = [name for name in FREELY_CHOSEN if options.config.get(name, usual[name]) != usual[name]]
    if options.auxiliary and (options.stride is not None or options.lessons):
        raise ConfigError(
            "patches of an auxiliary data set are chosen freely, and no teacher has spoken of them",
            found="--stride or --patches" if options.stride is not None else "--lessons",
            remedy="leave one of the two out",
        )
    if options.stride is not None and chosen:
        raise ConfigError(
            "patches of a patch table are drawn by their ratio alone",
            found=", ".join(f"{name} {options.config[name]}" for name in chosen) + f" in the recipe {options.name}",
            remedy="take another recipe, or leave out --stride and --patches",
        )


def _network(options: TrainOptions, source: ModelSpec | None, *, slices: bool) -> dict[str, Any]:
    """Settings of the network: those said, else those of the one whose weights are taken over, else the usual ones."""
    names = ("name", "dims", "widths", "deep_supervision")
    values = (options.network, options.dims, options.widths, options.deep_supervision)
    said = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    if source:
        return {name: getattr(source.network, name) for name in names} | said
    name = options.network or DEFAULT_NETWORK
    known = network_of(name)
    dims = options.dims or (2 if slices or 3 not in known.widths else 3)
    usual: dict[str, Any] = {"name": name, "dims": dims, "deep_supervision": known.deep_supervision}
    if options.widths is None:
        usual["widths"] = widths_of(name, dims)[: known.levels]
    return usual | said


def _patch(shapes: np.ndarray[Any, Any], dims: int, divisor: int) -> Shape:
    largest = LARGEST_SIDE[dims]
    x, y, z = (min(largest, -(-int(n) // divisor) * divisor) for n in np.median(shapes, axis=0))
    if max(x, y, z if dims == 3 else 1) <= divisor:  # one voxel alone cannot be normalised
        x = 2 * divisor
    return (x, y, 1 if dims == 2 else z)
