"""HD95 over surface elements: small masks by hand, and properties."""

from __future__ import annotations

from math import hypot, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from gliamap.boxes import Shape
from gliamap.metrics import surface
from gliamap.metrics.surface import TOLERANCE, _areas, _lengths, surface_distances

UNIT = (1.0, 1.0, 1.0)
WORST = 374.0


def hd95(a: NDArray[np.bool_], b: NDArray[np.bool_], *, spacing: tuple[float, float, float], worst: float) -> float:
    """HD95 of two masks."""
    return surface.hd95(surface_distances(a, b, spacing), worst=worst)


def surface_dice(
    a: NDArray[np.bool_], b: NDArray[np.bool_], *, spacing: tuple[float, float, float] = UNIT, tolerance: float = 1.0
) -> float:
    """Surface Dice of two masks."""
    return surface.surface_dice(surface_distances(a, b, spacing), tolerance=tolerance)


def box(shape: Shape, start: Shape, stop: Shape) -> NDArray[np.bool_]:
    out = np.zeros(shape, bool)
    out[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return out


def pattern(*corners: Shape) -> int:
    """The pattern whose inside voxels are ``corners``."""
    return sum(1 << (4 * x + 2 * y + z) for x, y, z in corners)


A, B, C, D = (0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)  # the four voxels at x = 0


def test_areas_that_geometry_gives() -> None:
    areas = _areas(UNIT)
    assert areas[0] == areas[255] == 0
    assert areas[pattern(A)] == pytest.approx(sqrt(3) / 8)  # a corner cut off at half its edges
    assert areas[pattern(A, B)] == pytest.approx(sqrt(2) / 2)  # an edge bevelled
    assert areas[pattern(A, B, C, D)] == pytest.approx(1)  # a flat face
    assert areas[pattern(A, D)] == pytest.approx(2 * sqrt(3) / 8)  # two corners across a face: each by itself
    # an L of three: a right triangle of area 1/2 in the plane x = 1/2, and a trapezium that slopes down from it
    assert areas[pattern(A, B, C)] == pytest.approx(1 / 2 + 3 * sqrt(3) / 8)


def test_inside_and_outside_have_one_surface() -> None:
    areas = _areas((0.7, 1.3, 2.9))
    np.testing.assert_allclose(areas, areas[::-1])


def test_areas_follow_the_spacing() -> None:
    areas = _areas((2.0, 3.0, 5.0))
    assert areas[pattern(A, B, C, D)] == pytest.approx(3 * 5)
    assert areas[pattern(A, B)] == pytest.approx(5 * hypot(2, 3) / 2)  # along z, cutting from x to y


def test_lengths_in_the_plane() -> None:
    lengths = _lengths(2.0, 3.0)  # pixels (0,0), (0,1), (1,0), (1,1) are bits 0 to 3
    assert lengths[0] == lengths[15] == 0
    assert lengths[0b0001] == lengths[0b1110] == pytest.approx(hypot(2, 3) / 2)
    assert lengths[0b0011] == 3  # both pixels at x = 0: the contour runs along y
    assert lengths[0b0101] == 2
    assert lengths[0b0110] == pytest.approx(hypot(2, 3))


def test_equal_masks_and_empty_masks() -> None:
    cube, nothing = box((6, 6, 6), (1, 1, 1), (4, 4, 4)), np.zeros((6, 6, 6), bool)
    assert hd95(cube, cube, spacing=UNIT, worst=WORST) == 0
    assert hd95(nothing, nothing, spacing=UNIT, worst=WORST) == 0
    assert hd95(cube, nothing, spacing=UNIT, worst=WORST) == WORST
    assert hd95(nothing, cube, spacing=UNIT, worst=WORST) == WORST


@pytest.mark.parametrize(("axis", "expected"), [(0, 4.0), (1, 6.0), (2, 10.0)])
def test_two_single_voxels_are_as_far_as_their_centres(axis: int, expected: float) -> None:
    a, b = np.zeros((4, 4, 4), bool), np.zeros((4, 4, 4), bool)
    a[0, 0, 0] = True
    at = [0, 0, 0]
    at[axis] = 3
    b[tuple(at)] = True
    # four of eight corners are 3 voxels away, four only 2: the 95th percentile is the farther one
    assert hd95(a, b, spacing=(2.0, 3.0, 5.0), worst=WORST) == expected * 1.5


def test_a_far_voxel_counts_by_its_share_of_the_surface() -> None:
    # A single voxel has surface sqrt(3). A cube of 8 has 8 corners sqrt(3)/8, 12 x 7 edge elements sqrt(2)/2 and
    # 6 x 49 of 1: 355.1, of which one far voxel is 0.5 %: below the 5 % that HD95 leaves out. A cube of 1 is not.
    small, large = box((30, 9, 9), (0, 0, 0), (1, 1, 1)), box((30, 9, 9), (0, 0, 0), (8, 8, 8))
    far = box((30, 9, 9), (29, 0, 0), (30, 1, 1))
    assert hd95(large | far, large, spacing=UNIT, worst=WORST) == 0
    assert hd95(small | far, small, spacing=UNIT, worst=WORST) == 29


def test_elements_are_weighted_by_area() -> None:
    # One plate is a second plate plus a rim of 1: its edge elements (sqrt(2)/2 or less) weigh less than flat ones (1).
    inner, outer = box((60, 60, 3), (10, 10, 1), (50, 50, 2)), box((60, 60, 3), (9, 9, 1), (51, 51, 2))
    flat, edges, corners = 2 * 41 * 41, 8 * 41, 8  # of the outer one
    area = flat + edges * sqrt(2) / 2 + corners * sqrt(3) / 8
    assert (edges * sqrt(2) / 2 + corners * sqrt(3) / 8) / area > 0.05
    assert hd95(outer, inner, spacing=UNIT, worst=WORST) == 1
    # A plate of 70: by area 4.7 % of it lie on the rim, by number of elements 5.4 %.
    inner, outer = box((90, 90, 3), (10, 10, 1), (80, 80, 2)), box((90, 90, 3), (9, 9, 1), (81, 81, 2))
    assert 8 * 71 / (2 * 71 * 71 + 8 * 71) > 0.05
    assert hd95(outer, inner, spacing=UNIT, worst=WORST) == 0


def test_a_slice_is_measured_in_its_plane() -> None:
    a, b = box((9, 9, 1), (1, 1, 0), (3, 3, 1)), box((9, 9, 1), (5, 1, 0), (7, 3, 1))
    assert hd95(a, b, spacing=(2.0, 1.0, 99.0), worst=WORST) == 8
    # All of a square's outline is 1 away; as a slab of one voxel its two large faces would hide that.
    inner, outer = box((90, 90, 1), (10, 10, 0), (80, 80, 1)), box((90, 90, 1), (9, 9, 0), (81, 81, 1))
    assert hd95(outer, inner, spacing=UNIT, worst=WORST) == 1


def test_the_edge_of_the_grid_is_background() -> None:
    a, b = box((8, 5, 5), (0, 0, 0), (8, 5, 5)), box((8, 5, 5), (0, 0, 0), (6, 5, 5))
    assert hd95(a, b, spacing=UNIT, worst=WORST) == 2


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        hd95(np.ones((2, 2, 2), bool), np.ones((2, 2, 3), bool), spacing=UNIT, worst=WORST)


masks = hnp.array_shapes(min_dims=3, max_dims=3, max_side=5).flatmap(
    lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape))
)


