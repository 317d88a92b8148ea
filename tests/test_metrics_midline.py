"""The midline: of a symmetric head that lies as one likes, of drawn brains with tumours, and where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from gliamap.boxes import Shape
from gliamap.labels import Region, region_mask
from gliamap.metrics.midline import Midline, find_midline
from gliamap.sources.phantom import make_phantom
from gliamap.volume import Grid, image_grid
from make import ball, rotation

SHAPE: Shape = (60, 72, 56)


def symmetric_head() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """An egg with two eyes and two ventricles, symmetric along X, and its mask."""
    head = ball(SHAPE, (0.5, 0.5, 0.5), 0.42) | ball(SHAPE, (0.5, 0.7, 0.5), 0.3)
    image = np.where(head, 100, 0).astype(np.float32)
    for side in (-1, 1):
        image[ball(SHAPE, (0.5 + 0.2 * side, 0.75, 0.4), 0.08)] = 180
        image[ball(SHAPE, (0.5 + 0.1 * side, 0.45, 0.55), 0.12)] = 30
    return image, head


def placed(turn: NDArray[np.float64], edge: float = 2.5) -> Grid:
    """A grid around the origin, turned, whose middle plane along X is the midline."""
    affine = np.eye(4)
    affine[:3, :3] = turn * edge
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2) + (7, -4, 11)
    return Grid(SHAPE, affine)


def found_in(grid: Grid, image: NDArray[np.float32], head: NDArray[np.bool_]) -> Midline:
    midline = find_midline(image, head, np.zeros(image.shape, bool), grid)
    assert midline is not None
    return midline


def angle(midline: Midline, normal: NDArray[np.float64]) -> float:
    return float(np.degrees(np.arccos(np.clip(abs(np.array(midline.normal) @ normal), 0, 1))))


@pytest.mark.parametrize(("about_s", "about_a"), [(0, 0), (5, -3), (-15, 10), (20, 20)])
def test_a_turned_and_tilted_head(about_s: float, about_a: float) -> None:
    turn = rotation(about_s, 2) @ rotation(about_a, 1)
    grid = placed(turn)
    midline = found_in(grid, *symmetric_head())
    assert angle(midline, turn[:, 0]) < 0.5
    assert midline.distance(np.array([7.0, -4, 11])) == pytest.approx(0, abs=0.5)
    assert midline.symmetry > 0.97
    assert midline.sure


def test_right_is_the_patients_right_however_the_file_lies() -> None:
    image, head = symmetric_head()
    grid = placed(np.eye(3))
    mirrored = np.array([[-1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    for turn in (np.eye(3), mirrored):
        midline = found_in(placed(turn), image, head)
        assert midline.normal[0] > 0.99
        assert midline.distance(np.array([27.0, -4, 11])) == pytest.approx(20, abs=0.6)
        assert midline.distance(np.array([-13.0, -4, 11])) == pytest.approx(-20, abs=0.6)
    swapped = grid.affine[:, [2, 0, 1, 3]]
    moved = found_in(Grid((56, 60, 72), swapped), image.transpose(2, 0, 1), head.transpose(2, 0, 1))
    assert moved.normal[0] > 0.99
    assert moved.distance(np.array([7.0, -4, 11])) == pytest.approx(0, abs=0.6)


def test_a_tumour_is_not_looked_at() -> None:
    image, head = symmetric_head()
    tumour = ball(SHAPE, (0.72, 0.5, 0.5), 0.16)
    image[tumour] = 400
    grid = placed(rotation(6, 2))
    left_out = find_midline(image, head, tumour, grid)
    assert left_out is not None
    assert left_out.distance(np.array([7.0, -4, 11])) == pytest.approx(0, abs=0.6)
    assert left_out.symmetry > 0.95


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("degrees", [0, 12])
def test_a_drawn_brain_with_a_tumour(seed: int, degrees: float) -> None:
    case = make_phantom(seed, (72, 88, 64))
    assert case.labels is not None
    turn = np.eye(4)
    turn[:3, :3] = rotation(degrees, 2) @ rotation(degrees / 2, 1)
    grid = replace(case.grid, affine=turn @ case.grid.affine)
    image = case.image[0]
    midline = find_midline(image, image != 0, region_mask(case.labels, Region.WT), grid)
    assert midline is not None
    assert angle(midline, turn[:3, 0]) < 3
    assert midline.sure


def test_half_a_head_is_not_sure() -> None:
    image, head = symmetric_head()
    half = head & (np.arange(SHAPE[0])[:, None, None] < SHAPE[0] // 2)
    assert not found_in(placed(np.eye(3)), image, half).sure


def test_there_is_none_in_a_slice_or_without_a_head() -> None:
    image, head = symmetric_head()
    nothing = np.zeros(SHAPE, bool)
    assert find_midline(image, nothing, nothing, placed(np.eye(3))) is None
    flat = image[:, :, :1], head[:, :, :1], nothing[:, :, :1]
    assert find_midline(*flat, image_grid((60, 72, 1))) is None
    assert find_midline(*flat, Grid((60, 72, 1), np.eye(4))) is None
