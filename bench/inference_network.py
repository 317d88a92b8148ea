"""nnU-Net's own network for BraTS, as a network of gliamap, with the same weights for both programs.

The plan that nnU-Net 2 makes of BraTS 2021: a plain U-Net of 30.8 M parameters and patches of 128x160x112 along
Z, Y, X. gliamap counts X, Y, Z, so patch, strides and kernels are turned round. MONAI's DynUNet is that network; what
it lacks are the biases of convolutions before an instance norm, which takes them away again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from monai.networks.nets.dynunet import DynUNet
from safetensors.torch import save_file
from torch import Tensor, nn

from gliamap.boxes import Shape
from gliamap.config import ModelSpec, NetConfig, OutputConfig, PrepConfig, WindowConfig
from gliamap.infer.window import gaussian_weight
from gliamap.io.checkpoint import read_spec, save_checkpoint
from gliamap.io.tensors import named_tensors
from gliamap.nets import zoo
from gliamap.nets.network import Network

NAME = "nnunet-brats"
PATCH: Shape = (112, 160, 128)
WIDTHS = (32, 64, 128, 256, 320, 320)
STRIDES = ((1, 1, 1), *[(2, 2, 2)] * 4, (1, 2, 2))
"""Of each level along X, Y, Z."""

PROBE: Shape = (32, 64, 64)
"""The size of the image on which both programs' networks must answer alike."""

MODALITIES = ("t1", "t1c", "t2", "flair")


@dataclass(frozen=True)
class _Plan(Network):
    """X is halved once less than Y and Z. ``every``: what a size must be a multiple of, the same for all axes."""

    every: int = 32

    def divisor(self, levels: int) -> int:
        """Whatever the levels: there are six."""
        return self.every


def register(*, one_pass: bool) -> None:
    """Add the network to those that gliamap knows, in this process.

    X need be a multiple of 16, Y and Z of 32, for which gliamap has no word. So it counts as one whose graph holds for
    a single size, as a transformer's does, or, for ``one_pass``, as one for all multiples of 32.
    """
    plan = _Plan(
        _build,
        "nnU-Net's network for BraTS",
        zoo.NETWORKS["dynunet"].parts,
        {3: WIDTHS},
        least=len(WIDTHS),
        most=len(WIDTHS),
        one_graph=one_pass,
        every=32 if one_pass else 16,
    )
    zoo.NETWORKS = MappingProxyType({**zoo.NETWORKS, NAME: plan})


def _build(config: NetConfig) -> nn.Module:
    return DynUNet(
        spatial_dims=3,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        kernel_size=[3] * len(STRIDES),
        strides=STRIDES,
        upsample_kernel_size=STRIDES[1:],
        filters=list(config.widths),
        norm_name=("instance", {"affine": True}),
        trans_bias=True,
    )


def spec_of(widths: tuple[int, ...] = WIDTHS, patch: Shape = PATCH) -> ModelSpec:
    """How nnU-Net uses its network: cropped to the brain alone, half overlapping windows, the labels of MSD."""
    return ModelSpec(
        name=NAME,
        network=NetConfig(name=NAME, dims=3, in_channels=len(MODALITIES), out_channels=3, widths=widths),
        output=OutputConfig(kind="regions", convention="msd"),
        prep=PrepConfig(modalities=MODALITIES, crop_margin=0),
        window=WindowConfig(patch=patch),
    )


def write_both(folder: Path, spec: ModelSpec) -> tuple[Path, Path]:
    """Random weights, always the same: a model of gliamap, and the same numbers by nnU-Net's names.

    Beside these lie ``check.safetensors``, all along Z, Y, X: a made image ``shown``, the ``answer`` (logits) that the
    network gives it here, and the ``weight`` of gliamap's windows. What is there already of this ``spec`` stays: the
    same tensors saved again need not be the same file.
    """
    theirs, last = folder / "nnunet.safetensors", folder / "check.safetensors"
    if last.is_file():
        there = read_spec(folder / "model")
        if (there.network, there.window) == (spec.network, spec.window):
            return folder / "model", theirs
    torch.manual_seed(0)
    model = zoo.build_network(spec.network)
    save_checkpoint(folder / "model", model, spec)
    save_file(renamed(named_tensors(model)), theirs)
    shown = torch.randn(1, len(MODALITIES), *PROBE)
    with torch.inference_mode():
        answer = model.eval()(shown)
    weight = torch.from_numpy(gaussian_weight(spec.window.patch))
    check = {"shown": shown, "answer": answer, "weight": weight}
    save_file({name: turned(tensor) for name, tensor in check.items()}, last)
    return folder / "model", theirs


def turned(tensor: Tensor) -> Tensor:
    """The last three axes the other way round."""
    return tensor.transpose(-1, -3).contiguous()


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by nnU-Net's names, kernels along Z, Y, X."""
    last = len(STRIDES) - 1
    blocks = {"input_block": "encoder.stages.0.0.", "bottleneck": f"encoder.stages.{last}.0."}
    blocks |= {f"downsamples.{i}": f"encoder.stages.{i + 1}.0." for i in range(last - 1)}
    blocks |= {f"upsamples.{i}.conv_block": f"decoder.stages.{i}." for i in range(last)}
    names = {
        f"{ours}.{part}{n}{dot}": f"{theirs}convs.{n - 1}.{part}"
        for ours, theirs in blocks.items()
        for n in (1, 2)
        for part, dot in (("conv", ".conv"), ("norm", ""))
    }
    names |= {f"upsamples.{i}.transp_conv.conv": f"decoder.transpconvs.{i}" for i in range(last)}
    names["output_block.conv.conv"] = f"decoder.seg_layers.{last - 1}"
    found = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        found[f"{names[layer]}.{kind}"] = turned(tensor) if tensor.ndim == 5 else tensor.contiguous()
    return found
