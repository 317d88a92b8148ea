"""The verb evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gliamap.cli.data_verbs import Json, Overwrite, Pattern
from gliamap.cli.show import plain, print_json, print_notes, progress_bar, remark_if_stopped, say
from gliamap.cli.show_scores import print_paired, print_summary

if TYPE_CHECKING:
    from gliamap.scoring.evaluation import Evaluation

Protocol = Annotated[
    str,
    typer.Option(help="Rules of a challenge: legacy (BraTS 2017-2021), or brats2023- and gli, ssa, ped, men or met."),
]
Against = Annotated[
    Path | None, typer.Option(help="Second folder of predictions, compared with the first patient by patient.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Cases scored at a time. Default: as many as there are processors.")
]

_NAMED = 10  # missing or surplus cases that are named in the terminal


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted masks, one a case.")],
    references: Annotated[Path, typer.Argument(help="Data set with masks, or folder of masks.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the page, the tables and JSON.")] = None,
    protocol: Protocol = "legacy",
    against: Against = None,
    labels: Annotated[str | None, typer.Option(help="Label convention of the predictions, if not told.")] = None,
    reference_labels: Annotated[
        str | None, typer.Option(help="Label convention of the references, if not told.")
    ] = None,
    split: Annotated[Path | None, typer.Option(help="Score only cases of this split.json; needs --part.")] = None,
    part: Annotated[Literal["train", "val", "test"] | None, typer.Option(help="The part of --split to score.")] = None,
    pattern: Pattern = None,
    pictures: Annotated[int, typer.Option(min=0, help="Draw so many cases, worst to best, into --out.")] = 0,
    workers: Workers = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Score predictions against references on their native grid: Dice, HD95, lesions, volumes and more.

    Missing predictions score worst and are listed; grids that differ are an error. With --out, the same command goes
    on where it was interrupted.

    Examples:

    gliamap evaluate out BraTS2021_Training -o scores

    gliamap evaluate out data --split run/split.json --part test -o scores

    gliamap evaluate ours BraTS2023 --protocol brats2023-gli --against theirs -o scores
    """
    from gliamap.workflows.common.parallel import default_workers
    from gliamap.workflows.scores.evaluate import EvaluateOptions
    from gliamap.workflows.scores.evaluate import evaluate as run
    from gliamap.workflows.scores.evaluate_files import evaluation_as_json

    options = EvaluateOptions(
        labels=labels,
        reference_labels=reference_labels,
        split=split,
        part=part,
        pattern=pattern,
        overwrite=overwrite,
        pictures=pictures,
        protocol=protocol,
        against=against,
        workers=workers or default_workers(),
    )
    how = "the same command goes on" if out else "nothing is kept without --out"
    with remark_if_stopped(how), progress_bar("evaluate") as progress:
        found = run(predictions, references, out=out, options=options, progress=progress)
    if json:
        print_json(evaluation_as_json(found))
        return
    print_evaluation(found)
    if out:
        say(f"page, tables and scores of every case in {plain(out)}")


def print_evaluation(found: Evaluation) -> None:
    """The tables, what was missing or surplus, the label conventions, remarks."""
    print_summary(found.summary)
    if found.paired:
        print_paired(found.paired)
        say(plain(f"ours is {found.predictions}, other is {found.other}"))
    for title, names in (("missing, scored worst", found.missing), ("without a reference", found.surplus)):
        if names:
            more = " ..." if len(names) > _NAMED else ""
            say(plain(f"{title}: {', '.join(names[:_NAMED])}{more} ({len(names)})"))
    sides = ("predictions", found.prediction_conventions), ("references", found.reference_conventions)
    said = ", ".join(f"{side} {' and '.join(names)}" for side, names in sides)
    say(f"labels: {said}; protocol: {found.protocol.name}")
    print_notes(found.notes)
