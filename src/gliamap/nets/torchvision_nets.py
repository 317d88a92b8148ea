"""Torchvision's networks for photographs, in 2D: DeepLabV3, FCN and LR-ASPP. They need the extra ``torchvision``.

Chen et al.: Rethinking Atrous Convolution for Semantic Image Segmentation, 2017. Long, Shelhamer, Darrell: Fully
Convolutional Networks for Semantic Segmentation, CVPR 2015. Howard et al.: Searching for MobileNetV3, ICCV 2019.
A backbone looks at the image, a ResNet-50 (to an eighth of its size) or a MobileNetV3-Large (to a sixteenth); a
classifier gives logits there, which are enlarged to the image's size by linear interpolation. So any size will do.

Nothing is ever downloaded here: weights are drawn, also where the backbone could be had trained on ImageNet
(:mod:`gliamap.nets.pretrained`).
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.library import Library

from gliamap.config import NetConfig
from gliamap.errors import ConfigError


def deeplabv3(config: NetConfig) -> nn.Module:
    """DeepLabV3 with a ResNet-50."""
    net = _models().deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=config.out_channels)
    pooled = net.classifier[0].convs[-1]  # averages the whole image: one value a channel
    pooled[2] = _NormOfFew(pooled[2].num_features)
    net.backbone.conv1 = _convolution(net.backbone.conv1, config)
    return _Logits(net)


def fcn(config: NetConfig) -> nn.Module:
    """FCN with a ResNet-50."""
    net = _models().fcn_resnet50(weights=None, weights_backbone=None, num_classes=config.out_channels)
    net.backbone.conv1 = _convolution(net.backbone.conv1, config)
    return _Logits(net)


def lraspp(config: NetConfig) -> nn.Module:
    """LR-ASPP with a MobileNetV3-Large: small and quick."""
    net = _models().lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=config.out_channels)
    net.backbone["0"][0] = _convolution(net.backbone["0"][0], config)
    return _Logits(net)


class _Logits(nn.Module):
    """``(B, in_channels, X, Y)`` to logits ``(B, out_channels, X, Y)``, where torchvision's networks give a dict."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)["out"]
        return logits


class _NormOfFew(nn.BatchNorm2d):
    """Batch normalisation that also takes one value a channel, as from a single patch: by the running statistics.

    One value says nothing of mean and variance; torch refuses it. The running statistics are what inference takes.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        return super().forward(x)


def _convolution(first: nn.Conv2d, config: NetConfig) -> nn.Conv2d:
    """The backbone's first convolution for other images than those with red, green and blue, its weights drawn anew."""
    made = nn.Conv2d(config.in_channels, first.out_channels, first.kernel_size, first.stride, first.padding, bias=False)  # type: ignore[arg-type]
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")  # as both backbones do
    return made


@cache
def _models() -> ModuleType:
    """``torchvision.models.segmentation``, imported only now: that takes seconds, and not everybody has it.

    Torchvision's compiled operators do not load beside another build of torch than the one they were made for; then its
    import fails for want of two of them (``nms``, ``qnms``), which find boxes and which no network here calls. Declared
    by name, they let it in. ``ConfigError`` where torchvision is not installed, or does not go with torch at all.
    """
    try:
        return _imported()
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise _unfitting(error) from error
    operators: Any = Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    try:
        for name in _OPERATORS:
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        models = _imported()
    except RuntimeError as error:
        operators._destroy()  # else another attempt would find them declared
        raise _unfitting(error) from error
    _declared.append(operators)
    return models


_OPERATORS = ("nms", "qnms")
"""Those that torchvision asks for when it is imported."""

_declared: list[Library] = []
"""Keeps the operators declared: they go when their ``Library`` does."""


def _imported() -> ModuleType:
    """The module; what an import that fails has left behind is taken away, so that another one begins anew."""
    try:
        return import_module("torchvision.models.segmentation")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "this network needs torchvision, which is not installed",
            found=str(error),
            remedy="pip install 'gliamap[torchvision]'",
        ) from error
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        raise


def _unfitting(error: Exception) -> ConfigError:
    return ConfigError(
        f"torchvision does not go with torch {torch.__version__}",
        found=str(error).splitlines()[0],
        expected="the version of torchvision that was made for this torch",
        remedy="pip install 'gliamap[torchvision]', or take another network",
    )
