"""Backbones that begin with weights from ImageNet, where a network has such a backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn

from gliamap.config import ModelSpec
from gliamap.errors import ConfigError, FileError
from gliamap.io.tensors import named_tensors, read_tensors
from gliamap.nets.zoo import build_network


@dataclass(frozen=True)
class Backbone:
    """Where weights of a backbone can be had, and how their names begin.

    ``url``: torchvision's file, whose name ends with the first digits of its SHA-256. ``ours`` is how the backbone's
    tensors begin in the network, ``theirs`` how they do in the file, ``rest`` how those do that sort photographs into
    ImageNet's classes and are not wanted. ``first``: the convolution that sees the image, by its name in the file.
    """

    url: str
    first: str
    rest: str
    theirs: str = ""
    ours: str = "net.backbone."


_RESNET = Backbone("https://download.pytorch.org/models/resnet50-0676ba61.pth", "conv1.weight", rest="fc.")
_MOBILENET = Backbone(
    "https://download.pytorch.org/models/mobilenet_v3_large-8738ca79.pth",
    "features.0.0.weight",
    rest="classifier.",
    theirs="features.",
)

BACKBONES: Mapping[str, Backbone] = MappingProxyType({"deeplabv3": _RESNET, "fcn": _RESNET, "lraspp": _MOBILENET})
"""The backbones of the networks that have one, by the network's name."""


def backbone_of(network: str) -> Backbone:
    """The backbone of the network of this name; ``ConfigError`` where it has none."""
    if network not in BACKBONES:
        raise ConfigError(
            f"nobody has pretrained the network '{network}' on photographs",
            expected="one with a backbone: " + ", ".join(BACKBONES),
            remedy="leave --pretrained out, or take another --network",
        )
    return BACKBONES[network]


def backbone_weights(path: Path, spec: ModelSpec) -> dict[str, Tensor]:
    """The tensors that a network of ``spec`` takes from the file at ``path``, by their names in the network.

    The first convolution has learnt red, green and blue. Each of m modalities starts as the mean of the three, times
    3 / m, so that the responses, which add up, keep their size; mirrored modalities and presence maps start at 0, as
    if they were not shown. ``FileError`` where the file's tensors are not those of this backbone, all of them and no
    others but the classifier's; ``ConfigError`` where the network has no backbone.
    """
    backbone = backbone_of(spec.network.name)
    file = {name: tensor for name, tensor in read_tensors(path).items() if _counts(name)}
    kept = {name: tensor for name, tensor in file.items() if not name.startswith(backbone.rest)}
    taken = {backbone.ours + name.removeprefix(backbone.theirs): tensor for name, tensor in kept.items()}
    first = backbone.ours + backbone.first.removeprefix(backbone.theirs)
    colours = taken.pop(first, None)
    if colours is not None and colours.ndim == 4 and colours.shape[1] == 3:
        taken[first] = _of_modalities(colours, len(spec.prep.modalities), spec.network.in_channels)
    _check(path, taken, spec, backbone)
    return taken


@torch.no_grad()
def fill(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Change the tensors of ``model`` that ``weights`` names to those."""
    tensors = named_tensors(model)
    for name, value in weights.items():
        tensors[name].copy_(value)


def _counts(name: str) -> bool:
    """Batch normalisation counts its batches in files of newer versions only; nothing uses that."""
    return not name.endswith("num_batches_tracked")


def _of_modalities(colours: Tensor, modalities: int, channels: int) -> Tensor:
    """Weights ``(out, 3, k, k)`` for red, green and blue as ``(out, channels, k, k)``, zero after the modalities."""
    weights = colours.new_zeros((colours.shape[0], channels, *colours.shape[2:]))
    weights[:, :modalities] = colours.mean(dim=1, keepdim=True) * (3 / modalities)
    return weights


def _check(path: Path, taken: Mapping[str, Tensor], spec: ModelSpec, backbone: Backbone) -> None:
    with torch.device("meta"):
        network = named_tensors(build_network(spec.network))
    shapes = {name: x.shape for name, x in network.items() if name.startswith(backbone.ours) and _counts(name)}
    wrong = sorted(
        name for name in shapes.keys() | taken.keys() if name not in taken or taken[name].shape != shapes.get(name)
    )
    if wrong:
        raise FileError(
            f"{path} does not hold the backbone of {spec.network.name}",
            found=f"{len(wrong)} tensors that are missing, of another shape or too many, such as "
            + wrong[0].removeprefix(backbone.ours),
            expected=f"those of {Path(backbone.url).name}",
            remedy=f"take that file, from {backbone.url}",
        )
