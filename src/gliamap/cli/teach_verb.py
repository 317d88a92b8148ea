"""The verb teach: what trained networks say of the cases, for a new one to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gliamap.cli.data_verbs import Json
from gliamap.cli.show import plain, print_json, progress_bar, remark, say


def teach(
    store: Annotated[Path, typer.Argument(help="Prepared data set (gliamap prepare).")],
    teachers: Annotated[list[Path], typer.Argument(help="Runs, models, or the folder of a cross-validation.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the lessons.")],
    json: Json = False,
) -> None:
    """Write what an ensemble says of every case, for one network to learn from (knowledge distillation).

    An interrupted call goes on where it stopped.

    Examples:

    gliamap teach store study -o lessons

    gliamap train store -o student --lessons lessons --test-share 0
    """
    from gliamap.workflows.training.teach import teach as run

    with progress_bar("teach") as progress:
        done = run(store, teachers, out, progress=progress)
    if json:
        print_json({"lessons": done.folder, "teachers": done.teachers, "cases": done.cases})
        return
    say(f"{done.teachers} teachers' opinions of {done.cases} cases in {plain(done.folder)}")
    remark(f"next: gliamap train {plain(store)} -o run --lessons {plain(done.folder)}")