def test_hd_and_assd_of_a_stray_voxel() -> None:
    # The cube of 64 voxels has 8 corners, 12 x 3 edge elements and 6 x 9 flat ones; the stray voxel has 8 corners.
    cube = box((30, 9, 9), (0, 0, 0), (4, 4, 4))
    stray = cube | box((30, 9, 9), (20, 0, 0), (21, 1, 1))
    found = surface_distances(stray, cube, UNIT)
    area, corner = sqrt(3) + 36 * sqrt(2) / 2 + 54, sqrt(3) / 8
    far = 4 * corner * (16 + 17)  # four corners of the stray voxel are 16 from the cube's, four 17
    assert surface.hd(found, worst=WORST) == 17
    assert surface.assd(found, worst=WORST) == pytest.approx(far / (2 * area + sqrt(3)))
    nothing = np.zeros_like(cube)
    for figure in (surface.hd, surface.assd):
        assert figure(surface_distances(nothing, nothing, UNIT), worst=WORST) == 0
        assert figure(surface_distances(cube, nothing, UNIT), worst=WORST) == WORST


@given(masks, st.permutations(range(3)))
def test_distances_are_in_order_and_blind_to_axes(
    pair: tuple[NDArray[np.bool_], NDArray[np.bool_]], order: list[int]
) -> None:
    spacing, turned = (0.5, 1.0, 3.0), tuple((0.5, 1.0, 3.0)[axis] for axis in order)
    found = surface_distances(*pair, spacing)
    ways = surface.assd, surface.hd95, surface.hd
    assert surface.assd(found, worst=WORST) <= surface.hd(found, worst=WORST)
    assert surface.hd95(found, worst=WORST) <= surface.hd(found, worst=WORST)
    if 1 not in pair[0].shape:
        again = surface_distances(pair[0].transpose(order), pair[1].transpose(order), (turned[0], turned[1], turned[2]))
        assert [w(again, worst=WORST) for w in ways] == pytest.approx([w(found, worst=WORST) for w in ways])


