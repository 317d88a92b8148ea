"""The one rule for empty masks."""

from __future__ import annotations

import math

import numpy as np

from gliamap.metrics import undefined
from gliamap.volume import Grid, image_grid


def test_both_empty_is_perfect_and_one_empty_is_a_complete_miss() -> None:
    assert undefined.overlap_when_undefined(prediction_empty=True, reference_empty=True) == 1
    assert undefined.overlap_when_undefined(prediction_empty=True, reference_empty=False) == 0
    assert undefined.overlap_when_undefined(prediction_empty=False, reference_empty=True) == 0
    assert undefined.hd95_when_undefined(prediction_empty=True, reference_empty=True, worst=374) == 0
    assert undefined.hd95_when_undefined(prediction_empty=True, reference_empty=False, worst=374) == 374
    assert undefined.hd95_when_undefined(prediction_empty=False, reference_empty=True, worst=374) == 374


def test_the_worst_hd95_is_that_of_brats_or_the_diagonal_of_an_image() -> None:
    assert undefined.worst_hd95(Grid((10, 10, 10), np.diag([2.0, 2.0, 2.0, 1.0]))) == 374
    assert undefined.worst_hd95(image_grid((30, 40, 1))) == 50
    assert math.sqrt(240**2 + 240**2 + 155**2) < undefined.WORST_HD95_MM


def test_a_percentage_of_nothing_has_no_value() -> None:
    assert undefined.volume_percent_of_nothing(prediction_empty=True) == 0
    assert undefined.volume_percent_of_nothing(prediction_empty=False) is None
