"""Boxes and windows: literal examples, and the promise that windows cover every voxel."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliamap.boxes import Box, Shape, block_means, bounding_box, read_padded, whole, window_boxes

SIZES = st.tuples(*[st.integers(1, 20)] * 3)
CORNERS = st.tuples(*[st.integers(-6, 10)] * 3)


def test_box_by_eye() -> None:
    box = Box((1, 2, 3), (4, 6, 8))
    assert box.shape == (3, 4, 5)
    assert box.slices == (slice(1, 4), slice(2, 6), slice(3, 8))
    assert box.grow(2, (5, 9, 9)) == Box((0, 0, 1), (5, 8, 9))
    assert box.clip((3, 9, 5)) == Box((1, 2, 3), (3, 6, 5))
    assert whole((3, 4, 5)) == Box((0, 0, 0), (3, 4, 5))


def test_a_box_outside_the_grid_is_clipped_to_nothing() -> None:
    assert Box((7, 0, 0), (9, 1, 1)).clip((5, 5, 5)).shape == (0, 1, 1)
    assert Box((-4, 0, 0), (-2, 1, 1)).clip((5, 5, 5)).shape == (0, 1, 1)


def test_bounding_box_by_eye() -> None:
    mask = np.zeros((4, 5, 6), bool)
    assert bounding_box(mask) is None
    mask[1, 2, 3] = mask[2, 4, 0] = True
    assert bounding_box(mask) == Box((1, 2, 0), (3, 5, 4))


def test_read_padded_by_eye() -> None:
    array = np.arange(1, 5).reshape(1, 4, 1)
    assert read_padded(array, Box((0, 1, 0), (1, 3, 1))).tolist() == [[[2], [3]]]
    assert read_padded(array, Box((0, -1, 0), (1, 2, 1)), fill=9).tolist() == [[[9], [1], [2]]]
    assert read_padded(array, Box((0, 3, 0), (1, 6, 1)), fill=9).tolist() == [[[4], [9], [9]]]
    assert read_padded(array, Box((0, 7, 0), (1, 9, 1)), fill=9).tolist() == [[[9], [9]]]


def test_read_padded_copies() -> None:
    array = np.zeros((2, 2, 2))
    read_padded(array, whole((2, 2, 2)))[...] = 1
    assert not array.any()


@given(SIZES, CORNERS, st.tuples(*[st.integers(1, 9)] * 3))
def test_read_padded_equals_reading_a_padded_array(shape: Shape, start: Shape, size: Shape) -> None:
    array = np.arange(1, 1 + 2 * np.prod(shape)).reshape(2, *shape)
    margin = 20
    padded = np.pad(array, ((0, 0), *[(margin, margin)] * 3))
    box = Box(start, (start[0] + size[0], start[1] + size[1], start[2] + size[2]))
    shifted = tuple(slice(s.start + margin, s.stop + margin) for s in box.slices)
    assert np.array_equal(read_padded(array, box), padded[(slice(None), *shifted)])


def test_windows_by_eye() -> None:
    assert window_boxes((10, 4, 1), (4, 4, 1), 0.5) == [
        Box((0, 0, 0), (4, 4, 1)),
        Box((2, 0, 0), (6, 4, 1)),
        Box((4, 0, 0), (8, 4, 1)),
        Box((6, 0, 0), (10, 4, 1)),
    ]


def test_one_window_is_centred_on_a_grid_smaller_than_the_patch() -> None:
    assert window_boxes((2, 4, 1), (6, 4, 1), 0.5) == [Box((-2, 0, 0), (4, 4, 1))]


@given(SIZES, st.tuples(*[st.integers(1, 8)] * 3), st.floats(0, 0.9))
def test_windows_cover_every_voxel_and_overlap_as_promised(shape: Shape, patch: Shape, overlap: float) -> None:
    boxes = window_boxes(shape, patch, overlap)
    assert len(set(boxes)) == len(boxes)
    covered = np.zeros(shape, bool)
    for box in boxes:
        assert box.shape == patch
        covered[box.clip(shape).slices] = True
    assert covered.all()
    for axis, (size, edge) in enumerate(zip(shape, patch, strict=True)):
        starts = sorted({box.start[axis] for box in boxes})
        if size >= edge:
            assert starts[0] == 0
            assert starts[-1] == size - edge
        assert all(b - a <= max(1, edge * (1 - overlap)) for a, b in pairwise(starts))


@pytest.mark.parametrize("overlap", [-0.1, 1.0])
def test_an_impossible_overlap_is_refused(overlap: float) -> None:
    with pytest.raises(ValueError, match="overlap must be in"):
        window_boxes((4, 4, 4), (2, 2, 2), overlap)


def test_a_box_counted_from_the_start_of_another() -> None:
    outer = Box((-2, 1, 0), (6, 7, 3))
    assert Box((0, 2, 1), (3, 4, 3)).relative_to(outer) == Box((2, 1, 1), (5, 3, 3))
    assert outer.relative_to(outer) == whole(outer.shape)
    assert Box((2, 1, 1), (5, 3, 3)).shift(outer.start) == Box((0, 2, 1), (3, 4, 3))


def test_block_means_by_eye() -> None:
    ramp = np.broadcast_to(np.arange(5)[:, None, None], (5, 3, 2))
    assert block_means(ramp, (2, 3, 1))[:, 0, 0].tolist() == [0.5, 2.5, 4]  # the last block has one voxel only
    assert block_means(ramp, (2, 2, 1)).shape == (3, 2, 2)
    assert block_means(ramp.transpose(1, 2, 0), (1, 2, 4))[0, 0].tolist() == [1.5, 4]
    assert np.array_equal(block_means(ramp > 2, (1, 1, 1)), (ramp > 2).astype(np.float32))
