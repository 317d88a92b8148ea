"""The networks by name: an explicit dict, one builder each. A network gives logits for every voxel of its input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

from torch import Tensor, nn
from torch.nn.functional import interpolate

from gliamap.boxes import Shape
from gliamap.config import ModelSpec, NetConfig
from gliamap.errors import ConfigError
from gliamap.io.checkpoint import check_size, load_weights
from gliamap.nets import monai_nets, torchvision_nets
from gliamap.nets.network import Dims, Network, Parts
from gliamap.nets.residual_encoder import ResidualEncoderUNet
from gliamap.nets.swin_unet import TOKEN, SwinUNet
from gliamap.nets.unet import UNet

_USUAL: Mapping[Dims, tuple[int, ...]] = {2: (32, 64, 128, 256, 512, 512), 3: (16, 32, 64, 128, 256, 320)}
"""The widths of networks that can have any: doubled from level to level, up to a most."""

_RESNET = (64, 256, 512, 1024, 2048)
"""The widths of a ResNet-50."""


def _doubled(first: int) -> tuple[int, ...]:
    return tuple(first * 2**level for level in range(5))


def _torchvision(
    build: Callable[[NetConfig], nn.Module], description: str, *, widths: tuple[int, ...], first: str, heads: str
) -> Network:
    """One of torchvision's, in 2D; ``first`` is looked for in its backbone, ``heads`` in its classifier."""
    return Network(
        build,
        description,
        Parts(first=rf"net\.backbone\.{first}", encoder=r"net\.backbone\.", heads=rf"net\.classifier\.{heads}"),
        {2: widths},
        least=5,
        most=5,
        fixed=True,
        extra="torchvision",
    )


NETWORKS: Mapping[str, Network] = MappingProxyType(
    {
        "unet": Network(
            lambda config: UNet(config.dims, config.in_channels, config.out_channels, config.widths),
            "the classic U-Net: ReLU, max-pooling",
            Parts(first=r"down\.0\.0\.", encoder=r"down\.", heads=r"head\."),
            _USUAL,
        ),
        "residual-unet": Network(
            monai_nets.residual_unet,
            "MONAI's U-Net of residual units",
            Parts(
                first=r"0\.model\.0\.(conv\.unit0|residual)\.",
                encoder=r"0\.model\.(1\.submodule\.)*(0|conv|residual)\.",
                heads=r"1\.",
            ),
            _USUAL,
        ),
        "residual-encoder-unet": Network(
            ResidualEncoderUNet,
            "nnU-Net's residual encoder (ResEnc), plain decoder",
            Parts(first=r"stem\.0\.", encoder=r"(stem|encoder)\.", heads=r"heads\."),
            _USUAL,
            deep_supervision=True,
        ),
        "unet++": Network(
            monai_nets.unet_plus_plus,
            "U-Net++: decoders of all depths, nested",
            Parts(first=r"conv_0_0\.conv_0\.conv\.", encoder=r"conv_\d_0\.", heads=r"final_conv_"),
            {dims: widths[:5] for dims, widths in _USUAL.items()},
            least=5,
            most=5,
            deep_supervision=True,
        ),
        "attention-unet": Network(
            monai_nets.attention_unet,
            "Attention U-Net: skips weighted by what lies below",
            Parts(
                first=r"model\.0\.conv\.0\.conv\.",
                encoder=r"model\.(0|1\.(submodule\.1\.)*submodule\.(0|conv))\.",
                heads=r"model\.2\.",
            ),
            _USUAL,
        ),
        "dynunet": Network(
            monai_nets.dynunet,
            "nnU-Net's network: strided convolutions, leaky ReLU",
            Parts(
                first=r"input_block\.conv1\.",
                encoder=r"(input_block|downsamples|bottleneck)\.",
                heads=r"(output_block|deep_supervision_heads)\.",
            ),
            _USUAL,
            least=3,
            deep_supervision=True,
        ),
        "segresnet": Network(
            monai_nets.segresnet,
            "SegResNet: residual, light decoder",
            Parts(first=r"convInit\.", encoder=r"(convInit|down_layers)\.", heads=r"conv_final\.2\."),
            {2: _doubled(32), 3: _doubled(16)},
            levels=4,
        ),
        "swin-unet": Network(
            SwinUNet,
            "Swin-Unet: Swin transformer blocks alone",
            Parts(first=r"embed\.", encoder=r"(embed|down)", heads=r"head\."),
            {2: _doubled(96)},
            levels=4,
            stem=TOKEN,
            one_graph=False,
        ),
        "swin-unetr": Network(
            monai_nets.swin_unetr,
            "Swin UNETR: Swin transformer encoder, convolutional decoder",
            Parts(
                first=r"(swinViT\.patch_embed|encoder1\.layer\.conv[13])\.",
                encoder=r"(swinViT|encoder\d+)\.",
                heads=r"out\.",
            ),
            {2: _doubled(24), 3: _doubled(24)},
            least=5,
            most=5,
            stem=2,
            one_graph=False,
        ),
        "unetr": Network(
            monai_nets.unetr,
            "UNETR: vision transformer encoder, convolutional decoder",
            Parts(
                first=r"(vit\.patch_embedding\.patch_embeddings|encoder1\.layer\.conv[13])\.",
                encoder=r"(vit|encoder\d)\.",
                heads=r"out\.",
            ),
            {2: (16, 32, 64, 128, 768), 3: (16, 32, 64, 128, 768)},
            least=5,
            most=5,
            sized=True,
            one_graph=False,
        ),
        "mednext": Network(
            monai_nets.mednext,
            "MedNeXt-S: ConvNeXt blocks in a U-Net",
            Parts(first=r"stem\.", encoder=r"(stem|enc_stages|down_blocks|bottleneck)\.", heads=r"out_(0|blocks)\."),
            {2: _doubled(32), 3: _doubled(32)},
            deep_supervision=True,
        ),
        "deeplabv3": _torchvision(
            torchvision_nets.deeplabv3,
            "DeepLabV3 with a ResNet-50: dilated convolutions",
            widths=_RESNET,
            first=r"conv1\.",
            heads=r"4\.",
        ),
        "fcn": _torchvision(
            torchvision_nets.fcn,
            "FCN with a ResNet-50",
            widths=_RESNET,
            first=r"conv1\.",
            heads=r"4\.",
        ),
        "lraspp": _torchvision(
            torchvision_nets.lraspp,
            "LR-ASPP with a MobileNetV3-Large: small and quick",
            widths=(16, 24, 40, 112, 960),
            first=r"0\.0\.",
            heads=r"(low|high)_classifier\.",
        ),
    }
)


