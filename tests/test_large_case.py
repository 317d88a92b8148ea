"""A case of 512x512x400 voxels and four modalities, from its files to its mask in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from gliamap.config import ModelSpec, NetConfig, OutputConfig, PrepConfig, WindowConfig
from gliamap.io.checkpoint import save_checkpoint
from gliamap.nets.zoo import build_network
from gliamap.sources.phantom import make_phantom
from gliamap.workflows.common.memory import parse_memory
from make import SUFFIXES

SHAPE = (512, 512, 400)
BRAIN = (76, 90, 70)
"""The phantom is drawn on a coarse grid; every voxel of it becomes ``FINER`` along each axis."""

FINER = 4


def write_large(folder: Path, *, seed: int) -> None:
    """A brain of 150x180x140 mm in the middle of the grid, at 0.5 mm, as a BraTS folder of files of 16-bit numbers."""
    case = make_phantom(seed, BRAIN)
    around = [((n // FINER - brain) // 2,) * 2 for n, brain in zip(SHAPE, BRAIN, strict=True)]
    separator, names = SUFFIXES["brats2021"]
    header = nib.Nifti1Header()
    header.set_data_shape(SHAPE)
    header.set_data_dtype(np.int16)
    header.set_sform(np.diag([-0.5, -0.5, 0.5, 1]), code=1)
    folder.mkdir(parents=True)
    for modality, volume in zip(case.modalities, case.image, strict=True):
        path = folder / f"{folder.name}{separator}{names[modality]}.nii"
        with path.open("wb") as stream:
            header.write_to(stream)
            stream.write(bytes(4))
            for plane in np.moveaxis(np.pad(volume.astype("<i2"), around), 2, 0):
                stream.write(plane.repeat(FINER, 0).repeat(FINER, 1).tobytes(order="F") * FINER)


def write_model(folder: Path) -> None:
    """A network of usual size that has learned nothing; it sees volumes at 1 mm."""
    modalities, output = ("t1", "t1c", "t2", "flair"), OutputConfig(kind="regions", convention="brats2021")
    network = NetConfig(name="dynunet", dims=3, in_channels=4, out_channels=3, widths=(16, 32, 64, 128, 256))
    torch.manual_seed(0)
    spec = ModelSpec(
        name="untrained",
        network=network,
        output=output,
        prep=PrepConfig(modalities=modalities, spacing=(1.0, 1.0, 1.0)),
        window=WindowConfig(patch=(96, 96, 96), overlap=0.25, mode="one-pass"),
    )
    save_checkpoint(folder, build_network(network), spec)


@pytest.mark.slow
def test_a_case_keeps_under_the_memory_that_it_may_take(tmp_path: Path) -> None:
    limit = "4GB"
    write_large(tmp_path / "scans" / "BraTS2021_00000", seed=0)
    write_model(tmp_path / "model")
    out = tmp_path / "masks"
    words = ("segment", tmp_path / "scans", "-o", out, "--model", tmp_path / "model", "--max-memory", limit)
    more = ("--engine", "torch", "--precision", "fp32")
    done = subprocess.run([sys.executable, "-m", "gliamap", *words, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((out / "segment.json").read_text())
    assert manifest["peak_memory_bytes"] < parse_memory(limit)
    assert manifest["cases"]["BraTS2021_00000"]["window"]["mode"] == "one-pass"
    assert nib.load(out / "BraTS2021_00000.nii.gz").shape == SHAPE
