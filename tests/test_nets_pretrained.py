"""Weights from ImageNet: what a network takes of a file, and which files are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import make
import tiny
from gliamap.config import InputConfig, ModelSpec, NetConfig, PrepConfig
from gliamap.errors import ConfigError, FileError
from gliamap.io.tensors import named_tensors
from gliamap.nets.pretrained import BACKBONES, backbone_weights, fill
from gliamap.nets.zoo import build_network, network_of, widths_of

Tensors = dict[str, Tensor]


def spec_of(name: str, modalities: tuple[str, ...] = make.MODALITIES, *, mirror: bool = False) -> ModelSpec:
    inputs = InputConfig(mirror=mirror)
    network = NetConfig(
        name=name,
        dims=2,
        in_channels=inputs.channels(len(modalities)),
        out_channels=3,
        widths=widths_of(name, 2)[: network_of(name).levels],
    )
    return tiny.spec(network=network, prep=PrepConfig(modalities=modalities), inputs=inputs)


@pytest.fixture(scope="module")
def mobilenet() -> Tensors:
    """What a file of MobileNetV3-Large holds: the backbone for three colours under its names, and a classifier."""
    torch.manual_seed(0)
    tensors = named_tensors(build_network(spec_of("lraspp", ("red", "green", "blue")).network))
    own = BACKBONES["lraspp"].ours
    found = {f"features.{n.removeprefix(own)}": x.detach() + 0.5 for n, x in tensors.items() if n.startswith(own)}
    return found | {"classifier.0.weight": torch.zeros(4, 4)}


def written(path: Path, tensors: Tensors) -> Path:
    torch.save(tensors, path) if path.suffix == ".pth" else save_file(tensors, path)
    return path


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_the_backbone_is_that_of_the_file(mobilenet: Tensors, tmp_path: Path, ending: str) -> None:
    spec = spec_of("lraspp")
    model = build_network(spec.network)
    before = {name: tensor.clone() for name, tensor in named_tensors(model).items()}
    taken = backbone_weights(written(tmp_path / f"mobilenet{ending}", mobilenet), spec)
    fill(model, taken)
    for name, tensor in named_tensors(model).items():
        if not name.startswith("net.backbone.") or name.endswith("num_batches_tracked"):
            assert name not in taken and torch.equal(tensor, before[name]), name
        elif name != "net.backbone.0.0.weight":
            assert torch.equal(tensor, mobilenet["features." + name.removeprefix("net.backbone.")]), name


def test_a_modality_is_the_mean_colour(mobilenet: Tensors, tmp_path: Path) -> None:
    """Where all modalities show the same, the first layer answers as it does to a grey photograph."""
    colours = mobilenet["features.0.0.weight"]
    path = written(tmp_path / "m.pth", mobilenet)
    grey = torch.randn(1, 1, 9, 9)
    wanted = torch.conv2d(grey.expand(-1, 3, -1, -1), colours)
    for modalities in (("t1c",), ("t1", "t2"), make.MODALITIES):
        first = backbone_weights(path, spec_of("lraspp", modalities))["net.backbone.0.0.weight"]
        found = torch.conv2d(grey.expand(-1, len(modalities), -1, -1), first)
        assert torch.allclose(found, wanted, atol=1e-4)
    mirrored = backbone_weights(path, spec_of("lraspp", ("t1", "t2"), mirror=True))["net.backbone.0.0.weight"]
    assert mirrored[:, :2].ne(0).any() and mirrored[:, 2:].eq(0).all()


def without(name: str) -> Callable[[Tensors], Tensors]:
    def change(tensors: Tensors) -> Tensors:
        assert name in tensors
        return {key: tensor for key, tensor in tensors.items() if key != name}

    return change


@pytest.mark.parametrize(
    "change",
    [
        without("features.5.block.0.0.weight"),
        without("features.0.0.weight"),
        lambda tensors: tensors | {"features.0.0.weight": torch.zeros(16, 4, 3, 3)},
        lambda tensors: tensors | {"features.17.0.weight": torch.zeros(4, 4)},  # of a deeper network
        lambda tensors: {f"module.{name}": tensor for name, tensor in tensors.items()},
        lambda tensors: {},
    ],
)
def test_another_backbone_is_refused(mobilenet: Tensors, tmp_path: Path, change: Callable[[Tensors], Tensors]) -> None:
    path = written(tmp_path / "other.pth", change(mobilenet))
    with pytest.raises(FileError, match=r"does not hold the backbone of lraspp.*https://download\.pytorch\.org/"):
        backbone_weights(path, spec_of("lraspp"))


class Trap:
    """What a pickle can do."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return (open, ("trapped", "w"))  # type: ignore[return-value]


def test_what_is_no_table_of_tensors_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"features": Trap()}, "trap.pth")
    torch.save([torch.zeros(2)], "list.pth")
    Path("text.pth").write_text("weights")
    Path("cut.safetensors").write_bytes(b"\x08")
    for name in ("trap.pth", "list.pth", "text.pth", "cut.safetensors"):
        with pytest.raises(FileError, match=f"{name} cannot be read as weights"):
            backbone_weights(Path(name), spec_of("lraspp"))
    assert not Path("trapped").exists()
    with pytest.raises(FileError, match="no file of weights"):
        backbone_weights(Path("missing.pth"), spec_of("lraspp"))


def test_a_network_without_a_backbone_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'unet'.*deeplabv3, fcn, lraspp"):
        backbone_weights(tmp_path / "any.pth", tiny.slice_spec())


@pytest.mark.parametrize("name", BACKBONES)
def test_names_and_shapes_are_those_of_torchvision(name: str, tmp_path: Path) -> None:
    """A file as torchvision's own classifiers have it fits."""
    models = pytest.importorskip("torchvision.models")
    make_one = models.mobilenet_v3_large if name == "lraspp" else models.resnet50
    path = written(tmp_path / "own.pth", make_one(weights=None).state_dict())
    taken = backbone_weights(path, spec_of(name, ("t1c",)))
    own = {n for n in named_tensors(build_network(spec_of(name, ("t1c",)).network)) if n.startswith("net.backbone.")}
    assert taken.keys() == {n for n in own if not n.endswith("num_batches_tracked")}
