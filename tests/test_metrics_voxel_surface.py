"""Borders of voxels, by eye. Beside MONAI they stand in ``test_metrics_against_others``."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from gliamap.metrics import surface
from gliamap.metrics.voxel_surface import boundary_dice, hd95_voxels, voxel_distances

UNIT = (1.0, 1.0, 1.0)


def picture(*rows: str) -> NDArray[np.bool_]:
    """A slice drawn in text, ``#`` inside: rows along X, columns along Y."""
    return np.array([[mark == "#" for mark in row] for row in rows])[..., None]


SQUARE = picture(
    "........",
    ".#####..",
    ".#####..",
    ".#####..",
    ".#####..",
    "........",
)
LONGER = picture(
    "........",
    ".######.",
    ".######.",
    ".######.",
    ".######.",
    "........",
)
NOTHING = np.zeros_like(SQUARE)


def test_a_slice_by_eye() -> None:
    found = voxel_distances(SQUARE, LONGER, UNIT)
    assert (found.prediction.sizes.size, found.reference.sizes.size) == (14, 16)  # the outlines of 5x4 and 6x4
    # one away are the two middle pixels of the square's right side, and the last column of the longer one
    np.testing.assert_array_equal(found.prediction.distances, [0] * 12 + [1] * 2)
    np.testing.assert_array_equal(found.reference.distances, [0] * 12 + [1] * 4)
    assert surface.hd(found, worst=99) == 1
    assert surface.assd(found, worst=99) == pytest.approx(6 / 30)
    assert surface.surface_dice(found, tolerance=0.5) == pytest.approx(24 / 30)


def test_the_percentile_lies_between_voxels() -> None:
    line = np.zeros((30, 1, 1), bool)
    far = line.copy()
    line[:10], far[:10], far[12] = True, True, True
    found = voxel_distances(far, line, (2.0, 1.0, 1.0))
    # eleven voxels, ten at 0 and one at 6 mm: the 95th percentile is half way between the last two
    assert hd95_voxels(found, worst=99) == pytest.approx(3.0)


def test_boundary_dice_by_eye() -> None:
    # outlines of 14 and 16 pixels share the upper and lower side of the square and what lies between them on the left
    shared = 2 * 5 + 2
    assert boundary_dice(SQUARE, LONGER, UNIT) == pytest.approx(2 * shared / (14 + 16))
    # Half a millimetre a pixel: all but the innermost pixels are within 1 mm of the outside; here that is everyone.
    assert boundary_dice(SQUARE, LONGER, (0.5, 0.5, 1.0)) == pytest.approx(2 * 20 / (20 + 24))
    # Coarser than the tolerance, the border is a voxel thick all the same.
    assert boundary_dice(SQUARE, LONGER, (3.0, 3.0, 1.0)) == boundary_dice(SQUARE, LONGER, UNIT)


def test_boundary_dice_sees_what_dice_forgives() -> None:
    large, larger = np.zeros((2, 60, 60, 60), bool)
    large[5:55, 5:55, 5:55], larger[4:56, 4:56, 4:56] = True, True
    assert 2 * 50**3 / (50**3 + 52**3) > 0.94
    assert boundary_dice(large, larger, UNIT) == 0


def test_empty_masks_follow_the_rule() -> None:
    both = voxel_distances(NOTHING, NOTHING, UNIT)
    one = voxel_distances(SQUARE, NOTHING, UNIT)
    for figure in (hd95_voxels, surface.hd, surface.assd):
        assert figure(both, worst=99) == 0
        assert figure(one, worst=99) == 99
    assert (surface.surface_dice(both), surface.surface_dice(one)) == (1, 0)
    assert (boundary_dice(NOTHING, NOTHING, UNIT), boundary_dice(SQUARE, NOTHING, UNIT)) == (1, 0)


def test_the_edge_of_the_grid_is_outside() -> None:
    full = np.ones((5, 4, 3), bool)
    assert voxel_distances(full, full, UNIT).reference.sizes.size == 5 * 4 * 3 - 3 * 2 * 1


masks = hnp.array_shapes(min_dims=3, max_dims=3, max_side=5).flatmap(
    lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape))
)


@given(masks, st.sampled_from([UNIT, (0.5, 1.0, 3.0), (0.4, 0.4, 0.4)]), st.permutations(range(3)))
def test_symmetric_bounded_and_blind_to_flips_and_axes(
    pair: tuple[NDArray[np.bool_], NDArray[np.bool_]], spacing: tuple[float, float, float], order: list[int]
) -> None:
    a, b = pair

    def every(a: NDArray[np.bool_], b: NDArray[np.bool_], spacing: tuple[float, float, float]) -> list[float]:
        found = voxel_distances(a, b, spacing)
        distances = [figure(found, worst=99) for figure in (hd95_voxels, surface.hd, surface.assd)]
        return [boundary_dice(a, b, spacing), surface.surface_dice(found), *distances]

    found = every(a, b, spacing)
    assert all(0 <= share <= 1 for share in found[:2]) and all(0 <= distance <= 99 for distance in found[2:])
    assert found == pytest.approx(every(b, a, spacing))
    assert found == pytest.approx(every(a[::-1, :, ::-1], b[::-1, :, ::-1], spacing))
    assert every(a, a, spacing) == [1, 1, 0, 0, 0]
    if 1 not in a.shape:  # a single slice is measured in its plane
        x, y, z = (spacing[axis] for axis in order)
        assert found == pytest.approx(every(a.transpose(order), b.transpose(order), (x, y, z)))
