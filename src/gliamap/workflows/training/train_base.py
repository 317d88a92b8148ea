"""A training that begins with another one, the base of its recipe.

RUN/base   the run of the base: the same network, cases divided alike
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gliamap.config import OF_THE_MACHINE
from gliamap.errors import ConfigError
from gliamap.io.store import read_store
from gliamap.recipes.recipe import Recipe, base_of
from gliamap.training.loop import Job, check_job
from gliamap.training.progress import StepReport
from gliamap.workflows.common.processes import open_devices
from gliamap.workflows.common.run_record import check_new
from gliamap.workflows.training.division import divide_cases
from gliamap.workflows.training.patch_drawing import with_table
from gliamap.workflows.training.teach import check_lessons
from gliamap.workflows.training.tracking import Observer
from gliamap.workflows.training.train_settings import TrainOptions, full_settings

BASE = "base"
"""The folder in a run's where the base of its recipe is trained."""


def find_base(store: Path, run: Path, options: TrainOptions, *, resume: bool) -> TrainOptions | None:
    """What trains the base of ``options``; ``None`` where there is none.

    ``ConfigError`` or ``OutputError`` where what follows could not even begin: better now than after the base's hours.
    """
    if options.base is None:
        return None
    if options.init_from is not None:
        raise ConfigError(
            f"the recipe {options.name} begins with a base of its own",
            found=f"--init-from {options.init_from}",
            remedy="leave --init-from out, or take another recipe",
        )
    devices = open_devices()
    with devices.first_ahead():
        _check_run(run, options, resume=resume)
        info = read_store(store)
        rest, split = with_table(options, info), divide_cases(info, options)
        spec, config = full_settings(info, rest, run.resolve().name)
        if options.lessons:
            check_lessons(options.lessons, info, spec.output, split, leaky=options.leaky)
        check_job(Job(store, split.train, split.val, config, spec, run), devices.processes)
    base = base_of(rest)  # of the rest: a table of slices says that the network is one for slices
    return None if base is None else base_options(base, options)


def base_options(base: Recipe, options: TrainOptions) -> TrainOptions:
    """What trains the ``base`` of ``options``: with their seed and division, on their machine."""
    shared = options.model_dump(include={"split", "split_file", "leaky", "track"})
    machine = {name: options.config[name] for name in OF_THE_MACHINE if name in options.config}
    config = machine | base.config | {"seed": options.config.get("seed", 0)}
    return TrainOptions.model_validate(base.model_dump() | shared | {"config": config})


def after_base(run: Path, options: TrainOptions) -> TrainOptions:
    """What is left to do once the base of ``options`` is trained."""
    return options.model_copy(update={"base": None, "init_from": run / BASE})


def of_base(observe: Observer | None) -> Observer:
    """An observer of the base's training: ``observe`` is told that it is the base's."""

    def tell(report: StepReport) -> None:
        if observe:
            observe(replace(report, base=True))

    return tell


def _check_run(run: Path, options: TrainOptions, *, resume: bool) -> None:
    if not resume:
        check_new(run)
    elif (run / "run.json").is_file() and not (run / BASE / "run.json").is_file():
        raise ConfigError(
            f"the run in {run} did not begin with a base",
            found=f"the recipe {options.name}, which does",
            remedy="resume it with the recipe that it began with, or start a new run elsewhere",
        )
