"""Answers averaged: over flips, where an engine that knows no direction is not changed, and over models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import tiny
from gliamap.config import InputConfig, OutputConfig, PrepConfig, WindowConfig
from gliamap.errors import ConfigError
from gliamap.infer.average import AveragedEngine, flips_of, joint_spec
from gliamap.infer.engine import Engine
from gliamap.infer.window import predict_windows
from gliamap.inputs import NetworkInput

SIZES = st.tuples(*[st.integers(1, 5)] * 5)
AXES = st.sets(st.integers(0, 2)).map(sorted)


class Named:
    """What an engine says of itself."""

    name, precision, version = "made", "fp32", "1"


class Symmetric(Named):
    """Each voxel on its own, and the mean of its patch: no direction is another one."""

    channels = 2
    divisor = 4

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        own = 1 / (1 + np.exp(-patches.sum(axis=1, keepdims=True)))
        mean = np.broadcast_to(own.mean(axis=(2, 3, 4), keepdims=True), own.shape)
        return np.concatenate([own, mean], axis=1).astype(np.float32)


class Shift(Named):
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


class Constant(Named):
    """Answers the same everywhere, each time in the same array, as engines may."""

    def __init__(self, *values: float, divisor: int = 1) -> None:
        self.values = values
        self.channels, self.divisor = len(values), divisor
        self._answer: NDArray[np.float32] = np.empty(0, np.float32)

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self._answer.size:
            self._answer = np.empty((len(patches), self.channels, *patches.shape[2:]), np.float32)
        for channel, value in enumerate(self.values):
            self._answer[:, channel] = value
        return self._answer


def over_flips(engine: Engine, axes: Sequence[int], *, spread: bool = False) -> AveragedEngine:
    return AveragedEngine(flips_of(engine, axes), spread=spread)


def patches_of(shape: Sequence[int]) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@given(SIZES, AXES)
def test_an_engine_that_knows_no_direction_is_not_changed(shape: tuple[int, ...], axes: list[int]) -> None:
    patches = patches_of(shape)
    found = over_flips(Symmetric(), axes)(patches)
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
    np.testing.assert_allclose(over_flips(Shift(along), axes)(patches), total, atol=1e-6)


def test_a_mean_by_eye() -> None:
    row = np.array([1, 2, 4, 8], np.float32).reshape(1, 1, 4, 1, 1)
    assert Shift(0)(row).ravel().tolist() == [0, 1, 2, 4]
    assert over_flips(Shift(0), [0])(row).ravel().tolist() == [1, 2.5, 5, 2]  # with [2, 4, 8, 0]


@given(SIZES, st.integers(0, 2))
def test_the_answer_turns_with_the_image(shape: tuple[int, ...], axis: int) -> None:
    patches, engine = patches_of(shape), over_flips(Shift(axis), range(3))
    turned = engine(np.ascontiguousarray(np.flip(patches, axis + 2)))
    np.testing.assert_allclose(np.flip(turned, axis + 2), engine(patches), atol=1e-6)


@pytest.mark.parametrize(("axes", "runs"), [((), 1), ((0, 1), 4), ((0, 1, 2), 8)])
def test_what_it_costs(axes: tuple[int, ...], runs: int) -> None:
    engine = Shift(0)
    over_flips(engine, axes)(patches_of((2, 3, 4, 4, 4)))
    assert engine.calls == runs


def test_it_is_an_engine_of_the_same_kind() -> None:
    engine: Engine = over_flips(Symmetric(), (0,))
    assert (engine.channels, engine.divisor) == (2, 4)


def test_progress_counts_windows_not_flips() -> None:
    told: list[tuple[int, int]] = []
    shown = NetworkInput(patches_of((1, 10, 4, 5)))
    config = WindowConfig(patch=(4, 4, 4), overlap=0.5, batch=4)
    predict_windows(shown, over_flips(Shift(0), range(3)), config, lambda done, total: told.append((done, total)))
    assert told == [(done, 8) for done in range(1, 9)]


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
    predict_windows(NetworkInput(image, config, (True, False)), over_flips(Watched(), (0,)), window)
    turned = NetworkInput(np.ascontiguousarray(image[:, ::-1]), config, (True, False))
    predict_windows(turned, Watched(), window)
    plain, flipped, of_turned_image = seen
    np.testing.assert_array_equal(flipped, of_turned_image)
    assert not np.array_equal(plain, flipped)


def test_models_are_averaged_by_eye() -> None:
    engine = AveragedEngine([Constant(0.2, 1), Constant(0.4, 1), Constant(0.9, 0)], spread=True)
    answer = engine(patches_of((2, 1, 3, 3, 3)))
    assert (engine.channels, answer.shape) == (4, (2, 4, 3, 3, 3))
    deviations = np.std([0.2, 0.4, 0.9]), np.std([1, 1, 0])
    np.testing.assert_allclose(answer[1, :, 2, 0, 1], [0.5, 2 / 3, *deviations], atol=1e-6)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9))
def test_the_mean_is_the_same_with_its_spread(values: list[float]) -> None:
    members, patches = [Constant(value) for value in values], patches_of((1, 1, 2, 2, 2))
    plain, both = AveragedEngine(members)(patches), AveragedEngine(members, spread=True)(patches)
    np.testing.assert_array_equal(plain, both[:, :1])
    np.testing.assert_allclose(plain.ravel()[0], np.mean(values), atol=1e-6)
    np.testing.assert_allclose(both.ravel()[-1], np.std(values), atol=1e-6)


def test_close_answers_keep_their_digits() -> None:
    """Squares of numbers near 1 would lose a spread of 1e-4 in their rounding."""
    members = [Constant(0.9999), Constant(0.9997)]
    assert AveragedEngine(members, spread=True)(patches_of((1, 1, 1, 1, 1))).ravel()[1] == pytest.approx(1e-4, rel=1e-2)


def test_an_engine_may_answer_in_the_same_array_again() -> None:
    np.testing.assert_allclose(over_flips(Constant(0.25), range(3))(patches_of((1, 1, 4, 4, 4))), 0.25)
    engine = Constant(0.5)
    found = AveragedEngine([engine, engine], spread=True)(patches_of((1, 1, 4, 4, 4)))
    np.testing.assert_array_equal(found[:, 1], 0)


def test_patches_must_fit_every_member() -> None:
    assert AveragedEngine([Constant(0, divisor=4), Constant(0, divisor=6)]).divisor == 12


def test_an_ensemble_says_what_holds_for_all() -> None:
    one = tiny.spec(name="one", metrics={"WT": 0.9}, weights_sha256="a")
    assert joint_spec([one]) is one
    other = tiny.spec(name="other", phantom_only=True, may_be_missing=("t1",))
    both = joint_spec([one, other])
    assert (both.name, both.phantom_only, both.may_be_missing) == ("one", True, ())
    assert (both.metrics, both.weights_sha256) == ({}, None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prep": PrepConfig(modalities=("t1",))}, "preparation differs"),
        ({"inputs": InputConfig(mirror=True)}, "inputs differs"),
        ({"output": OutputConfig(kind="regions", convention="brats2023")}, "output differs"),
        ({"window": WindowConfig(patch=(32, 16, 16))}, "window differs.*32, 16, 16.*--patch"),
    ],
)
def test_models_that_do_not_go_together_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=f"one and tiny cannot be averaged, their {words}"):
        joint_spec([tiny.spec(name="one"), tiny.spec(**changes)])
