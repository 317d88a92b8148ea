"""The two diameters: lines drawn by hand, figures of known size, and the definition taken step by step."""

from __future__ import annotations

from math import hypot

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from gliamap.metrics.diameters import Diameters, largest_diameters, outline

ISO = (1.0, 1.0, 1.0)


def slices(*pictures: str) -> NDArray[np.bool_]:
    """A mask from pictures of its slices, rows along X and letters along Y; ``#`` is inside."""
    planes = [np.array([[letter == "#" for letter in row] for row in picture.split()]) for picture in pictures]
    return np.stack(planes, axis=-1)


def ellipse(axes: tuple[float, float], degrees: float, edge: float) -> NDArray[np.bool_]:
    """A slice ``(X, Y, 1)`` of an ellipse with full ``axes`` in mm, turned, on voxels of ``edge`` mm."""
    half = round(max(axes) / edge / 2) + 3
    x, y = np.meshgrid(*[np.arange(-half, half + 1) * edge + 0.3 * edge] * 2, indexing="ij")
    turn = np.radians(degrees)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return ((2 * along / axes[0]) ** 2 + (2 * across / axes[1]) ** 2 <= 1)[:, :, None]


def test_a_row_of_five_voxels_is_five_long_and_one_wide() -> None:
    assert largest_diameters(slices("#####"), ISO) == Diameters(5, 1, 0)
    assert largest_diameters(slices("#####"), (3.0, 2.0, 9.0)) == Diameters(10, 3, 0)


def test_one_voxel_has_the_size_of_a_voxel() -> None:
    assert largest_diameters(slices("#"), (0.5, 2.0, 5.0)) == Diameters(2, 0.5, 0)


def test_an_empty_mask_has_no_diameter() -> None:
    assert largest_diameters(np.zeros((4, 5, 3), bool), ISO) is None


def test_the_diagonal_of_a_block_runs_between_the_middles_of_the_outermost_edges() -> None:
    found = largest_diameters(slices("##### ##### #####"), ISO)
    assert found is not None
    assert found.longest == pytest.approx(hypot(5, 2))  # not hypot(5, 3), which its corners would give
    assert found.longest * found.perpendicular == found.product


def test_lines_may_cross_a_hole_and_a_bay() -> None:
    full, ring = slices("##### ##### ##### ##### #####"), slices("##### #...# #...# #...# #####")
    assert largest_diameters(ring, ISO) == largest_diameters(full, ISO)
    corner = slices("#.. #.. ###")
    found = largest_diameters(corner, ISO)
    assert found is not None
    assert found.longest == pytest.approx(hypot(3, 2))  # from arm to arm, across the bay


def test_the_slice_with_the_largest_product_is_taken() -> None:
    row, block, nothing = "###### ...... ......", "###... ###... ###...", "...... ...... ......"
    found = largest_diameters(slices(row, nothing, block, block), ISO)
    assert found is not None
    assert found.slice == 2  # the row is longer, but the block's product is larger; of two blocks the lower
    assert found.longest < 6


@pytest.mark.parametrize("degrees", [0, 17, 30, 45, 77, 90])
@pytest.mark.parametrize(("axes", "edge"), [((40.0, 24.0), 1.0), ((30.0, 30.0), 1.0), ((12.0, 7.0), 0.5)])
def test_an_ellipse_has_its_axes_within_a_voxel(axes: tuple[float, float], degrees: float, edge: float) -> None:
    found = largest_diameters(ellipse(axes, degrees, edge), (edge, edge, 3.0))
    assert found is not None
    assert found.longest == pytest.approx(axes[0], abs=edge)
    assert found.perpendicular == pytest.approx(axes[1], abs=1.5 * edge)  # its direction is that of a rough outline


def test_the_longest_of_all_lines_is_two_thirds_of_a_voxel_too_long_on_average() -> None:
    """It finds the farthest steps of the outline. Lines between voxel corners would be 1.2 voxels too long."""
    sizes = np.linspace(10, 40, 31)
    found = [largest_diameters(ellipse((size, size), 0, 1.0), ISO) for size in sizes]
    longest = [one.longest - size for one, size in zip(found, sizes, strict=True) if one is not None]
    perpendicular = [one.perpendicular - size for one, size in zip(found, sizes, strict=True) if one is not None]
    assert 0.5 < float(np.mean(longest)) < 0.8
    assert 0.2 < float(np.mean(perpendicular)) < 0.5


def by_definition(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> tuple[float, float]:
    """Longest and perpendicular of the best slice, from all pairs of points and half planes of the hull."""
    best = (0.0, 0.0)
    for z in np.flatnonzero(mask.any(axis=(0, 1))):
        x, y = np.nonzero(mask[:, :, z])
        shifts = ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))
        points = np.concatenate([np.stack([x + a, y + b], axis=1) for a, b in shifts]) * spacing[:2]
        hull = ConvexHull(points)
        apart = np.linalg.norm(points[:, None] - points[None], axis=2)
        for i, j in np.argwhere(apart >= apart.max() * (1 - 1e-9)):
            along = (points[j] - points[i]) / apart[i, j]
            across = np.array([-along[1], along[0]])
            for corner in points[hull.vertices]:
                slope, room = hull.equations[:, :2] @ across, -(hull.equations[:, :2] @ corner + hull.equations[:, 2])
                ahead = (room[slope > 1e-9] / slope[slope > 1e-9]).min()
                behind = (room[slope < -1e-9] / slope[slope < -1e-9]).max()
                best = max(best, (apart[i, j], ahead - behind), key=lambda one: one[0] * one[1])
    return best


masks = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=7)).filter(np.any)
spacings = st.tuples(*[st.floats(0.3, 4)] * 3)


@given(mask=masks, spacing=spacings)
@settings(max_examples=150, deadline=None)
def test_they_are_those_of_the_definition(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> None:
    found = largest_diameters(mask, spacing)
    assert found is not None
    longest, perpendicular = by_definition(mask, spacing)
    assert found.product == pytest.approx(longest * perpendicular, rel=1e-6)


@given(mask=masks, spacing=spacings, factor=st.floats(0.5, 3))
@settings(max_examples=60, deadline=None)
def test_turning_and_scaling(mask: NDArray[np.bool_], spacing: tuple[float, float, float], factor: float) -> None:
    found = largest_diameters(mask, spacing)
    mirrored = largest_diameters(mask[::-1], spacing)
    turned = largest_diameters(mask.transpose(1, 0, 2), (spacing[1], spacing[0], spacing[2]))
    scaled = largest_diameters(mask, (spacing[0] * factor, spacing[1] * factor, spacing[2]))
    assert found is not None and mirrored is not None and turned is not None and scaled is not None
    assert mirrored.product == pytest.approx(found.product)
    assert turned.product == pytest.approx(found.product)
    assert scaled.product == pytest.approx(found.product * factor**2)
    assert found.perpendicular <= found.longest * (1 + 1e-9)


def test_the_outline_of_a_corner_by_hand() -> None:
    points = outline(np.array([[True, False], [True, True]]))
    wanted = {(-0.5, 0), (1.5, 0), (0.5, 1), (1.5, 1), (0, -0.5), (0, 0.5), (1, -0.5), (1, 1.5)}
    assert {(float(x), float(y)) for x, y in points} == wanted
