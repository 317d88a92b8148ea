"""The U-Net with a deep residual encoder, in 2D and 3D.

Isensee et al.: nnU-Net Revisited, MICCAI 2024 ('ResEnc'): an encoder of residual blocks, most of them at coarse levels,
and a plain decoder of one convolution a level. Instance normalisation and leaky ReLU, as in nnU-Net.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gliamap.config import NetConfig
from gliamap.nets.network import Dims

BLOCKS = (1, 3, 4, 6, 6, 6)
"""Residual blocks at each level of the encoder, as in the paper; deeper levels have as many as the last."""


class ResidualEncoderUNet(nn.Module):
    """``(B, in_channels, *space)`` to logits ``(B, out_channels, *space)``.

    Under deep supervision it gives, while training, logits of the finest level and the next two, at their own sizes.
    Every spatial size must be divisible by ``2 ** (len(widths) - 1)``.
    """

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        dims, widths = config.dims, config.widths
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        up = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
        self.stem = _Convolution(dims, config.in_channels, widths[0])
        self.encoder = nn.ModuleList(
            _stage(dims, below, width, blocks=BLOCKS[min(level, len(BLOCKS) - 1)], stride=1 if level == 0 else 2)
            for level, (below, width) in enumerate(zip((widths[0], *widths[:-1]), widths, strict=True))
        )
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(up(a, b, kernel_size=2, stride=2) for a, b in pairs)
        self.decoder = nn.ModuleList(_Convolution(dims, 2 * b, b) for _, b in pairs)
        supervised = min(3, len(pairs)) if config.deep_supervision else 1
        self.heads = nn.ModuleList(conv(width, config.out_channels, kernel_size=1) for width in widths[:supervised])

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Logits of the input's spatial size; while training those of all heads, finest first."""
        x = self.stem(x)
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        skips.pop()
        levels = []
        for up, merge in zip(self.up, self.decoder, strict=True):
            x = merge(torch.cat([up(x), skips.pop()], dim=1))
            levels.append(x)
        if self.training and len(self.heads) > 1:
            return [head(level) for head, level in zip(self.heads, reversed(levels), strict=False)]
        logits: Tensor = self.heads[0](x)
        return logits


class _Convolution(nn.Sequential):
    """A 3x3 convolution, instance normalisation and, unless ``linear``, a leaky ReLU."""

    def __init__(self, dims: Dims, channels: int, width: int, *, stride: int = 1, linear: bool = False) -> None:
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        norm = nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d
        layers = [conv(channels, width, 3, stride=stride, padding=1, bias=False), norm(width, affine=True)]
        super().__init__(*layers, *([] if linear else [nn.LeakyReLU(0.01, inplace=True)]))


class _ResidualBlock(nn.Module):
    """Two convolutions beside a path that leaves what it gets, or averages and projects it to what they give."""

    def __init__(self, dims: Dims, channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        norm = nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d
        pool = nn.AvgPool2d if dims == 2 else nn.AvgPool3d
        self.path = nn.Sequential(
            _Convolution(dims, channels, width, stride=stride), _Convolution(dims, width, width, linear=True)
        )
        past: list[nn.Module] = [pool(stride)] if stride > 1 else []
        if channels != width:
            past += [conv(channels, width, kernel_size=1, bias=False), norm(width, affine=True)]
        self.past = nn.Sequential(*past)
        self.act = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both paths, cut."""
        out: Tensor = self.act(self.path(x) + self.past(x))
        return out


def _stage(dims: Dims, channels: int, width: int, *, blocks: int, stride: int) -> nn.Sequential:
    """So many blocks, the first of which takes the step to the next level."""
    first = _ResidualBlock(dims, channels, width, stride=stride)
    return nn.Sequential(first, *(_ResidualBlock(dims, width, width, stride=1) for _ in range(blocks - 1)))
