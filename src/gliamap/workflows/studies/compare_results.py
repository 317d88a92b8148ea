"""What the trainings of a comparison have left so far, put together and written."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gliamap.comparison.nouns import ComparedData, Comparison, Elsewhere, RunResult
from gliamap.comparison.rows import rows_of
from gliamap.io.store import read_case
from gliamap.workflows.common.run_record import command_line
from gliamap.workflows.studies.compare_files import write_comparison
from gliamap.workflows.studies.compare_plan import CompareOptions, Data, Place, data_of, first_of_each, slug
from gliamap.workflows.studies.compare_run import Done, attempt_of, result_of
from gliamap.workflows.studies.elsewhere import Attempt, Attempts, summed_up, untested

NOT_YET = "its turn has not come"


def write_results(
    out: Path, places: Sequence[Place], options: CompareOptions, baseline: str, lacking: Mapping[str, str]
) -> Comparison:
    """Put together what is there, and write it; ``lacking`` says why a training failed, by its name."""
    results = {place.task.fold.name: result_of(place.task.fold) for place in places}
    runs = [_run(place, results[place.task.fold.name], lacking) for place in places]
    tried = _tried(places)
    done = {name: result for name, result in results.items() if result}
    found = Comparison(
        budget=options.budget,
        split=options.split,
        baseline=baseline,
        data=tuple(_about(data) for data in data_of(places)),
        arms=rows_of(runs, baseline),
        elsewhere=_elsewhere(places, tried, baseline, lacking),
        machine="; ".join(_each_once(result.machine for result in done.values())),
        commit=" ".join(_each_once(name for result in done.values() for name in result.commit.split())),
        command=shlex.join(command_line()),
        notes=tuple(f"{name}: {why}" for name, why in lacking.items() if name in done),  # scored, not tested elsewhere
    )
    write_comparison(out, found, runs=[*runs, *_runs_elsewhere(places, tried)])
    return found


def _run(place: Place, done: Done | None, lacking: Mapping[str, str]) -> RunResult:
    fold = place.task.fold
    where = RunResult(place.arm, place.data.name, fold.seed, fold.number)
    if done is None:
        return replace(where, lacking=lacking.get(fold.name, NOT_YET))
    return replace(where, cost=done.cost, cases=done.cases)


def _each_once(names: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name]


Tried = Mapping[tuple[Path, str], Attempts]
"""What became of the tests on other data sets, by the folder of the arm's trainings and the name of the data set."""


def _tried(places: Sequence[Place]) -> Tried:
    tried: dict[tuple[Path, str], dict[tuple[int, int], Attempt]] = {}
    for place in places:
        fold = place.task.fold
        for other in place.data.others:
            if attempt := attempt_of(fold, other):
                tried.setdefault((place.folder, other.name), {})[fold.seed, fold.number] = attempt
    return tried


def _runs_elsewhere(places: Sequence[Place], tried: Tried) -> list[RunResult]:
    """The cases of other data sets, run by run."""
    return [
        RunResult(first.arm, first.data.name, seed, fold, cases=attempt.cases, tested_on=other.name)
        for first in first_of_each(places)
        for other in first.data.others
        for (seed, fold), attempt in tried.get((first.folder, other.name), {}).items()
    ]


def _elsewhere(
    places: Sequence[Place], tried: Tried, baseline: str, lacking: Mapping[str, str]
) -> tuple[Elsewhere, ...]:
    """A row for each arm, data set that it is trained on and other one that it is tested on."""
    rows = []
    for first in first_of_each(places):
        arm, data = first.arm, first.data
        folds = [place.task.fold for place in places if place.folder == first.folder]
        for other in data.others:
            attempts = tried.get((first.folder, other.name))
            if attempts:
                before = None if arm == baseline else tried.get((data.out / slug(baseline), other.name), {})
                rows.append(summed_up(arm, data.name, other.name, attempts, baseline=before))
            else:
                why = next((lacking[fold.name] for fold in folds if fold.name in lacking), NOT_YET)
                rows.append(untested(arm, data.name, other.name, data.info.prep.foreground, why))
    return tuple(rows)


def _about(data: Data) -> ComparedData:
    info = data.info
    unit = read_case(data.source.store, info.cases[0].case_id).record.native.unit
    return ComparedData(data.name, data.division.words, unit, info.patients_known, info.fingerprint)