@given(masks, st.sampled_from([UNIT, (0.5, 1.0, 3.0)]))
def test_symmetric_bounded_and_blind_to_flips(
    pair: tuple[NDArray[np.bool_], NDArray[np.bool_]], spacing: tuple[float, float, float]
) -> None:
    a, b = pair
    found = hd95(a, b, spacing=spacing, worst=WORST)
    assert found == hd95(b, a, spacing=spacing, worst=WORST)
    assert hd95(a, a, spacing=spacing, worst=WORST) == 0
    if a.any() and b.any():
        assert 0 <= found <= sqrt(sum((n * s) ** 2 for n, s in zip(a.shape, spacing, strict=True)))
    for axis in range(3):
        flipped = hd95(np.flip(a, axis), np.flip(b, axis), spacing=spacing, worst=WORST)
        assert flipped == pytest.approx(found)


def test_surface_dice_of_a_shifted_square_by_eye() -> None:
    # A square of 6x6 pixels and one of 7 columns. Each outline has 4 corners; sides have 5 or 6 elements of length 1.
    a, b = box((12, 12, 1), (2, 2, 0), (8, 8, 1)), box((12, 12, 1), (2, 2, 0), (9, 8, 1))
    corner = sqrt(2) / 2
    first, second = 4 * 5 + 4 * corner, 2 * 5 + 2 * 6 + 4 * corner
    assert surface_dice(a, b, tolerance=1) == 1
    # At no tolerance the first lacks its right side, whose corners lie on the longer sides of the second; the second
    # lacks its right side and the two corners there.
    near = (first - 5) + (second - 5 - 2 * corner)
    assert surface_dice(a, b, tolerance=0) == pytest.approx(near / (first + second))
    assert surface_dice(a, b, spacing=(2, 1, 1), tolerance=1) < 1


def test_surface_dice_of_equal_empty_and_far_masks() -> None:
    cube, nothing = box((6, 6, 6), (1, 1, 1), (4, 4, 4)), np.zeros((6, 6, 6), bool)
    assert surface_dice(cube, cube, tolerance=0) == surface_dice(nothing, nothing) == 1
    assert surface_dice(cube, nothing) == surface_dice(nothing, cube) == 0
    assert surface_dice(box((30, 5, 5), (0, 0, 0), (3, 5, 5)), box((30, 5, 5), (20, 0, 0), (23, 5, 5))) == 0


