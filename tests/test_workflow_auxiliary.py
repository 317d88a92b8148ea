"""Another data set to learn from: whom it leaves out, what is refused, and that the run says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tiny
from gliamap.config import InputConfig, ModelSpec, OutputConfig, PrepConfig
from gliamap.errors import ConfigError
from gliamap.io.store import read_store, write_store
from gliamap.sources.splits import Split
from gliamap.workflows.common.auxiliary import AuxiliaryOptions, Found, find_auxiliary, read_auxiliary
from gliamap.workflows.data.prepare import PrepareOptions, prepare
from gliamap.workflows.studies.cross_validate import CrossValidateOptions, cross_validate
from gliamap.workflows.training.train import TrainOptions, train
from gliamap.workflows.training.transfer import seen_cases

NAMES = tuple(f"Phantom_{number:05d}" for number in range(1, 6))
SPLIT = Split(train=NAMES[:2], val=NAMES[2:3], test=NAMES[3:4], left_out={NAMES[4]: "closed"}, seed=0)
ANY = tiny.spec(inputs=InputConfig(presence=True), may_be_missing=tiny.spec().prep.modalities)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five phantoms with all modalities, prepared; ``scans`` lies beside it."""
    return tiny.write_store(tmp_path_factory.mktemp("phantoms"), 5)


@pytest.fixture(scope="module")
def post_contrast(store: Path) -> Path:
    """The same phantoms, and two more, with T1 post-contrast alone, coarser; a fold each."""
    scans, out = store.parent / "more", store.parent / "t1c"
    tiny.write_set(scans, 7)
    prepare([scans], out, options=PrepareOptions(modalities=("t1c",), spacing=(2.0, 2.0, 2.0)))
    info = read_store(out)
    cases = tuple(entry.model_copy(update={"fold": number}) for number, entry in enumerate(info.cases))
    write_store(out, info.model_copy(update={"cases": cases}))
    return out


def found(store: Path, other: Path, spec: ModelSpec = ANY, split: Split = SPLIT, **options: Any) -> Found:
    """What :func:`find_auxiliary` says."""
    said = AuxiliaryOptions.model_validate({"store": other} | options)
    there = find_auxiliary(said, read_store(store), spec=spec, split=split)
    assert there is not None
    return there


def learned(there: Found) -> set[int]:
    """The numbers of the phantoms."""
    assert tuple(entry.case_id for entry in there.auxiliary.entries) == there.record.cases
    return {int(case_id[-5:]) for case_id in there.record.cases}


def test_nobody_who_is_held_out_is_learned_from(store: Path, post_contrast: Path) -> None:
    there = found(store, post_contrast)
    assert learned(there) == {1, 2, 6, 7} and there.record.left_out == 3
    assert there.auxiliary.places == (None, 0, None, None) and there.record.modalities == ("t1c",)


def test_another_case_of_a_patient_who_is_held_out_is_left_out_by_its_alias(
    store: Path, post_contrast: Path, tmp_path: Path
) -> None:
    info = read_store(post_contrast)
    cases = [e.model_copy(update={"aliases": (NAMES[3],)}) if "00006" in e.case_id else e for e in info.cases]
    write_store(tmp_path, info.model_copy(update={"cases": tuple(cases)}))
    assert learned(found(store, tmp_path)) == {1, 2, 7}


