"""The verb split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gliamap.cli.data_verbs import Json, Overwrite, Pattern
from gliamap.cli.show import plain, print_json, print_notes, print_table, progress_bar, remark, say

if TYPE_CHECKING:
    from gliamap.workflows.data.split import Divided

Out = Annotated[Path, typer.Option("--out", "-o", help="File for the split; with --folds a folder.")]
ClosedFolds = Annotated[list[int] | None, typer.Option(help="Fold to leave out of everything; repeatable.")]
By = Annotated[
    Literal["patient", "case"],
    typer.Option(help="What is drawn as one; 'case' tears patients apart, on purpose."),
]


def split(
    source: Annotated[Path, typer.Argument(help="Data set with masks, or prepared data set (store).")],
    out: Out,
    folds: Annotated[int | None, typer.Option(min=2, help="Cross-validation with so many folds.")] = None,
    test_fold: Annotated[int | None, typer.Option(help="Fold to test on, of the data set's own.")] = None,
    closed_fold: ClosedFolds = None,
    test_share: Annotated[float, typer.Option(min=0, max=0.99, help="Share of the patients to test on.")] = 0.2,
    val_share: Annotated[float, typer.Option(min=0, max=0.99, help="Share of the rest to validate on.")] = 0.1,
    by: By = "patient",
    labels: Annotated[str | None, typer.Option(help="Label convention, where layout and values do not tell.")] = None,
    pattern: Pattern = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same parts.")] = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Divide cases into training, validation and test: by patient, alike in tumour size and enhancement.

    Examples:

    gliamap split BraTS2021_Training -o split.json

    gliamap split store --folds 5 -o folds

    gliamap train store -o run0 --split folds/fold0.json
    """
    from gliamap.sources.splits import SplitOptions
    from gliamap.workflows.data.split import DivideOptions, divide

    drawn = SplitOptions(
        test_fold=test_fold,
        closed_folds=tuple(closed_fold or ()),
        val_share=val_share,
        test_share=test_share,
        unit=by,
        seed=seed,
    )
    options = DivideOptions(split=drawn, folds=folds, labels=labels, pattern=pattern, overwrite=overwrite)
    with progress_bar("split") as progress:
        done = divide(source, out, options=options, progress=progress)
    if json:
        parts = [{name: vars(summary) for name, summary in parts.items()} for parts in done.parts]
        print_json({"files": done.files, "parts": parts, "size_unit": done.size_unit, "notes": done.notes})
        return
    _print_parts(done)
    print_notes(done.notes)
    if done.splits[0].left_out:
        remark(f"note: {len(done.splits[0].left_out)} cases are in no part; the file says why")
    say(f"{'splits' if folds else 'split'} in {plain(out)}")


def _print_parts(done: Divided) -> None:
    from rich.table import Table

    table = Table()
    table.add_column("file")
    table.add_column("part")
    for title in ("cases", "patients", f"median tumour, {done.size_unit}", "with ET"):
        table.add_column(title, justify="right")
    for path, parts in zip(done.files, done.parts, strict=True):
        for name, part in parts.items():
            size = "-" if part.median_size is None else f"{part.median_size:.1f}"
            share = "-" if part.enhancing_share is None else f"{part.enhancing_share:.0%}"
            table.add_row(plain(path.name), name, str(part.cases), str(part.patients), size, share)
    print_table(table)
