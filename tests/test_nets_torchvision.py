"""Torchvision's networks: any size and number of modalities, a single patch, and an import that goes wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import nn

from gliamap.config import NetConfig
from gliamap.errors import ConfigError
from gliamap.nets import torchvision_nets
from gliamap.nets.torchvision_nets import deeplabv3, fcn, lraspp


def config(channels: int) -> NetConfig:
    return NetConfig(name="any", dims=2, in_channels=channels, out_channels=3)


@pytest.mark.parametrize("build", [deeplabv3, fcn, lraspp])
@pytest.mark.parametrize("channels", [1, 4])
def test_logits_have_the_size_of_the_image(build: Callable[[NetConfig], nn.Module], channels: int) -> None:
    with torch.inference_mode():
        assert build(config(channels)).eval()(torch.randn(2, channels, 33, 50)).shape == (2, 3, 33, 50)


def test_nothing_is_ever_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request: object) -> None:
        raise AssertionError("something was to be downloaded")

    monkeypatch.setattr("torch.hub.urlopen", refuse)
    for build in (deeplabv3, fcn, lraspp):
        build(config(3))


def test_a_single_patch_can_be_learned_from() -> None:
    """The mean over the image is one value a channel then, which batch normalisation cannot normalise."""
    torch.manual_seed(0)
    model = deeplabv3(config(2)).train()
    model(torch.randn(1, 2, 24, 16)).square().mean().backward()
    norm = model.net.classifier[0].convs[-1][2]  # type: ignore[union-attr, index]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert norm.num_batches_tracked == 0 and (norm.running_var == 1).all()  # type: ignore[union-attr]
    model(torch.randn(2, 2, 24, 16))
    assert norm.num_batches_tracked == 1 and (norm.running_var != 1).any()  # type: ignore[union-attr]


def test_it_is_imported_only_where_such_a_network_is_built() -> None:
    code = "import sys, gliamap.nets.torchvision_nets; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Callable[[], ModuleType]:
    """The import as if it had not happened yet."""
    monkeypatch.setattr(torchvision_nets, "_declared", [])
    return torchvision_nets._models.__wrapped__


def test_without_it_the_error_names_the_extra(fresh: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models.segmentation", None)
    with pytest.raises(ConfigError, match=r"pip install 'gliamap\[torchvision\]'"):
        fresh()


def test_a_broken_import_leaves_nothing_behind(
    fresh: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = []

    def broken(name: str) -> None:
        declared.append(hasattr(torch.ops.torchvision, "of_a_test"))
        monkeypatch.setitem(sys.modules, "torchvision.half", ModuleType("half"))
        raise RuntimeError("operator torchvision::other does not exist")

    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "torchvision"}
    for name in kept:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(torchvision_nets, "_OPERATORS", ("of_a_test",))
    monkeypatch.setattr(torchvision_nets, "import_module", broken)
    with pytest.raises(ConfigError, match=r"torchvision does not go with torch.*torchvision::other") as kept:
        fresh()
    assert kept.tb is not None  # as long as the error lives, so does what it left
    assert declared == [False, True] and torchvision_nets._declared == []
    assert not hasattr(torch.ops.torchvision, "of_a_test") and "torchvision.half" not in sys.modules
