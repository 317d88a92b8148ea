"""One training of a comparison, in a process of its own: trained, predicted, scored, and what it took."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from pydantic import TypeAdapter

from gliamap.comparison.nouns import COMPARED, CaseFigures, Cost
from gliamap.comparison.rows import case_figures
from gliamap.errors import ConfigError
from gliamap.io.atomic import read_json, write_json
from gliamap.io.checkpoint import read_spec
from gliamap.io.store import read_store
from gliamap.nets.cost import count_parameters, forward_gflops
from gliamap.workflows.common.folds import Fold
from gliamap.workflows.common.machine import machine
from gliamap.workflows.common.run_record import commit
from gliamap.workflows.scores.evaluate import evaluate
from gliamap.workflows.studies.compare_plan import RunTask, slug
from gliamap.workflows.studies.elsewhere import Attempt, OtherSet, try_elsewhere
from gliamap.workflows.studies.fold_work import (
    Observe,
    StudyReport,
    alone_at,
    how_to_score,
    predict_fold,
    seldom,
    train_fold,
)
from gliamap.workflows.training.train_base import BASE

RESULT = "result.json"
MEMORY = "memory.json"


@dataclass(frozen=True)
class Done:
    """What a training took and what came out; on which machine, and with which commits of gliamap, blanks between."""

    cost: Cost
    cases: tuple[CaseFigures, ...]
    machine: str = ""
    commit: str = ""


_DONE = TypeAdapter(Done)
_ATTEMPT = TypeAdapter(Attempt)


def do_run(task: RunTask, tell: Observe) -> str:
    """Train, predict and score one fold, then test on other data; why that failed, or nothing. What is done stays.

    For a process of its own. The fold's folder gets ``memory.json`` when it is trained, ``result.json`` when it is
    scored, ``elsewhere/OTHER.json`` for each other data set.
    """
    torch.set_num_threads(task.threads)
    fold, tell = task.fold, seldom(tell)

    def watch(report: StudyReport) -> None:
        if report.done == 1:  # before the last weights say that it is trained
            write_json(fold.folder / MEMORY, {"peak_mib": peak_mib()})
        tell(report)

    def work() -> None:
        train_fold(task, watch)
        predict_fold(task, tell)
        if result_of(fold) is None:
            tell(StudyReport("evaluate", f"{fold.name}: scoring", 1, 1))
            _score(task)
        for other in task.others:
            if attempt_of(fold, other) is None:
                _test_on(task, other, tell)

    try:
        return alone_at(fold.folder, work)
    except ConfigError as error:  # one arm's settings are no reason to stop the others
        return str(error)


def result_of(fold: Fold) -> Done | None:
    """What became of a training, as :func:`do_run` left it; ``None`` where it did not come so far.

    Whether its predictions still lie there is not asked, which would open a file a case: see :func:`is_done`.
    """
    path = fold.folder / RESULT
    if not path.is_file() or not fold.trained:
        return None
    found = read_json(path)
    return _DONE.validate_python(found) if found["of"] == _origin(fold) else None


def attempt_of(fold: Fold, other: OtherSet) -> Attempt | None:
    """What became of the test on another data set; ``None`` where it is not done."""
    path = _attempt_file(fold, other)
    if not path.is_file():
        return None
    found = read_json(path)
    return _ATTEMPT.validate_python(found["attempt"]) if found["of"] == _origin(fold) else None


def is_done(task: RunTask) -> bool:
    """There is nothing left to do."""
    fold = task.fold
    return not fold.lacks() and result_of(fold) is not None and all(attempt_of(fold, other) for other in task.others)


def _attempt_file(fold: Fold, other: OtherSet) -> Path:
    return fold.folder / "elsewhere" / f"{slug(other.name)}.json"


def _test_on(task: RunTask, other: OtherSet, tell: Observe) -> None:
    fold = task.fold

    def progress(done: float, cases: int, case_id: str) -> None:
        note = f"{fold.name}, on {other.name}: {int(done)} of {cases} predicted, {case_id}"
        tell(StudyReport("segment", note, 1, 1))

    masks = _attempt_file(fold, other).with_suffix("")
    found = try_elsewhere(fold.run, other, masks, info=read_store(task.store), progress=progress)
    content = {"of": _origin(fold), "attempt": _ATTEMPT.dump_python(found, mode="json")}
    write_json(_attempt_file(fold, other), content)


def _origin(fold: Fold) -> dict[str, Any]:
    """Whose scores a file holds, and which: those of other weights, or of an earlier version, are taken anew."""
    return {"weights_sha256": read_spec(fold.run / "best").weights_sha256, "figures": list(COMPARED)}


def _score(task: RunTask) -> None:
    fold = task.fold
    how = how_to_score(read_store(task.store), [fold], pattern=task.pattern)
    found = evaluate(fold.masks, task.scans, options=how)
    cases = tuple(case_figures(case) for case in found.cases)
    done = Done(_cost(fold), cases, _machine(), _commits(fold))
    write_json(fold.folder / RESULT, {"of": _origin(fold)} | _DONE.dump_python(done, mode="json"))


def _machine() -> str:
    return machine() + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "")


def _commits(fold: Fold) -> str:
    """Those that trained, each time that the training was gone on with, and the one that scores now."""
    record = read_json(fold.run / "run.json")
    every = [one.get("commit") for one in (record, *record.get("resumed", ()))]
    return " ".join(dict.fromkeys(name for name in (*every, commit()) if name))


def _cost(fold: Fold) -> Cost:
    spec = read_spec(fold.run / "best")
    runs = [run for run in (fold.run / BASE, fold.run) if (run / "run.json").is_file()]
    numbers = [read_json(fold.masks / f"{case_id}.json") for case_id in fold.split.test]
    return Cost(
        steps=sum(read_json(run / "run.json")["settings"]["train"]["steps"] for run in runs),
        minutes=sum(_seconds(run / "log.csv") for run in runs) / 60,
        parameters=count_parameters(spec.network),
        gflops=forward_gflops(spec.network, spec.window.patch),
        seconds_per_case=fmean(content["seconds"] for content in numbers),
        peak_mib=read_json(fold.folder / MEMORY)["peak_mib"],
    )


def _seconds(log: Path) -> float:
    """What a training took, interruptions not counted. Its last row's seconds end before the last validation."""
    with log.open(encoding="utf-8", newline="") as stream:
        last = list(csv.DictReader(stream))[-1]
    return float(last["seconds"]) + float(last.get("seconds_validate") or 0)


def peak_mib() -> float:
    """The most memory that this process has had resident so far, in MiB: the GPU's where there is one.

    Pages of the prepared data that it has mapped count, too. Linux is asked for its own high-water mark: that of
    ``getrusage`` begins with what the parent had when it started this process.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024
