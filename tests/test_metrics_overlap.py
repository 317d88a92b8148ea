"""Scores that count voxels, on masks that can be checked by eye."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from gliamap.labels import REGION_TISSUES, Region, Tissue, region_mask
from gliamap.metrics import overlap
from gliamap.metrics.overlap import Counts

PREDICTION = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], bool)
REFERENCE = np.array([[0, 1, 1, 0], [0, 1, 1, 0]], bool)
COUNTS = Counts(tp=2, fp=1, fn=2, tn=3)

NCR, ED, ET = Tissue.NCR, Tissue.ED, Tissue.ET
PREDICTED_MAP = np.array([0, ED, ED, NCR, ET, ET], np.uint8)
REFERENCE_MAP = np.array([0, 0, ED, NCR, NCR, ET], np.uint8)

shapes = hnp.array_shapes(min_dims=3, max_dims=3, max_side=5)
two_masks = shapes.flatmap(lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape)))
two_maps = shapes.flatmap(
    lambda shape: st.tuples(*[hnp.arrays(np.uint8, shape, elements=st.integers(0, max(Tissue)))] * 2)
)


def test_voxels_are_counted() -> None:
    assert overlap.count(PREDICTION, REFERENCE) == COUNTS
    assert (COUNTS.predicted, COUNTS.reference, COUNTS.total) == (3, 4, 8)


def test_figures_follow_from_the_counts() -> None:
    assert overlap.dice(COUNTS) == pytest.approx(4 / 7)
    assert overlap.iou(COUNTS) == pytest.approx(2 / 5)
    assert overlap.sensitivity(COUNTS) == pytest.approx(2 / 4)
    assert overlap.precision(COUNTS) == pytest.approx(2 / 3)
    assert overlap.specificity(COUNTS) == pytest.approx(3 / 4)
    assert overlap.accuracy(COUNTS) == pytest.approx(5 / 8)
    assert overlap.volume_difference(COUNTS, 0.5) == -0.5
    assert overlap.volume_difference_percent(COUNTS) == -25


@pytest.mark.parametrize(
    ("counts", "both"),
    [
        (Counts(tp=0, fp=0, fn=0, tn=8), 1.0),
        (Counts(tp=0, fp=0, fn=3, tn=5), 0.0),
        (Counts(tp=0, fp=3, fn=0, tn=5), 0.0),
    ],
)
def test_empty_masks_follow_the_brats_rule(counts: Counts, both: float) -> None:
    for figure in (overlap.dice, overlap.iou, overlap.sensitivity, overlap.precision):
        assert figure(counts) == both


def test_specificity_without_background_is_one_and_volume_percent_of_nothing_is_none() -> None:
    assert overlap.specificity(Counts(tp=8, fp=0, fn=0, tn=0)) == 1
    assert overlap.volume_difference_percent(Counts(tp=0, fp=3, fn=0, tn=5)) is None
    assert overlap.volume_difference_percent(Counts(tp=0, fp=0, fn=0, tn=5)) == 0


def test_one_table_gives_every_region_and_class() -> None:
    table = overlap.confusion(PREDICTED_MAP, REFERENCE_MAP)
    assert overlap.counts_of(table, (ED,)) == Counts(tp=1, fp=1, fn=0, tn=4)
    assert overlap.counts_of(table, REGION_TISSUES[Region.TC]) == Counts(tp=3, fp=0, fn=0, tn=3)
    # IoU: background 1/2, NCR 1/2, ED 1/2, ET 1/2; the other tissues are nowhere and do not count
    assert overlap.mean_iou(table, tuple(Tissue)) == pytest.approx(0.5)
    assert overlap.mean_iou(table, (Tissue.RC,)) == 1


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        overlap.count(PREDICTION, REFERENCE[:, :3])
    with pytest.raises(ValueError, match="one shape"):
        overlap.confusion(PREDICTED_MAP, REFERENCE_MAP[:3])


@given(two_masks)
def test_figures_are_bounded_symmetric_and_blind_to_flips(masks: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
    a, b = masks
    counts, swapped = overlap.count(a, b), overlap.count(b, a)
    assert counts == overlap.count(a[::-1, :, ::-1], b[::-1, :, ::-1])
    assert overlap.dice(counts) == overlap.dice(swapped)
    assert overlap.iou(counts) == overlap.iou(swapped) <= overlap.dice(counts)
    if a.any() and b.any():  # with one mask empty both are 0 by rule
        assert overlap.sensitivity(counts) == overlap.precision(swapped)
    for figure in (
        overlap.dice,
        overlap.iou,
        overlap.sensitivity,
        overlap.precision,
        overlap.specificity,
        overlap.accuracy,
    ):
        assert 0 <= figure(counts) <= 1
    assert overlap.dice(overlap.count(a, a)) == 1


@given(two_maps)
def test_the_table_counts_as_masks_do(maps: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    a, b = maps
    table = overlap.confusion(a, b)
    for region in Region:
        expected = overlap.count(region_mask(a, region), region_mask(b, region))
        assert overlap.counts_of(table, REGION_TISSUES[region]) == expected
