"""Where a viewer's voxels lie: axes, reversals, single slices, coarser voxels, places there and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import make
from gliamap.boxes import Box, Shape
from gliamap.viewer.frame import whole_frame
from gliamap.volume import Grid, image_grid


@pytest.mark.parametrize("kind", make.KINDS)
def test_a_turned_volume_runs_to_the_right_the_front_and_the_head(kind: str) -> None:
    grid = make.grid(kind)
    frame = whole_frame(grid)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    places = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    for world in range(3):
        turned = frame.cut(np.ascontiguousarray(places[..., world]))
        assert turned.shape == frame.shape
        assert (np.diff(turned, axis=world) > 0).all()
        # Along its own axis more than along any other: the nearest axis was taken.
        along = np.diff(turned, axis=world).mean() / frame.spacing[world]
        assert along > 0.9
    assert frame.letters == (("L", "R"), ("P", "A"), ("I", "S"))


def test_the_flipped_grid_by_hand() -> None:
    frame = whole_frame(make.grid("flipped"))  # X is S, Y is P, Z is L, of 2, 0.9 and 1.2 mm
    assert frame.axes == (2, 1, 0)
    assert frame.flips == (True, True, False)
    assert frame.shape == (11, 19, 14)
    assert frame.spacing == pytest.approx((1.2, 0.9, 2.0))
    assert (frame.to_native @ (0, 0, 13, 1)).tolist() == [13, 18, 10, 1]
    part = frame.cropped(Box((2, 0, 1), (11, 19, 14))).coarser(3)
    assert part.steps == (2, 3, 1)
    assert part.numbers[0].tolist() == [8, 6, 4, 2, 0]
    assert part.numbers[1].tolist() == [17, 14, 11, 8, 5, 2, 0]  # of the last, which is one voxel, that one
    assert part.numbers[2].tolist() == [*range(1, 14)]


def test_an_image_is_drawn_as_the_file_is() -> None:
    frame = whole_frame(image_grid((5, 4, 1)))
    columns_and_rows = np.arange(20, dtype=np.float32).reshape(5, 4, 1)
    # A viewer draws the first axis from high to low and the second upwards: what is drawn first is the file's corner.
    drawn = frame.cut(columns_and_rows)[::-1, ::-1, 0]
    assert np.array_equal(drawn, columns_and_rows[:, :, 0])
    assert frame.letters == ()


@pytest.mark.parametrize(
    ("across", "shape", "letters"),
    [
        (0, (7, 6, 1), (("P", "A"), ("I", "S"), ("L", "R"))),
        (1, (7, 6, 1), (("L", "R"), ("I", "S"), ("P", "A"))),
        (2, (7, 6, 1), (("L", "R"), ("P", "A"), ("I", "S"))),
    ],
    ids=["sagittal", "coronal", "axial"],
)
def test_a_single_slice_lies_across_the_last_axis(
    across: int, shape: Shape, letters: tuple[tuple[str, str], ...]
) -> None:
    along = [axis for axis in range(3) if axis != across]
    affine = np.zeros((4, 4))
    affine[along[0], 0] = affine[along[1], 1] = affine[across, 2] = affine[3, 3] = 1
    frame = whole_frame(Grid(shape, affine))
    assert frame.letters == letters
    assert frame.shape == shape


def test_coarser_voxels() -> None:
    grid = Grid((8, 6, 3), np.diag([0.5, 0.5, 2.0, 1]))
    frame = whole_frame(grid).coarser(3)  # 1.5 mm: the thick slices stay
    assert frame.steps == (3, 3, 1)
    assert frame.shape == (3, 2, 3)
    assert frame.spacing == (1.5, 1.5, 2.0)
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32)[:, None, None], (8, 6, 3))
    assert frame.averaged(ramp)[:, 0, 0].tolist() == [1, 4, 6.5]
    assert frame.middle(ramp)[:, 0, 0].tolist() == [1, 4, 7]
    assert (frame.to_native @ (1, 0, 2, 1)).tolist() == [4, 1, 2, 1]


@given(kind=st.sampled_from(make.KINDS), start=st.tuples(*[st.integers(0, 4)] * 3), factor=st.integers(1, 5))
def test_a_voxel_lies_in_the_middle_of_those_that_make_it_up(kind: str, start: Shape, factor: int) -> None:
    frame = whole_frame(make.grid(kind))
    frame = frame.cropped(Box(start, frame.shape)).coarser(factor)
    full = tuple(slice(n // step) for n, step in zip(frame.box.shape, frame.steps, strict=True))
    own = np.indices(frame.shape)[(slice(None), *full)]
    places = np.tensordot(frame.to_native[:3, :3], own, 1) + frame.to_native[:3, 3].reshape(3, 1, 1, 1)
    for place, native in zip(places, np.indices(make.SHAPES[kind]).astype(np.float32), strict=True):
        assert place == pytest.approx(frame.averaged(native)[full])


@given(kind=st.sampled_from(make.KINDS), seed=st.integers(0, 5), factor=st.integers(1, 6))
def test_what_is_shown_is_what_lies_there(kind: str, seed: int, factor: int) -> None:
    shape = make.SHAPES[kind]
    labels = np.random.default_rng(seed).integers(0, 9, shape, np.uint8)
    frame = whole_frame(make.grid(kind))
    frame = replace(frame, box=Box((1, 2, 3), frame.shape)).coarser(factor)
    shown = frame.middle(labels)
    assert shown.shape == frame.shape
    assert frame.averaged(labels.astype(np.float32)).shape == frame.shape
    in_file = [np.empty(0)] * 3
    for axis, numbers, index in zip(frame.axes, frame.numbers, np.indices(frame.shape), strict=True):
        in_file[axis] = numbers[index]
    assert np.array_equal(shown, labels[tuple(in_file)])
