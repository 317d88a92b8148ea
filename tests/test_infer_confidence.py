"""A predicted Dice: the line is found again, patients count once, nobody is judged by a line that knows him."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from gliamap.case import Uncertainty
from gliamap.config import DiceLine, DicePredictor
from gliamap.infer.confidence import ENOUGH_PATIENTS, Known, Learned, learn_line, on_line, predict_dice
from gliamap.labels import Region

LINE = DiceLine(slopes={"entropy": -1.0}, intercept=0.9, low=-0.2, high=0.1, error=0.05, patients=20, cases=20)
NONE = DiceLine(intercept=0.7, low=-0.7, high=0.3, error=0.4, patients=20, cases=20)
WT = {Region.WT: 12.0}


def known(pairs: list[tuple[float, float]], per_patient: int = 1) -> list[Known]:
    """Cases with an entropy and a Dice, so many of them of the same patient."""
    return [Known(f"p{n // per_patient}", {"entropy": entropy}, dice) for n, (entropy, dice) in enumerate(pairs)]


def learn(cases: list[Known]) -> Learned:
    found = learn_line(cases)
    assert found is not None
    return found


def test_a_line_is_found_again_as_far_as_the_ridge_lets_it() -> None:
    rng = np.random.default_rng(0)
    entropy = rng.random(400)
    found = learn(known([(e, 0.9 - 0.6 * e + 0.02 * rng.normal()) for e in entropy]))
    assert found.line.slopes["entropy"] == pytest.approx(-0.6, abs=0.01)
    assert found.line.intercept == pytest.approx(0.9, abs=0.01)
    assert found.line.error == pytest.approx(0.02 * math.sqrt(2 / math.pi), abs=0.003)
    assert found.line.low == pytest.approx(-0.033, abs=0.006) and found.line.high == pytest.approx(0.033, abs=0.006)
    assert found.held == pytest.approx(0.9, abs=0.03)


def test_nothing_is_learned_from_few_patients_however_many_cases_they_have() -> None:
    cases = known([(0.1, 0.9)] * 5 * (ENOUGH_PATIENTS - 1), per_patient=5)
    assert learn_line(cases) is None
    assert learn_line([*cases, Known("another", {"entropy": 0.1}, 0.9)]) is not None


def test_a_patient_counts_once() -> None:
    """Without features the line is the mean over patients, whatever the number of their cases."""
    cases = [Known(f"p{n}", {}, 0.5) for n in range(9)] + [Known("often", {}, 1.0)] * 91
    assert learn(cases).line.intercept == pytest.approx(0.55)


def test_what_is_said_of_a_case_does_not_know_its_patient() -> None:
    cases = known([(0.0, 0.4)] * 20)
    odd = Known("odd", {"entropy": 0.0}, 1.0)
    found = learn([*cases, odd, odd])
    assert found.said[-2:] == pytest.approx((0.4, 0.4))
    # Of 21 patients one is the odd one: what was said of each other one is a little more than it has.
    assert found.said[0] == pytest.approx(0.4 + 0.6 / 20)
    assert found.line.high == pytest.approx(0.6) and found.held == pytest.approx(20 / 21)


@pytest.mark.parametrize(("patients", "rank"), [(10, 0), (18, 0), (19, 0), (39, 1), (59, 2)])
def test_the_interval_leaves_out_as_many_as_conformal_prediction_allows(patients: int, rank: int) -> None:
    """The errors are those of no feature at all: Dice around a mean that hardly moves with who is left out."""
    dice = np.linspace(0, 1, patients)
    found = learn([Known(str(n), {}, value) for n, value in enumerate(dice)])
    errors = np.sort(dice - found.said)
    assert (found.line.low, found.line.high) == pytest.approx((errors[rank], errors[-1 - rank]))


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=10, max_size=30))
def test_intervals_hold_their_estimate_and_stay_between_0_and_1(pairs: list[tuple[float, float]]) -> None:
    found = learn(known(pairs))
    for entropy, _ in pairs:
        middle, low, high = on_line(found.line, {"entropy": entropy})
        assert 0 <= low <= middle <= high <= 1
    assert all(0 <= said <= 1 for said in found.said)


def test_on_most_new_patients_the_interval_holds() -> None:
    rng = np.random.default_rng(0)
    share = []
    for _ in range(50):
        entropy = rng.random(60)
        dice = np.clip(0.9 - 0.6 * entropy + 0.1 * rng.standard_t(3, 60), 0, 1)
        line = learn(known(list(zip(entropy[:30], dice[:30], strict=True)))).line
        for e, d in zip(entropy[30:], dice[30:], strict=True):
            _, low, high = on_line(line, {"entropy": float(e)})
            share.append(low <= d <= high)
    assert np.mean(share) == pytest.approx(0.92, abs=0.03)


def spec(**changes: bool | str) -> DicePredictor:
    return DicePredictor.model_validate(
        {"mode": "windows", "flips": False, "found": {Region.WT: LINE}, "none": {Region.WT: NONE}} | changes
    )


def test_a_prediction_is_judged_by_the_line_of_what_it_is() -> None:
    model = tiny.spec(dice_predictor=spec())
    unsure = Uncertainty({Region.WT: 0.3, Region.TC: 0.1})
    assert predict_dice(model, unsure, WT)[Region.WT] == pytest.approx((0.6, 0.4, 0.7))
    assert predict_dice(model, unsure, {Region.WT: 0.0})[Region.WT] == pytest.approx((0.7, 0.0, 1.0))
    assert predict_dice(model, unsure, {Region.TC: 3.0}) == {}  # nothing was learned of it


def test_nothing_is_said_of_predictions_made_in_another_way() -> None:
    plain, flipped = Uncertainty({Region.WT: 0.3}), Uncertainty({Region.WT: 0.3}, {Region.WT: 0.1})
    assert predict_dice(tiny.spec(), plain, WT) == {}
    assert predict_dice(tiny.spec(dice_predictor=spec()), flipped, WT) == {}
    assert predict_dice(tiny.spec(dice_predictor=spec(mode="one-pass")), plain, WT) == {}
    assert predict_dice(tiny.spec(dice_predictor=spec(flips=True)), plain, WT) == {}
    assert predict_dice(tiny.spec(dice_predictor=spec(flips=True)), flipped, WT)