def test_closed_folds_are_used_for_nothing(store: Path, post_contrast: Path) -> None:
    assert learned(found(store, post_contrast, closed_folds=(0, 6))) == {2, 6}
    with pytest.raises(ConfigError, match="no fold 9"):
        found(store, post_contrast, closed_folds=(9,))
    with pytest.raises(ConfigError, match="no case of"):
        found(store, post_contrast, closed_folds=(0, 1, 5, 6))


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (tiny.spec(), "no t1, t2, flair, which the network cannot do without"),
        (ANY.model_copy(update={"prep": PrepConfig(modalities=("flair",))}), "none of the modalities flair"),
        (ANY.model_copy(update={"output": OutputConfig(kind="classes", convention="brats-ped")}), "do not tell all"),
    ],
)
def test_what_does_not_go_together_is_refused(store: Path, post_contrast: Path, spec: ModelSpec, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        found(store, post_contrast, spec)
    with pytest.raises(ConfigError, match="the one that is trained on"):
        found(store, store)


def test_another_resolution_is_said_and_the_same_in_other_words_is_not(
    store: Path, post_contrast: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    coarse = ANY.model_copy(update={"prep": ANY.prep.model_copy(update={"spacing": (2.0, 2.0, 3.0)})})
    found(store, post_contrast, coarse)
    assert not caplog.messages
    info = read_store(post_contrast)
    pixels = info.prep.model_copy(update={"spacing": None, "pixel_mm": 2.0})
    write_store(tmp_path, info.model_copy(update={"prep": pixels}))
    found(store, tmp_path, coarse)
    assert not caplog.messages
    found(store, post_contrast, coarse.model_copy(update={"prep": ANY.prep.model_copy(update={"spacing": (1, 1, 1)})}))
    assert "another pixel in mm" in caplog.text


def asked(other: Path, **changes: Any) -> TrainOptions:
    """A short training on slices with dropout and an auxiliary data set."""
    small = {"patch": (16, 16, 1), "batch": 4, "steps": 2, "validate_every": 2, "modality_dropout": 0.5}
    return tiny.options(**small).model_copy(update={"dims": 2, "auxiliary": AuxiliaryOptions(store=other)} | changes)


def test_a_training_learns_from_both_says_so_and_goes_on_with_the_same_only(
    store: Path, post_contrast: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = train(store, run, options=asked(post_contrast))
    record = read_auxiliary(run)
    assert record is not None and record == done.other
    held_out = {*done.split.val, *done.split.test}
    assert held_out and not held_out & {*record.cases} and {"Phantom_00006", "Phantom_00007"} <= {*record.cases}
    said = json.loads((run / "run.json").read_text())["settings"]["auxiliary"]
    assert said["cases"] == len(record.cases) and said["share"] == 0.5
    assert {*record.cases} <= {*seen_cases(run)[0]}
    train(store, run, options=asked(post_contrast), resume=True)
    with pytest.raises(ConfigError, match="auxiliary"):
        train(store, run, options=asked(post_contrast, auxiliary=None), resume=True)
    alone = train(store, tmp_path / "alone", options=asked(post_contrast, auxiliary=None))
    assert alone.spec.weights_sha256 != done.spec.weights_sha256 and read_auxiliary(tmp_path / "alone") is None


def test_tables_and_teachers_do_not_go_with_it(store: Path, post_contrast: Path, tmp_path: Path) -> None:
    for changes in ({"stride": 4}, {"lessons": tmp_path}):
        with pytest.raises(ConfigError, match="chosen freely"):
            train(store, tmp_path / "run", options=asked(post_contrast, **changes))
    assert not (tmp_path / "run").exists()


def test_every_fold_learns_from_it_and_the_study_remembers(store: Path, post_contrast: Path, tmp_path: Path) -> None:
    other = AuxiliaryOptions(store=post_contrast)
    recipe = asked(post_contrast).model_dump(include=set(TrainOptions.__base__.model_fields))  # type: ignore[union-attr]
    options = CrossValidateOptions.model_validate({"recipe": recipe, "folds": 2, "val_share": 0, "auxiliary": other})
    done = cross_validate(store, store.parent / "scans", out=tmp_path / "study", options=options)
    assert done.scores is not None
    for fold in done.folds:
        record = read_auxiliary(fold.run)
        assert record is not None and not {*record.cases} & {*fold.split.test}
    with pytest.raises(ConfigError, match=r"auxiliary"):
        cross_validate(
            store,
            store.parent / "scans",
            out=tmp_path / "study",
            options=options.model_copy(update={"auxiliary": AuxiliaryOptions(store=post_contrast, share=0.25)}),
        )
