"""Lesion by lesion: every clause of the rule on rows of voxels, and against the rule taken step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, generate_binary_structure
from scipy.ndimage import label as scipy_label

import make
from gliamap.boxes import Box, Shape
from gliamap.metrics import overlap
from gliamap.metrics.dilation import dilate
from gliamap.metrics.lesions import LesionKind, LesionMatch, LesionRule, match_lesions
from gliamap.metrics.surface import hd95, surface_distances
from gliamap.volume import Grid, image_grid

WORST = 374.0
ONCE = LesionRule(dilation=1, size_limit_mm3=0)
FOUND, MISSED, TOO_SMALL, FALSE_POSITIVE = LesionKind


def row(text: str) -> NDArray[np.bool_]:
    """Voxels along X, ``#`` is inside, in the middle of 3 x 3 rows."""
    out = np.zeros((len(text), 3, 3), bool)
    out[:, 1, 1] = [letter == "#" for letter in text]
    return out


def grid_of(shape: Shape, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Grid:
    return Grid(shape, np.diag([*spacing, 1.0]))


def match(
    prediction: NDArray[np.bool_] | str,
    reference: NDArray[np.bool_] | str,
    rule: LesionRule = ONCE,
    *,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> LesionMatch:
    """Match two masks, or two rows of voxels."""
    a, b = (row(mask) if isinstance(mask, str) else mask for mask in (prediction, reference))
    return match_lesions(a, b, grid_of((a.shape[0], a.shape[1], a.shape[2]), spacing), rule, worst=WORST)


def kinds(found: LesionMatch) -> list[LesionKind]:
    return [lesion.kind for lesion in found.lesions]


def counted(found: LesionMatch) -> tuple[int, int, int]:
    """Found, false positives, missed."""
    return found.counts.tp, found.counts.fp, found.counts.fn


# What is one lesion.


@pytest.mark.parametrize(
    ("dilation", "reference", "lesions"),
    [
        (1, "###.##", 1),  # the dilations overlap
        (1, "###..##", 1),  # the dilations touch
        (1, "###...##", 2),  # a voxel is left between them
        (3, "###......##", 1),
        (3, "###.......##", 2),
        (0, "###.##", 2),
    ],
)
def test_parts_are_one_lesion_where_their_dilations_touch(dilation: int, reference: str, lesions: int) -> None:
    found = match(reference, reference, LesionRule(dilation, 0))
    assert kinds(found) == [FOUND] * lesions
    assert found.dice == 1 and found.hd95 == 0


def test_parts_merge_only_after_dilation_so_their_sizes_add_up_to_pass_the_limit() -> None:
    merged, apart = "##.##", "##...##"
    rule = LesionRule(dilation=1, size_limit_mm3=3)
    assert [(lesion.kind, lesion.voxels) for lesion in match(merged, merged, rule).lesions] == [(FOUND, 4)]
    assert kinds(match(apart, apart, rule)) == [TOO_SMALL, TOO_SMALL]


def test_the_prediction_is_not_dilated_and_its_parts_stay_apart() -> None:
    found = match("#.#.#.......", "...........#")
    assert kinds(found) == [MISSED, FALSE_POSITIVE, FALSE_POSITIVE, FALSE_POSITIVE]


def test_voxels_that_touch_at_a_corner_are_one_predicted_part() -> None:
    prediction = np.zeros((8, 4, 4), bool)
    prediction[0, 0, 0] = prediction[1, 1, 1] = True
    assert kinds(match(prediction, np.zeros_like(prediction))) == [FALSE_POSITIVE]


# What matches.


@pytest.mark.parametrize(("prediction", "kind"), [("...##..", FOUND), ("....##.", MISSED)])
def test_a_component_matches_where_it_meets_the_dilation(prediction: str, kind: LesionKind) -> None:
    assert match(prediction, "###....").lesions[0].kind == kind


@pytest.mark.parametrize(("place", "kind"), [((2, 2, 1), FOUND), ((2, 2, 2), MISSED)])
def test_dilation_reaches_edges_not_corners(place: Shape, kind: LesionKind) -> None:
    reference, prediction = np.zeros((2, 4, 4, 4), bool)
    reference[1, 1, 1] = prediction[place] = True
    assert match(prediction, reference).lesions[0].kind == kind


def test_scores_compare_the_lesion_as_it_is_not_dilated() -> None:
    lesion = match("#####..", "..###..").lesions[0]
    assert lesion.dice == 2 * 3 / (5 + 3)
    assert lesion.hd95 == 2


def test_a_prediction_that_serves_two_lesions_counts_for_both() -> None:
    found = match("###########.", "####...####.")
    assert counted(found) == (2, 0, 0)
    assert [lesion.matched_by for lesion in found.lesions] == [(1,), (1,)]
    assert [lesion.dice for lesion in found.lesions] == [2 * 4 / (4 + 11)] * 2  # the whole component, each time
    # The end of the component is 7 away, but its face has only 3 % of the area.
    assert [lesion.hd95 for lesion in found.lesions] == [6, 6]


def test_a_lesion_of_one_slice_is_measured_in_its_volume_not_in_its_plane() -> None:
    reference, prediction = np.zeros((2, 16, 16, 5), bool)
    reference[2:14, 2:14, 2] = prediction[2:14, 2:14, 2] = prediction[14, 5:9, 2] = True
    # A bump of four voxels: under 5 % of the area of both sides, over 5 % of the outline.
    assert match(prediction, reference).hd95 == 0
    assert match(prediction[..., 2:3], reference[..., 2:3]).hd95 == 1


def test_all_parts_that_match_a_lesion_are_taken_together() -> None:
    found = match("##.###.....#", "#######.....")
    lesion, stray = found.lesions
    assert lesion.matched_by == (1, 2)  # the larger is 1
    assert lesion.dice == 2 * 5 / (7 + 5)
    assert (stray.kind, stray.matched_by) == (FALSE_POSITIVE, (3,))


# What counts.


def test_a_false_positive_counts_however_small() -> None:
    found = match("####.....#", "####......", LesionRule(dilation=1, size_limit_mm3=3))
    assert counted(found) == (1, 1, 0)
    assert found.dice == (1 + 0) / 2
    assert found.hd95 == (0 + 374) / 2
    assert found.false_positive_volume == pytest.approx(0.001)


@pytest.mark.parametrize(("reference", "kind"), [("..##", TOO_SMALL), (".###", MISSED)])
def test_a_missed_lesion_must_be_larger_than_the_limit_to_count(reference: str, kind: LesionKind) -> None:
    found = match("....", reference, LesionRule(dilation=1, size_limit_mm3=2))
    assert kinds(found) == [kind]
    assert counted(found) == (0, 0, int(kind == MISSED))
    assert (found.dice, found.hd95) == ((0, 374) if kind == MISSED else (1, 0))


def test_a_small_lesion_that_was_found_does_not_count_and_its_match_is_no_false_positive() -> None:
    small = match("##...........", "##...........", LesionRule(dilation=1, size_limit_mm3=2))
    assert kinds(small) == [TOO_SMALL] and small.lesions[0].matched_by == (1,) and small.lesions[0].dice == 1
    assert counted(small) == (0, 0, 0) and (small.dice, small.hd95) == (1, 0)

    beside_a_large_one = match("##.....##..", "##.....####", LesionRule(dilation=1, size_limit_mm3=2))
    assert kinds(beside_a_large_one) == [FOUND, TOO_SMALL]
    assert beside_a_large_one.dice == 2 * 2 / (2 + 4)  # of the large one alone


def test_the_limit_is_a_volume_and_a_rounded_spacing_does_not_shift_it() -> None:
    rule = LesionRule(dilation=1, size_limit_mm3=12)
    assert kinds(match("....", "##..", rule, spacing=(1, 2, 3))) == [TOO_SMALL]
    assert kinds(match("....", "##..", rule, spacing=(1.0000001, 2, 3))) == [TOO_SMALL]
    assert kinds(match("....", "##..", rule, spacing=(1.001, 2, 3))) == [MISSED]


def test_a_missed_lesion_takes_the_worst() -> None:
    found = match("####.........", "####.....####")
    assert counted(found) == (1, 0, 1)
    assert (found.dice, found.hd95) == (1 / 2, 374 / 2)


@pytest.mark.parametrize(
    ("prediction", "reference", "means", "detection"),
    [
        ("....", "....", (1, 0), (1, 1, 1)),
        ("....", "####", (0, 374), (0, 0, 0)),
        ("####", "....", (0, 374), (0, 0, 0)),
        ("####.......", "####...####", (1 / 2, 374 / 2), (1 / 2, 1, 2 / 3)),
        ("####...####", "####.......", (1 / 2, 374 / 2), (1, 1 / 2, 2 / 3)),
    ],
)
def test_empty_masks_recall_precision_and_f1(
    prediction: str, reference: str, means: tuple[float, float], detection: tuple[float, float, float]
) -> None:
    found = match(prediction, reference)
    assert (found.dice, found.hd95) == means
    counts = found.counts
    assert (overlap.sensitivity(counts), overlap.precision(counts), overlap.dice(counts)) == detection


# The rows.


def test_rows_tell_size_and_place_on_the_grid() -> None:
    reference, prediction = np.zeros((2, 9, 8, 7), bool)
    reference[1:3, 2:6, 3] = True
    prediction[7, 6:8, 5] = True
    grid = Grid((30, 40, 50), np.diag([1.0, 2.0, 3.0, 1.0]))
    missed, stray = match_lesions(prediction, reference, grid, ONCE, worst=WORST).shift((10, 20, 30)).lesions
    assert (missed.kind, missed.voxels, missed.volume) == (MISSED, 8, pytest.approx(0.048))
    assert missed.box == Box((11, 22, 33), (13, 26, 34))
    assert missed.centre == (11.5, 23.5, 33.0)
    assert (stray.kind, stray.voxels, stray.volume) == (FALSE_POSITIVE, 2, pytest.approx(0.012))
    assert stray.box == Box((17, 26, 35), (18, 28, 36))
    assert stray.centre == (17.0, 26.5, 35.0)


def test_lesions_of_the_reference_come_first_and_of_each_the_largest() -> None:
    found = match("...........#....##", "#....##...........", ONCE)
    assert [(lesion.kind, lesion.voxels) for lesion in found.lesions] == [
        (MISSED, 2),
        (MISSED, 1),
        (FALSE_POSITIVE, 2),
        (FALSE_POSITIVE, 1),
    ]


def test_an_image_is_matched_in_its_plane_and_measured_in_pixels() -> None:
    reference, prediction = np.zeros((2, 20, 20, 1), bool)
    reference[2:5, 2:5] = prediction[2:5, 2:4] = prediction[12:14, 12:14] = reference[17, 17] = True
    grid = image_grid((20, 20, 1))
    found = match_lesions(prediction, reference, grid, LesionRule(dilation=1, size_limit_mm3=2), worst=28.0)
    assert [(lesion.kind, lesion.volume) for lesion in found.lesions] == [
        (FOUND, 9),
        (TOO_SMALL, 1),
        (FALSE_POSITIVE, 4),
    ]
    assert found.dice == pytest.approx((2 * 6 / 15 + 0) / 2)
    assert found.hd95 == (1 + 28) / 2
    assert found.false_positive_volume == 4


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="one shape"):
        match(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 3), bool))


