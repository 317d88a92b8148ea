"""Tiny phantoms, stores, trainings and models, quick enough to be made anew by every test module."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from scipy import ndimage

import make
from gliamap.boxes import Shape
from gliamap.case import Case
from gliamap.config import ModelSpec, NetConfig, OutputConfig, PrepConfig, TrainConfig, WindowConfig
from gliamap.io.atomic import write_json
from gliamap.io.checkpoint import read_spec, save_checkpoint
from gliamap.labels import get_convention
from gliamap.nets.unet import UNet
from gliamap.sources.phantom import make_phantom
from gliamap.workflows.data.prepare import prepare
from gliamap.workflows.training.train import TrainOptions

SHAPE: Shape = (24, 28, 26)

# Settings under which six steps take about a second.
CONFIG: dict[str, Any] = {
    "patch": (16, 16, 16),
    "steps": 6,
    "batch": 1,
    "workers": 0,
    "precision": "fp32",
    "validate_every": 3,
    "learning_rate": 1e-2,
    "warmup_steps": 2,
}


def phantom(number: int = 1, *, case_id: str | None = None, kind: str | None = None) -> Case:
    """A phantom of ``SHAPE``; ``kind`` gives it the affine of that kind of grid, whatever then points where."""
    one = make_phantom(number, SHAPE)
    name = case_id or f"Phantom_{number:05d}"
    grid = one.grid if kind is None else replace(one.grid, affine=make.affine(kind))
    return replace(one, case_id=name, patient_id=name, grid=grid)


def with_skull(one: Case) -> Case:
    """``one`` as a whole head: a dark skull and a bright scalp around the brain, noise everywhere; no phantom now."""
    image = np.pad(one.image, ((0, 0), *((8, 8),) * 3))
    brain = ndimage.binary_fill_holes((image != 0).any(axis=0))
    skull = ndimage.binary_dilation(brain, iterations=3)
    scalp = ndimage.binary_dilation(skull, iterations=4)
    rng = np.random.default_rng(0)
    noise = rng.uniform(1, 20, image.shape).astype(np.float32)
    for channel in image:
        channel[skull & ~brain] = 10
        uneven = rng.uniform(0.7, 1.3, int((scalp & ~skull).sum()))  # else all modalities would look like copies
        channel[scalp & ~skull] = np.percentile(channel[brain], 90) * uneven
    x, y, z = image.shape[1:]
    labels = None if one.labels is None else np.pad(one.labels, 8)
    return replace(one, image=image + noise, grid=replace(one.grid, shape=(x, y, z)), labels=labels)


def write_set(root: Path, count: int = 4, *, convention: str = "brats2021") -> Path:
    """``count`` phantoms as a BraTS data set under ``root``."""
    names = {"brats2021": "Phantom_{:05d}", "brats2023": "BraTS-GLI-{:05d}-000"}[convention]
    for number in range(1, count + 1):
        make.write_brats(root, phantom(number, case_id=names.format(number)), convention=convention)
    return root


def write_store(root: Path, count: int) -> Path:
    """Prepare so many phantoms into ``root/store``, which is returned; they are in ``root/scans``."""
    prepare([write_set(root / "scans", count)], root / "store")
    return root / "store"


def config(**changes: Any) -> TrainConfig:
    """``CONFIG`` with changes."""
    return TrainConfig.model_validate(CONFIG | changes)


def options(**changes: Any) -> TrainOptions:
    """A classic U-Net of two levels, trained under ``CONFIG`` with changes."""
    return TrainOptions(network="unet", widths=(4, 8), config=CONFIG | changes)


def spec(**changes: Any) -> ModelSpec:
    """A U-Net of two levels for the four modalities of BraTS, outputs WT, TC and ET."""
    base = ModelSpec(
        name="tiny",
        network=NetConfig(name="unet", dims=3, in_channels=4, out_channels=3, widths=(4, 8)),
        output=OutputConfig(kind="regions", convention="brats2021"),
        prep=PrepConfig(modalities=make.MODALITIES),
        window=WindowConfig(patch=(16, 16, 16)),
    )
    return base.model_copy(update=changes)


def slice_spec(*, modalities: tuple[str, ...] = ("t1c",), convention: str = "binary", **changes: Any) -> ModelSpec:
    """A 2D U-Net of two levels."""
    outputs = len(get_convention(convention).regions)
    return spec(
        network=NetConfig(name="unet", dims=2, in_channels=len(modalities), out_channels=outputs, widths=(4, 8)),
        output=OutputConfig(kind="regions", convention=convention),
        prep=PrepConfig(modalities=modalities, foreground="head" if modalities == ("t1c",) else "brain"),
        window=WindowConfig(patch=(16, 16, 1)),
        **changes,
    )


def write_model(folder: Path, wanted: ModelSpec | None = None, *, bias: Iterable[float] = ()) -> Path:
    """A model with random weights, whose output channels are shifted by ``bias``: -50 says 'never', 50 'always'."""
    wanted = wanted or spec()
    net = wanted.network
    torch.manual_seed(0)
    model = UNet(net.dims, net.in_channels, net.out_channels, net.widths)
    shift = list(bias)
    if shift:
        with torch.no_grad():
            model.head.bias.copy_(torch.tensor(shift))
    sealed = save_checkpoint(folder, model, wanted)
    # Under a name that tests can say beforehand.
    (folder / sealed.weights_file).rename(folder / "weights.safetensors")
    plain = sealed.model_copy(update={"weights_file": "weights.safetensors"})
    write_json(folder / "model.json", plain.model_dump(mode="json"))
    return folder


def weights(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors of a checkpoint folder or a safetensors file."""
    return dict(load_file(path / read_spec(path).weights_file if path.is_dir() else path))


def same(a: dict[str, np.ndarray[Any, Any]], b: dict[str, np.ndarray[Any, Any]]) -> bool:
    """Bit for bit the same tensors."""
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


@contextmanager
def listening_to_ctrl_c() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, here and in programs started in the block.

    A shell that runs the tests in the background would have it ignored.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def interrupted(words: Iterable[str], folder: Path, *, after_s: float) -> Iterator[subprocess.Popen[str]]:
    """``gliamap`` with these words in ``folder``, in a group of its own that gets Ctrl-C so many seconds later.

    Nothing of it outlives the block, whatever hangs.
    """
    command = [str(Path(sys.executable).parent / "gliamap"), *words]
    with listening_to_ctrl_c():
        running = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    with running:
        try:
            time.sleep(after_s)
            os.killpg(running.pid, signal.SIGINT)
            yield running
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


@contextmanager
def at_work_in(folder: Path) -> Iterator[None]:
    """Another process holds the lock of ``folder`` during the block; then it is killed."""
    code = "import sys, time; from pathlib import Path; from gliamap.io.lock import alone"
    code += "\nwith alone(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None and other.stdout.readline() == "held\n"
            yield
        finally:
            other.kill()


def files_in(folder: Path) -> list[str]:
    """All files and folders under ``folder``, hidden ones too, as sorted relative names; none where it is missing."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
