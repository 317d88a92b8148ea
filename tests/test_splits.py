"""Splits: complete, disjoint by patient, seeded, along the folds that a data set ships."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliamap.case import CaseIdentity
from gliamap.errors import ConfigError, FileError
from gliamap.io.atomic import read_json, write_json
from gliamap.sources.splits import (
    Split,
    SplitOptions,
    divided_patients,
    make_folds,
    make_split,
    read_split,
    write_split,
)
from gliamap.sources.strata import RUN_LENGTH, TumourSize


def people(*patients: str, folds: tuple[int | None, ...] = ()) -> list[CaseIdentity]:
    """One case for each patient named, called c0, c1, ..."""
    folds = folds or (None,) * len(patients)
    return [CaseIdentity(f"c{n}", p, fold) for n, (p, fold) in enumerate(zip(patients, folds, strict=True))]


FOLDED = [
    CaseIdentity("a", "p", 0),
    CaseIdentity("b", "q", 1),
    CaseIdentity("c", "q", 2),  # q's other visit
    CaseIdentity("d", "r", 2, frozenset({1})),
    CaseIdentity("e", "s", 2),
    CaseIdentity("f", "t", 0),
    CaseIdentity("g", "u", 3),
    CaseIdentity("h", "u", 2),
    CaseIdentity("i", "v"),
]


def test_the_shipped_fold_is_the_test_set() -> None:
    split = make_split(FOLDED, SplitOptions(test_fold=1, closed_folds=(3,), val_share=0))
    assert split.test == ("b",)
    assert split.train == ("a", "e", "f", "i")
    assert split.val == ()
    assert split.left_out == {
        "g": "fold 3 is closed",
        "h": "same patient as a case of a closed fold",
        "c": "same patient as a test case",
        "d": "looks like or neighbours a test case",
    }
    assert (split.test_fold, split.seed, split.patients_known) == (1, 0, True)


def test_exclusions_hold_for_their_fold_only() -> None:
    split = make_split(FOLDED, SplitOptions(test_fold=0, val_share=0))
    assert split.test == ("a", "f")
    assert split.left_out == {}


identity_lists = st.lists(
    st.tuples(
        st.sampled_from("pqrstuvwxyz"),
        st.sampled_from([None, 0, 1, 2, 3]),
        st.frozensets(st.integers(0, 3), max_size=2),
    ),
    max_size=40,
).map(lambda rows: [CaseIdentity(f"c{n}", *row) for n, row in enumerate(rows)])


@given(
    identities=identity_lists,
    val_share=st.floats(0, 0.9),
    test_share=st.floats(0, 0.9),
    test_fold=st.sampled_from([None, 0, 1]),
    closed=st.sampled_from([(), (2,), (2, 3)]),
    seed=st.integers(0, 5),
)
def test_every_case_is_somewhere_and_no_patient_in_two_parts(
    identities: list[CaseIdentity],
    val_share: float,
    test_share: float,
    test_fold: int | None,
    closed: tuple[int, ...],
    seed: int,
) -> None:
    options = SplitOptions(
        test_fold=test_fold, closed_folds=closed, val_share=val_share, test_share=test_share, seed=seed
    )
    present = {i.fold for i in identities}
    if not {*closed, *(() if test_fold is None else (test_fold,))} <= present:
        with pytest.raises(ConfigError, match="does not have the folds"):
            make_split(identities, options)
        return
    split = make_split(identities, options)
    parts = [*split.train, *split.val, *split.test, *split.left_out]
    assert sorted(parts) == sorted(i.case_id for i in identities)
    patient = {i.case_id: i.patient_id for i in identities}
    train, val, test = ({patient[c] for c in part} for part in (split.train, split.val, split.test))
    assert not train & val and not train & test and not val & test
    fold = {i.case_id: i.fold for i in identities}
    assert not {fold[c] for c in (*split.train, *split.val, *split.test)} & set(closed)
    if test_fold is not None:
        assert {fold[c] for c in split.test} <= {test_fold}
        assert test_fold not in {fold[c] for c in (*split.train, *split.val)}
    if val_share and len(train | val) >= 2:
        assert val and train
    assert make_split(identities, options) == split


@pytest.mark.parametrize(("patients", "val", "test"), [(1, 0, 0), (2, 0, 1), (3, 1, 1), (10, 1, 2), (50, 4, 10)])
def test_shares_are_of_patients(patients: int, val: int, test: int) -> None:
    names = [f"p{n}" for n in range(patients)]
    split = make_split(people(*names, *names), SplitOptions())
    assert (len(split.val), len(split.test)) == (2 * val, 2 * test)
    assert len(split.train) == 2 * (patients - val - test)


def test_the_seed_decides() -> None:
    everyone = people(*[f"p{n}" for n in range(30)])
    splits = {make_split(everyone, SplitOptions(seed=seed)).test for seed in range(5)}
    assert len(splits) == 5


def test_the_order_of_cases_does_not_change_who_is_drawn() -> None:
    everyone = people(*[f"p{n}" for n in range(30)])
    there, back = make_split(everyone, SplitOptions()), make_split(everyone[::-1], SplitOptions())
    assert set(there.test) == set(back.test) and set(there.val) == set(back.val)
    assert there.train == back.train[::-1]


def runs(part: tuple[str, ...]) -> list[int]:
    """Lengths of the runs of consecutive numbers in ``c3, c4, c7``."""
    numbers = [int(name[1:]) for name in part]
    breaks = [0, *(at + 1 for at, (a, b) in enumerate(pairwise(numbers)) if b != a + 1), len(numbers)]
    return [b - a for a, b in pairwise(breaks)]


def test_neighbours_stay_together_where_patients_are_not_known() -> None:
    everyone = people(*[f"c{n}" for n in range(1000)])
    split = make_split(everyone, SplitOptions(patients_known=False))
    assert len(split.test) == 200 and len(split.val) == 80
    assert all(length % RUN_LENGTH == 0 for length in (*runs(split.test), *runs(split.val)))
    assert not split.patients_known


def test_one_stray_case_does_not_divide_the_known_patients() -> None:
    known = [CaseIdentity(f"p{n % 10}-{n // 10}", f"p{n % 10}") for n in range(50)]  # neighbours differ
    split = make_split([*known, CaseIdentity("stray", "stray")], SplitOptions(patients_known=False))
    for part in (split.train, split.val, split.test):
        assert sum(name != "stray" for name in part) % 5 == 0  # each patient has five cases
        assert all(f"{name[:2]}-{n}" in part for name in part if name != "stray" for n in range(5))


@given(
    patients=st.lists(st.sampled_from([None, "c0", "c1", "c7", "p", "q", "0", "1", "01"]), max_size=40),
    patients_known=st.booleans(),
    seed=st.integers(0, 5),
)
def test_no_patient_is_divided_known_or_not(patients: list[str | None], patients_known: bool, seed: int) -> None:
    identities = people(*(patient or f"c{n}" for n, patient in enumerate(patients)))
    split = make_split(
        identities, SplitOptions(patients_known=patients_known, val_share=0.3, test_share=0.3, seed=seed)
    )
    patient = {i.case_id: i.patient_id for i in identities}
    parts = [{patient[case_id] for case_id in part} for part in (split.train, split.val, split.test)]
    assert sum(map(len, parts)) == len(set(patient.values()))


def test_runs_are_shorter_in_small_sets() -> None:
    split = make_split(people(*"abcdefghijkl"), SplitOptions(patients_known=False))
    assert (len(split.train), len(split.val), len(split.test)) == (9, 1, 2)


def test_no_cases_at_all() -> None:
    assert make_split([], SplitOptions()) == Split(train=(), val=(), test=(), seed=0)


# What is refused


def test_a_case_id_twice() -> None:
    with pytest.raises(ConfigError, match=r"more than once.*Found: c0"):
        make_split([*people("p"), *people("q")], SplitOptions())


def test_folds_that_are_not_there() -> None:
    with pytest.raises(ConfigError, match=r"Found: no folds\. Expected: folds 0"):
        make_split(people("p", "q"), SplitOptions(test_fold=0))
    with pytest.raises(ConfigError, match=r"Found: folds 0, 1\. Expected: folds 4"):
        make_split(people("p", "q", folds=(0, 1)), SplitOptions(closed_folds=(4,)))


def test_a_closed_fold_is_no_test_fold() -> None:
    with pytest.raises(ConfigError, match="both closed and the test fold"):
        make_split(people("p", "q", folds=(0, 1)), SplitOptions(test_fold=1, closed_folds=(1,)))


# Files


def test_a_split_comes_back(tmp_path: Path) -> None:
    split = make_split(FOLDED, SplitOptions(test_fold=1, closed_folds=(3,)))
    write_split(tmp_path / "split.json", split)
    assert read_split(tmp_path / "split.json") == split


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": ["a"], "val": [], "test": ["a"], "seed": 0}, "more than one part: a"),
        ({"train": ["a", "a"], "val": [], "test": [], "seed": 0}, "more than one part: a"),
        ({"train": ["a"], "val": [], "seed": 0}, "test: Field required"),
        ({"train": ["a"], "val": [], "test": [], "seed": 0, "dev": []}, "dev: Extra inputs"),
    ],
)
def test_a_damaged_split_is_refused(tmp_path: Path, content: object, message: str) -> None:
    write_json(tmp_path / "split.json", content)
    with pytest.raises(FileError, match=rf"split\.json is not a split.*{message}"):
        read_split(tmp_path / "split.json")


def sizes(count: int, *, enhancing: int) -> dict[str, TumourSize]:
    """Cases c0, c1, ... of growing size, of which every ``enhancing``-th one enhances."""
    return {f"c{n}": TumourSize(float(n), n % enhancing == 0) for n in range(count)}


@pytest.mark.parametrize("seed", range(5))
def test_the_parts_are_alike_in_enhancement_and_size(seed: int) -> None:
    every = sizes(100, enhancing=4)
    split = make_split(people(*[f"p{n}" for n in range(100)]), SplitOptions(seed=seed), every)
    assert split.stratified
    drawn = [every[case_id] for case_id in split.test]
    assert sum(size.enhancing for size in drawn) == 5  # a quarter of 20, as of all
    for enhancing in (True, False):  # one of each stretch of five in order of size
        ranks = sorted(int(size.size) for size in drawn if size.enhancing == enhancing)
        order = [n for n in range(100) if (n % 4 == 0) == enhancing]
        assert [order.index(rank) // 5 for rank in ranks] == list(range(len(ranks)))


def test_a_patient_is_ranked_by_all_cases() -> None:
    everyone = [CaseIdentity(f"{patient}{visit}", patient) for patient in "abcdefgh" for visit in "12"]
    every = {i.case_id: TumourSize(1.0, i.case_id in {"a1", "b2", "c1", "d2"}) for i in everyone}
    split = make_split(everyone, SplitOptions(test_share=0.5, val_share=0), every)
    assert len({case_id[0] for case_id in split.test} & set("abcd")) == 2


@given(
    identities=identity_lists,
    count=st.integers(2, 5),
    seed=st.integers(0, 3),
    closed=st.sampled_from([(), (2,)]),
    unit=st.sampled_from(["patient", "case"]),
    with_sizes=st.booleans(),
)
def test_every_case_is_tested_in_one_fold(
    identities: list[CaseIdentity], count: int, seed: int, closed: tuple[int, ...], unit: str, with_sizes: bool
) -> None:
    if not set(closed) <= {i.fold for i in identities}:
        closed = ()
    options = SplitOptions(seed=seed, closed_folds=closed, unit=unit)
    every = sizes(len(identities), enhancing=3) if with_sizes else None
    shut = {i.patient_id if unit == "patient" else i.case_id for i in identities if i.fold in closed}
    left = [i for i in identities if (i.patient_id if unit == "patient" else i.case_id) not in shut]
    units = {i.patient_id if unit == "patient" else i.case_id for i in left}
    if len(units) < count:
        with pytest.raises(ConfigError, match="cannot be dealt"):
            make_folds(identities, options, count, every)
        return
    folds = make_folds(identities, options, count, every)
    assert sorted(case_id for split in folds for case_id in split.test) == sorted(i.case_id for i in left)
    patients = {i.case_id: i.patient_id for i in identities}
    assert max(len(s.test) for s in folds) > 0
    for split in folds:
        assert {*split.train, *split.val, *split.test, *split.left_out} == patients.keys()
        if unit == "patient":
            assert divided_patients(split, identities) == {}
    sizes_of_folds = [len({patients[c] for c in s.test}) for s in folds]
    if unit == "patient":
        assert max(sizes_of_folds) - min(sizes_of_folds) <= 1


def test_folds_share_enhancing_patients_out() -> None:
    every = sizes(20, enhancing=4)
    for split in make_folds(people(*[f"p{n}" for n in range(20)]), SplitOptions(), 5, every):
        assert sum(every[case_id].enhancing for case_id in split.test) == 1


def test_the_case_as_unit_tears_patients_apart() -> None:
    everyone = people(*[f"p{n // 4}" for n in range(40)])
    split = make_split(everyone, SplitOptions(unit="case"))
    torn = divided_patients(split, everyone)
    assert len(torn) >= 5
    assert all(len(parts) > 1 and set(parts) <= {"train", "val", "test"} for parts in torn.values())
    assert divided_patients(make_split(everyone, SplitOptions()), everyone) == {}


def test_a_split_that_was_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    split = make_split(people(*"abcdef"), SplitOptions())
    write_split(path, split)
    text = path.read_text(encoding="utf-8")
    assert len(read_json(path)["fingerprint"]) == 16
    path.write_text(text.replace(f'"{split.test[0]}"', '"swapped"'), encoding="utf-8")
    with pytest.raises(FileError, match="was changed after it was made"):
        read_split(path)
    content = read_json(path) | {"fingerprint": ""}
    write_json(path, content)
    assert read_split(path).test == ("swapped",)