# Laws.


def sparse_masks(seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], tuple[float, float, float]]:
    """A reference of a few balls, a prediction that shares some of them, and a spacing."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(8, 26)), int(rng.integers(8, 26)), int(rng.choice([1, 9, 20])))
    masks = np.zeros((2, *shape), bool)
    for _ in range(int(rng.integers(0, 9))):
        centre, radius = rng.random(3), float(rng.uniform(0.02, 0.2))
        part = make.ball(shape, (centre[0], centre[1], centre[2]), radius)
        for at in (0, 1):
            if rng.random() < 0.7:
                masks[at] |= part & (rng.random(shape) < 0.9)
    spacing = rng.choice([0.5, 1.0, 1.7, 3.0], 3)
    return masks[0], masks[1], (float(spacing[0]), float(spacing[1]), float(spacing[2]))


def step_by_step(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: tuple[float, float, float], rule: LesionRule
) -> tuple[int, int, int, float, float]:
    """TP, FP, FN, Dice and HD95 by the letter: whole grids, scipy's dilation, a mask for each lesion."""
    touching, structure = np.ones((3, 3, 3)), generate_binary_structure(3, 2)
    dilated = binary_dilation(reference, structure, iterations=rule.dilation)
    lesions, number = scipy_label(dilated, touching)
    components, parts = scipy_label(prediction, touching)
    matched: set[int] = set()
    dices, distances, tp, fn = [], [], 0, 0
    for one in range(1, number + 1):
        lesion = (lesions == one) & reference
        meets = set(np.unique(components[binary_dilation(lesion, structure, iterations=rule.dilation)])) - {0}
        matched |= meets
        together = np.isin(components, list(meets))
        if np.count_nonzero(lesion) * math.prod(spacing) <= rule.size_limit_mm3:
            continue
        tp, fn = tp + bool(meets), fn + (not meets)
        dices.append(overlap.dice(overlap.count(together, lesion)))
        distances.append(hd95(surface_distances(together, lesion, spacing), worst=WORST))
    fp = parts - len(matched)
    total = len(dices) + fp
    if total == 0:
        return tp, fp, fn, 1.0, 0.0
    return tp, fp, fn, sum(dices) / total, (sum(distances) + WORST * fp) / total


