"""Scores apart for small and large tumours, with and without enhancing tumour."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliamap.scoring.strata import STRATIFIED_FROM, Stratum, strata_of
from gliamap.scoring.summary import ScoredCase
from scores import NOT_THERE, THERE, WT, case, region


def sized(name: str, volume: float, *, dice: float = 1.0, enhancing: bool = True) -> ScoredCase:
    """A case whose reference has so many mL of tumour."""
    et = region(counts=THERE if enhancing else NOT_THERE)
    return case(name, WT=region(dice, reference_volume=volume), ET=et)


def named(strata: tuple[Stratum, ...]) -> list[tuple[str, str, int, int]]:
    return [(one.by, one.name, one.cases, one.patients) for one in strata]


def test_thirds_of_the_patients_by_eye() -> None:
    """Patient f has two visits of 30 and 90 mL, hence 60 mL, and counts once."""
    volumes = {"a": 0.5, "b": 1, "c": 12.34, "d": 20, "e": 50}
    cases = [sized(name, volume, dice=volume / 100) for name, volume in volumes.items()]
    cases += [sized("f/1", 30, dice=0.25), sized("f/2", 90, dice=0.75)]
    found = strata_of(cases)
    assert named(found) == [
        ("tumour volume", "up to 1.00 mL", 2, 2),
        ("tumour volume", "1.00 to 20.0 mL", 2, 2),
        ("tumour volume", "over 20.0 mL", 3, 2),
    ]
    large = found[2].regions[WT]["dice"]
    assert (large.mean, large.low, large.high) == (0.5, 0.5, 0.5) and large.cases == 3


def test_with_and_without_enhancing_tumour() -> None:
    """One visit with enhancing tumour makes a patient one of those who have it."""
    cases = [sized("a/1", 1), sized("a/2", 1, enhancing=False), sized("b", 1, enhancing=False)]
    assert named(strata_of(cases)) == [("enhancing tumour", "present", 2, 1), ("enhancing tumour", "absent", 1, 1)]


def test_what_divides_nobody_is_left_out() -> None:
    assert strata_of([sized(f"{n}", 5.0) for n in range(9)]) == ()
    assert strata_of([sized(f"{n}", float(n)) for n in range(STRATIFIED_FROM - 1)]) == ()
    assert strata_of([case(f"{n}", TC=region(reference_volume=float(n))) for n in range(9)]) == ()


def test_images_are_divided_in_pixels() -> None:
    cases = [case(f"{n}", unit="px", WT=region(reference_volume=500.0 * n)) for n in range(6)]
    assert [one.name for one in strata_of(cases)] == ["up to 500 px", "500 to 1,500 px", "over 1,500 px"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdefghi"), st.floats(0, 200), st.booleans()), min_size=1, max_size=20))
def test_every_patient_is_in_one_stratum_of_each_division(drawn: list[tuple[str, float, bool]]) -> None:
    cases = [sized(f"{who}/{n}", volume, enhancing=et) for n, (who, volume, et) in enumerate(drawn)]
    patients = len({case.patient_id for case in cases})
    found = strata_of(cases)
    for by in {one.by for one in found}:
        parts = [one for one in found if one.by == by]
        assert len(parts) > 1 and sum(one.patients for one in parts) == patients
        assert sum(one.cases for one in parts) == len(cases)


def test_thirds_are_as_equal_as_they_can_be() -> None:
    volumes = np.random.default_rng(0).lognormal(size=31)
    assert [one.patients for one in strata_of([sized(f"{n}", v) for n, v in enumerate(volumes)])] == pytest.approx(
        [31 / 3] * 3, abs=1
    )