def test_a_surface_one_voxel_away_is_within_a_tolerance_of_one_whatever_the_header_rounds() -> None:
    inner, outer = box((9, 9, 9), (2, 2, 2), (6, 6, 6)), box((9, 9, 9), (2, 2, 2), (7, 6, 6))
    assert TOLERANCE == 1
    for step in (1.0, 1.0000002, 0.9999999):
        assert surface_dice(inner, outer, spacing=(step, step, step)) == 1
    assert surface_dice(inner, outer, spacing=(1.001, 1, 1)) < 1


def elements_of(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> list[tuple[tuple[float, ...], float]]:
    """Place and size of every surface element, corner by corner; in a slice from the contour's own geometry."""
    flat = mask.shape[2] == 1
    padded = np.pad(mask, [(1, 1), (1, 1), (0, 0) if flat else (1, 1)])
    dx, dy, _ = spacing
    found = []
    for x, y, z in np.ndindex(*(n - 1 for n in padded.shape[:2]), 1 if flat else padded.shape[2] - 1):
        if flat:
            (a, b), (c, d) = padded[x : x + 2, y : y + 2, 0].tolist()
            number, corner = a + b + c + d, hypot(dx / 2, dy / 2)
            straight = dy if a == b else dx
            size = 0 if number in (0, 4) else corner if number in (1, 3) else 2 * corner if a == d else straight
        else:
            bits = padded[x : x + 2, y : y + 2, z : z + 2].ravel()
            size = float(_areas(spacing)[sum(1 << i for i in np.flatnonzero(bits).tolist())])
        if size:
            found.append((tuple(n * s for n, s in zip((x, y, z), spacing, strict=True)), size))
    return found


def by_brute_force(
    a: NDArray[np.bool_], b: NDArray[np.bool_], spacing: tuple[float, float, float], limit: float
) -> float:
    """Surface Dice as its definition reads, every element against every other."""
    one, other = elements_of(a, spacing), elements_of(b, spacing)
    if not one or not other:
        return float(not one and not other)
    near = 0.0
    for source, target in ((one, other), (other, one)):
        places = np.array([place for place, _ in target])
        near += sum(size for place, size in source if np.linalg.norm(places - place, axis=1).min() <= limit)
    return near / sum(size for _, size in one + other)


@given(masks, st.sampled_from([UNIT, (0.5, 1.25, 3.0)]), st.sampled_from([0.25, 1.1, 2.6]))
def test_surface_dice_equals_its_definition(
    pair: tuple[NDArray[np.bool_], NDArray[np.bool_]], spacing: tuple[float, float, float], tolerance: float
) -> None:
    a, b = pair
    found = surface_dice(a, b, spacing=spacing, tolerance=tolerance)
    assert found == pytest.approx(by_brute_force(a, b, spacing, tolerance), abs=1e-9)
    assert 0 <= found <= 1 and found == pytest.approx(surface_dice(b, a, spacing=spacing, tolerance=tolerance))
    assert surface_dice(a, b, spacing=spacing, tolerance=tolerance + 1) >= found - 1e-9


def test_both_figures_come_from_one_measurement() -> None:
    a, b = box((9, 9, 9), (1, 1, 1), (4, 4, 4)), box((9, 9, 9), (2, 1, 1), (6, 4, 5))
    found = surface_distances(a, b, (1.0, 2.0, 3.0))
    for elements in (found.prediction, found.reference):
        assert (np.diff(elements.distances) >= 0).all() and elements.sizes.shape == elements.distances.shape
    apart = surface_distances(a, np.zeros_like(a), UNIT)
    assert np.isinf(apart.prediction.distances).all() and apart.reference.empty and not apart.prediction.empty
