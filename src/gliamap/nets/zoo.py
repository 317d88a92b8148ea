"""The networks by name: an explicit dict, one builder each. A network gives logits for every voxel of its input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from monai.networks.nets.dynunet import DynUNet
from torch import Tensor, nn

from gliamap.config import ModelSpec, NetConfig
from gliamap.errors import ConfigError
from gliamap.io.checkpoint import check_size, load_weights
from gliamap.nets.unet import UNet


def _unet(config: NetConfig) -> nn.Module:
    return UNet(config.dims, config.in_channels, config.out_channels, config.widths)


def _dynunet(config: NetConfig) -> nn.Module:
    """MONAI's DynUNet (nnU-Net's network): instance norm, leaky ReLU, strided convolutions."""
    levels = len(config.widths)
    if levels < 3:
        raise ConfigError(
            "the network 'dynunet' needs at least three levels",
            found=f"widths {', '.join(map(str, config.widths))}",
            remedy="give it one more width, or take unet",
        )
    strides = [1] + [2] * (levels - 1)
    return DynUNet(
        spatial_dims=config.dims,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        kernel_size=[3] * levels,
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=list(config.widths),
        norm_name=("instance", {"affine": True}),
        deep_supervision=config.deep_supervision,
        deep_supr_num=min(2, levels - 2),
    )


NETWORKS: Mapping[str, Callable[[NetConfig], nn.Module]] = MappingProxyType({"unet": _unet, "dynunet": _dynunet})

DEEP_SUPERVISION = frozenset({"dynunet"})
"""The networks that offer logits at coarser levels while training."""


@dataclass(frozen=True)
class Parts:
    """Which tensors of a network are what, by the beginnings of their names; the others are the decoder's.

    ``first``: the convolution that sees the input channels, a part of the encoder. ``heads``: what gives the output
    channels.
    """

    first: str
    encoder: tuple[str, ...]
    heads: tuple[str, ...]


PARTS: Mapping[str, Parts] = MappingProxyType(
    {
        "unet": Parts(first="down.0.0.", encoder=("down.",), heads=("head.",)),
        "dynunet": Parts(
            first="input_block.conv1.",
            encoder=("input_block.", "downsamples.", "bottleneck."),
            heads=("output_block.", "deep_supervision_heads."),
        ),
    }
)
"""The parts of each of ``NETWORKS``."""


def part_of(tensor: str, network: str) -> Literal["encoder", "decoder", "heads"]:
    """Which part of the network of this name the tensor of this name belongs to."""
    parts = PARTS[network]
    return "encoder" if tensor.startswith(parts.encoder) else "heads" if tensor.startswith(parts.heads) else "decoder"


def build_network(config: NetConfig) -> nn.Module:
    """The network of ``config`` with freshly drawn weights (from torch's global generator: seed it before)."""
    if config.name not in NETWORKS:
        raise ConfigError(f"there is no network called '{config.name}'", expected="one of " + ", ".join(NETWORKS))
    if config.deep_supervision and config.name not in DEEP_SUPERVISION:
        raise ConfigError(
            f"the network '{config.name}' has no deep supervision", remedy="leave it off, or take dynunet"
        )
    return NETWORKS[config.name](config)


def load_network(folder: Path, spec: ModelSpec) -> nn.Module:
    """The network of the checkpoint ``folder`` with its weights, on the CPU; ``spec`` is what its ``model.json`` says.

    ``FileError`` where the weights are missing, altered or do not fit.
    """
    check_size(folder, spec, _least_parameters(spec.network))
    model = build_network(spec.network)
    load_weights(folder, model, spec)
    return model


def _least_parameters(config: NetConfig) -> int:
    """Fewer parameters no network of ``config`` has: its convolutions from level to level, were they of one voxel."""
    return sum(a * b for a, b in pairwise((config.in_channels, *config.widths)))


def size_divisor(config: NetConfig) -> int:
    """Every spatial size of an input must be a multiple of this."""
    return int(2 ** (len(config.widths) - 1))


def heads(output: Tensor, config: NetConfig) -> list[Tensor]:
    """The network's training output as a list of logits, finest first: one, or several under deep supervision.

    DynUNet stacks its levels, all brought to the finest size, as ``(B, levels, R, *space)``.
    """
    if config.deep_supervision and output.ndim == config.dims + 3:
        return list(output.unbind(dim=1))
    return [output]
