"""The steps of preparation: literal examples, and each step with its inverse."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape
from gliamap.prep.steps import (
    clip_tails,
    foreground_mask,
    reorient,
    resample,
    resample_labels,
    resampled_shape,
    undo_crop,
    undo_reorient,
    undo_zscore,
    zscore,
    zscore_statistics,
)
from make import ball

SIZES = st.tuples(*[st.integers(1, 12)] * 3)


def ramp(shape: Shape, slopes: tuple[float, float, float]) -> NDArray[np.float32]:
    """A linear image whose value at a place does not depend on the grid: coordinates are shares of each axis."""
    axes = np.meshgrid(*[(np.arange(n) + 0.5) / n for n in shape], indexing="ij")
    return np.asarray(sum(s * a for s, a in zip(slopes, axes, strict=True)), np.float32)


def test_reorient_by_eye() -> None:
    array = np.arange(6).reshape(1, 2, 3)
    # Output X is input Z reversed, output Y is input X, output Z is input Y reversed.
    turned = reorient(array, (2, 0, 1), (True, False, True))
    assert turned.tolist() == [[[5, 2]], [[4, 1]], [[3, 0]]]


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_undo_reorient_is_the_inverse(axes: tuple[int, int, int]) -> None:
    array = np.arange(2 * 2 * 3 * 4).reshape(2, 2, 3, 4)
    for flips in product((False, True), repeat=3):
        assert np.array_equal(undo_reorient(reorient(array, axes, flips), axes, flips), array)
        assert np.array_equal(reorient(undo_reorient(array, axes, flips), axes, flips), array)


def test_reorient_copies_nothing() -> None:
    array = np.zeros((2, 3, 4))
    reorient(array, (2, 0, 1), (True, False, True))[...] = 1
    assert array.all()


def test_undo_crop_puts_the_part_back_and_zero_elsewhere() -> None:
    array = np.arange(1, 1 + 5 * 4 * 3, dtype=np.float32).reshape(1, 5, 4, 3)
    crop = Box((1, 0, 2), (4, 2, 3))
    back = undo_crop(array[(..., *crop.slices)], crop, (5, 4, 3))
    assert np.array_equal(back[(..., *crop.slices)], array[(..., *crop.slices)])
    assert np.count_nonzero(back) == 3 * 2 * 1
    assert np.array_equal(undo_crop(array, Box((0, 0, 0), (5, 4, 3)), (5, 4, 3)), array)


def test_resampled_shape_by_eye() -> None:
    assert resampled_shape((240, 240, 30), (1.0, 1.0, 5.0), (1.0, 1.0, 1.0)) == (240, 240, 150)
    assert resampled_shape((10, 11, 12), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0)) == (5, 6, 6)
    assert resampled_shape((3, 4, 1), (1.0, 1.0, 1.0), (9.0, 2.0, 0.1)) == (1, 2, 1)


def test_resampling_aligns_voxel_edges_not_centres() -> None:
    line = np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1)
    # Voxels of half the size: their centres lie at -0.25, 0.25, 0.75 ... of the old ones; the ends repeat.
    assert resample(line, (8, 1, 1)).ravel().tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]


def test_shrinking_averages_instead_of_skipping() -> None:
    # Every third voxel of these stripes alone would be stripes again.
    stripes = np.tile(np.array([0, 1], np.float32), 15).reshape(1, 30, 1, 1)
    small = resample(stripes, (10, 1, 1))
    assert small[0, 1:-1] == pytest.approx(0.5, abs=0.05)


@given(SIZES, SIZES)
def test_a_constant_image_stays_constant(shape: Shape, target: Shape) -> None:
    out = resample(np.full((2, *shape), 3.5, np.float32), target)
    assert out.shape == (2, *target)
    assert out == pytest.approx(3.5)


@pytest.mark.parametrize("target", [(20, 18, 32), (13, 20, 11), (10, 9, 8)])
def test_a_linear_image_keeps_its_values_there_and_back(target: Shape) -> None:
    shape, slopes = (20, 18, 16), (1.0, -2.0, 0.5)
    image = ramp(shape, slopes)[None]
    out = resample(image, target)
    inner = (0, *(slice(3, n - 3) for n in target))
    assert out[inner] == pytest.approx(ramp(target, slopes)[inner[1:]], abs=2e-2)
    back = resample(out, shape)
    inner = (0, *(slice(5, n - 5) for n in shape))
    assert back[inner] == pytest.approx(image[inner], abs=2e-2)


def test_nothing_is_copied_where_the_shape_stays() -> None:
    image, labels = np.zeros((1, 2, 3, 4), np.float32), np.zeros((2, 3, 4), np.uint8)
    assert resample(image, (2, 3, 4)) is image
    assert resample_labels(labels, (2, 3, 4)) is labels


def test_labels_are_never_interpolated() -> None:
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[3:9, 3:9, 3:9] = 9
    for target in ((24, 24, 24), (7, 15, 30), (5, 5, 5)):
        out = resample_labels(labels, target)
        assert out.dtype == np.uint8
        assert set(np.unique(out)) == {0, 9}


def test_labels_of_twice_the_size_by_eye() -> None:
    labels = np.array([0, 1, 1, 2], np.uint8).reshape(4, 1, 1)
    assert resample_labels(labels, (8, 1, 1)).ravel().tolist() == [0, 0, 1, 1, 1, 1, 2, 2]


def test_the_brain_is_what_is_not_zero_in_some_channel() -> None:
    image = np.zeros((2, 2, 2, 1), np.float32)
    image[0, 0, 0, 0], image[1, 1, 1, 0] = -3, 1
    assert foreground_mask(image, "brain")[..., 0].tolist() == [[True, False], [False, True]]


def whole_head() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Air with noise, a bright scalp, a dark skull, a brain, and a bright speck in the air."""
    shape = (40, 44, 6)
    head, skull, brain = (ball(shape, (0.5, 0.5, 0.5), r) for r in (0.45, 0.4, 0.33))
    # Flat discs, not balls: every slice is a section through the head.
    head, skull, brain = (np.repeat(m[..., 3:4], 6, axis=2) for m in (head, skull, brain))
    image = np.random.default_rng(0).uniform(0, 8, shape).astype(np.float32)
    image[head], image[skull], image[brain] = 180, 10, 110
    image[1:3, 1:3, 2] = 250
    return image[None], head


