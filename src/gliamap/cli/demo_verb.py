"""The verb demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gliamap.cli.data_verbs import Json
from gliamap.cli.segment_verb import print_volumes
from gliamap.cli.show import plain, print_json, progress_bar, remark, say
from gliamap.cli.show_scores import print_summary


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the demonstration.")] = Path("demo"),
    json: Json = False,
) -> None:
    """Segment a phantom with the built-in model and score it: a look at what gliamap makes, in a minute.

    Examples:

    gliamap demo

    gliamap demo -o somewhere-else
    """
    from gliamap.scoring.rows import as_json
    from gliamap.workflows.demo import demo as run

    with progress_bar("demo") as progress:
        done = run(out, progress=progress)
    if json:
        scores = as_json(done.scores, ())["summary"]
        print_json(
            {"mask": done.mask, "picture": done.picture, "report": done.report, "case": done.summary, "scores": scores}
        )
        return
    print_volumes([done.summary])
    print_summary(done.scores)
    say(f"mask      {plain(done.mask)}")
    say(f"picture   {plain(done.picture)}")
    say(f"report    {plain(done.report)}")
    remark("A phantom and a model trained on phantoms: real scans need a model trained on real cases.")
