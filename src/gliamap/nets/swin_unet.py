"""Swin-Unet: a U-Net of Swin transformer blocks alone, in 2D.

Cao et al.: Swin-Unet, 2021. Tokens are patches of 4x4 pixels. The encoder merges 2x2 tokens from level to level, the
decoder expands one to 2x2; skips are concatenated and mixed by a linear layer. Two blocks a level, the second with
shifted windows of 7x7 tokens; the blocks are MONAI's. Without the paper's weights trained on ImageNet.
"""

from __future__ import annotations

import torch
from monai.networks.nets.swin_unetr import BasicLayer, PatchMergingV2
from torch import Tensor, nn

from gliamap.config import NetConfig
from gliamap.nets.widths import attention_heads, check_doubled

TOKEN = 4
"""Pixels of a token, along an axis."""

WINDOW = (7, 7)
BLOCKS = 2


class SwinUNet(nn.Module):
    """``(B, in_channels, X, Y)`` to logits ``(B, out_channels, X, Y)``.

    Both sizes must be divisible by ``4 * 2 ** (len(widths) - 1)``. The widths double from level to level.
    """

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        check_doubled(config)
        widths = config.widths
        self.embed = nn.Conv2d(config.in_channels, widths[0], kernel_size=TOKEN, stride=TOKEN)
        self.embed_norm = _ChannelNorm(widths[0])
        self.down = nn.ModuleList(_blocks(width, merge=width != widths[-1]) for width in widths)
        self.down_norm = _ChannelNorm(widths[-1])
        self.expand = nn.ModuleList(_Expand(width, 2, width // 2) for width in widths[:0:-1])
        self.mix = nn.ModuleList(nn.Conv2d(2 * width, width, kernel_size=1) for width in widths[-2::-1])
        self.up = nn.ModuleList(_blocks(width) for width in widths[-2::-1])
        self.up_norm = _ChannelNorm(widths[0])
        self.last = _Expand(widths[0], TOKEN, widths[0])
        self.head = nn.Conv2d(widths[0], config.out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the input's spatial size."""
        x = self.embed_norm(self.embed(x))
        skips = []
        for blocks in self.down:
            skips.append(x)
            x = blocks(x)
        x = self.down_norm(x)
        skips.pop()
        for expand, mix, blocks in zip(self.expand, self.mix, self.up, strict=True):
            x = blocks(mix(torch.cat([expand(x), skips.pop()], dim=1)))
        logits: Tensor = self.head(self.last(self.up_norm(x)))
        return logits


def _blocks(width: int, *, merge: bool = False) -> nn.Module:
    """The blocks of a level, on ``(B, width, X, Y)``, and, where ``merge``, the step to the next coarser one."""
    return BasicLayer(
        dim=width,
        depth=BLOCKS,
        num_heads=attention_heads(width, 32),
        window_size=WINDOW,
        drop_path=[0.0] * BLOCKS,
        qkv_bias=True,
        downsample=PatchMergingV2 if merge else None,  # type: ignore[arg-type]  # MONAI says a module, and takes a class
    )


class _ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of ``(B, channels, X, Y)``."""

    def forward(self, x: Tensor) -> Tensor:
        """The tokens, each normalised by itself."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class _Expand(nn.Module):
    """``(B, channels, X, Y)`` to ``(B, width, factor X, factor Y)``: linearly, each token becomes several."""

    def __init__(self, channels: int, factor: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(channels, factor * factor * width, kernel_size=1, bias=False)
        self.shuffle = nn.PixelShuffle(factor)
        self.norm = _ChannelNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """The tokens of the finer level, normalised."""
        out: Tensor = self.norm(self.shuffle(self.linear(x)))
        return out
