"""Flips at inference: an engine to which left and right are the same is not changed, another one is averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gliamap.config import InputConfig, WindowConfig
from gliamap.infer.engine import Engine
from gliamap.infer.flips import FlippedEngine
from gliamap.infer.window import predict_windows
from gliamap.inputs import NetworkInput

SIZES = st.tuples(*[st.integers(1, 5)] * 5)
AXES = st.sets(st.integers(0, 2)).map(sorted)


class Symmetric:
    """Each voxel on its own, and the mean of its patch: no direction is another one."""

    channels = 2
    divisor = 4

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        own = 1 / (1 + np.exp(-patches.sum(axis=1, keepdims=True)))
        mean = np.broadcast_to(own.mean(axis=(2, 3, 4), keepdims=True), own.shape)
        return np.concatenate([own, mean], axis=1).astype(np.float32)


class Shift:
    """Gives each voxel what its neighbour before it along ``axis`` holds; the first one 0."""

    channels = 1
    divisor = 1

    def __init__(self, axis: int) -> None:
        self.axis = axis + 2
        self.calls = 0

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        assert patches.flags.c_contiguous  # PyTorch takes no steps backwards
        self.calls += 1
        out = np.zeros_like(patches[:, :1])
        before, after = [slice(None)] * 5, [slice(None)] * 5
        before[self.axis], after[self.axis] = slice(None, -1), slice(1, None)
        out[tuple(after)] = patches[:, :1][tuple(before)]
        return out


def patches_of(shape: Sequence[int]) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@given(SIZES, AXES)
def test_an_engine_that_knows_no_direction_is_not_changed(shape: tuple[int, ...], axes: list[int]) -> None:
    patches = patches_of(shape)
    found = FlippedEngine(Symmetric(), axes)(patches)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, Symmetric()(patches), atol=1e-6)


@given(SIZES, AXES, st.integers(0, 2))
def test_another_one_becomes_the_mean_over_all_flips(shape: tuple[int, ...], axes: list[int], along: int) -> None:
    patches = patches_of(shape)
    total = np.zeros((len(patches), 1, *patches.shape[2:]))
    for bits in range(8):
        flipped = [axis for axis in range(3) if bits >> axis & 1]
        if not set(flipped) <= set(axes):
            continue
        turned = patches
        for axis in flipped:
            turned = np.flip(turned, axis + 2)
        answer = Shift(along)(np.ascontiguousarray(turned))
        for axis in flipped:
            answer = np.flip(answer, axis + 2)
        total += answer / 2 ** len(axes)
    np.testing.assert_allclose(FlippedEngine(Shift(along), axes)(patches), total, atol=1e-6)


def test_a_mean_by_eye() -> None:
    row = np.array([1, 2, 4, 8], np.float32).reshape(1, 1, 4, 1, 1)
    assert Shift(0)(row).ravel().tolist() == [0, 1, 2, 4]
    assert FlippedEngine(Shift(0), [0])(row).ravel().tolist() == [1, 2.5, 5, 2]  # with [2, 4, 8, 0]


@given(SIZES, st.integers(0, 2))
def test_the_answer_turns_with_the_image(shape: tuple[int, ...], axis: int) -> None:
    patches, engine = patches_of(shape), FlippedEngine(Shift(axis), range(3))
    turned = engine(np.ascontiguousarray(np.flip(patches, axis + 2)))
    np.testing.assert_allclose(np.flip(turned, axis + 2), engine(patches), atol=1e-6)


@pytest.mark.parametrize(("axes", "runs"), [((), 1), ((0, 1), 4), ((0, 1, 2), 8)])
def test_what_it_costs(axes: tuple[int, ...], runs: int) -> None:
    engine = Shift(0)
    FlippedEngine(engine, axes)(patches_of((2, 3, 4, 4, 4)))
    assert engine.calls == runs


def test_it_is_an_engine_of_the_same_kind() -> None:
    engine: Engine = FlippedEngine(Symmetric(), (0,))
    assert (engine.channels, engine.divisor) == (2, 4)


def test_progress_counts_windows_not_flips() -> None:
    told: list[tuple[int, int]] = []
    shown = NetworkInput(patches_of((1, 10, 4, 5)))
    config = WindowConfig(patch=(4, 4, 4), overlap=0.5, batch=4)
    predict_windows(shown, FlippedEngine(Shift(0), range(3)), config, lambda done, total: told.append((done, total)))
    assert told == [(4, 8), (8, 8)]


def test_a_flipped_patch_with_its_mirror_is_what_the_flipped_image_would_show() -> None:
    seen: list[NDArray[np.float32]] = []

    class Watched(Symmetric):
        divisor = 1

        def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
            seen.append(patches)
            return super().__call__(patches)

    image = patches_of((2, 8, 6, 5))
    config = InputConfig(mirror=True, presence=True)
    window = WindowConfig(patch=(8, 6, 5))
    predict_windows(NetworkInput(image, config, (True, False)), FlippedEngine(Watched(), (0,)), window)
    turned = NetworkInput(np.ascontiguousarray(image[:, ::-1]), config, (True, False))
    predict_windows(turned, Watched(), window)
    plain, flipped, of_turned_image = seen
    np.testing.assert_array_equal(flipped, of_turned_image)
    assert not np.array_equal(plain, flipped)
