"""The networks of the zoo as tests take them: tiny, in each of their dimensions, with and without deep supervision."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from _pytest.mark import ParameterSet
from torch import Tensor, nn

from gliamap.config import NetConfig
from gliamap.nets.network import Dims
from gliamap.nets.zoo import NETWORKS, build_network, widths_of

TINY: dict[str, tuple[int, ...]] = {
    "unet++": (4, 4, 6, 6, 8),
    "segresnet": (8, 16, 32),
    "swin-unet": (8, 16),
    "swin-unetr": (12, 24, 48, 96, 192),
    "unetr": (6, 12, 24, 48, 12),
    "mednext": (4, 8, 16),
}
"""Widths under which a test takes a fraction of a second; (4, 6, 8) for all others that can have any."""

TIMES: dict[Dims, tuple[tuple[int, ...], ...]] = {2: ((2, 1), (1, 3), (3, 2)), 3: ((1, 1, 2), (3, 2, 1))}
"""Sizes of inputs, in units of what a network divides by."""


@dataclass(frozen=True)
class Member:
    """A network in so many dimensions."""

    name: str
    dims: Dims
    deep: bool

    @property
    def widths(self) -> tuple[int, ...]:
        network = NETWORKS[self.name]
        usual = widths_of(self.name, self.dims)[: network.levels]
        return usual if network.fixed else TINY.get(self.name, (4, 6, 8))

    @property
    def sizes(self) -> list[tuple[int, ...]]:
        """Sizes of inputs, all of them unequal, so that a swapped axis shows."""
        unit = NETWORKS[self.name].divisor(len(self.widths))
        return [tuple(unit * n for n in times) for times in TIMES[self.dims]]

    def config(self, size: tuple[int, ...] | None = None, *, inputs: int = 2, outputs: int = 3) -> NetConfig:
        """Its settings, for inputs of ``size`` or the first of ``sizes``."""
        x, y, *z = size or self.sizes[0]
        return NetConfig(
            name=self.name,
            dims=self.dims,
            in_channels=inputs,
            out_channels=outputs,
            widths=self.widths,
            deep_supervision=self.deep,
            input_size=(x, y, *(z or [1])) if NETWORKS[self.name].sized else None,
        )

    def model(self, size: tuple[int, ...] | None = None) -> nn.Module:
        """The network, always with the same weights."""
        torch.manual_seed(0)
        return build_network(self.config(size))

    def image(self, size: tuple[int, ...] | None = None, *, count: int = 2) -> Tensor:
        """So many patches of ``size`` or the first of ``sizes``, always the same."""
        return torch.randn(count, 2, *(size or self.sizes[0]), generator=torch.Generator().manual_seed(0))


def _member(name: str, dims: Dims, deep: bool) -> ParameterSet:
    large = (name, dims) in (("swin-unetr", 3), ("deeplabv3", 2), ("fcn", 2))  # and cannot be made small
    return pytest.param(
        Member(name, dims, deep),
        id=f"{name}-{dims}d{'-deep' if deep else ''}",
        marks=[pytest.mark.slow] if large else [],
    )


MEMBERS = [
    _member(name, dims, deep)
    for name, network in NETWORKS.items()
    for dims in network.widths
    for deep in ((False, True) if network.deep_supervision else (False,))
]
every_network = pytest.mark.parametrize("member", MEMBERS)
