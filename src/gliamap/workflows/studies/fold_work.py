"""One fold: train on the others, predict what it holds out; and many of them, here or in processes of their own."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from gliamap.errors import CasesFailed, ConfigError, GliamapError
from gliamap.io.atomic import write_text
from gliamap.io.lock import alone
from gliamap.io.store import StoreInfo, read_store
from gliamap.recipes.recipe import Recipe
from gliamap.sources.layout import summarise
from gliamap.sources.masks import scan_with_masks
from gliamap.sources.splits import SplitOptions
from gliamap.training.devices import Devices
from gliamap.training.loop import Job, check_job
from gliamap.training.progress import StepReport
from gliamap.training.stop import stoppable
from gliamap.workflows.common.apart import Told, Work, each_apart
from gliamap.workflows.common.auxiliary import AuxiliaryOptions, find_auxiliary
from gliamap.workflows.common.failures import reason_of
from gliamap.workflows.common.folds import Fold
from gliamap.workflows.common.processes import open_devices
from gliamap.workflows.prediction.segment import segment
from gliamap.workflows.prediction.segment_settings import SegmentOptions
from gliamap.workflows.scores.evaluate import EvaluateOptions
from gliamap.workflows.training.train import train
from gliamap.workflows.training.train_settings import TrainOptions, full_settings


@dataclass(frozen=True)
class StudyReport:
    """What an observer is told.

    ``doing``: what is done now, with ``note`` in words; ``done`` of ``total`` folds are ready, with the share of those
    at work. ``step`` is filled after a training step.
    """

    doing: Literal["divide", "train", "segment", "evaluate"]
    note: str
    done: float
    total: int
    step: StepReport | None = None


Observe = Callable[[StudyReport], None]


@dataclass(frozen=True)
class FoldTask:
    """One fold to train and predict.

    ``how`` its cases were divided. ``threads`` are those of a process of its own. ``segmenting``: how the cases that it
    holds out are predicted; which they are, and what becomes of earlier masks, is settled here. ``auxiliary``: another
    data set to learn from, too.
    """

    fold: Fold
    store: Path
    scans: Path
    recipe: Recipe
    how: SplitOptions
    pattern: str | None = None
    threads: int = 1
    segmenting: SegmentOptions = field(default_factory=SegmentOptions, kw_only=True)
    auxiliary: AuxiliaryOptions | None = field(default=None, kw_only=True)


Task = TypeVar("Task", bound=FoldTask)


def do_fold(task: FoldTask, tell: Observe = lambda _: None) -> str:
    """Train and predict one fold; why that failed, or nothing. ``tell`` hears of it as if there were no other."""

    def work() -> None:
        train_fold(task, tell)
        predict_fold(task, tell)

    return alone_at(task.fold.folder, work)


def alone_at(folder: Path, work: Callable[[], None]) -> str:
    """Do ``work`` while no other process does so in ``folder``; why that failed, or nothing.

    What nobody foresaw leaves its traceback in ``error.txt``: a fold may take hours, and is not soon repeated.
    """
    unforeseen = folder / "error.txt"
    with alone(folder) as free:
        if not free:
            return "another process is at it"
        unforeseen.unlink(missing_ok=True)
        try:
            work()
        except GliamapError as error:
            return reason_of(error)
        except Exception as error:
            write_text(unforeseen, traceback.format_exc())
            return f"{reason_of(error)}; see {unforeseen}"
    return ""


def do_apart(
    work: Work[Task, StudyReport, str], tasks: Sequence[Task], *, jobs: int, tell: Observe
) -> Generator[tuple[Task, str]]:
    """``work`` on each task in a process of its own, ``jobs`` at a time; why it failed, or nothing, as each ends.

    ``tell`` hears of all together. Where this process is told to stop, they are, too. To be closed.
    """
    shares = [0.0] * len(tasks)
    with stoppable(Devices()) as stop, closing(each_apart(work, tasks, at_once=jobs)) as events:
        for event in events:
            stop.check()
            if isinstance(event, Told):
                shares[event.number] = min(event.message.done, 1.0)
                tell(replace(event.message, done=sum(shares), total=len(tasks)))
                continue
            shares[event.number] = 1.0
            why = "its process died, for want of memory perhaps" if event.result is None else event.result
            task = tasks[event.number]
            tell(StudyReport("evaluate", f"{task.fold.name}: {why or 'ready'}", sum(shares), len(tasks)))
            yield task, why


def do_fold_apart(task: FoldTask, tell: Observe) -> str:
    """:func:`do_fold` in a process of its own."""
    torch.set_num_threads(task.threads)
    return do_fold(task, seldom(tell))


def seldom(tell: Observe) -> Observe:
    """Tell of a validation always, without its picture, and of anything else once a second."""
    last = -math.inf

    def pass_on(report: StudyReport) -> None:
        nonlocal last
        validated = report.step is not None and report.step.dice is not None
        now = time.monotonic()
        if validated or now - last > 1:
            last = now
            tell(replace(report, step=report.step and replace(report.step, example=None)))

    return pass_on


def check_fold(task: FoldTask) -> None:
    """``ConfigError`` where its training could not even begin, or the process is one of several that share it."""
    if open_devices().processes > 1:
        raise ConfigError(
            "several trainings do not run under torchrun",
            remedy="say --jobs for some side by side, or run each fold elsewhere with --fold",
        )
    fold = task.fold
    info = read_store(task.store)
    spec, config = full_settings(info, fold_options(task), fold.run.name)
    other = find_auxiliary(task.auxiliary, info, spec=spec, split=fold.split)
    beside = other and other.auxiliary
    check_job(Job(task.store, fold.split.train, fold.split.val, config, spec, fold.run, auxiliary=beside))


def fold_options(task: FoldTask) -> TrainOptions:
    """What trains a fold: its recipe, with its seed and its split."""
    fold, recipe = task.fold, task.recipe
    return TrainOptions.model_validate(
        recipe.model_dump()
        | {"config": recipe.config | {"seed": fold.seed}, "split_file": fold.split_file}
        | {"split": task.how.model_copy(update={"seed": fold.seed}), "leaky": task.how.unit == "case"}
        | {"auxiliary": task.auxiliary}
    )


def train_fold(task: FoldTask, tell: Observe) -> None:
    """Train a fold, or go on with it, unless it is trained."""
    fold = task.fold
    if fold.trained:
        return
    trainings = 2 if task.recipe.base else 1

    def observe(step: StepReport) -> None:
        before = trainings - 1 if not step.base else 0
        name = f"{fold.name}, base" if step.base else fold.name
        tell(StudyReport("train", name, (before + step.step / step.steps) / trainings, 1, step))

    train(task.store, fold.run, options=fold_options(task), resume=True, observe=observe)


def predict_fold(task: FoldTask, tell: Observe) -> None:
    """Predict the held-out cases that lack it. ``CasesFailed`` where some cannot be predicted."""
    fold = task.fold
    left = fold.unpredicted()
    if not left:
        return

    def progress(done: float, cases: int, case_id: str) -> None:
        tell(StudyReport("segment", f"{fold.name}: {int(done)} of {cases} predicted, {case_id}", 1, 1))

    # A case of the store is what the model is for, whatever it looks like: hence force.
    settled: dict[str, Any] = {"part": "test", "cases": left, "pattern": task.pattern, "pictures": False}
    settled |= {"force": True, "overwrite": True, "manifest": False}  # all folds of a repeat share the folder
    options = task.segmenting.model_copy(update=settled)
    done = segment(task.scans, fold.masks, model=fold.run, options=options, progress=progress)
    if done.failed:
        first, why = next(iter(done.failed.items()))
        raise CasesFailed(f"{len(done.failed)} of {len(left)} cases could not be predicted", found=f"{first}: {why}")


def check_scans(scans: Path, folds: Sequence[Fold], pattern: str | None) -> None:
    """``ConfigError`` where a case cannot be predicted and scored: better now than after hours of training."""
    there = {case.case_id for case in scan_with_masks(scans, pattern).cases if case.labels and case.modalities}
    lost = [case_id for case_id in dict.fromkeys(i for fold in folds for i in fold.split.test) if case_id not in there]
    if lost:
        raise ConfigError(
            f"{scans} does not hold all cases of the prepared data set with image and mask",
            found=f"{len(lost)} without: {summarise(lost)}",
            remedy="name the data set that it was prepared from",
        )


def how_to_score(info: StoreInfo, folds: Sequence[Fold], *, pattern: str | None, seed: int = 0) -> EvaluateOptions:
    """How to score the predictions of these folds on the native grid; ``seed`` draws the bootstrap."""
    conventions = {entry.convention for entry in info.cases}
    return EvaluateOptions(
        cases=tuple(case_id for fold in folds for case_id in fold.split.test),
        reference_labels=conventions.pop() if len(conventions) == 1 else None,
        pattern=pattern,
        seed=seed,
    )
