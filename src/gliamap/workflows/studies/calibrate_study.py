"""The folds of a cross-validation that is there already, each with the cases that its model has never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gliamap.case import CaseFiles
from gliamap.errors import ConfigError, FileError
from gliamap.io.atomic import read_json
from gliamap.sources.splits import fingerprint, read_split
from gliamap.workflows.common.folds import Fold
from gliamap.workflows.studies.cross_validate import STUDY
from gliamap.workflows.training.transfer import seen_cases
from gliamap.workflows.training.unseen import check_unseen


def read_folds(study: Path) -> tuple[Fold, ...]:
    """The folds of all repeats in the folder of a cross-validation.

    ``FileError`` where it is none, or a fold is not trained; ``ConfigError`` where the cases of a fold are divided in
    another way than the study or its run says.
    """
    path = study / STUDY
    if not path.is_file():
        raise FileError(
            f"{study} is not a cross-validation", expected=STUDY, remedy="make one with gliamap cross-validate"
        )
    try:
        known = [
            (int(one["repeat"]), int(one["fold"]), int(one["seed"]), one["split"]) for one in read_json(path)["folds"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path} does not describe a cross-validation", remedy="restore the file") from error
    folds = []
    for repeat, number, seed, split in known:
        place = study / f"repeat{repeat}"
        folder = place / f"fold{number}"
        divided = read_split(folder / "split.json")
        fold = Fold(f"repeat {repeat}, fold {number}", folder, place / "masks", number, seed, divided, repeat)
        if not fold.trained:
            remedy = "finish gliamap cross-validate first: the same command goes on"
            raise FileError(f"{study} is not complete", found=f"{fold.name}: {fold.lacks()}", remedy=remedy)
        if {fingerprint(divided), fingerprint(read_split(fold.run / "split.json"))} != {split}:
            raise ConfigError(
                f"{fold.name} was trained on other cases than {path} says",
                expected="one and the same division in study.json, split.json and run/split.json",
                remedy="restore the files: which cases the model has not seen is not known otherwise",
            )
        folds.append(fold)
    return tuple(folds)


def check_held_out(folds: Sequence[Fold], cases: Mapping[str, CaseFiles]) -> None:
    """``ConfigError`` where a model has seen a patient whom its fold holds out; what it started from counts, too."""
    identities = [case.identity for case in cases.values()]
    for fold in folds:
        seen = {case_id for part in seen_cases(fold.run) for case_id in part}
        remedy = (
            "cross-validate by patient, from weights that know none of them: what a model says of those is no proof"
        )
        who = f"the model of {fold.name} has seen"
        check_unseen(who, seen, identities, part="held-out", held_out=fold.split.test, remedy=remedy)
