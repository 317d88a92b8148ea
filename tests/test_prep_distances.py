"""Signed distances: small masks by eye, and what holds for any."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from gliamap.prep.distances import signed_distances

UNIT = (1.0, 1.0, 1.0)


def line(*values: int) -> NDArray[np.bool_]:
    """A mask of one row along X, in a slice."""
    return np.array(values, np.bool_).reshape(-1, 1, 1)


def test_a_square_by_eye() -> None:
    mask = np.zeros((7, 6, 1), np.bool_)
    mask[1:6, 1:5] = True
    assert signed_distances(mask, UNIT)[..., 0].T[1:5].tolist() == [
        [1, -1, -1, -1, -1, -1, 1],
        [1, -1, -2, -2, -2, -1, 1],
        [1, -1, -2, -2, -2, -1, 1],
        [1, -1, -1, -1, -1, -1, 1],
    ]
    assert signed_distances(mask, UNIT)[0, 0, 0] == np.float16(np.sqrt(2))


def test_the_grid_ends_in_background() -> None:
    mask = np.zeros((5, 9, 1), np.bool_)
    mask[:3] = True  # the lower edge of the grid is a surface, too
    assert signed_distances(mask, UNIT)[:, 4, 0].tolist() == [-1, -2, -1, 1, 2]
    assert (signed_distances(np.ones((3, 3, 3), np.bool_), UNIT)[1, 1] == [-1, -2, -1]).all()


def test_a_slice_has_no_surface_above_and_below() -> None:
    assert signed_distances(np.ones((5, 5, 1), np.bool_), (1, 1, 0.1))[2, 2, 0] == -3


def test_distances_are_in_the_unit_of_the_spacing() -> None:
    mask = np.zeros((7, 7, 7), np.bool_)
    mask[3, 3, 3] = True
    found = signed_distances(mask, (2.0, 3.0, 5.0))
    assert found[3, 3, 3] == -2  # the nearest voxel outside
    assert (found[5, 3, 3], found[3, 5, 3], found[3, 3, 5]) == (4, 6, 10)


def test_without_a_surface_there_is_no_distance() -> None:
    found = signed_distances(np.zeros((4, 5, 6), np.bool_), UNIT)
    assert found.dtype == np.float16 and not found.any()


@given(
    hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6)), st.sampled_from([UNIT, (0.5, 1.0, 3.0)])
)
def test_each_voxel_is_as_far_as_the_nearest_on_the_other_side(
    mask: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> None:
    found = signed_distances(mask, spacing)
    if not mask.any():
        return
    beside = [(1, 1), (1, 1), (0, 0) if mask.shape[2] == 1 else (1, 1)]
    padded = np.pad(mask, beside)
    places = np.argwhere(np.ones(padded.shape, np.bool_))
    for x, y, z in np.argwhere(np.ones(mask.shape, np.bool_)):
        at = np.array((x + 1, y + 1, z + beside[2][0]))
        others = places[padded.ravel() != mask[x, y, z]]
        nearest = np.sqrt((((others - at) * spacing) ** 2).sum(axis=1)).min()
        assert abs(abs(float(found[x, y, z])) - nearest) < 2e-3 * max(1.0, nearest)
        assert (found[x, y, z] < 0) == mask[x, y, z]
