"""Connected components: 26 neighbours, largest first."""

from __future__ import annotations

import numpy as np

from gliamap.boxes import Box
from gliamap.components import Component, describe_components, find_components, label_components, remove_small

# Two voxels that touch at a corner, three in a row, one alone.
MASK = np.zeros((4, 5, 3), bool)
MASK[0, 0, 0] = MASK[1, 1, 1] = True
MASK[3, 2:5, 2] = True
MASK[0, 4, 0] = True


def test_voxels_that_touch_at_a_corner_are_one_component() -> None:
    assert label_components(MASK).max() == 3
    assert label_components(MASK)[0, 0, 0] == label_components(MASK)[1, 1, 1]


def test_components_come_largest_first_with_box_and_centre() -> None:
    labelled, found = find_components(MASK)
    row, pair, single = (int(labelled[at]) for at in ((3, 2, 2), (0, 0, 0), (0, 4, 0)))
    assert found == [
        Component(row, 3, Box((3, 2, 2), (4, 5, 3)), (3.0, 3.0, 2.0)),
        Component(pair, 2, Box((0, 0, 0), (2, 2, 2)), (0.5, 0.5, 0.5)),
        Component(single, 1, Box((0, 4, 0), (1, 5, 1)), (0.0, 4.0, 0.0)),
    ]


def test_a_map_of_any_numbers_is_described_likewise() -> None:
    numbers = np.array([[[1, 2, 0, 2, 2, 1]]], np.uint32)  # parts that do not touch, but belong together
    assert describe_components(numbers) == [
        Component(2, 3, Box((0, 0, 1), (1, 1, 5)), (0.0, 0.0, 8 / 3)),
        Component(1, 2, Box((0, 0, 0), (1, 1, 6)), (0.0, 0.0, 2.5)),
    ]


def test_an_empty_mask_has_no_components() -> None:
    labelled, found = find_components(np.zeros((3, 4, 5), bool))
    assert found == []
    assert labelled.shape == (3, 4, 5)


def test_an_image_of_one_slice_works_likewise() -> None:
    flat = np.zeros((4, 4, 1), bool)
    flat[0, 0, 0] = flat[1, 1, 0] = flat[3, 3, 0] = True
    assert [c.voxels for c in find_components(flat)[1]] == [2, 1]


def test_strided_views_are_counted_right() -> None:
    assert [c.voxels for c in find_components(MASK[::-1].transpose(2, 0, 1))[1]] == [3, 2, 1]


def test_remove_small_keeps_parts_of_exactly_the_limit() -> None:
    assert remove_small(MASK, 1).sum() == 6
    assert remove_small(MASK, 2).sum() == 5
    assert remove_small(MASK, 3).sum() == 3
    assert remove_small(MASK, 4).sum() == 0
    assert not remove_small(np.zeros((2, 2, 2), bool), 5).any()
