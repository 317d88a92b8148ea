"""Cross-validation: every case is predicted by a model that never saw its patient, then all of them are scored."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gliamap.errors import ConfigError, FileError
from gliamap.io.atomic import read_json, write_json, write_text
from gliamap.io.lock import alone
from gliamap.io.store import StoreInfo, read_store
from gliamap.scoring.repeats import FoldScores, StudyScores, study_as_json, study_rows, summarise_study
from gliamap.sources.splits import SplitOptions
from gliamap.workflows.common.failures import check_folder
from gliamap.workflows.common.folds import CrossValidateOptions, Fold, plan_folds, settle_splits
from gliamap.workflows.common.parallel import default_workers
from gliamap.workflows.common.run_record import command_line, versions
from gliamap.workflows.common.unchanged import check_unchanged, deciding, of_the_machine
from gliamap.workflows.scores.evaluate import evaluate
from gliamap.workflows.studies.fold_work import (
    FoldTask,
    Observe,
    StudyReport,
    check_fold,
    check_scans,
    do_apart,
    do_fold,
    do_fold_apart,
    how_to_score,
)

STUDY = "study.json"


@dataclass(frozen=True)
class CrossValidated:
    """What was done.

    ``scores`` are there where all folds are complete and were asked for. ``failed`` says why a fold is not complete,
    by its name; ``lacking`` what is still to be done where only some folds were asked for. ``notes`` are remarks.
    """

    out: Path
    division: str
    folds: tuple[Fold, ...]
    scores: StudyScores | None = None
    failed: dict[str, str] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def cross_validate(
    store: Path,
    scans: Path,
    *,
    out: Path,
    options: CrossValidateOptions | None = None,
    observe: Observe | None = None,
) -> CrossValidated:
    """Train on all folds but one in turn, predict the one held out, and score all predictions on the native grid.

    ``store`` is the prepared data set, ``scans`` what it was prepared from. How cases are divided: see
    :func:`~gliamap.workflows.common.folds.plan_folds`. The model is each run's ``best`` by validation Dice, on patients
    of the training side. ``out`` gets ``study.json``, ``repeatR/foldK/`` (``split.json`` and the run),
    ``repeatR/masks/`` with the out-of-fold predictions, ``scores.json`` and ``scores.csv``. Called again, it goes on
    where it stopped.

    A fold that fails does not stop the others; nothing is scored then, because fewer cases than the study has would
    look like all of them. ``ConfigError`` where ``out`` holds a study with other settings, data or splits, where a
    fold asked for does not exist, or ``scans`` lack a case; ``FileError`` where ``options.gather`` and a fold is not
    complete.
    """
    options = options or CrossValidateOptions()
    check_folder(out)
    info = read_store(store)
    folds, division = plan_folds(info, out, options)
    wanted = _wanted(folds, options)
    check_scans(scans, folds, options.pattern)
    how = SplitOptions(closed_folds=options.closed_folds)
    other = options.auxiliary
    tasks = [FoldTask(fold, store, scans, options.recipe, how, options.pattern, auxiliary=other) for fold in wanted]
    check_fold(tasks[0])
    _settle_study(out, info, folds, options)
    if options.gather and (missing := _lacking(folds)):
        raise _incomplete(out, missing)
    tell = observe or (lambda _: None)
    tell(StudyReport("divide", division, 0, len(wanted)))
    result = CrossValidated(out, division, folds)
    if not options.gather:
        result = replace(result, failed=run_folds(tasks, options.jobs, tell))
    lacking = _lacking(folds)
    if lacking or options.only:
        return replace(result, lacking={name: lack for name, lack in lacking.items() if name not in result.failed})
    scores, notes = score_folds(scans, info, folds=folds, options=options, tell=tell)
    study = {"format": 1, "recipe": options.recipe.name, "division": division, "data": info.fingerprint}
    write_text(out / "scores.csv", study_rows(scores))
    write_json(out / "scores.json", study | {"notes": notes, "versions": versions()} | study_as_json(scores))
    return replace(result, scores=scores, notes=notes)


def _wanted(folds: Sequence[Fold], options: CrossValidateOptions) -> tuple[Fold, ...]:
    known = sorted({fold.number for fold in folds})
    if not set(options.only) <= set(known):
        raise ConfigError(
            "the study does not have the folds asked for",
            found="folds " + ", ".join(map(str, known)),
            expected="folds " + ", ".join(map(str, options.only)),
            remedy="name other folds with --fold",
        )
    if options.only and options.gather:
        raise ConfigError("--gather scores all folds", remedy="leave --fold out")
    return tuple(fold for fold in folds if not options.only or fold.number in options.only)


def _settle_study(out: Path, info: StoreInfo, folds: Sequence[Fold], options: CrossValidateOptions) -> None:
    """Write ``study.json`` and the splits, or see that those there are of this very study."""
    path = out / STUDY
    if options.gather and not path.is_file():
        raise FileError(f"{out} holds no study to gather", expected=STUDY, remedy="train first, without --gather")
    record = _record(info, folds, options)
    with alone(out, wait=True):
        if path.is_file():
            _check_same(out, read_json(path), record)
        settle_splits(folds)
        if not path.is_file():
            for place, fold in zip(record["folds"], folds, strict=True):
                place["split"] = read_json(fold.split_file)["fingerprint"]
            write_json(path, record)


def _record(info: StoreInfo, folds: Sequence[Fold], options: CrossValidateOptions) -> dict[str, Any]:
    """What ``study.json`` holds. ``settings`` and ``data`` must agree to go on; the rest informs."""
    asked = options.model_dump(mode="json", include={"repeats", "val_share", "closed_folds", "seed"})
    if options.auxiliary:
        other = options.auxiliary.model_dump(mode="json", include={"share", "closed_folds"})
        asked["auxiliary"] = other | {"fingerprint": read_store(options.auxiliary.store).fingerprint}
    return {
        "format": 1,
        "settings": {"recipe": deciding(options.recipe), "folds": sorted({fold.number for fold in folds})} | asked,
        "data": {"fingerprint": info.fingerprint, "cases": len(info.cases)},
        "folds": [{"repeat": fold.repeat, "fold": fold.number, "seed": fold.seed} for fold in folds],
        "recipe": options.recipe.model_dump(mode="json"),
        "versions": versions(),
        "command": command_line(),
    }


def _check_same(out: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    old, new = ({name: record[name] for name in ("settings", "data")} for record in (before, now))
    remedy = f"repeat '{shlex.join(before.get('command', []))}', or take another --out"
    check_unchanged(f"this is not the study in {out}", old, new, free=of_the_machine("settings.recipe"), remedy=remedy)


def run_folds(tasks: Sequence[FoldTask], jobs: int, tell: Observe) -> dict[str, str]:
    """Train and predict what is not complete, ``jobs`` folds side by side; why each fold that failed did."""
    left = [task for task in tasks if task.fold.lacks()]
    ready, total = len(tasks) - len(left), len(tasks)
    jobs = min(jobs, len(left))
    if jobs > 1:
        each = [replace(task, threads=max(1, default_workers() // jobs)) for task in left]
        tell(StudyReport("train", f"{jobs} folds side by side", ready, total))

        def add(report: StudyReport) -> None:
            tell(replace(report, done=ready + report.done, total=total))

        with closing(do_apart(do_fold_apart, each, jobs=jobs, tell=add)) as ended:
            return {task.fold.name: why for task, why in ended if why}
    failed: dict[str, str] = {}
    for number, task in enumerate(left, start=ready):

        def pass_on(report: StudyReport, number: int = number) -> None:
            tell(replace(report, done=number + report.done, total=total))

        why = do_fold(task, pass_on)
        if why:
            failed[task.fold.name] = why
    return failed


def _lacking(folds: Sequence[Fold]) -> dict[str, str]:
    return {fold.name: lack for fold in folds if (lack := fold.lacks())}


def _incomplete(out: Path, lacking: Mapping[str, str]) -> FileError:
    return FileError(
        f"the study in {out} is not complete",
        found="; ".join(f"{name}: {lack}" for name, lack in lacking.items()),
        expected="every fold trained, and its cases predicted",
        remedy="the same command with --fold in place of --gather does one; or copy the folders from where it was done",
    )


def score_folds(
    scans: Path, info: StoreInfo, *, folds: Sequence[Fold], options: CrossValidateOptions, tell: Observe
) -> tuple[StudyScores, tuple[str, ...]]:
    """Score the out-of-fold predictions of every repeat on the native grid; and the remarks on that.

    ``info`` is that of the store that was trained on. Folds of one repeat share the folder of their masks.
    """
    ready = len(folds)
    scored, notes = [], dict[str, None]()
    for repeat in range(options.repeats):
        own = [fold for fold in folds if fold.repeat == repeat]

        def progress(done: int, cases: int, case_id: str, repeat: int = repeat) -> None:
            note = f"repeat {repeat}: {done} of {cases} scored, {case_id}"
            tell(StudyReport("evaluate", note, ready, ready))

        how = how_to_score(info, own, pattern=options.pattern, seed=options.seed)
        found = evaluate(own[0].masks, scans, options=how, progress=progress)
        of = {case_id: fold.number for fold in own for case_id in fold.split.test}
        for fold in own:
            cases = tuple(case for case in found.cases if of[case.case_id] == fold.number)
            scored.append(FoldScores(repeat, fold.number, cases))
        notes |= dict.fromkeys(found.notes)
    return summarise_study(scored, seed=options.seed), tuple(notes)
