"""A network's graph gives what the network gives, at every size that it says it takes."""

from __future__ import annotations

import pytest
import torch

from gliamap.config import NetConfig
from gliamap.nets.exported import fixes_sizes, program
from gliamap.nets.zoo import NETWORKS, build_network
from members import Member

UNET = NetConfig(name="unet", dims=3, in_channels=2, out_channels=3, widths=(4, 6))


def test_a_graph_takes_any_sizes_and_any_number_of_patches() -> None:
    torch.manual_seed(0)
    model = build_network(UNET)
    graph = program(model, UNET, patch=(8, 8, 8)).module()
    for shape in ((1, 2, 4, 4, 4), (3, 2, 10, 6, 8)):
        x = torch.randn(shape)
        with torch.inference_mode():
            assert torch.allclose(graph(x), model(x), atol=1e-6)


def test_those_with_windows_of_attention_take_one_size() -> None:
    configs = {name: Member(name, next(iter(NETWORKS[name].widths)), False).config() for name in NETWORKS}
    assert {name for name, config in configs.items() if fixes_sizes(config)} == {"swin-unet", "swin-unetr", "unetr"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_a_graph(name: str) -> None:
    member = Member(name, max(NETWORKS[name].widths), NETWORKS[name].deep_supervision)
    size = member.sizes[0]
    config, model = member.config(size), member.model(size)
    graph = program(model, config, patch=(*size, 1)[:3]).module(check_guards=False)
    x = member.image(size, count=1)
    with torch.inference_mode():
        assert torch.allclose(graph(x), model.eval()(x), atol=1e-4)
