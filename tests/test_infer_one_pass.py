"""One pass: a single window over the whole grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import tiny
from gliamap.boxes import Shape
from gliamap.config import NetConfig, WindowConfig
from gliamap.errors import ConfigError
from gliamap.infer.average import joint_spec
from gliamap.infer.one_pass import one_pass_patch
from gliamap.infer.predictor import Predictor
from gliamap.infer.window import predict_windows
from gliamap.inputs import NetworkInput

SIZES = st.tuples(*[st.integers(1, 40)] * 3)


class Mean:
    """An engine whose answer is the mean of what it sees: only one that sees all of it knows the mean of all."""

    name, precision, version, channels = "test", "fp32", "0", 1

    def __init__(self, divisor: int = 1) -> None:
        self.divisor = divisor
        self.shapes: list[Shape] = []

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        self.shapes.append(patches.shape[2:])
        return np.broadcast_to(patches.mean(axis=(1, 2, 3, 4), keepdims=True), (len(patches), 1, *patches.shape[2:]))


@pytest.mark.parametrize(
    ("shape", "patch", "divisor", "expected"),
    [
        ((140, 173, 138), (64, 64, 64), 16, (144, 176, 144)),
        ((140, 173, 138), (64, 64, 64), 32, (160, 192, 160)),
        ((7, 33, 138), (64, 64, 64), 16, (32, 48, 144)),
        ((7, 33, 138), (64, 64, 64), 4, (16, 48, 144)),
        ((141, 173, 138), (64, 64, 1), 16, (144, 176, 1)),
    ],
)
def test_sizes_are_rounded_up(shape: Shape, patch: Shape, divisor: int, expected: Shape) -> None:
    assert one_pass_patch(shape, patch, divisor) == expected


@given(SIZES, st.sampled_from([1, 2, 8, 16, 32, 48]))
def test_the_window_holds_the_grid_and_fits_the_network(shape: Shape, divisor: int) -> None:
    patch = one_pass_patch(shape, (64, 64, 64), divisor)
    assert all(p >= n and p % divisor == 0 and p > divisor for n, p in zip(shape, patch, strict=True))


def test_the_network_sees_all_of_a_volume_at_once() -> None:
    image, engine = np.ones((2, 20, 30, 10), np.float32), Mean(divisor=8)
    out = predict_windows(NetworkInput(image), engine, WindowConfig(patch=(8, 8, 8), mode="one-pass"))
    assert engine.shapes == [(32, 32, 16)]
    assert out.shape == (1, 20, 30, 10)
    assert np.allclose(out, image.size / (2 * 32 * 32 * 16))


def test_a_network_for_slices_sees_whole_slices_in_batches() -> None:
    image = np.ones((1, 20, 30, 5), np.float32) * np.arange(1, 6, dtype=np.float32)
    engine = Mean()
    config = WindowConfig(patch=(8, 8, 1), batch=2, mode="one-pass")
    out = predict_windows(NetworkInput(image), engine, config)
    assert engine.shapes == [(32, 32, 1)] * 3
    assert out[0, 0, 0] == pytest.approx([slab * 600 / 1024 for slab in range(1, 6)])


def test_a_network_that_takes_one_size_cannot() -> None:
    sized = NetConfig(
        name="unetr", dims=3, in_channels=4, out_channels=3, widths=(4, 8, 16, 32, 64), input_size=(32, 32, 16)
    )
    window = WindowConfig(patch=(32, 32, 16), mode="one-pass")
    alone = tiny.spec(network=sized, window=window)
    for spec in (alone, joint_spec([tiny.spec(window=window), alone])):
        with pytest.raises(ConfigError, match=r"unetr.*one pass.*inputs of 32x32x16 voxels alone.*--window windows"):
            Predictor(spec, Mean())