def network_of(name: str) -> Network:
    """The network of this name; ``ConfigError`` where there is none."""
    if name not in NETWORKS:
        raise ConfigError(f"there is no network called '{name}'", expected="one of " + ", ".join(NETWORKS))
    return NETWORKS[name]


def widths_of(name: str, dims: Dims) -> tuple[int, ...]:
    """The network's ``widths`` in so many dimensions; ``ConfigError`` where it is not for them."""
    widths = network_of(name).widths
    if dims not in widths:
        (other,) = widths
        raise ConfigError(
            f"the network '{name}' is not for {dims}D", expected=f"dims {other}", remedy="or take another network"
        )
    return widths[dims]


def build_network(config: NetConfig) -> nn.Module:
    """The network of ``config`` with freshly drawn weights (from torch's global generator: seed it before).

    ``ConfigError`` where there is none of this name, or it cannot be as ``config`` says.
    """
    network = network_of(config.name)
    _check(config, network)
    return network.build(config)


def _check(config: NetConfig, network: Network) -> None:
    name, widths = config.name, ", ".join(map(str, config.widths))
    usual = widths_of(name, config.dims)[: network.levels]
    if config.deep_supervision and not network.deep_supervision:
        others = ", ".join(other for other, its in NETWORKS.items() if its.deep_supervision)
        raise ConfigError(
            f"the network '{name}' has no deep supervision", remedy=f"leave it off, or take another one: {others}"
        )
    if network.fixed and config.widths != usual:
        raise ConfigError(
            f"the widths of the network '{name}' are fixed", found=f"widths {widths}", remedy="leave --widths out"
        )
    least, most = network.least, network.most or len(config.widths)
    if not least <= len(config.widths) <= most:
        needs = f"{least}" if least == most else f"at least {least}"
        raise ConfigError(
            f"the network '{name}' needs {needs} levels",
            found=f"widths {widths}",
            remedy="change --widths, or take unet",
        )
    if network.sized and config.input_size is None:
        raise ConfigError(f"the network '{name}' must be told the size of its input", expected="network.input_size")


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
    return network_of(config.name).divisor(len(config.widths))


def fits(config: NetConfig, patch: Shape) -> bool:
    """Whether the network can learn from patches of so many voxels along X, Y, Z; in 2D Z is 1.

    One voxel alone at the coarsest level could not be normalised, so one size must be larger than the divisor.
    """
    divisor, sizes = size_divisor(config), patch[: config.dims]
    flat = patch[2] == 1
    return flat == (config.dims == 2) and max(sizes) > divisor and not any(n % divisor for n in sizes)


def heads(output: Tensor | Sequence[Tensor], config: NetConfig) -> list[Tensor]:
    """The network's training output as a list of logits, finest first: one, or several under deep supervision.

    All have the size of the finest. Coarser ones are brought to it by repeating voxels, as DynUNet itself does, which
    stacks its levels as ``(B, levels, R, *space)``.
    """
    if not isinstance(output, Tensor):
        finest, *coarser = output
        return [finest, *(interpolate(level, finest.shape[2:]) for level in coarser)]
    if config.deep_supervision and output.ndim == config.dims + 3:
        return list(output.unbind(dim=1))
    return [output]
