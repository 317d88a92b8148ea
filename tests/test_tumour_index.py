"""The tumour index: positions, counts and lesions that a reader can check by eye."""

from __future__ import annotations

import numpy as np
import pytest

from gliamap.boxes import Box
from gliamap.labels import Region, Tissue, region_mask
from gliamap.prep.tumour_index import SAMPLES_PER_REGION, build_tumour_index
from make import labels


def test_index_by_eye() -> None:
    tissues = np.zeros((4, 5, 6), np.uint8)
    tissues[0, 0, 0:3] = Tissue.ED, Tissue.ET, Tissue.NCR
    tissues[3, 4, 5] = Tissue.ED
    index = build_tumour_index(tissues, 0.5, np.random.default_rng(0))
    assert index.voxels == {Region.WT: 4, Region.TC: 2, Region.ET: 1}
    assert index.samples[Region.WT].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2], [3, 4, 5]]
    assert index.samples[Region.TC].tolist() == [[0, 0, 1], [0, 0, 2]]
    assert index.samples[Region.ET].tolist() == [[0, 0, 1]]
    assert index.samples[Region.ET].dtype == np.int32
    assert [(x.box, x.voxels, x.size) for x in index.lesions] == [
        (Box((0, 0, 0), (1, 1, 3)), 3, 1.5),
        (Box((3, 4, 5), (4, 5, 6)), 1, 0.5),
    ]


def test_voxels_that_touch_at_a_corner_are_one_lesion() -> None:
    tissues = np.zeros((3, 3, 3), np.uint8)
    tissues[0, 0, 0] = tissues[1, 1, 1] = Tissue.TUMOUR
    (lesion,) = build_tumour_index(tissues, 1.0, np.random.default_rng(0)).lesions
    assert lesion.voxels == 2


def test_a_cavity_is_no_tumour() -> None:
    index = build_tumour_index(np.full((3, 3, 3), Tissue.RC, np.uint8), 1.0, np.random.default_rng(0))
    assert not index.samples
    assert not index.lesions
    assert not any(index.voxels.values())


@pytest.mark.parametrize("enhancing", [True, False])
def test_samples_lie_in_their_region_and_spread_over_it(enhancing: bool) -> None:
    tissues = labels((40, 36, 30), enhancing=enhancing)
    index = build_tumour_index(tissues, 1.0, np.random.default_rng(0))
    assert (Region.ET in index.samples) is enhancing
    for region, points in index.samples.items():
        mask = region_mask(tissues, region)
        assert index.voxels[region] == mask.sum()
        assert len(points) == min(mask.sum(), SAMPLES_PER_REGION)
        assert mask[tuple(points.T)].all()
        assert len(np.unique(points, axis=0)) == len(points)
        assert points.mean(axis=0) == pytest.approx(np.argwhere(mask).mean(axis=0), abs=0.6)


def test_the_generator_decides() -> None:
    tissues = np.full((20, 20, 20), Tissue.ET, np.uint8)
    first, again, other = (build_tumour_index(tissues, 1.0, np.random.default_rng(s)).samples for s in (1, 1, 2))
    assert np.array_equal(first[Region.ET], again[Region.ET])
    assert not np.array_equal(first[Region.ET], other[Region.ET])
