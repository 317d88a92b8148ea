"""Training, validation and test cases: by patient, seeded, along the folds that a data set ships."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field, ValidationError, model_validator

from gliamap.case import CaseIdentity
from gliamap.config import Settings
from gliamap.errors import ConfigError, FileError
from gliamap.io.atomic import read_json, write_json
from gliamap.sources.layout import natural_key, summarise

RUN_LENGTH = 20
"""Where patients are not known, so many neighbours in file order are kept together, being mostly one person."""

MIN_RUNS = 10
"""Small data sets get shorter runs, so that there are so many to draw from."""


class _Unit(NamedTuple):
    """What is drawn as one: a patient, or a run of neighbours."""

    is_run: bool
    name: str


class SplitOptions(Settings):
    """How to split. ``test_share`` is used where no ``test_fold`` is named; shares are of patients."""

    test_fold: int | None = None
    closed_folds: tuple[int, ...] = ()
    val_share: float = Field(default=0.1, ge=0, lt=1)
    test_share: float = Field(default=0.2, ge=0, lt=1)
    patients_known: bool = True
    seed: int = 0


class Split(Settings):
    """Case ids by part; ``left_out`` says why for each case that is in none."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    left_out: dict[str, str] = Field(default_factory=dict)
    seed: int
    test_fold: int | None = None
    patients_known: bool = True

    @model_validator(mode="after")
    def _each_case_once(self) -> Split:
        counts = Counter((*self.train, *self.val, *self.test, *self.left_out))
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"cases in more than one part: {summarise(twice)}")
        return self


def make_split(identities: Sequence[CaseIdentity], options: SplitOptions) -> Split:
    """Split cases, in the data set's order, into training, validation and test.

    Test is the shipped fold ``test_fold``, else a seeded share of the patients; validation is a seeded share of the
    rest, at least one patient where two or more are left and the share is not 0. Closed folds, cases that the data
    set excludes beside the test fold, and other cases of a test patient or of a closed one are left out. Where
    patients are not known, runs of neighbours in file order take the place of those that are not; known patients
    stay whole. ``ConfigError`` where a case id occurs twice or a fold does not exist.
    """
    _check(identities, options)
    unit_of = _units(identities, options)
    rng = np.random.default_rng(options.seed)
    left_out = {i.case_id: f"fold {i.fold} is closed" for i in identities if i.fold in options.closed_folds}
    closed = {i.patient_id for i in identities if i.case_id in left_out}
    rest = []
    for identity in (i for i in identities if i.case_id not in left_out):
        if identity.patient_id in closed:
            left_out[identity.case_id] = "same patient as a case of a closed fold"
        else:
            rest.append(identity)
    if options.test_fold is None:
        test, rest = _draw(rest, unit_of, options.test_share, rng)
    else:
        test, rest = _take_fold(rest, options.test_fold, left_out)
    val, train = _draw(rest, unit_of, options.val_share, rng)
    return Split(
        train=_ids(train),
        val=_ids(val),
        test=_ids(test),
        left_out=left_out,
        seed=options.seed,
        test_fold=options.test_fold,
        patients_known=options.patients_known,
    )


def write_split(path: Path, split: Split) -> None:
    """Write ``split`` as JSON, atomically."""
    write_json(path, split.model_dump(mode="json"))


def read_split(path: Path) -> Split:
    """The split of a JSON file; ``FileError`` where it is damaged or puts a case into two parts."""
    try:
        return Split.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FileError(
            f"{path} is not a split", found=f"{place}: {first['msg']}".lstrip(": "), remedy="make it again"
        ) from error


def _check(identities: Sequence[CaseIdentity], options: SplitOptions) -> None:
    twice = [name for name, count in Counter(_ids(identities)).items() if count > 1]
    if twice:
        raise ConfigError("a case id occurs more than once", found=summarise(twice), expected="one case of each name")
    wanted = {*options.closed_folds, *(() if options.test_fold is None else (options.test_fold,))}
    folds = {i.fold for i in identities if i.fold is not None}
    if not wanted <= folds:
        raise ConfigError(
            "the data set does not have the folds asked for",
            found="folds " + ", ".join(map(str, sorted(folds))) if folds else "no folds",
            expected="folds " + ", ".join(map(str, sorted(wanted))),
            remedy="name other folds, or leave them out to draw by share; folds come from manifest.csv or folds.json",
        )
    if options.test_fold in options.closed_folds:
        raise ConfigError(f"fold {options.test_fold} is both closed and the test fold", remedy="choose one of the two")


def _units(identities: Sequence[CaseIdentity], options: SplitOptions) -> dict[str, _Unit]:
    """Case id to what is drawn as one: the patient, or a run of neighbours among the cases of unknown patient.

    A patient is never divided. An unknown patient is one that is named after its case and has no other.
    """
    units = {identity.case_id: _Unit(False, identity.patient_id) for identity in identities}
    if options.patients_known:
        return units
    cases_of = Counter(identity.patient_id for identity in identities)
    unknown = [i.case_id for i in identities if i.patient_id == i.case_id and cases_of[i.patient_id] == 1]
    length = max(1, min(RUN_LENGTH, len(identities) // MIN_RUNS))
    return units | {case_id: _Unit(True, str(at // length)) for at, case_id in enumerate(unknown)}


def _take_fold(
    identities: Sequence[CaseIdentity], fold: int, left_out: dict[str, str]
) -> tuple[list[CaseIdentity], list[CaseIdentity]]:
    """The cases of the test fold, and those that may be trained on; the others are added to ``left_out``."""
    test = [i for i in identities if i.fold == fold]
    patients = {i.patient_id for i in test}
    rest = []
    for identity in (i for i in identities if i.fold != fold):
        if identity.patient_id in patients:
            left_out[identity.case_id] = "same patient as a test case"
        elif fold in identity.exclude_when_test_fold:
            left_out[identity.case_id] = "looks like or neighbours a test case"
        else:
            rest.append(identity)
    return test, rest


def _draw(
    identities: Sequence[CaseIdentity], unit_of: Mapping[str, _Unit], share: float, rng: np.random.Generator
) -> tuple[list[CaseIdentity], list[CaseIdentity]]:
    """A share of the units (at least one, never all), and the rest; both in the given order."""
    # The name itself comes last, because the natural order takes "1" and "01" for the same.
    units = sorted({unit_of[i.case_id] for i in identities}, key=lambda u: (u.is_run, natural_key(u.name), u.name))
    order = rng.permutation(len(units))
    count = max(1, round(share * len(units))) if share > 0 else 0
    drawn = {units[at] for at in order[: min(count, len(units) - 1)]} if units else set()
    inside = [i for i in identities if unit_of[i.case_id] in drawn]
    return inside, [i for i in identities if unit_of[i.case_id] not in drawn]


def _ids(identities: Sequence[CaseIdentity]) -> tuple[str, ...]:
    return tuple(identity.case_id for identity in identities)
