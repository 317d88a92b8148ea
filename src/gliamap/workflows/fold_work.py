"""One fold of a cross-validation: train on the others, predict what it holds out."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from gliamap.errors import CasesFailed, ConfigError, GliamapError
from gliamap.io.atomic import write_text
from gliamap.io.lock import alone
from gliamap.io.store import read_store
from gliamap.sources.splits import SplitOptions
from gliamap.training.loop import Job, check_job
from gliamap.training.progress import StepReport
from gliamap.workflows.failures import reason_of
from gliamap.workflows.folds import CrossValidateOptions, Fold
from gliamap.workflows.processes import open_devices
from gliamap.workflows.segment import SegmentOptions, segment
from gliamap.workflows.train import train
from gliamap.workflows.train_settings import TrainOptions, full_settings


@dataclass(frozen=True)
class StudyReport:
    """What an observer is told.

    ``doing``: what is done now, with ``note`` in words; ``done`` of ``total`` folds are ready, with the share of the
    running one. ``step`` is filled after a training step.
    """

    doing: Literal["divide", "train", "segment", "evaluate"]
    note: str
    done: float
    total: int
    step: StepReport | None = None


Observe = Callable[[StudyReport], None]


@dataclass(frozen=True)
class FoldTask:
    """One fold to train and predict. ``threads`` are those of a process of its own."""

    fold: Fold
    store: Path
    scans: Path
    options: CrossValidateOptions
    threads: int = 1


def do_fold(task: FoldTask, tell: Observe = lambda _: None) -> str:
    """Train and predict one fold; why that failed, or nothing. ``tell`` hears of it as if there were no other.

    What nobody foresaw leaves its traceback in ``error.txt``: a fold may take hours, and is not soon repeated.
    """
    fold = task.fold
    unforeseen = fold.folder / "error.txt"
    with alone(fold.folder) as free:
        if not free:
            return "another process is at it"
        unforeseen.unlink(missing_ok=True)
        try:
            if not fold.trained:
                _train(task, tell)
            _predict(task, tell)
        except GliamapError as error:
            return reason_of(error)
        except Exception as error:
            write_text(unforeseen, traceback.format_exc())
            return f"{reason_of(error)}; see {unforeseen}"
    return ""


def do_fold_apart(task: FoldTask) -> str:
    """:func:`do_fold` in a process of a pool. Told to stop, the process ends: else it would be given the next fold."""
    torch.set_num_threads(task.threads)
    try:
        return do_fold(task)
    except KeyboardInterrupt:  # SIGTERM, too: the state is saved by now
        os._exit(143)


def check_fold(task: FoldTask) -> None:
    """``ConfigError`` where its training could not even begin, or the process is one of several that share it."""
    if open_devices().processes > 1:
        raise ConfigError(
            "a cross-validation does not run under torchrun",
            remedy="say --jobs for folds side by side, or run each fold elsewhere with --fold",
        )
    fold = task.fold
    spec, config = full_settings(read_store(task.store), _train_options(task), fold.run.name)
    check_job(Job(task.store, fold.split.train, fold.split.val, config, spec, fold.run))


def _train_options(task: FoldTask) -> TrainOptions:
    fold, recipe = task.fold, task.options.recipe
    return TrainOptions.model_validate(
        recipe.model_dump()
        | {"config": recipe.config | {"seed": fold.seed}, "split_file": fold.split_file}
        | {"split": SplitOptions(closed_folds=task.options.closed_folds, seed=fold.seed)}
    )


def _train(task: FoldTask, tell: Observe) -> None:
    trainings = 2 if task.options.recipe.base else 1

    def observe(step: StepReport) -> None:
        before = trainings - 1 if not step.base else 0
        name = f"{task.fold.name}, base" if step.base else task.fold.name
        tell(StudyReport("train", name, (before + step.step / step.steps) / trainings, 1, step))

    train(task.store, task.fold.run, options=_train_options(task), resume=True, observe=observe)


def _predict(task: FoldTask, tell: Observe) -> None:
    """Predict the held-out cases that lack it. ``CasesFailed`` where some cannot be predicted."""
    fold = task.fold
    left = fold.unpredicted()
    if not left:
        return

    def progress(done: float, cases: int, case_id: str) -> None:
        tell(StudyReport("segment", f"{fold.name}: {int(done)} of {cases} predicted, {case_id}", 1, 1))

    # A case of the store is what the model is for, whatever it looks like: hence force.
    options = SegmentOptions(
        part="test", cases=left, pictures=False, pattern=task.options.pattern, force=True, overwrite=True
    )
    done = segment(task.scans, fold.masks, model=fold.run, options=options, progress=progress)
    if done.failed:
        first, why = next(iter(done.failed.items()))
        raise CasesFailed(f"{len(done.failed)} of {len(left)} cases could not be predicted", found=f"{first}: {why}")