def test_the_head_is_the_bright_part_filled_without_specks() -> None:
    image, head = whole_head()
    assert np.array_equal(foreground_mask(image, "head"), head)


def test_each_channel_adds_to_the_head() -> None:
    image, head = whole_head()
    left = image[0].copy()
    left[20:] = 0
    assert np.array_equal(foreground_mask(np.stack([left, image[0]]), "head"), head)


@pytest.mark.parametrize("value", [0.0, 7.0, -2.5])
def test_a_flat_image_has_no_head(value: float) -> None:
    assert not foreground_mask(np.full((2, 4, 5, 6), value, np.float32), "head").any()


def test_a_nearly_flat_image_has_a_threshold() -> None:
    image = np.ones((1, 4, 4, 4), np.float32)
    image[0, 1:3, 1:3, 1:3] = np.nextafter(np.float32(1), np.float32(2))
    assert foreground_mask(image, "head").sum() == 8


def test_a_two_valued_image_is_cut_between_its_values() -> None:
    image = np.zeros((1, 6, 6, 2), np.float32)
    image[0, 2:4, 2:4] = 255
    assert np.array_equal(foreground_mask(image, "head"), image[0] > 0)


def test_zscore_has_mean_0_and_deviation_1_inside_the_mask() -> None:
    rng = np.random.default_rng(0)
    image = (rng.normal(size=(3, 9, 8, 7)) * [[[[5]]], [[[0.01]]], [[[900]]]] + 40).astype(np.float32)
    mask = ball((9, 8, 7), (0.5, 0.5, 0.5), 0.4)
    out = zscore(image, mask, zero_outside=True)
    assert out.dtype == np.float32
    assert [c[mask].mean() for c in out] == pytest.approx([0] * 3, abs=1e-3)
    assert [c[mask].std() for c in out] == pytest.approx([1] * 3, abs=1e-3)
    assert not out[:, ~mask].any()
    kept = zscore(image, mask, zero_outside=False)
    assert np.array_equal(kept[:, mask], out[:, mask])
    assert kept[:, ~mask].all()
    assert undo_zscore(kept, zscore_statistics(image, mask)) == pytest.approx(image, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("value", [0.0, 0.1, 255.0, -1e6, 1e-40])
def test_a_constant_channel_becomes_zero_even_beside_a_bright_speck(value: float) -> None:
    image = np.full((1, 30, 30, 30), value, np.float32)
    mask = np.ones((30, 30, 30), bool)
    image[0, 0, 0, 0], mask[0, 0, 0] = 1e4, False
    assert not zscore(image, mask, zero_outside=False).any()


def test_rounding_noise_is_not_contrast() -> None:
    image = np.full((1, 10, 10, 10), 1000, np.float32)
    image[0, ::2] = np.nextafter(np.float32(1000), np.float32(2000))
    assert not zscore(image, np.ones((10, 10, 10), bool), zero_outside=True).any()


def test_an_empty_mask_gives_zero() -> None:
    image = np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype(np.float32)
    mask = np.zeros((3, 3, 3), bool)
    assert zscore_statistics(image, mask) == [(0.0, 0.0)] * 2
    assert not zscore(image, mask, zero_outside=False).any()


def test_tails_are_cut_at_the_half_percentiles_of_what_the_mask_holds() -> None:
    image = np.full((1, 203, 1, 1), 7, np.float32)
    image[0, :201, 0, 0] = np.arange(201)
    image[0, 200], image[0, 201], image[0, 202] = 1e6, 5000, -5000  # a speck inside the mask; outside, two more
    mask = np.zeros((203, 1, 1), bool)
    mask[:201] = True
    out = clip_tails(image, mask)[0, :, 0, 0]
    # Of 0, 1, ..., 199, 1000000 the 0.5 percentile is the second value, the 99.5 percentile the second last.
    assert out[:201].tolist() == [1, 1, *range(2, 200), 199]
    assert out[201:].tolist() == [199, 1]
    assert image[0, 200, 0, 0] == 1e6  # the input is left alone


def test_each_channel_has_its_own_tails() -> None:
    values = np.arange(201, dtype=np.float32).reshape(201, 1, 1)
    out = clip_tails(np.stack([values, -10 * values]), np.ones((201, 1, 1), bool))
    assert (out[0].min(), out[0].max()) == (1, 199)
    assert (out[1].min(), out[1].max()) == (-1990, -10)


def test_a_speck_no_longer_rules_the_scale() -> None:
    image = np.random.default_rng(0).normal(100, 10, (1, 20, 20, 20)).astype(np.float32)
    image[0, 0, 0, 0] = 32767
    mask = np.ones((20, 20, 20), bool)
    plain, robust = (zscore(one, mask, zero_outside=False)[0, 1:] for one in (image, clip_tails(image, mask)))
    assert plain.std() < 0.05
    assert robust.std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
def test_flat_and_empty_foregrounds_have_no_tails(value: float) -> None:
    image = np.full((2, 10, 10, 10), value, np.float32)
    image[0, 0, 0, 0] = 1e4
    everything = np.ones((10, 10, 10), bool)
    assert (clip_tails(image, everything) == np.float32(value)).all()  # one voxel of a thousand lies beyond 99.5 %
    nothing = np.zeros((10, 10, 10), bool)
    assert np.array_equal(clip_tails(image, nothing), image)
    for mask in (everything, nothing):
        assert not zscore(clip_tails(image, mask), mask, zero_outside=False).any()
