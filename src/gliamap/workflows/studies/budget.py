"""What a training may use, and a recipe that uses just that: steps, or time once the pace of its steps is known.

A learning rate falls to nothing at the end of its schedule, so that a training cut off is not what a shorter one would
have been. Hence steps are settled before it begins, and the schedule ends with them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from gliamap.comparison.nouns import Budget
from gliamap.config import TrainConfig
from gliamap.errors import ConfigError
from gliamap.io.atomic import read_json, write_json
from gliamap.recipes.recipe import Recipe, base_of
from gliamap.sources.splits import write_split
from gliamap.training.progress import StepReport
from gliamap.workflows.studies.fold_work import FoldTask, Observe, StudyReport, alone_at, fold_options
from gliamap.workflows.training.train import train
from gliamap.workflows.training.train_settings import TrainOptions

VALIDATIONS = 8
"""How often each stage of a training with a budget is validated: equally often for all, as the best is kept."""

VALIDATING_AT_MOST = 0.25
"""The share of a time budget that validations may take; where they would take more, there are fewer of them."""

LEAST_STEPS = 10
"""A time in which fewer steps fit is no budget."""

PACE = "pace.json"

_WARM_STEPS = 3  # of a new process, slower than those that follow
_MEASURED_SECONDS = 20.0
_FEW_STEPS, _MOST_STEPS = 5, 200  # that are measured
_UNITS = {"steps": ("steps", 1.0), "s": ("minutes", 1 / 60), "min": ("minutes", 1.0), "h": ("minutes", 60.0)}


@dataclass(frozen=True)
class Pace:
    """Seconds of one step and of one validation."""

    step: float
    validation: float


def parse_budget(text: str) -> Budget:
    """A budget from ``2000steps``, ``15min``, ``2h`` or ``90s``; ``ConfigError`` for anything else."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?) ?(steps|s|min|h)", text.strip(), re.ASCII)
    kind, factor = _UNITS[match[2]] if match else ("", 0.0)
    amount = float(match[1]) * factor if match else 0.0
    if amount <= 0 or (kind == "steps" and not amount.is_integer()):
        raise ConfigError(f"'{text}' is no budget", expected="one such as 2000steps, 15min, 2h or 90s")
    return Budget("steps" if kind == "steps" else "minutes", amount)


def stages_of(recipe: Recipe) -> tuple[Recipe, ...]:
    """The trainings of a recipe, one after the other: its base, where it has one, and what follows."""
    base = base_of(recipe)
    rest = recipe.model_copy(update={"base": None})
    return (base, rest) if base else (rest,)


def within(recipe: Recipe, budget: Budget, paces: Sequence[Pace] = ()) -> Recipe:
    """``recipe`` with as many steps as ``budget`` allows; for a budget of time, ``paces`` are those of its stages.

    All its stages become longer or shorter by one factor, so that together they use the budget, and what is said in
    steps with them: those in which the encoder rests; the warm-up only where it would take over a tenth. Each stage is
    validated ``VALIDATIONS`` times. ``ConfigError`` where less than ``LEAST_STEPS`` steps fit.
    """
    stages = stages_of(recipe)
    own = [_steps(stage) for stage in stages]
    each = VALIDATIONS
    if budget.kind == "steps":
        factor = budget.amount / sum(own)
    else:
        seconds, validating = 60 * budget.amount, sum(pace.validation for pace in paces)
        each = max(1, int(min(VALIDATIONS, VALIDATING_AT_MOST * seconds / max(validating, 1e-9))))
        stepping = sum(steps * pace.step for steps, pace in zip(own, paces, strict=True))
        factor = max(0.0, seconds - each * validating) / stepping
    steps = _shares(own, factor)
    if sum(steps) < LEAST_STEPS or min(steps) < 1:
        slow = ", ".join(f"{pace.step:.3g} s a step, {pace.validation:.3g} s a validation" for pace in paces)
        raise ConfigError(
            f"the budget of {budget} is too short for the recipe {recipe.name}",
            found=slow or f"{sum(steps)} steps",
            expected=f"at least {LEAST_STEPS} steps",
            remedy="allow more with --budget",
        )
    done = [_with_steps(stage, count, factor, each) for stage, count in zip(stages, steps, strict=True)]
    base = recipe.base and recipe.base.model_copy(update={"config": done[0].config})
    return recipe.model_copy(update={"base": base, "config": done[-1].config})


