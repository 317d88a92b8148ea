"""The verbs about studies: cross-validate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gliamap.cli.data_verbs import Json, Pattern
from gliamap.cli.show import (
    count,
    plain,
    print_json,
    print_notes,
    progress_bar,
    remark,
    remark_if_stopped,
    say,
)
from gliamap.cli.show_scores import print_study
from gliamap.cli.train_verb import AuxiliaryClosed, AuxiliaryShare, AuxiliaryStore, auxiliary_options

if TYPE_CHECKING:
    from gliamap.workflows.common.folds import Fold
    from gliamap.workflows.studies.cross_validate import CrossValidated
    from gliamap.workflows.studies.fold_work import StudyReport

RecipeName = Annotated[str, typer.Argument(help="Name of a recipe, such as 'default', or its file.")]
Scans = Annotated[Path, typer.Argument(help="Data set that the store was prepared from, with its masks.")]
Folds = Annotated[int | None, typer.Option(min=2, help="How many. Default: those that the data set ships, else 4.")]
ClosedFolds = Annotated[
    list[int] | None, typer.Option(help="Fold of the data set's own to use for nothing at all; repeatable.")
]
Only = Annotated[
    list[int] | None, typer.Option("--fold", help="Train and predict this fold only, score nothing; repeatable.")
]
Gather = Annotated[bool, typer.Option("--gather", help="Train nothing: score what the folds left in --out.")]
Jobs = Annotated[int, typer.Option(min=1, help="Folds side by side, each in a process with its share of threads.")]


def cross_validate(
    recipe: RecipeName,
    store: Annotated[Path, typer.Argument(help="Prepared data set (gliamap prepare).")],
    scans: Scans,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the study.")],
    folds: Folds = None,
    repeats: Annotated[int, typer.Option(min=1, help="Do it so often, each time with another seed.")] = 1,
    closed_fold: ClosedFolds = None,
    auxiliary: AuxiliaryStore = None,
    auxiliary_share: AuxiliaryShare = None,
    auxiliary_closed_fold: AuxiliaryClosed = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first repeat; the next has the next.")] = 0,
    fold: Only = None,
    gather: Gather = False,
    jobs: Jobs = 1,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps a fold. Default: as the recipe says.")] = None,
    validate_every: Annotated[int | None, typer.Option(help="Steps between validations. Default: likewise.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that load patches. Default: likewise.")] = None,
    pattern: Pattern = None,
    json: Json = False,
) -> None:
    """Cross-validate a recipe: every case is predicted by a model that never saw its patient.

    Trains on all folds but one in turn, predicts the one held out, and scores all cases on their own grid. The same
    command goes on where it stopped. A fold that fails does not stop the others: exit code 1.

    Examples:

    gliamap cross-validate default store BraTS2021_Training -o study

    gliamap cross-validate default store BraTS2021_Training -o study --folds 5 --fold 2

    gliamap cross-validate default store BraTS2021_Training -o study --folds 5 --gather
    """
    from gliamap.recipes.named import find_recipe
    from gliamap.workflows.common.folds import CrossValidateOptions
    from gliamap.workflows.studies.cross_validate import cross_validate as run

    found = find_recipe(recipe)
    given = {"steps": steps, "validate_every": validate_every, "workers": workers}
    config = found.config | {name: value for name, value in given.items() if value is not None}
    options = CrossValidateOptions(
        recipe=found.model_copy(update={"config": config}),
        folds=folds,
        repeats=repeats,
        closed_folds=tuple(closed_fold or ()),
        auxiliary=auxiliary_options(auxiliary, auxiliary_share, auxiliary_closed_fold),
        seed=seed,
        only=tuple(fold or ()),
        gather=gather,
        jobs=jobs,
        pattern=pattern,
    )
    with remark_if_stopped("the same command goes on"), progress_bar("cross-validate") as bar:
        done = run(store, scans, out=out, options=options, observe=watch_study(bar))
    _print_study(done, [each for each in done.folds if not fold or each.number in fold], json=json)


def watch_study(bar: Callable[[float, int, str], None]) -> Callable[[StudyReport], None]:
    """Show how the cases were divided, a line for each validation; beside the bar the training, step and loss."""

    def observe(report: StudyReport) -> None:
        note, step = report.note, report.step
        if report.doing == "divide":
            remark(f"folds: {plain(report.note)}")
        if step is not None:
            note = f"{report.note}: step {step.step} of {step.steps}, loss {step.loss:.3f}"
            if step.dice:
                dice = " ".join(f"{region} {score:.2f}" for region, score in step.dice.items())
                remark(f"{note}, validation Dice {dice}")
        bar(report.done, report.total, note)

    return observe


def _print_study(done: CrossValidated, asked: list[Fold], *, json: bool) -> None:
    """What was done; exit code 1 where a fold failed."""
    if json:
        _print_json(done)
    elif done.scores is not None:
        print_study(done.scores)
        say(f"scores of every case in {plain(done.out)}")
    elif not done.failed:
        say(f"{count(asked, 'fold')} trained and predicted in {plain(done.out)}")
        _print_next(done)
    print_notes(done.notes)
    if done.failed:
        remark(f"[bold red]{len(done.failed)} of {count(asked, 'fold')} failed[/], nothing is scored")
        for name, why in done.failed.items():
            remark(f"  [bold]{plain(name)}[/]: {plain(why)}")
        raise typer.Exit(1)


def _print_next(done: CrossValidated) -> None:
    for name, lack in done.lacking.items():
        remark(f"  {name}: {plain(lack)}")
    after = "do the others with --fold, here or elsewhere, then" if done.lacking else "the same command with"
    remark(f"next: {after} --gather in its place")


def _print_json(done: CrossValidated) -> None:
    from gliamap.scoring.repeats import study_as_json

    scores = {"scores": None if done.scores is None else study_as_json(done.scores)}
    about = {"out": done.out, "division": done.division, "failed": done.failed, "lacking": done.lacking}
    print_json(about | scores | {"notes": done.notes})
