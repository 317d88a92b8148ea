"""Sliding windows: an engine that gives its input back must give the whole image back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape
from gliamap.config import InputConfig, WindowConfig
from gliamap.errors import ConfigError
from gliamap.infer.window import gaussian_weight, predict_windows
from gliamap.inputs import NetworkInput

SIZES = st.tuples(*[st.integers(1, 17)] * 3)


class Identity:
    """An engine that gives the first channels of its patches back, and remembers what it was shown."""

    def __init__(self, channels: int = 1, divisor: int = 1) -> None:
        self.channels = channels
        self.divisor = divisor
        self.seen: list[NDArray[np.float32]] = []

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        assert patches.dtype == np.float32
        assert patches.flags.c_contiguous
        self.seen.extend(patches)
        return patches[:, : self.channels]


class Counting(Identity):
    """An engine whose n-th window is n everywhere."""

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        first = len(self.seen)
        self.seen.extend(patches)
        return np.ones_like(patches[:, :1]) * np.arange(first, first + len(patches))[:, None, None, None, None]


def image_of(shape: Shape, channels: int = 2) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(size=(channels, *shape)).astype(np.float32)


@settings(max_examples=60)
@given(SIZES, st.tuples(*[st.integers(1, 9)] * 3), st.sampled_from([0.0, 0.25, 0.5, 0.75]), st.integers(1, 4))
def test_an_identity_gives_the_image_back(shape: Shape, patch: Shape, overlap: float, batch: int) -> None:
    image = image_of(shape)
    out = predict_windows(
        NetworkInput(image), Identity(channels=2), WindowConfig(patch=patch, overlap=overlap, batch=batch)
    )
    assert out.dtype == np.float32
    assert out.shape == image.shape
    assert np.allclose(out, image, atol=1e-6)


@pytest.mark.parametrize("patch", [(8, 8, 1), (16, 16, 1)])
def test_slices_are_slid_over_every_slice_of_a_volume(patch: Shape) -> None:
    image, engine = image_of((12, 10, 7)), Identity()
    out = predict_windows(NetworkInput(image), engine, WindowConfig(patch=patch, overlap=0.5))
    assert np.allclose(out, image[:1], atol=1e-6)
    assert len(engine.seen) % 7 == 0


def test_a_grid_smaller_than_the_patch_is_padded_with_zeros() -> None:
    engine = Identity()
    predict_windows(NetworkInput(np.ones((1, 2, 4, 1), np.float32)), engine, WindowConfig(patch=(6, 4, 1)))
    (patch,) = engine.seen
    assert patch[0, :, 0, 0].tolist() == [0, 0, 1, 1, 0, 0]
    assert patch.sum() == 8


def test_overlapping_windows_are_weighed_by_hand() -> None:
    # Windows 0..4 and 2..6, values 0 and 1: at voxel 2 the second counts with its border, the first with its middle.
    edge, middle = gaussian_weight((4, 1, 1))[:2, 0, 0]
    out = predict_windows(
        NetworkInput(np.ones((1, 6, 1, 1), np.float32)), Counting(), WindowConfig(patch=(4, 1, 1), overlap=0.5)
    )
    shared = edge / (edge + middle)
    assert out[0, :, 0, 0].tolist() == pytest.approx([0, 0, shared, 1 - shared, 1, 1])


def test_windows_in_a_batch_stay_in_order() -> None:
    image = image_of((20, 9, 5))
    alone, grouped = (
        predict_windows(NetworkInput(image), Counting(), WindowConfig(patch=(8, 4, 4), overlap=0.5, batch=batch))
        for batch in (1, 5)
    )
    assert np.allclose(alone, grouped, atol=1e-5)


def test_stored_half_precision_is_read_as_float32() -> None:
    image = image_of((9, 8, 7)).astype(np.float16)
    out = predict_windows(NetworkInput(image), Identity(channels=2), WindowConfig(patch=(4, 4, 4)))
    assert np.allclose(out, image, atol=1e-6)


def test_progress_counts_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    config = WindowConfig(patch=(4, 4, 4), overlap=0.5, batch=4)
    predict_windows(
        NetworkInput(image_of((10, 4, 5))), Identity(), config, lambda done, total: told.append((done, total))
    )
    assert told == [(done, 8) for done in range(1, 9)]


def test_blank_windows_are_shown_once_and_answered_alike() -> None:
    image = image_of((4, 4, 12))
    image[..., 2:7] = 0
    image[..., 9] = 0
    out = []
    for batch in (1, 5):
        engine = Counting()
        config = WindowConfig(patch=(4, 4, 1), batch=batch)
        out.append(predict_windows(NetworkInput(image), engine, config)[0, 0, 0].tolist())
        assert len(engine.seen) == 7
    assert out == [[0, 1, *[2] * 5, 3, 4, 2, 5, 6]] * 2


def test_blank_windows_are_answered_as_if_each_were_shown() -> None:
    class Careful(Identity):
        def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
            self.memory = patches.mean(axis=(1, 2, 3, 4), keepdims=True) * np.ones_like(patches[:, :1]) + 0.25
            return self.memory

    class Never(NetworkInput):
        def is_blank(self, box: Box) -> bool:
            return False

    image = image_of((14, 9, 8))
    image[:, :9] = 0
    config = WindowConfig(patch=(4, 4, 4), overlap=0.5, batch=3)
    every = predict_windows(Never(image), Careful(), config)
    assert np.array_equal(predict_windows(NetworkInput(image), Careful(), config), every)


def test_a_window_whose_mirror_image_shows_something_is_not_blank() -> None:
    image = image_of((8, 4, 4))
    image[:, :4] = 0
    left, right = Box((0, 0, 0), (4, 4, 4)), Box((4, 0, 0), (8, 4, 4))
    plain, mirrored = NetworkInput(image), NetworkInput(image, InputConfig(mirror=True))
    assert plain.is_blank(left) and not plain.is_blank(right)
    assert not mirrored.is_blank(left) and not mirrored.is_blank(right)
    assert NetworkInput(image, InputConfig(presence=True), (True, False)).is_blank(left)
    assert plain.is_blank(Box((-2, 0, 0), (2, 4, 4)))


def test_sums_in_half_precision_are_nearly_the_same() -> None:
    shown, config = NetworkInput(image_of((17, 12, 9))), WindowConfig(patch=(6, 6, 6), overlap=0.5)
    whole = predict_windows(shown, Identity(2), config)
    half = predict_windows(shown, Identity(2), config, half=True)
    assert half.dtype == np.float16
    assert np.abs(half - whole).max() < 0.003


@given(SIZES)
def test_weights_are_positive_symmetric_and_largest_in_the_middle(patch: Shape) -> None:
    weight = gaussian_weight(patch)
    assert weight.dtype == np.float32
    assert weight.shape == patch
    assert weight.min() >= np.float32(1e-3)
    assert weight.max() == 1
    assert np.array_equal(weight, weight[::-1, ::-1, ::-1])
    x, y, z = (n // 2 for n in patch)
    assert weight[x, y, z] == 1


def test_the_weight_falls_to_e_to_the_minus_half_after_an_eighth() -> None:
    weight = gaussian_weight((33, 1, 1))[:, 0, 0]
    sigma = 33 / 8
    assert weight[16 + 4] == pytest.approx(np.exp(-0.5 * (4 / sigma) ** 2))
    assert gaussian_weight((1, 1, 1)).tolist() == [[[1.0]]]


def test_a_patch_that_does_not_fit_the_network_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"window 12x8x1 does not fit .* divisible by 8"):
        predict_windows(NetworkInput(image_of((9, 9, 1))), Identity(divisor=8), WindowConfig(patch=(12, 8, 1)))
