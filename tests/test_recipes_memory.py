"""The memory of a training, estimated: proportions that a reader can check, and what real processes take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Literal

import pytest

from gliamap.boxes import Shape
from gliamap.config import NetConfig
from gliamap.recipes.memory import FACTOR, PROGRAM_BYTES, training_memory

STEPS = """
import copy, json, sys, torch
from gliamap.config import NetConfig, TrainConfig
from gliamap.losses.named import deeply_supervised
from gliamap.losses.target import Target
from gliamap.nets.zoo import build_network, heads
from gliamap.training.optim import make_optimiser, update_average

network = NetConfig.model_validate_json(sys.argv[1])
size, count, precision = json.loads(sys.argv[2])
model = build_network(network).train()
average = copy.deepcopy(model).requires_grad_(False)
optimiser = make_optimiser(model, TrainConfig())
for step in range(2):
    image = torch.randn(count, network.in_channels, *size)
    target = torch.zeros(count, network.out_channels, *size, dtype=torch.uint8)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        levels = heads(model(image), network)
    optimiser.zero_grad(set_to_none=True)
    deeply_supervised(levels, Target(target), "regions").backward()
    optimiser.step()
    update_average(average, model, step, 0.999)
# The process's own: what getrusage says begins with the memory of the process that started it.
print(next(int(line.split()[1]) * 1024 for line in open('/proc/self/status') if line.startswith('VmHWM')))
"""
"""Two steps of a training in a process of its own; prints its peak resident memory."""


def network(name: str, dims: Literal[2, 3], levels: int = 5) -> NetConfig:
    """Four channels in, three out, widths doubled from level to level."""
    first = 32 if dims == 2 else 16
    return NetConfig(
        name=name,
        dims=dims,
        in_channels=4,
        out_channels=3,
        widths=tuple(first * 2**level for level in range(levels)),
        deep_supervision=name == "dynunet",
    )


def test_parts_by_eye() -> None:
    tiny = NetConfig(name="unet", dims=3, in_channels=1, out_channels=1, widths=(1, 1))
    # 3x3x3 convolutions without bias: 1-1, 1-1 on both levels, 2-1, 1-1 on the way up; six norms of two; the
    # transposed 2x2x2 convolution with bias; the 1x1x1 head with bias.
    parameters = 27 * (1 + 1 + 1 + 1 + 2 + 1) + 6 * 2 + (8 + 1) + (1 + 1)
    found = training_memory(tiny, (16, 16, 16), 1)
    assert found.parameters == 20 * parameters
    assert found.program == PROGRAM_BYTES
    assert found.total == found.program + found.parameters + found.patches


@pytest.mark.parametrize("name", ["dynunet", "unet"])
def test_patches_grow_with_their_voxels_and_number(name: str) -> None:
    net = network(name, 3)
    one = training_memory(net, (64, 64, 64), 1, precision="fp32")
    assert training_memory(net, (128, 64, 64), 1, precision="fp32").patches == pytest.approx(2 * one.patches, rel=1e-6)
    assert one.patches < training_memory(net, (64, 64, 64), 2, precision="fp32").patches < 2 * one.patches
    assert training_memory(net, (64, 64, 64), 1, precision="bf16").patches < one.patches
    assert training_memory(net, (64, 64, 64), 2).parameters == one.parameters


def test_a_slice_is_less_than_a_block() -> None:
    flat, solid = (training_memory(network("unet", dims), (64, 64, 64 if dims == 3 else 1), 1) for dims in (2, 3))
    assert flat.patches < solid.patches / 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dims", "patch", "count", "precision"),
    [
        ("dynunet", 3, (64, 64, 64), 2, "fp32"),
        ("dynunet", 3, (96, 96, 80), 1, "bf16"),
        ("dynunet", 2, (256, 256, 1), 4, "bf16"),
        ("unet", 2, (128, 128, 1), 8, "fp32"),
    ],
)
def test_real_processes_take_what_was_estimated(
    name: str, dims: Literal[2, 3], patch: Shape, count: int, precision: Literal["fp32", "bf16"]
) -> None:
    net = network(name, dims)
    arguments = [net.model_dump_json(), json.dumps([patch[:dims], count, precision])]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", STEPS, *arguments], check=True, capture_output=True, text=True, env=environment
    )
    estimate = training_memory(net, patch, count, precision=precision).total
    assert 1 / FACTOR < estimate / int(done.stdout) < FACTOR
