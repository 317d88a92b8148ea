"""Every network of the zoo, in 2D and 3D: the same tests for all."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_model, save_model

from gliamap.config import NetConfig
from gliamap.errors import ConfigError
from gliamap.io.tensors import named_tensors
from gliamap.nets.zoo import DEEP_SUPERVISION, NETWORKS, PARTS, build_network, heads, part_of, size_divisor

WIDTHS = (4, 6, 8)
MEMBERS = [(name, dims, False) for name in NETWORKS for dims in (2, 3)]
MEMBERS += [(name, dims, True) for name in sorted(DEEP_SUPERVISION) for dims in (2, 3)]
SIZES = {2: [(8, 8), (4, 20), (28, 12)], 3: [(8, 8, 8), (4, 12, 20), (8, 4, 4)]}


@pytest.mark.parametrize(("name", "dims", "deep"), MEMBERS)
class TestEveryNetwork:
    """What training and inference rely on, whichever network it is."""

    def config(self, name: str, dims: Literal[2, 3], deep: bool) -> NetConfig:
        return NetConfig(name=name, dims=dims, in_channels=2, out_channels=3, widths=WIDTHS, deep_supervision=deep)

    def test_logits_have_the_size_of_the_input(self, name: str, dims: Literal[2, 3], deep: bool) -> None:
        config = self.config(name, dims, deep)
        assert size_divisor(config) == 4
        model = build_network(config).eval()
        with torch.inference_mode():
            for size in SIZES[dims]:
                assert model(torch.randn(2, 2, *size)).shape == (2, 3, *size)

    def test_training_gives_heads_of_that_size(self, name: str, dims: Literal[2, 3], deep: bool) -> None:
        config = self.config(name, dims, deep)
        size = SIZES[dims][1]
        levels = heads(build_network(config).train()(torch.randn(2, 2, *size)), config)
        assert len(levels) == (2 if deep else 1)
        assert all(level.shape == (2, 3, *size) for level in levels)

    def test_the_first_head_is_what_inference_gives(self, name: str, dims: Literal[2, 3], deep: bool) -> None:
        config = self.config(name, dims, deep)
        model, x = build_network(config), torch.randn(1, 2, *SIZES[dims][0])
        with torch.no_grad():
            assert torch.allclose(heads(model.train()(x), config)[0], model.eval()(x), atol=1e-6)
            assert len(heads(model.eval()(x), config)) == 1

    def test_gradients_reach_every_parameter(self, name: str, dims: Literal[2, 3], deep: bool) -> None:
        config = self.config(name, dims, deep)
        torch.manual_seed(0)
        model = build_network(config).train()
        levels = heads(model(torch.randn(2, 2, *SIZES[dims][1])), config)
        torch.autograd.backward(sum((level.square().mean() for level in levels), torch.zeros(())))
        for parameter_name, parameter in model.named_parameters():
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.isfinite().all(), parameter_name
        # A bias before a normalisation has no effect; every weight has.
        weights = [p for p in model.parameters() if p.ndim > 1]
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in weights)

    def test_saved_and_loaded_gives_the_same_output(
        self, name: str, dims: Literal[2, 3], deep: bool, tmp_path: Path
    ) -> None:
        config = self.config(name, dims, deep)
        model, other = build_network(config).eval(), build_network(config).eval()
        save_model(model, str(tmp_path / "w.safetensors"))
        load_model(other, str(tmp_path / "w.safetensors"))
        x = torch.randn(1, 2, *SIZES[dims][1])
        with torch.inference_mode():
            assert torch.equal(model(x), other(x))

    def test_its_parts_are_told_by_the_names_of_tensors(self, name: str, dims: Literal[2, 3], deep: bool) -> None:
        """Every prefix fits; one convolution has the input channels, all heads have the output channels."""
        tensors = named_tensors(build_network(self.config(name, dims, deep).model_copy(update={"in_channels": 5})))
        parts = PARTS[name]
        for prefix in (parts.first, *parts.encoder, *(parts.heads if deep else parts.heads[:1])):
            assert any(tensor.startswith(prefix) for tensor in tensors), prefix
        first = [tensor for tensor, value in tensors.items() if value.ndim > 1 and value.shape[1] == 5]
        assert first == [f for f in tensors if f.startswith(parts.first) and tensors[f].ndim > 1] and len(first) == 1
        assert part_of(first[0], name) == "encoder"
        heads_of = [tensor for tensor in tensors if part_of(tensor, name) == "heads"]
        assert len(heads_of) == (4 if deep else 2) and all(len(tensors[tensor]) == 3 for tensor in heads_of)
        assert {part_of(tensor, name) for tensor in tensors} == {"encoder", "decoder", "heads"}

    def test_the_global_seed_decides_the_weights(self, name: str, dims: Literal[2, 3], deep: bool) -> None:
        config = self.config(name, dims, deep)
        torch.manual_seed(3)
        first = build_network(config)
        torch.manual_seed(3)
        second = build_network(config)
        for a, b in zip(first.parameters(), second.parameters(), strict=True):
            assert torch.equal(a, b)

    def test_an_item_does_not_depend_on_its_batch(self, name: str, dims: Literal[2, 3], deep: bool) -> None:
        model = build_network(self.config(name, dims, deep)).eval()
        x = torch.randn(3, 2, *SIZES[dims][0])
        with torch.inference_mode():
            assert torch.allclose(model(x)[1:2], model(x[1:2]), atol=1e-5)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no network called 'nonsense'.*unet, dynunet"):
        build_network(NetConfig(name="nonsense", dims=2, in_channels=1, out_channels=1))


def test_deep_supervision_is_refused_where_there_is_none() -> None:
    with pytest.raises(ConfigError, match="'unet' has no deep supervision"):
        build_network(NetConfig(name="unet", dims=2, in_channels=1, out_channels=1, deep_supervision=True))


@pytest.mark.parametrize("deep", [False, True])
def test_dynunet_refuses_two_levels_which_unet_takes(deep: bool) -> None:
    config = NetConfig(dims=2, in_channels=1, out_channels=1, widths=(4, 8), deep_supervision=deep)
    with pytest.raises(ConfigError, match=r"at least three levels\. Found: widths 4, 8"):
        build_network(config)
    small = build_network(config.model_copy(update={"name": "unet", "deep_supervision": False}))
    assert small(torch.zeros(1, 1, 6, 4)).shape == (1, 1, 6, 4)


def test_three_levels_have_one_deep_head_and_five_have_two() -> None:
    for widths, count in (((4, 4, 4), 2), ((4, 4, 4, 4, 4), 3)):
        config = NetConfig(dims=2, in_channels=1, out_channels=1, widths=widths, deep_supervision=True)
        assert len(heads(build_network(config).train()(torch.zeros(1, 1, 32, 32)), config)) == count


def test_the_unet_is_the_classic_one() -> None:
    config = NetConfig(name="unet", dims=2, in_channels=3, out_channels=2, widths=(4, 8, 16))
    kinds = [type(module).__name__ for module in build_network(config).modules()]
    assert kinds.count("ConvTranspose2d") == 2
    assert kinds.count("Conv2d") == 2 * (3 + 2) + 1
    assert kinds.count("MaxPool2d") == 1
