"""Choosing patches: the right case, a box that holds the region, inside the grid wherever it can be."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliamap.boxes import Box, Shape
from gliamap.case import Lesion, TumourIndex
from gliamap.labels import Region, Tissue
from gliamap.prep.tumour_index import build_tumour_index
from gliamap.sampling.choose import SPECK_VOXELS, Balance, Size, Want, choose_box, choose_case, group_cases

SIZES = st.tuples(*[st.integers(1, 24)] * 3)
VOXELS = {
    "both": {Region.WT: 9, Region.TC: 4, Region.ET: 1},
    "core": {Region.WT: 9, Region.TC: 4, Region.ET: 0},
    "none": {Region.WT: 0, Region.TC: 0, Region.ET: 0},
}


def index_of(shape: Shape, voxel: Shape) -> TumourIndex:
    """The index of a tumour of one enhancing voxel."""
    tissues = np.zeros(shape, np.uint8)
    tissues[voxel] = Tissue.ET
    return build_tumour_index(tissues, 1.0, np.random.default_rng(0))


def whole_tumours(*voxels: int) -> dict[str, dict[Region, int]]:
    """Cases a, b, c ... with whole tumours of so many voxels."""
    return {name: {Region.WT: count} for name, count in zip("abcdefghij", voxels, strict=False)}


def test_groups_by_eye() -> None:
    assert group_cases(VOXELS, "regions") == {
        None: ["both", "core", "none"],
        Region.WT: ["both", "core"],
        Region.TC: ["both", "core"],
        Region.ET: ["both"],
    }
    assert group_cases(VOXELS, "cases") == {None: ["both", "core", "none"], Region.WT: ["both", "core"]}


def test_groups_by_size_are_thirds_of_the_cases_with_tumour() -> None:
    assert group_cases(whole_tumours(50, 7, 0, 900, 60, 8, 1000), "sizes") == {
        None: ["a", "b", "c", "d", "e", "f", "g"],
        Size.SMALL: ["b", "f"],
        Size.MEDIUM: ["a", "e"],
        Size.LARGE: ["d", "g"],
    }
    assert group_cases(whole_tumours(5, 3), "sizes") == {None: ["a", "b"], Size.SMALL: ["b"], Size.MEDIUM: ["a"]}


@pytest.mark.parametrize("balance", ["cases", "regions", "sizes"])
def test_without_tumour_there_is_one_group(balance: Balance) -> None:
    assert group_cases({"none": VOXELS["none"], "unknown": {}}, balance) == {None: ["none", "unknown"]}


def test_cases_are_drawn_as_often_as_promised() -> None:
    rng = np.random.default_rng(0)
    groups = group_cases(VOXELS, "regions")
    drawn = Counter(choose_case(rng, groups, 0.6) for _ in range(6000))
    by_region = Counter[Want]()
    for (case_id, region), count in drawn.items():
        by_region[region] += count
        assert region is None or case_id in groups[region]
    assert by_region[None] / 6000 == pytest.approx(0.4, abs=0.03)
    for region in Region:
        assert by_region[region] / 6000 == pytest.approx(0.2, abs=0.03)
    anywhere = [drawn[case_id, None] / by_region[None] for case_id in VOXELS]
    assert anywhere == pytest.approx([1 / 3] * 3, abs=0.05)


def test_small_tumours_are_drawn_as_often_as_large_ones() -> None:
    rng = np.random.default_rng(0)
    groups = group_cases(whole_tumours(10, 11, 12, 500, 501, 502, 9000, 9001, 9002), "sizes")
    drawn = Counter(choose_case(rng, groups, 1.0) for _ in range(9000))
    assert set(drawn) == {
        (name, size) for size, names in zip(Size, ("abc", "def", "ghi"), strict=True) for name in names
    }
    assert [count / 9000 for count in drawn.values()] == pytest.approx([1 / 9] * 9, abs=0.015)


def test_cases_with_tumour_are_drawn_evenly() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(choose_case(rng, group_cases(VOXELS, "cases"), 1.0) for _ in range(2000))
    assert set(drawn) == {("both", Region.WT), ("core", Region.WT)}
    assert drawn["both", Region.WT] / 2000 == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_none_or_all_is_exact(share: float) -> None:
    rng = np.random.default_rng(0)
    regions = {choose_case(rng, group_cases(VOXELS, "regions"), share)[1] for _ in range(200)}
    assert regions == (set(Region) if share else {None})


def test_without_any_tumour_patches_come_from_anywhere() -> None:
    rng = np.random.default_rng(0)
    assert choose_case(rng, {None: ["a"]}, 1.0) == ("a", None)


@given(SIZES, SIZES, st.booleans(), st.data())
def test_the_box_holds_the_voxel_and_stays_inside(shape: Shape, patch: Shape, aimed: bool, data: st.DataObject) -> None:
    voxel = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    index = index_of(shape, (voxel[0], voxel[1], voxel[2]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    box = choose_box(rng, shape, patch, index, Region.ET if aimed else None)
    assert box.shape == patch
    for axis in range(3):
        if shape[axis] >= patch[axis]:
            assert box.start[axis] >= 0
            assert box.stop[axis] <= shape[axis]
        else:  # the whole axis lies in the box
            assert box.start[axis] <= 0
            assert box.stop[axis] >= shape[axis]
        if aimed:
            assert box.start[axis] <= voxel[axis] < box.stop[axis]


def test_far_from_the_border_the_voxel_falls_into_the_middle_half() -> None:
    shape, patch, voxel = (100, 100, 100), (16, 8, 1), (50, 50, 50)
    index, rng = index_of(shape, voxel), np.random.default_rng(0)
    offsets = np.array(
        [
            [v - s for v, s in zip(voxel, choose_box(rng, shape, patch, index, Region.WT).start, strict=True)]
            for _ in range(500)
        ]
    )
    assert offsets.min(axis=0).tolist() == [4, 2, 0]
    assert offsets.max(axis=0).tolist() == [11, 5, 0]


def test_boxes_anywhere_reach_every_place() -> None:
    rng = np.random.default_rng(0)
    boxes = [choose_box(rng, (9, 4, 2), (4, 4, 4), None, None) for _ in range(300)]
    assert [sorted({box.start[axis] for box in boxes}) for axis in range(3)] == [[0, 1, 2, 3, 4, 5], [0], [-2, -1, 0]]


def test_a_region_that_the_case_lacks_gives_a_box_anywhere() -> None:
    index = build_tumour_index(np.full((9, 1, 1), Tissue.ED, np.uint8), 1.0, np.random.default_rng(0))
    assert choose_box(np.random.default_rng(0), (9, 1, 1), (3, 1, 1), index, Region.ET).shape == (3, 1, 1)


def test_the_generator_decides() -> None:
    index = index_of((30, 30, 30), (7, 8, 9))
    first, again, other = (
        [choose_box(rng, (30, 30, 30), (8, 8, 8), index, region) for region in (None, Region.ET)]
        for rng in map(np.random.default_rng, (1, 1, 2))
    )
    assert first == again != other


def index_of_lesions(shape: Shape, *lesions: Box) -> TumourIndex:
    """The index of a tumour of several boxes of edema."""
    tissues = np.zeros(shape, np.uint8)
    for box in lesions:
        tissues[box.slices] = Tissue.ED
    return build_tumour_index(tissues, 1.0, np.random.default_rng(0))


LARGE, SMALL, SPECK = Box((0, 0, 0), (20, 20, 20)), Box((30, 30, 30), (33, 33, 33)), Box((36, 0, 0), (38, 2, 2))
"""Lesions of 8000, 27 and 8 voxels on a grid of 40 x 40 x 40."""


def centres(index: TumourIndex, want: Want, count: int) -> list[Shape]:
    """What patches of one voxel are centred on."""
    rng = np.random.default_rng(0)
    return [choose_box(rng, (40, 40, 40), (1, 1, 1), index, want).start for _ in range(count)]


def holding(centre: Shape, *lesions: Box) -> Box | None:
    """The lesion that ``centre`` lies in."""
    found = [x for x in lesions if all(a <= c < b for a, c, b in zip(x.start, centre, x.stop, strict=True))]
    return found[0] if found else None


def test_with_sizes_a_small_lesion_is_met_as_often_as_a_large_one_of_the_same_case() -> None:
    index = index_of_lesions((40, 40, 40), LARGE, SMALL, SPECK)
    assert SPECK_VOXELS == 10
    met = Counter(holding(centre, LARGE, SMALL, SPECK) for centre in centres(index, Size.LARGE, 600))
    assert set(met) == {LARGE, SMALL}
    assert met[SMALL] / 600 == pytest.approx(0.5, abs=0.06)
    by_voxel = Counter(holding(centre, LARGE, SMALL, SPECK) for centre in centres(index, Region.WT, 600))
    assert by_voxel[SMALL] < 15  # 27 voxels of 8035


def test_specks_are_drawn_where_there_is_nothing_else() -> None:
    other = Box((0, 30, 0), (1, 31, 1))
    index = index_of_lesions((40, 40, 40), SPECK, other)
    assert {holding(centre, SPECK, other) for centre in centres(index, Size.SMALL, 50)} == {SPECK, other}


def test_of_a_lesion_without_a_sample_the_middle_is_taken() -> None:
    points = {Region.WT: np.array([[1, 1, 1]], np.int32)}
    lesions = (Lesion(LARGE, 8000, 8.0), Lesion(SMALL, 27, 0.027))
    index = TumourIndex(points, {Region.WT: 8027}, lesions)
    assert set(centres(index, Size.LARGE, 50)) == {(1, 1, 1), (31, 31, 31)}


def test_the_draws_of_the_defaults_stay_what_they_were() -> None:
    """A run goes on with the same patches after an update only while these numbers stay."""
    rng = np.random.default_rng((3, 0))
    groups = group_cases(VOXELS, "regions")
    index = index_of_lesions((40, 40, 40), LARGE, SMALL)
    drawn = []
    for _ in range(4):
        case_id, want = choose_case(rng, groups, 0.5)
        drawn.append((case_id, want, choose_box(rng, (40, 40, 40), (8, 8, 48), index, want).start))
    assert drawn == [
        ("both", Region.WT, (0, 12, -8)),
        ("both", Region.WT, (11, 13, -5)),
        ("core", Region.TC, (5, 24, -2)),
        ("both", Region.ET, (10, 21, -3)),
    ]