@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("seed", range(25))
def test_the_rule_taken_step_by_step_gives_the_same(seed: int, dilation: int) -> None:
    prediction, reference, spacing = sparse_masks(seed)
    rule = LesionRule(dilation, size_limit_mm3=5.5)
    found = match(prediction, reference, rule, spacing=spacing)
    expected = step_by_step(prediction, reference, spacing, rule)
    assert (*counted(found), found.dice, found.hd95) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_flips_and_turned_axes_change_nothing_but_places(seed: int) -> None:
    prediction, reference, spacing = sparse_masks(seed)
    rule = LesionRule(dilation=1, size_limit_mm3=5.5)
    found = match(prediction, reference, rule, spacing=spacing)
    flipped = match(prediction[::-1, :, ::-1], reference[::-1, :, ::-1], rule, spacing=spacing)
    assert (flipped.counts, flipped.dice) == (found.counts, pytest.approx(found.dice))
    assert flipped.hd95 == pytest.approx(found.hd95)
    if prediction.shape[2] > 1:  # a single slice is measured in its plane
        x, y, z = spacing
        turned = match(prediction.transpose(2, 0, 1), reference.transpose(2, 0, 1), rule, spacing=(z, x, y))
        assert (turned.counts, turned.dice) == (found.counts, pytest.approx(found.dice))
        assert turned.hd95 == pytest.approx(found.hd95)


