"""What a network costs, found without its weights: parameters, and the arithmetic of one forward pass."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from gliamap.boxes import Shape
from gliamap.config import NetConfig
from gliamap.nets.zoo import build_network


@cache
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


@cache
def forward_bytes(config: NetConfig, patch: Shape) -> int:
    """The most that the tensors of one forward pass over one ``patch`` (X, Y, Z; Z = 1 in 2D) hold at a time, float32.

    The input counts, the weights do not. What the convolutions need beside their results is not known here.
    """
    model = _without_numbers(config).eval()
    alive = _Alive()
    with torch.no_grad(), alive:
        model(torch.empty(1, config.in_channels, *patch[: config.dims], device="meta"))
    return alive.most


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the most bytes that the results of all operations, as long as somebody holds them, take at a time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most: int = 0
        self._made: list[weakref.ref[Tensor]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operation."""
        out = func(*args, **(kwargs or {}))
        self._made += [weakref.ref(each) for each in tree_leaves(out) if isinstance(each, Tensor)]
        alive = {id(each): each for made in self._made if (each := made()) is not None}
        self._made = [weakref.ref(each) for each in alive.values()]
        storages = {each.untyped_storage()._cdata: each.untyped_storage().nbytes() for each in alive.values()}
        self.most = max(self.most, sum(storages.values()))
        return out


def _without_numbers(config: NetConfig) -> nn.Module:
    """The network with shapes alone: quick, and free of memory, for any size."""
    with torch.device("meta"):
        return build_network(config)
