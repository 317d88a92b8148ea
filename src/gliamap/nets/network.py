"""What is known of a network before it is built. The networks themselves: :data:`gliamap.nets.zoo.NETWORKS`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from gliamap.config import NetConfig

Dims = Literal[2, 3]
Part = Literal["encoder", "decoder", "heads"]


@dataclass(frozen=True)
class Parts:
    """Which tensors of a network are what: regular expressions that their names begin with.

    ``first``: the convolutions that see the input channels, which belong to the encoder. ``heads``: what gives the
    output channels, each of its tensors along the first axis. All others are the decoder's.
    """

    first: str
    encoder: str
    heads: str

    def sees_input(self, tensor: str) -> bool:
        """The tensor of this name belongs to a convolution that sees the input channels."""
        return bool(re.match(self.first, tensor))

    def of(self, tensor: str) -> Part:
        """Which part the tensor of this name belongs to."""
        return "encoder" if re.match(self.encoder, tensor) else "heads" if re.match(self.heads, tensor) else "decoder"


@dataclass(frozen=True)
class Network:
    """A network by name: how it is built, and what others need to know of it.

    ``build`` gets settings that :func:`gliamap.nets.zoo.build_network` has checked, and refuses, as a ``ConfigError``,
    widths that the network cannot have. ``widths``: for each of the dimensions that it can, feature channels from the
    finest level down, as many as are sensible; it has the first ``levels`` of them unless told otherwise, and from
    ``least`` to ``most`` (``None``: any number). ``fixed``: it has these and no others. ``stem``: voxels of the input,
    along an axis, to one of the finest level. ``deep_supervision``: while training it can give logits at coarser
    levels, too. ``sized``: its weights depend on the size of its input, so that it takes no other. ``one_graph``: its
    layers do the same whatever the size, so that one exported graph holds for all. ``extra``: what must be installed
    beside gliamap.
    """

    build: Callable[[NetConfig], nn.Module]
    description: str
    parts: Parts
    widths: Mapping[Dims, tuple[int, ...]]
    levels: int = 5
    least: int = 2
    most: int | None = None
    fixed: bool = False
    stem: int = 1
    deep_supervision: bool = False
    sized: bool = False
    one_graph: bool = True
    extra: str | None = None

    def divisor(self, levels: int) -> int:
        """What every spatial size of an input must be a multiple of, for a network of so many levels."""
        return int(self.stem * 2 ** (levels - 1))
