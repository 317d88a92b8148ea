"""Grids: spacing, orientation, sameness."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from gliamap.volume import Grid, image_grid, obliqueness_degrees, orientation
from make import KINDS, SPACINGS, grid, rotation


@pytest.mark.parametrize("kind", KINDS)
def test_spacing_survives_flips_and_tilts(kind: str) -> None:
    assert grid(kind).spacing == pytest.approx(SPACINGS[kind])
    assert grid(kind).voxel_size == pytest.approx(np.prod(SPACINGS[kind]) / 1000)


def test_orientation_by_eye() -> None:
    assert orientation(np.diag([1.0, 1.0, 1.0, 1.0])) == ((0, 1), (1, 1), (2, 1))
    assert orientation(np.diag([-2.0, 3.0, 1.0, 1.0])) == ((0, -1), (1, 1), (2, 1))
    # x runs along the third voxel axis backwards, y along the second backwards, z along the first
    assert orientation(grid("flipped").affine) == ((2, -1), (1, -1), (0, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_orientation_agrees_with_nibabel(kind: str) -> None:
    found = nib.orientations.io_orientation(grid(kind).affine)
    expected = {int(world): (voxel, int(sense)) for voxel, (world, sense) in enumerate(found)}
    assert orientation(grid(kind).affine) == tuple(expected[world] for world in range(3))


def test_orientation_uses_each_voxel_axis_once_even_in_a_sheared_grid() -> None:
    affine = np.eye(4)
    affine[:3, :3] = [[0.8, 0.7, 0.0], [0.6, 0.5, 0.0], [0.0, 0.5, 1.0]]  # y is nearer to the first voxel axis
    assert orientation(affine) == ((0, 1), (1, 1), (2, 1))


def test_obliqueness_by_eye() -> None:
    assert obliqueness_degrees(grid("plain").affine) == pytest.approx(0, abs=1e-6)
    assert obliqueness_degrees(grid("flipped").affine) == pytest.approx(0, abs=1e-6)
    affine = np.eye(4)
    affine[:3, :3] = rotation(30, 0) @ np.diag([1.0, 2.0, 3.0])
    assert obliqueness_degrees(affine) == pytest.approx(30)


def test_same_grid_within_a_hundredth_of_a_millimetre_at_the_corners() -> None:
    one = grid("oblique")
    moved = one.affine.copy()
    moved[0, 3] += 0.005
    assert one.same_as(Grid(one.shape, moved))
    moved[0, 3] += 0.02
    assert not one.same_as(Grid(one.shape, moved))


def test_a_spacing_error_that_adds_up_over_the_grid_is_another_grid() -> None:
    wider = np.eye(4)
    wider[0, 0] = 1.001
    assert not Grid((100, 2, 2), np.eye(4)).same_as(Grid((100, 2, 2), wider))
    assert Grid((5, 2, 2), np.eye(4)).same_as(Grid((5, 2, 2), wider))


def test_another_shape_is_another_grid() -> None:
    assert not Grid((4, 5, 6), np.eye(4)).same_as(Grid((4, 6, 5), np.eye(4)))


def test_an_image_is_one_slice_in_pixels_drawn_as_radiologists_do() -> None:
    image = image_grid((30, 20, 1))
    assert image.is_2d
    assert image.voxel_size == 1
    assert orientation(image.affine) == ((0, -1), (1, -1), (2, 1))
    assert image.describe() == "30x20x1 voxels of 1x1x1 px, origin (0.0, 0.0, 0.0)"
    assert not grid("plain").is_2d