@settings(max_examples=50)
@given(
    hnp.arrays(bool, st.tuples(*[st.integers(1, 6)] * 3)).flatmap(
        lambda mask: st.tuples(st.just(mask), hnp.arrays(bool, mask.shape))
    ),
    st.integers(0, 3),
)
def test_every_voxel_is_in_one_row_and_figures_keep_their_bounds(
    masks: tuple[NDArray[np.bool_], NDArray[np.bool_]], dilation: int
) -> None:
    prediction, reference = masks
    found = match(prediction, reference, LesionRule(dilation, size_limit_mm3=3))
    strays = found.of(FALSE_POSITIVE)
    assert sum(lesion.voxels for lesion in found.lesions if lesion not in strays) == reference.sum()
    assert not any(lesion.matched_by for lesion in found.of(MISSED))
    assert all(lesion.matched_by for lesion in found.of(FOUND))
    for lesion in found.lesions:
        assert 0 <= lesion.dice <= 1 and 0 <= lesion.hd95 <= WORST
        assert all(a <= c < b for a, c, b in zip(lesion.box.start, lesion.centre, lesion.box.stop, strict=True))
    matched = {rank for lesion in found.lesions if lesion not in strays for rank in lesion.matched_by}
    assert matched.isdisjoint(stray.matched_by[0] for stray in strays)
    assert sum(stray.voxels for stray in strays) <= prediction.sum()
    assert match(reference, reference, LesionRule(dilation, size_limit_mm3=3)).dice == 1


@given(hnp.arrays(bool, st.tuples(*[st.integers(1, 8)] * 3)), st.integers(1, 4))
def test_dilation_is_that_of_scipy(mask: NDArray[np.bool_], times: int) -> None:
    expected = binary_dilation(mask, generate_binary_structure(3, 2), iterations=times)
    np.testing.assert_array_equal(dilate(mask, times), expected)
