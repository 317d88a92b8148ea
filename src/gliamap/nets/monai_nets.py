"""MONAI's networks, set as their papers have them, but for instance normalisation where MONAI leaves the choice: a
step of training sees few patches.

Layers that MONAI makes and never uses are left out, so that gradients reach every parameter. The logits are given by
plain 1x1 convolutions.
"""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.nets.attentionunet import AttentionUnet
from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.mednext import MedNeXt
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.swin_unetr import SwinUNETR
from monai.networks.nets.unet import UNet
from monai.networks.nets.unetr import UNETR
from torch import Tensor, nn

from gliamap.config import NetConfig
from gliamap.nets.widths import attention_heads, check_doubled


def dynunet(config: NetConfig) -> nn.Module:
    """DynUNet, nnU-Net's network (Isensee et al. 2021): leaky ReLU, strided convolutions."""
    return DynUNet(**dynunet_settings(config))


def dynunet_settings(config: NetConfig) -> dict[str, Any]:
    """What MONAI's DynUNet is built with."""
    levels = len(config.widths)
    strides = [1] + [2] * (levels - 1)
    return _channels(config) | {
        "kernel_size": [3] * levels,
        "strides": strides,
        "upsample_kernel_size": strides[1:],
        "filters": list(config.widths),
        "norm_name": ("instance", {"affine": True}),
        "deep_supervision": config.deep_supervision,
        "deep_supr_num": min(2, levels - 2),
    }


def residual_unet(config: NetConfig) -> nn.Module:
    """MONAI's U-Net of residual units (Kerfoot et al. 2018), two convolutions each.

    Its last unit works on the output channels, of which a binary task has one. Here it keeps the finest width, and a
    1x1 convolution follows.
    """
    widths = config.widths
    net = UNet(
        **_channels(config) | {"out_channels": widths[0]},
        channels=widths,
        strides=[2] * (len(widths) - 1),
        num_res_units=2,
    )
    return nn.Sequential(net, _head(config, widths[0]))


def attention_unet(config: NetConfig) -> nn.Module:
    """Attention U-Net (Oktay et al. 2018): what a skip passes on is weighted first. MONAI's has batch normalisation."""
    return AttentionUnet(**attention_unet_settings(config))


def attention_unet_settings(config: NetConfig) -> dict[str, Any]:
    """What MONAI's AttentionUnet is built with."""
    return _channels(config) | {"channels": config.widths, "strides": [2] * (len(config.widths) - 1)}


def unet_plus_plus(config: NetConfig) -> nn.Module:
    """U-Net++ (Zhou et al. 2018)."""
    return _UNetPlusPlus(config)


class _UNetPlusPlus(BasicUNetPlusPlus):
    """Logits as other networks give them; without deep supervision only the head that is used."""

    def __init__(self, config: NetConfig) -> None:
        features = (*config.widths, config.widths[0])
        super().__init__(**_channels(config), features=features, deep_supervision=config.deep_supervision)
        if not config.deep_supervision:
            self.final_conv_0_1, self.final_conv_0_2, self.final_conv_0_3 = (nn.Identity() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Logits; while training under deep supervision those of all heads, the one that sees most first."""
        outputs: list[Tensor] = super().forward(x)
        return outputs[::-1] if self.deep_supervision and self.training else outputs[-1]


def segresnet(config: NetConfig) -> nn.Module:
    """SegResNet (Myronenko 2018), without its autoencoder: most blocks at the coarsest level, group normalisation."""
    check_doubled(config, multiple=8)
    return SegResNet(**segresnet_settings(config))


def segresnet_settings(config: NetConfig) -> dict[str, Any]:
    """What MONAI's SegResNet is built with."""
    levels = len(config.widths)
    return _channels(config) | {
        "init_filters": config.widths[0],
        "blocks_down": (1, *[2] * (levels - 2), 4),
        "blocks_up": (1,) * (levels - 1),
    }


def mednext(config: NetConfig) -> nn.Module:
    """MedNeXt-S with 3x3x3 kernels (Roy et al. 2023): ConvNeXt blocks in a residual U-Net."""
    check_doubled(config)
    steps = len(config.widths) - 1
    net = MedNeXt(
        **_channels(config),
        init_filters=config.widths[0],
        kernel_size=3,
        use_residual_connection=True,
        blocks_down=(2,) * steps,
        blocks_up=(2,) * steps,
        deep_supervision=config.deep_supervision,
    )
    # MONAI's heads are transposed convolutions of one voxel, which are the same with their weights the other way round.
    net.out_0 = _head(config, config.widths[0])  # type: ignore[assignment]
    if config.deep_supervision:
        net.out_blocks = nn.ModuleList(_head(config, width) for width in config.widths[:0:-1])
    return net


def swin_unetr(config: NetConfig) -> nn.Module:
    """Swin UNETR (Hatamizadeh et al. 2022): a Swin transformer as the encoder of a convolutional U-Net."""
    check_doubled(config, multiple=12)
    with torch.device("cpu"):  # it looks at numbers while it is built, and on the meta device there are none
        net = SwinUNETR(**swin_unetr_settings(config))
    return net.to(torch.get_default_device())


def swin_unetr_settings(config: NetConfig) -> dict[str, Any]:
    """What MONAI's SwinUNETR is built with."""
    return _channels(config) | {"feature_size": config.widths[0]}


def unetr(config: NetConfig) -> nn.Module:
    """UNETR (Hatamizadeh et al. 2021): a vision transformer over patches of 16 voxels, its states as skips.

    The last width is the transformer's, which has heads of 64 channels.
    """
    check_doubled(config, levels=4)
    assert config.input_size is not None  # build_network has checked it
    hidden = config.widths[-1]
    net = UNETR(
        **_channels(config),
        img_size=config.input_size[: config.dims],
        feature_size=config.widths[0],
        hidden_size=hidden,
        mlp_dim=4 * hidden,
        num_heads=attention_heads(hidden, 64),
    )
    for block in net.vit.blocks:
        block.norm_cross_attn = nn.Identity()
    return net


def _channels(config: NetConfig) -> dict[str, Any]:
    return {
        "spatial_dims": config.dims,
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
    }


def _head(config: NetConfig, width: int) -> nn.Module:
    convolution = nn.Conv2d if config.dims == 2 else nn.Conv3d
    return convolution(width, config.out_channels, kernel_size=1)