def _steps(stage: Recipe) -> int:
    return int(stage.config.get("steps", TrainConfig.model_fields["steps"].default))


def _shares(own: Sequence[int], factor: float) -> list[int]:
    """The steps of each stage, times ``factor``: rounded down but for what the last stage has left of the whole."""
    first = [int(steps * factor) for steps in own[:-1]]
    return [*first, int(sum(own) * factor + 1e-6) - sum(first)]


def _with_steps(stage: Recipe, steps: int, factor: float, validations: int) -> Recipe:
    fields = TrainConfig.model_fields
    frozen = stage.config.get("freeze_encoder_steps", fields["freeze_encoder_steps"].default)
    warm = stage.config.get("warmup_steps", fields["warmup_steps"].default)
    config: dict[str, Any] = {
        "steps": steps,
        "validate_every": -(-steps // validations),
        "freeze_encoder_steps": int(frozen * factor),
        "warmup_steps": min(warm, steps // 10),
    }
    return stage.model_copy(update={"config": stage.config | config})


class _Enough(Exception):
    """The pace is known."""


def measure_pace(task: FoldTask, tell: Observe) -> str:
    """Write the paces of the stages of a fold's recipe into its folder, for :func:`paces_in`; why that failed.

    For a process of its own.
    """
    torch.set_num_threads(task.threads)

    def work() -> None:
        tell(StudyReport("train", f"{task.fold.name}: measuring the pace", 0, 1))
        paces = [asdict(pace_of(task, stage)) for stage in stages_of(task.recipe)]
        write_json(task.fold.folder / PACE, {"threads": task.threads, "stages": paces})

    try:
        return alone_at(task.fold.folder, work)
    except ConfigError as error:  # one arm's settings are no reason to stop the others
        return str(error)


def paces_in(folder: Path) -> tuple[Pace, ...]:
    """What :func:`measure_pace` wrote; nothing where it did not."""
    path = folder / PACE
    return tuple(Pace(**stage) for stage in read_json(path)["stages"]) if path.is_file() else ()


def pace_of(task: FoldTask, stage: Recipe) -> Pace:
    """Train ``stage`` on a fold's cases for a moment, in a folder that is removed again.

    A step's seconds are the median, so that what else the machine does for a moment does not count.
    """
    with TemporaryDirectory() as name:
        fold = replace(task.fold, folder=Path(name))
        write_split(fold.split_file, fold.split)
        options = fold_options(replace(task, fold=fold, recipe=stage))
        reports: list[StepReport] = []
        once = _changed(options, {"steps": 1, "validate_every": 1})
        train(task.store, fold.folder / "once", options=once, observe=reports.append)
        times: list[float] = []

        def watch(report: StepReport) -> None:
            times.append(sum(report.stages.values()))
            known = times[_WARM_STEPS:]
            if len(known) == _MOST_STEPS or (len(known) >= _FEW_STEPS and sum(known) > _MEASURED_SECONDS):
                raise _Enough

        many = _changed(options, {"steps": 10**6, "validate_every": 10**6})
        with suppress(_Enough):
            train(task.store, fold.folder / "many", options=many, observe=watch)
    return Pace(median(times[_WARM_STEPS:]), reports[-1].stages["validate"])


def _changed(options: TrainOptions, config: dict[str, Any]) -> TrainOptions:
    return options.model_copy(update={"config": options.config | config})
