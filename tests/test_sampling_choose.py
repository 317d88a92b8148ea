"""Choosing patches: the right case, a box that holds the region, inside the grid wherever it can be."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliamap.boxes import Shape
from gliamap.case import TumourIndex
from gliamap.labels import Region, Tissue
from gliamap.prep.tumour_index import build_tumour_index
from gliamap.sampling.choose import choose_box, choose_case, group_by_region

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


def test_groups_by_eye() -> None:
    assert group_by_region(VOXELS) == {
        None: ["both", "core", "none"],
        Region.WT: ["both", "core"],
        Region.TC: ["both", "core"],
        Region.ET: ["both"],
    }
    assert group_by_region({"none": VOXELS["none"]}) == {None: ["none"]}


def test_cases_are_drawn_as_often_as_promised() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(choose_case(rng, group_by_region(VOXELS), 0.6) for _ in range(6000))
    by_region = Counter[Region | None]()
    for (case_id, region), count in drawn.items():
        by_region[region] += count
        assert region is None or VOXELS[case_id][region] > 0
    assert by_region[None] / 6000 == pytest.approx(0.4, abs=0.03)
    for region in Region:
        assert by_region[region] / 6000 == pytest.approx(0.2, abs=0.03)
    anywhere = [drawn[case_id, None] / by_region[None] for case_id in VOXELS]
    assert anywhere == pytest.approx([1 / 3] * 3, abs=0.05)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_none_or_all_is_exact(share: float) -> None:
    rng = np.random.default_rng(0)
    regions = {choose_case(rng, group_by_region(VOXELS), share)[1] for _ in range(200)}
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
