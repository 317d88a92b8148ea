"""What a network costs, found without its weights: parameters, and the arithmetic of one forward pass."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gliamap.boxes import Shape
from gliamap.config import NetConfig
from gliamap.nets.zoo import build_network


def count_parameters(config: NetConfig) -> int:
    """How many numbers of the network of ``config`` are learnt, heads that only training uses included."""
    return sum(parameter.numel() for parameter in _without_numbers(config).parameters())


def forward_gflops(config: NetConfig, patch: Shape) -> float:
    """Floating-point operations of one forward pass over one ``patch`` (X, Y, Z; Z = 1 in 2D), in 10^9.

    A multiplication and an addition are two operations, so that this is twice the multiply-adds that others give.
    Counted are convolutions and matrix products, as torch's counter does, for the network as it is at inference;
    normalisations, activations and interpolations, a small part, are not. ``patch`` must fit the network
    (:func:`gliamap.nets.zoo.size_divisor`).
    """
    model = _without_numbers(config).eval()
    image = torch.empty(1, config.in_channels, *patch[: config.dims], device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    return float(counter.get_total_flops()) / 1e9


def _without_numbers(config: NetConfig) -> nn.Module:
    """The network with shapes alone: quick, and free of memory, for any size."""
    with torch.device("meta"):
        return build_network(config)
