"""Training, validation and test cases: by patient, seeded, alike in tumours, along the folds that a data set ships."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from gliamap.case import CaseIdentity
from gliamap.config import Settings
from gliamap.errors import ConfigError, FileError
from gliamap.io.atomic import read_json, write_json
from gliamap.sources.layout import summarise
from gliamap.sources.strata import TumourSize, deal, draw, make_units


class SplitOptions(Settings):
    """How to split. ``test_share`` is used where no ``test_fold`` is named; shares are of patients.

    ``unit`` is what is drawn as one. ``case`` tears patients apart: scores then say how well a model knows patients
    that it was trained on. It is there to show the difference.
    """

    test_fold: int | None = None
    closed_folds: tuple[int, ...] = ()
    val_share: float = Field(default=0.1, ge=0, lt=1)
    test_share: float = Field(default=0.2, ge=0, lt=1)
    patients_known: bool = True
    unit: Literal["patient", "case"] = "patient"
    seed: int = 0


class Split(Settings):
    """Case ids by part; ``left_out`` says why for each case that is in none.

    ``stratified``: the parts were drawn alike in tumour size and enhancement. ``fingerprint`` covers the parts; it is
    set by :func:`write_split`, and a file that does not fit its own is refused.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    left_out: dict[str, str] = Field(default_factory=dict)
    seed: int
    test_fold: int | None = None
    patients_known: bool = True
    unit: Literal["patient", "case"] = "patient"
    stratified: bool = False
    fingerprint: str = ""

    @model_validator(mode="after")
    def _each_case_once(self) -> Split:
        counts = Counter((*self.train, *self.val, *self.test, *self.left_out))
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"cases in more than one part: {summarise(twice)}")
        return self


def make_split(
    identities: Sequence[CaseIdentity], options: SplitOptions, sizes: Mapping[str, TumourSize] | None = None
) -> Split:
    """Split cases, in the data set's order, into training, validation and test.

    Test is the shipped fold ``test_fold``, else a seeded share of the patients; validation is a seeded share of the
    rest, at least one patient where two or more are left and the share is not 0. Closed folds, cases that the data
    set excludes beside the test fold, and other cases of a test patient or of a closed one are left out. Where
    patients are not known, runs of neighbours in file order take the place of those that are not; known patients
    stay whole. With ``sizes`` by case id, the parts are alike in enhancement and tumour size (see ``strata``).
    ``ConfigError`` where a case id occurs twice or a fold does not exist.
    """
    _check(identities, options)
    identities = _as_drawn(identities, options)
    units = make_units(identities, sizes, patients_known=options.patients_known or options.unit == "case")
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
        test, rest = draw(rest, units, options.test_share, rng)
    else:
        test, rest = _take_fold(rest, options.test_fold, left_out)
    val, train = draw(rest, units, options.val_share, rng)
    return Split(
        train=_ids(train),
        val=_ids(val),
        test=_ids(test),
        left_out=left_out,
        seed=options.seed,
        test_fold=options.test_fold,
        patients_known=options.patients_known,
        unit=options.unit,
        stratified=bool(sizes),
    )


def make_folds(
    identities: Sequence[CaseIdentity],
    options: SplitOptions,
    count: int,
    sizes: Mapping[str, TumourSize] | None = None,
) -> tuple[Split, ...]:
    """Cross-validation: ``count`` splits, in which every case is tested once, but for those of closed folds.

    Folds that the data set ships, and its exclusions beside them, are not used: take those with ``test_fold``.
    ``ConfigError`` where there are fewer patients, or runs of neighbours, than folds.
    """
    closed = make_split(identities, options.model_copy(update={"test_fold": None})).left_out
    rest = [
        replace(identity, fold=None, exclude_when_test_fold=frozenset())
        for identity in _as_drawn(identities, options)
        if identity.case_id not in closed
    ]
    units = make_units(rest, sizes, patients_known=options.patients_known or options.unit == "case")
    dealt = deal(rest, units, count, np.random.default_rng(options.seed))
    splits = (
        make_split(dealt, options.model_copy(update={"test_fold": fold, "closed_folds": ()}), sizes)
        for fold in range(count)
    )
    return tuple(split.model_copy(update={"left_out": closed | split.left_out}) for split in splits)


def without(split: Split, cases: Collection[str], why: str) -> Split:
    """``split`` with none of ``cases`` to train and validate on; those that it tests on stay."""
    parts = {name: tuple(i for i in getattr(split, name) if i not in cases) for name in ("train", "val")}
    gone = {case_id: why for case_id in (*split.train, *split.val) if case_id in cases}
    return split.model_copy(update=parts | {"left_out": split.left_out | gone})


def divided_patients(split: Split, identities: Sequence[CaseIdentity]) -> dict[str, tuple[str, ...]]:
    """The patients who have cases in more than one part of ``split``: patient id to the names of the parts."""
    patient_of = {identity.case_id: identity.patient_id for identity in identities}
    parts: dict[str, list[str]] = {}
    for name in ("train", "val", "test"):
        for patient in sorted({patient_of[case_id] for case_id in getattr(split, name) if case_id in patient_of}):
            parts.setdefault(patient, []).append(name)
    return {patient: tuple(names) for patient, names in parts.items() if len(names) > 1}


def write_split(path: Path, split: Split) -> None:
    """Write ``split`` as JSON with its fingerprint, atomically."""
    write_json(path, split.model_copy(update={"fingerprint": fingerprint(split)}).model_dump(mode="json"))


def read_split(path: Path) -> Split:
    """The split of a JSON file, without its fingerprint, so that equal splits are equal.

    ``FileError`` where it is damaged, puts a case into two parts, or was changed after it was written.
    """
    try:
        split = Split.model_validate(read_json(path))
        if split.fingerprint and split.fingerprint != fingerprint(split):
            raise FileError(
                f"{path} was changed after it was made",
                found=f"a fingerprint of other parts, {split.fingerprint}",
                remedy="make it again, or empty its 'fingerprint' if the change is meant",
            )
        return split.model_copy(update={"fingerprint": ""})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FileError(
            f"{path} is not a split", found=f"{place}: {first['msg']}".lstrip(": "), remedy="make it again"
        ) from error


def find_split(model: Path) -> Path | None:
    """The split file of the run that ``model`` is, or the ``best/`` or ``last/`` of; ``None`` where there is none."""
    return next((path for folder in (model, model.parent) if (path := folder / "split.json").is_file()), None)


def _as_drawn(identities: Sequence[CaseIdentity], options: SplitOptions) -> list[CaseIdentity]:
    """The cases as they are drawn: each its own patient, where the unit is the case."""
    if options.unit == "patient":
        return list(identities)
    return [replace(identity, patient_id=identity.case_id) for identity in identities]


def fingerprint(split: Split) -> str:
    """A short hash of which case is in which part, whatever their order."""
    parts = json.dumps([sorted(part) for part in (split.train, split.val, split.test)])
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


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


def _ids(identities: Sequence[CaseIdentity]) -> tuple[str, ...]:
    return tuple(identity.case_id for identity in identities)
