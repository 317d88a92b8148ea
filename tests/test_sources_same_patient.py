"""Which names tell that a patient occurs in two data sets."""

from __future__ import annotations

import pytest

from gliamap.case import CaseIdentity
from gliamap.sources.same_patient import met_elsewhere, names_of


def one(case_id: str, patient_id: str = "", *aliases: str) -> CaseIdentity:
    return CaseIdentity(case_id, patient_id or case_id, aliases=frozenset(aliases))


@pytest.mark.parametrize(
    ("here", "there", "same"),
    [
        (one("BRATS_001_z46", "1", "BraTS2021_00006"), one("BraTS2021_00006"), True),  # said by a manifest here
        (one("BraTS2021_00006"), one("BRATS_001_z46", "1", "BraTS2021_00006"), True),  # or there
        (one("a_1", "a"), one("a_2", "a"), True),
        (one("a_1", "a"), one("b_1", "b"), False),
        (one("a"), one("a_visit", "p"), False),
        (one("scan", "p"), one("p", "p"), True),
        (one("BRATS_001_z46", "1"), one("BTP_pre", "1"), False),  # every data set counts from 1
        (one("12"), one("12"), False),
        (one("x", "1", "17"), one("17"), False),
        (one("BraTS2021_00014"), one("BraTS-GLI-00014-001", "BraTS-GLI-00014"), True),
        (one("BraTS2021_00014"), one("BraTS-GLI-00015-000", "BraTS-GLI-00015"), False),
        (one("BRATS_001_z46", "1", "BraTS2021_00014"), one("BraTS-GLI-00014-000", "BraTS-GLI-00014"), True),
    ],
)
def test_the_same_patient_by_name(here: CaseIdentity, there: CaseIdentity, same: bool) -> None:
    assert bool(met_elsewhere([here], [there])) is same


def test_in_the_same_data_set_numbers_count() -> None:
    assert met_elsewhere([one("12"), one("13")], [one("12")], same_set=True) == ("12",)
    assert names_of(one("7", "1")) == frozenset() and names_of(one("7", "1"), same_set=True) == {"7", "1"}


def test_all_cases_of_a_known_patient_are_left_out() -> None:
    cases = [one("p_early", "p"), one("p_late", "p"), one("q", "q")]
    assert met_elsewhere(cases, [one("elsewhere", "e", "p_late")]) == ("p_early", "p_late")
