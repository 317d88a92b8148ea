"""The classic small U-Net, in 2D and 3D.

Ronneberger, Fischer, Brox: U-Net, MICCAI 2015: two 3x3 convolutions with ReLU a level, max-pooling down, transposed
convolution up, skips by concatenation. Padded convolutions keep the size; instance normalisation, which the original
lacks, makes it trainable at small batches.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn


class UNet(nn.Module):
    """``(B, in_channels, *space)`` to logits ``(B, out_channels, *space)``.

    Every spatial size must be divisible by ``2 ** (len(widths) - 1)``.
    """

    def __init__(self, dims: Literal[2, 3], in_channels: int, out_channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        pool = nn.MaxPool2d if dims == 2 else nn.MaxPool3d
        up = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.pool = pool(2)
        self.down = nn.ModuleList(
            _double_conv(dims, a, b) for a, b in zip((in_channels, *widths[:-1]), widths, strict=True)
        )
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(up(a, b, kernel_size=2, stride=2) for a, b in pairs)
        self.merge = nn.ModuleList(_double_conv(dims, 2 * b, b) for _, b in pairs)
        self.head = conv(widths[0], out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the input's spatial size."""
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self.pool(x))
            skips.append(x)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([up(x), skips.pop()], dim=1))
        logits: Tensor = self.head(x)
        return logits


def _double_conv(dims: Literal[2, 3], channels: int, width: int) -> nn.Sequential:
    conv = nn.Conv2d if dims == 2 else nn.Conv3d
    norm = nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d
    layers: list[nn.Module] = []
    for a in (channels, width):
        layers += [
            conv(a, width, kernel_size=3, padding=1, bias=False),
            norm(width, affine=True),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
