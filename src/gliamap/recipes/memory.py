"""How much memory a training takes, estimated without computing anything.

The tensors that the backward pass needs are counted while shapes without numbers (torch's ``meta`` device) go through
network and loss; this is exact for any network. What comes on top (gradients in passing, the convolutions' scratch
space, the program) was measured: peak resident memory of training processes on a CPU, dynunet and unet, patches from
64x64 to 256x256 and from 32x32x32 to 128x128x128, one to sixteen at once. Most other networks, measured at one or two
sizes, took from 0.9 to 1.3 of the estimate. Not measured on a GPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from gliamap.boxes import Shape
from gliamap.config import NetConfig
from gliamap.losses.named import deeply_supervised
from gliamap.losses.target import Target
from gliamap.nets.zoo import build_network, heads, size_divisor

PROGRAM_BYTES = 650_000_000
"""Python, torch and the libraries that it loads at the first step."""

BYTES_PER_PARAMETER = 5 * 4
"""In float32: weight, gradient, AdamW's two moments, the averaged weight."""

KEPT_SHARE = {"fp32": 1.0, "bf16": 0.6}
"""Of the bytes that are kept for the backward pass in float32. bf16 autocast halves only some of them."""

SCRATCH = 0.4
"""What convolutions and passing gradients need for a while, over what is kept of one patch in float32."""

FACTOR = 1.25
"""The estimate was within this factor of every measurement of dynunet and unet, above or below."""


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes that a training takes: the program, everything in proportion to the parameters, and the patches."""

    program: int
    parameters: int
    patches: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.program + self.parameters + self.patches


def training_memory(
    network: NetConfig, patch: Shape, micro_batch: int, *, precision: Literal["fp32", "bf16"] = "bf16"
) -> TrainingMemory:
    """The estimate for ``micro_batch`` patches of ``patch`` voxels going through the network at once.

    Loader processes come on top, a few hundred megabytes each, and so does what a validation keeps of a whole case.
    """
    # Any size gives nearly the same: a level is a fixed share of the voxels.
    side = max(64, 2 * size_divisor(network))
    kept, parameters = _kept_per_voxel(network, (network.input_size or (side, side, side))[: network.dims])
    one = kept * patch[0] * patch[1] * patch[2]
    patches = int(one * (micro_batch * KEPT_SHARE[precision] + SCRATCH))
    return TrainingMemory(PROGRAM_BYTES, parameters * BYTES_PER_PARAMETER, patches)


@cache
def _kept_per_voxel(network: NetConfig, sizes: tuple[int, ...]) -> tuple[float, int]:
    """Bytes kept in float32 for the backward pass per voxel of input, and the number of parameters."""
    # Held by their address, because that of a freed one is given to the next.
    storages: dict[int, torch.UntypedStorage] = {}
    with torch.device("meta"):
        model = build_network(network).train()
        image = torch.zeros(1, network.in_channels, *sizes)
        target = torch.zeros(1, network.out_channels, *sizes, dtype=torch.uint8)
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            storages[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        deeply_supervised(heads(model(image), network), Target(target), "regions")
    kept = sum(storage.nbytes() for storage in storages.values())
    return kept / math.prod(sizes), sum(parameter.numel() for parameter in model.parameters())
