"""What networks cost, counted by hand."""

from __future__ import annotations

import pytest

from gliamap.config import NetConfig
from gliamap.io.tensors import named_tensors
from gliamap.nets.cost import count_parameters, forward_bytes, forward_gflops
from gliamap.nets.zoo import build_network

SMALL = NetConfig(name="unet", dims=2, in_channels=1, out_channels=1, widths=(2, 4))


def test_a_small_unet_by_hand() -> None:
    convolutions = 9 * (1 * 2 + 2 * 2) + 9 * (2 * 4 + 4 * 4) + 9 * (4 * 2 + 2 * 2)  # fine, coarse, fine again
    norms, up, head = 2 * (2 + 2 + 4 + 4 + 2 + 2), 4 * 4 * 2 + 2, 2 + 1
    assert count_parameters(SMALL) == convolutions + norms + up + head
    # 16 pixels, 4 of them at the coarser level; a transposed convolution gives 4 pixels for one.
    additions = 16 * 9 * (1 * 2 + 2 * 2) + 4 * 9 * (2 * 4 + 4 * 4) + 4 * 4 * 4 * 2 + 16 * 9 * (4 * 2 + 2 * 2) + 16 * 2
    assert forward_gflops(SMALL, (4, 4, 1)) == 2 * additions / 1e9


def test_twice_the_voxels_are_twice_the_work() -> None:
    config = NetConfig(name="dynunet", dims=3, in_channels=2, out_channels=3, widths=(4, 6, 8), deep_supervision=True)
    assert forward_gflops(config, (16, 8, 24)) == 2 * forward_gflops(config, (16, 8, 12)) > 0


def test_parameters_are_those_of_the_network() -> None:
    tensors = named_tensors(build_network(SMALL))
    assert count_parameters(SMALL) == sum(tensor.numel() for tensor in tensors.values())


def test_the_most_that_is_held_at_a_time_by_hand() -> None:
    # In the last convolution but one: the input, four channels of 4 pixels from below, four of 16 that are skipped or
    # came up, and two of 16 before and after normalisation by four numbers a channel.
    assert forward_bytes(SMALL, (4, 4, 1)) == 4 * (16 + 4 * 4 + 4 * 16 + 2 * 16 + 2 * 16 + 2 * 4)


def test_twice_the_voxels_are_twice_the_memory() -> None:
    config = NetConfig(name="dynunet", dims=3, in_channels=2, out_channels=3, widths=(4, 6, 8), deep_supervision=True)
    assert forward_bytes(config, (16, 8, 24)) == pytest.approx(2 * forward_bytes(config, (16, 8, 12)), rel=1e-3)


def test_parameters_are_counted_once_for_many_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    known = count_parameters(SMALL)
    monkeypatch.setattr("gliamap.nets.cost.build_network", None)
    assert count_parameters(SMALL.model_copy()) == known
