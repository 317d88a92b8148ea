"""The four properties of an image where they are known, and how cases compare."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from gliamap.survey.quality import Measure, Property, contrast, inner_part, noise, score_cases, sharpness

EVERYWHERE = np.ones((40, 30, 20), np.bool_)
NOISE, SHARP, CUT = (Property(measure, "t1") for measure in (Measure.NOISE, Measure.SHARPNESS, Measure.CUT_OFF))


def slope(*steepness: float) -> NDArray[np.float64]:
    """An image that rises evenly along each axis."""
    axes = np.meshgrid(*map(np.arange, EVERYWHERE.shape), indexing="ij")
    return np.asarray(sum(s * a for s, a in zip(steepness, axes, strict=True)), np.float64)


@pytest.mark.parametrize("sigma", [0.01, 0.3, 2.0])
@pytest.mark.parametrize("through", [0, 1, 2])
def test_noise_is_found_under_a_slope(sigma: float, through: int) -> None:
    image = slope(1, 2, 3) + np.random.default_rng(0).normal(0, sigma, EVERYWHERE.shape)
    assert noise(image, inner_part(EVERYWHERE), through) == pytest.approx(sigma, rel=0.03)
    assert noise(slope(1, 2, 3), inner_part(EVERYWHERE), through) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("half", [slice(None, 10), slice(10, None)])
def test_noise_is_looked_for_inside_alone(axis: int, half: slice) -> None:
    outside = np.zeros(EVERYWHERE.shape, np.bool_)
    np.moveaxis(outside, axis, 0)[half] = True
    image = np.where(outside, np.random.default_rng(0).normal(size=outside.shape), 0.0)
    assert noise(image, inner_part(~outside), 2) == 0


def test_sharpness_is_the_least_slope_per_mm() -> None:
    assert sharpness(slope(3, 2, 8), inner_part(EVERYWHERE), (1, 1, 1)) == pytest.approx(2)
    assert sharpness(slope(3, 2, 8), inner_part(EVERYWHERE), (1, 1, 5)) == pytest.approx(1.6)
    assert sharpness(slope(3, 2, 8)[:, :, :1], inner_part(EVERYWHERE[:, :, :1]), (1, 1, 1)) == pytest.approx(2)


def test_a_smoothed_image_is_less_sharp_and_less_noisy() -> None:
    image = np.random.default_rng(0).normal(size=EVERYWHERE.shape)
    smooth = ndimage.gaussian_filter(image, 1)
    smooth /= smooth.std()
    inner = inner_part(EVERYWHERE)
    assert (sharpness(smooth, inner, (1, 1, 1)) or 9) < 0.8 * (sharpness(image, inner, (1, 1, 1)) or 0)
    assert (noise(smooth, inner, 2) or 9) < 0.5 * (noise(image, inner, 2) or 0)


def test_too_little_says_nothing() -> None:
    little = inner_part(np.ones((7, 7, 7), np.bool_))  # 5 x 5 x 5
    assert noise(np.zeros((7, 7, 7)), little, 2) is None
    assert sharpness(np.zeros((7, 7, 7)), little, (1, 1, 1)) is None
    assert noise(np.zeros((500, 2, 1)), np.ones((500, 2, 1), np.bool_), 2) is None


def test_contrast_runs_from_alike_to_apart() -> None:
    tumour = np.zeros((30, 30, 1), np.bool_)
    tumour[10:20, 10:20] = True
    inside = np.ones_like(tumour)
    flat = np.zeros(tumour.shape)
    assert contrast(flat[None], inside, tumour) == 0
    assert contrast(np.stack([flat, np.where(tumour, 1, flat)]), inside, tumour) == 1
    rim = tumour & ~ndimage.binary_erosion(tumour, np.ones((3, 3, 1)))
    assert contrast(np.where(rim, 1, flat)[None], inside, tumour) == pytest.approx(0.36)  # 36 of 100 are bright
    beyond = flat.copy()
    beyond[:4] = 9  # more than five voxels away
    assert contrast(beyond[None], inside, tumour) == 0
    beside = flat.copy()
    beside[:10] = 9  # outside the brain
    assert contrast(beside[None], beside == 0, tumour) == 0
    assert contrast(flat[None], inside, np.zeros_like(tumour)) is None


def test_the_case_that_differs_on_the_bad_side_is_worst() -> None:
    usual = [{NOISE: value, SHARP: 1.0} for value in (0.9, 1.0, 1.1, 1.0, 0.95)]
    scores = score_cases([*usual, {NOISE: 4.0, SHARP: 1.0}, {NOISE: 0.5, SHARP: 0.3}, {}])
    assert scores[-1] is None
    told = [score for score in scores if score is not None]
    assert [score.weakest for score in told[-2:]] == [NOISE, SHARP]
    assert (told[-2].value, told[-2].usual) == (4.0, 1.0)
    assert max(score.index for score in told[-2:]) < -5 < min(score.index for score in told[:-2])


def test_scores_do_not_depend_on_the_unit_and_count_in_spreads() -> None:
    cases = [{NOISE: float(value)} for value in (1, 2, 4, 8, 16)]
    scores = [score.index for score in score_cases(cases) if score]
    assert scores == pytest.approx([2 / 1.4826, 1 / 1.4826, 0, -1 / 1.4826, -2 / 1.4826])
    assert [score.index for score in score_cases([{NOISE: 7 * c[NOISE]} for c in cases]) if score] == pytest.approx(
        scores
    )


def test_not_being_cut_off_is_no_merit() -> None:
    cases = [{NOISE: 1.0, CUT: share} for share in (0.01, 0.01, 0.01, 0.5)] + [{NOISE: 0.1, CUT: 0.0}]
    scores = [score for score in score_cases(cases) if score]
    assert scores[3].weakest == CUT and scores[3].index == pytest.approx(-98)
    assert scores[4].weakest == NOISE and scores[4].index > 10
