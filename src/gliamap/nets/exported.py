"""A network as a graph that runs without the code that built it: what engines and other programs take."""

from __future__ import annotations

import warnings

import torch
from torch import nn
from torch.export import Dim, ExportedProgram, export

from gliamap.boxes import Shape
from gliamap.config import NetConfig
from gliamap.nets.zoo import network_of, size_divisor

_MOST_PATCHES = 1024
_MOST_VOXELS = 2048
"""Bounds of the sizes that a graph declares; larger ones than anybody uses."""


def program(model: nn.Module, config: NetConfig, *, patch: Shape) -> ExportedProgram:
    """The network at inference, from ``(N, C, X, Y, Z)`` float32 (2D: ``(N, C, X, Y)``) to logits of the same sizes.

    It takes any number of patches, and any sizes in multiples of the network's divisor. A network that fixes its sizes
    (:func:`fixes_sizes`) takes ``patch`` (X, Y, Z; Z = 1 in 2D) and one patch at once. ``model`` is left in evaluation
    mode, on its device.
    """
    model.eval()
    device = next(model.parameters()).device
    fixed = fixes_sizes(config)
    # Two patches of unequal sizes: torch takes a size of 1, and sizes that are equal, for the graph's own.
    unit = size_divisor(config)
    sizes = patch[: config.dims] if fixed else tuple(unit * n for n in (3, 2, 4))[: config.dims]
    example = torch.zeros(1 if fixed else 2, config.in_channels, *sizes, device=device)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its inner workings
        return export(model, (example,), dynamic_shapes=None if fixed else (_any_sizes(config.dims, unit),))


def fixes_sizes(config: NetConfig) -> bool:
    """Whether the network's graph holds for one size of patches alone, as a transformer's does."""
    return not network_of(config.name).one_graph


def _any_sizes(dims: int, unit: int) -> dict[int, Dim]:
    """What each axis of the input may be: any number of patches, sizes in multiples of ``unit``."""
    sizes = {2 + axis: unit * Dim(name, min=1, max=_MOST_VOXELS // unit) for axis, name in enumerate("xyz"[:dims])}
    return {0: Dim("n", min=1, max=_MOST_PATCHES), **sizes}
