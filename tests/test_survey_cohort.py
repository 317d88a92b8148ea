"""What cases show together."""

from __future__ import annotations

import json
from functools import reduce

import pytest

import make
from gliamap.labels import Tissue
from gliamap.survey.case import CaseFacts, survey_case
from gliamap.survey.cohort import Survey, digits
from gliamap.survey.counts import Counts
from gliamap.survey.quality import Measure, Property


def facts(case_id: str, voxels: dict[Tissue, int] | None, *, patient: str = "p", noise: float = 1.0) -> CaseFacts:
    """A slice of 100 pixels of brain with one lesion, if it has any."""
    some = bool(voxels)
    quality = {Property(Measure.NOISE, "t1"): noise}
    return CaseFacts(
        case_id, patient, ("t1",), "px", 1.0, 100, voxels, int(some), 3.0 * some, 1, int(some), (9.0, 7.0, 1.0), quality
    )


def survey(*cases: CaseFacts) -> Survey:
    return Survey("set", "px", "brain", cases, Counts())


def test_tissues_are_added_up_over_cases_with_a_mask() -> None:
    one = survey(
        facts("a", {Tissue.ED: 10, Tissue.ET: 2}), facts("b", {Tissue.ED: 8}), facts("c", {}), facts("d", None)
    )
    assert [(t.tissue, t.voxels, t.size, t.cases) for t in one.tissues] == [
        (Tissue.ED, 18, 18, 2),
        (Tissue.ET, 2, 2, 1),
    ]
    assert [t.of_marked for t in one.tissues] == [0.9, 0.1]
    assert one.tissues[0].of_foreground == pytest.approx(18 / 300)
    assert (len(one.labelled), len(one.with_tumour), one.noun) == (3, 2, "slice")


def test_a_cavity_is_labelled_but_no_tumour() -> None:
    one = survey(facts("a", {Tissue.RC: 10}))
    assert not one.with_tumour and one.tissues[0].tissue == Tissue.RC


@pytest.mark.parametrize(("size", "words"), [(0.01234, "0.0123"), (7, "7"), (99.95, "100"), (1038.5, "1,038")])
def test_sizes_have_three_digits_or_all_before_the_point(size: float, words: str) -> None:
    assert digits(size) == words


def test_slices_are_counted_by_patient() -> None:
    one = survey(*(facts(str(n), {Tissue.ED: n} if n else {}, patient="p" if n < 3 else "q") for n in range(4)))
    assert one.patient_slices == (2, 1)


@pytest.mark.parametrize(("count", "shown"), [(1, 0), (2, 1), (5, 2), (20, 4)])
def test_best_and_worst_are_never_the_same_case(count: int, shown: int) -> None:
    one = survey(*(facts(str(n), {}, noise=1 + n) for n in range(count)))
    assert one.worst() == tuple(range(count - 1, count - 1 - shown, -1))
    assert one.best() == tuple(range(shown))


def test_json_says_it_all_in_plain_numbers() -> None:
    looks = [survey_case(make.case(kind, seed=n, case_id=kind), "brain", {}) for n, kind in enumerate(make.KINDS)]
    counts = reduce(Counts.plus, (look.counts for look in reversed(looks)))
    one = Survey("set", "mm", "brain", tuple(look.facts for look in looks), counts)
    said = json.loads(json.dumps(one.as_json(), allow_nan=False))
    assert said["cases_with_tumour"] == 3 and said["size_unit"] == "mL"
    assert [row["tissue"] for row in said["tissues"]] == ["ncr", "ed", "et"]
    assert sum(row["voxels"] for row in said["tissues"]) == said["tumour_voxels"]
    assert list(said["intensities"]["voxels"]) == list(make.MODALITIES)
    t1 = said["intensities"]["voxels"]["t1"]
    assert {name: sum(t1[name]) for name in ("ncr", "ed", "et")} == {t["tissue"]: t["voxels"] for t in said["tissues"]}
    assert sum(sum(counted) for counted in t1.values()) == said["foreground_voxels"]
    assert [row["case_id"] for row in said["cases"]] == list(make.KINDS)
    assert list(said["places"]) == ["axial", "coronal", "sagittal"]
