"""The verb compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gliamap.cli.data_verbs import Json
from gliamap.cli.show import plain, print_json, progress_bar, remark, remark_if_stopped, say
from gliamap.cli.study_verbs import watch_study

if TYPE_CHECKING:
    from gliamap.comparison.nouns import Comparison
    from gliamap.workflows.studies.compare import Prepared

_ARMS, _DIVISION, _RUN = "What is compared", "How cases are divided", "The trainings"

Recipes = Annotated[list[str], typer.Argument(metavar="RECIPE", help="Names of recipes, or their files.")]
Stores = Annotated[
    list[Path], typer.Option("--data", help="Prepared data set (gliamap prepare); repeatable, with its --scans.")
]
ScansOf = Annotated[
    list[Path], typer.Option("--scans", help="Data set that --data was prepared from, with its masks; repeatable.")
]
Networks = Annotated[
    list[str] | None,
    typer.Option("--network", help="Each recipe with this network; repeatable.", rich_help_panel=_ARMS),
]
Losses = Annotated[
    list[str] | None, typer.Option("--loss", help="Each recipe with this loss; repeatable.", rich_help_panel=_ARMS)
]
Baseline = Annotated[
    str | None, typer.Option(help="Arm that the others are held against. Default: the first.", rich_help_panel=_ARMS)
]
TestOn = Annotated[
    list[Path] | None,
    typer.Option(help="Other scans with masks to test on, too; repeatable.", rich_help_panel=_ARMS),
]
TestFolds = Annotated[
    str | None, typer.Option("--folds", help="Folds to test on, such as 0,1. Default: all.", rich_help_panel=_DIVISION)
]
ClosedFolds = Annotated[
    list[int] | None, typer.Option(help="Fold to use for nothing at all; repeatable.", rich_help_panel=_DIVISION)
]
Division = Annotated[
    Literal["patient", "record"],
    typer.Option("--split", help="record tears patients apart, to show what that does.", rich_help_panel=_DIVISION),
]
PatternOf = Annotated[
    str | None,
    typer.Option("--pattern", help="How files are named in data sets that no layout fits.", rich_help_panel=_DIVISION),
]
BudgetText = Annotated[
    str | None,
    typer.Option(
        "--budget",
        help="For each training: 2000steps, or 15min, 2h, 90s. Default: the recipe's steps.",
        rich_help_panel=_RUN,
    ),
]
Seeds = Annotated[int, typer.Option(min=1, help="Trainings of each arm on each fold.", rich_help_panel=_RUN)]
Jobs = Annotated[
    int, typer.Option(min=1, help="Trainings side by side, each with its share of threads.", rich_help_panel=_RUN)
]


def compare(
    recipes: Recipes,
    data: Stores,
    scans: ScansOf,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the comparison.")],
    network: Networks = None,
    loss: Losses = None,
    baseline: Baseline = None,
    test_on: TestOn = None,
    folds: TestFolds = None,
    closed_fold: ClosedFolds = None,
    split: Division = "patient",
    pattern: PatternOf = None,
    budget: BudgetText = None,
    seeds: Seeds = 1,
    jobs: Jobs = 1,
    json: Json = False,
) -> None:
    """Compare recipes, networks, losses: each trained on the same cases, under the same budget.

    An arm is a recipe, with each network and loss named. All arms of a fold and seed come before
    the next, so that what is done early can be compared. The same command goes on where it stopped;
    with more arms, folds or seeds it adds them. A training that fails does not stop the others:
    exit code 1.

    Examples:

    gliamap compare default strong --data store --scans BraTS2021 -o compared

    gliamap compare brats-3d --network unet --network dynunet --data store --scans BraTS2021 -o out
    --budget 15min --seeds 3

    gliamap compare t1c-binary --split record --data store --scans slices -o leaky --folds 0,1
    """
    from gliamap.recipes.named import find_recipe
    from gliamap.workflows.studies.budget import parse_budget
    from gliamap.workflows.studies.compare import CompareOptions
    from gliamap.workflows.studies.compare import compare as run

    options = CompareOptions(
        recipes=tuple(find_recipe(name) for name in recipes),
        networks=tuple(network or ()),
        losses=tuple(loss or ()),
        folds=_numbers(folds),
        closed_folds=tuple(closed_fold or ()),
        budget=parse_budget(budget) if budget else None,
        seeds=seeds,
        baseline=baseline,
        split=split,
        jobs=jobs,
        test_on=tuple(test_on or ()),
        pattern=pattern,
    )
    if split == "record":
        remark("[bold red]the same patients are trained on and tested: these scores are too high, on purpose[/]")
    with remark_if_stopped(f"the same command goes on in {plain(out)}"), progress_bar("compare") as bar:
        done = run(_pairs(data, scans), out=out, options=options, observe=watch_study(bar))
    _print_compared(done, out, json=json)


def _pairs(stores: list[Path], scans: list[Path]) -> tuple[Prepared, ...]:
    from gliamap.workflows.studies.compare import Prepared

    if len(stores) != len(scans):
        raise typer.BadParameter(
            f"{len(stores)} --data and {len(scans)} --scans: say for each store what it was prepared from",
            param_hint="--scans",
        )
    return tuple(Prepared(store, source) for store, source in zip(stores, scans, strict=True))


def _numbers(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(","))) if text else ()
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is no list of folds such as 0,1", param_hint="--folds") from error


def _print_compared(done: Comparison, out: Path, *, json: bool) -> None:
    """The tables, or JSON; exit code 1 where a training or a test was not done."""
    from gliamap.cli.show_comparison import print_comparison
    from gliamap.comparison.nouns import as_json
    from gliamap.comparison.tables import lacking_of

    if json:
        print_json({"out": out} | as_json(done))
    else:
        print_comparison(done)
        say(f"tables, figures and the scores of every case in {plain(out)}; a page in {plain(out / 'comparison.html')}")
    if lacking_of(done):
        raise typer.Exit(1)
