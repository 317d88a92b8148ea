"""Distances around a grid's edge, and weights of lesions by eye."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from gliamap.boxes import Box
from gliamap.components import label_components
from gliamap.io.store import write_distances
from gliamap.labels import Region
from gliamap.sampling.extras import farthest, lesion_weights, read_distances


def write(store: Path, *values: float) -> None:
    """The distances of a case 'one' whose grid is a row of voxels along X, to one region or several."""
    for region in (Region.WT, Region.TC):
        sign = 1 if region == Region.WT else -1
        array = np.array(values, np.float16).reshape(-1, 1, 1) * np.float16(sign)
        write_distances(store, "one", {region: array})


def test_outside_the_grid_it_is_as_far_as_anywhere_in_the_box(tmp_path: Path) -> None:
    write(tmp_path, -1, 1, 2, 3)
    found = read_distances(tmp_path, "one", [Region.WT], Box((-2, 0, -1), (3, 1, 1)))
    assert found.dtype == torch.float32
    assert found[0, :, 0, 1].tolist() == [2, 2, -1, 1, 2]
    assert found[0, :, 0, 0].tolist() == [2] * 5
    inside = read_distances(tmp_path, "one", [Region.WT, Region.TC], Box((0, 0, 0), (4, 1, 1)))
    assert inside[:, :, 0, 0].tolist() == [[-1, 1, 2, 3], [1, -1, -2, -3]]


def test_outside_the_grid_is_outside_the_tumour_wherever_the_box_lies(tmp_path: Path) -> None:
    write(tmp_path, -1, -2, -1)
    assert read_distances(tmp_path, "one", [Region.WT], Box((1, 0, 0), (5, 1, 1))).flatten().tolist() == [-2, -1, 1, 1]
    assert farthest(torch.tensor([-3.0, 7, -3, -3]).reshape(2, 2, 1, 1)).flatten().tolist() == [7, 1]


def test_a_region_without_a_surface_is_0_away_outside_the_grid_too(tmp_path: Path) -> None:
    write(tmp_path, 0, 0, 0)
    assert not read_distances(tmp_path, "one", [Region.WT, Region.TC], Box((-2, 0, -1), (5, 2, 1))).any()


def weigh(*values: int) -> list[float]:
    """The weights of a row of voxels beside an empty one."""
    masks = np.zeros((1, len(values), 2, 1), np.uint8)
    masks[0, :, 0, 0] = values
    return lesion_weights(masks)[0, :, 0, 0].tolist()


def test_lesions_weigh_the_same_whatever_their_size() -> None:
    assert weigh(0, 1, 0, 1, 1, 1, 0) == pytest.approx([1, 2, 1, 2 / 3, 2 / 3, 2 / 3, 1])  # 4 voxels, 2 lesions
    assert weigh(1, 0, 1, 0, 1) == [1] * 5
    assert weigh(0, 1, 1, 0) == [1] * 4  # one lesion: nothing to balance
    assert weigh(0, 0, 0) == [1] * 3
    assert weigh(1, 1, 1) == [1] * 3


def test_each_channel_for_itself_and_the_background_of_classes_not_at_all() -> None:
    row = np.array([[1, 0, 1, 1, 1], [0, 1, 0, 0, 0]], np.uint8).reshape(2, -1, 1, 1)
    assert lesion_weights(row).reshape(2, -1).tolist() == [[2, 1, *[pytest.approx(2 / 3)] * 3], [1] * 5]
    assert lesion_weights(row, first=1).reshape(2, -1).tolist() == [[1] * 5, [1] * 5]


def test_lesions_that_touch_at_a_corner_are_one() -> None:
    mask = np.zeros((1, 4, 4, 1), np.uint8)
    mask[0, 0, 0] = mask[0, 1, 1] = mask[0, 3, 3] = 1
    weights = lesion_weights(mask)[0, ..., 0]
    assert (weights[0, 0], weights[1, 1], weights[3, 3]) == (0.75, 0.75, 1.5)


@given(hnp.arrays(np.uint8, (1, 5, 4, 3), elements=st.integers(0, 1)))
def test_together_lesions_weigh_as_much_as_before(masks: NDArray[np.uint8]) -> None:
    weights = lesion_weights(masks)
    assert weights.sum() == pytest.approx(masks.size, rel=1e-5)
    assert (weights[masks == 0] == 1).all()
    labelled = label_components(masks[0] > 0)
    sums = [float(weights[0][labelled == number].sum()) for number in range(1, int(labelled.max(initial=0)) + 1)]
    assert sums == pytest.approx([sums[0]] * len(sums) if sums else [], rel=1e-5)
