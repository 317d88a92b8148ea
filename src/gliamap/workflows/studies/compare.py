"""Compare trainings: each on the same division of the same cases, under the same budget, scored on the native grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from gliamap.comparison.nouns import Budget, Comparison
from gliamap.errors import ConfigError, OutputError
from gliamap.io.lock import alone
from gliamap.workflows.common.failures import check_folder
from gliamap.workflows.studies.budget import measure_pace, paces_in, within
from gliamap.workflows.studies.compare_plan import (
    CompareOptions,
    Place,
    Prepared,
    arms_of,
    baseline_of,
    data_of,
    first_of_each,
    plan_data,
    plan_runs,
)
from gliamap.workflows.studies.compare_results import write_results
from gliamap.workflows.studies.compare_run import do_run, is_done
from gliamap.workflows.studies.compare_settings import settle
from gliamap.workflows.studies.fold_work import Observe, StudyReport, check_fold, check_scans, do_apart

__all__ = ["CompareOptions", "Prepared", "compare"]


def compare(
    data: Sequence[Prepared], *, out: Path, options: CompareOptions, observe: Observe | None = None
) -> Comparison:
    """Train every arm on each data set, with each fold held out in turn and each seed, and compare what comes out.

    All arms and seeds divide the cases alike (:func:`~gliamap.workflows.common.folds.divide`). With a budget of time,
    the pace of each arm is measured first, once: its steps follow from it. ``out`` gets ``settings.json``, for each arm
    ``DATA/ARM/seedS/foldK/`` (``split.json``, ``run/``, ``masks/``, ``result.json``), and after every training what
    :func:`~gliamap.workflows.studies.compare_files.write_comparison` writes. Called again, it goes on where it stopped,
    with further arms, seeds, folds and data sets where they are asked for.

    A training that fails does not stop the others: its place in the table says why. ``ConfigError`` where arms, data
    sets or folds do not exist or are named alike, a training could not even begin, or ``out`` holds a comparison with
    other settings, data or splits; ``OutputError`` where another process is at it.
    """
    check_folder(out)
    arms = arms_of(options)
    baseline = baseline_of(options, arms)
    places = plan_runs(arms, plan_data(data, out, options), options)
    _check(places)
    tell = observe or (lambda _: None)
    with alone(out) as free:
        if not free:
            raise OutputError(f"another process is comparing in {out}", remedy="wait for it, or choose another --out")
        settle(out, places, arms, options)
        for one in data_of(places):
            tell(StudyReport("divide", f"{one.name}: {one.division.words}", 0, len(places)))
        lacking: dict[str, str] = {}
        if options.budget:
            places = _budgeted(places, options.budget, options.jobs, lacking, tell)
        write = partial(write_results, out, places, options, baseline, lacking)
        _run(places, options.jobs, lacking, tell, write)
        return write()


def _check(places: Sequence[Place]) -> None:
    """``ConfigError`` where some training could not even begin, or a case not be predicted and scored."""
    for data in data_of(places):
        check_scans(data.source.scans, [place.task.fold for place in places if place.data is data], data.pattern)
    for place in first_of_each(places):
        try:
            check_fold(place.task)
        except ConfigError as error:
            what = f"{place.arm} on {place.data.name}: {error.what}"
            raise ConfigError(what, found=error.found, expected=error.expected, remedy=error.remedy) from error


def _budgeted(
    places: Sequence[Place], budget: Budget, jobs: int, lacking: dict[str, str], tell: Observe
) -> tuple[Place, ...]:
    """The trainings with as many steps as the budget allows; in ``lacking`` why one of them cannot be."""
    why = _measure(places, jobs, tell) if budget.kind == "minutes" else {}
    done = []
    for place in places:
        task = place.task
        if place.folder not in why:
            try:
                task = replace(task, recipe=within(task.recipe, budget, paces_in(place.folder)))
            except ConfigError as error:
                why[place.folder] = str(error)
        if place.folder in why:
            lacking[task.fold.name] = why[place.folder]
        done.append(replace(place, task=task))
    return tuple(done)


def _measure(places: Sequence[Place], jobs: int, tell: Observe) -> dict[Path, str]:
    """Measure the pace of each arm on each data set, unless it is known; why that failed, by the arm's folder."""
    left = [place for place in first_of_each(places) if not paces_in(place.folder)]
    tasks = []
    for place in left:
        fold = replace(place.task.fold, name=f"{place.arm} on {place.data.name}", folder=place.folder)
        tasks.append(replace(place.task, fold=fold))

    def aside(report: StudyReport) -> None:
        tell(replace(report, done=0, total=len(places)))

    with closing(do_apart(measure_pace, tasks, jobs=jobs, tell=aside)) as ended:
        return {task.fold.folder: f"its pace could not be measured: {why}" for task, why in ended if why}


def _run(
    places: Sequence[Place], jobs: int, lacking: dict[str, str], tell: Observe, write: Callable[[], object]
) -> None:
    """Do the trainings that are left, and ``write`` after each; in ``lacking`` why one failed."""
    left = [p.task for p in places if p.task.fold.name not in lacking and not is_done(p.task)]
    ready = len(places) - len(left)

    def add(report: StudyReport) -> None:
        tell(replace(report, done=ready + report.done, total=len(places)))

    with closing(do_apart(do_run, left, jobs=jobs, tell=add)) as ended:
        for task, why in ended:
            if why:
                lacking[task.fold.name] = why
            write()
