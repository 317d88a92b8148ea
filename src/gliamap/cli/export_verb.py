"""The verb export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gliamap.cli.data_verbs import Json, Overwrite
from gliamap.cli.show import plain, print_json, print_notes, say

To = Annotated[
    Literal["onnx", "openvino", "pt2", "monai-bundle", "nnunet"],
    typer.Option(help="Format of the network; nnunet is refused, with the reason."),
]


def export(
    model: Annotated[Path, typer.Argument(help="Run folder of gliamap train, or a model folder.")],
    to: To,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the network and all that goes with it.")],
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Export a network for programs that have no gliamap: with its description and an example that segments a case.

    Examples:

    gliamap export run --to onnx -o network

    gliamap export run --to monai-bundle -o bundle
    """
    from gliamap.workflows.prediction.export_model import export_model

    done = export_model(model, out, to=to, overwrite=overwrite)
    if json:
        print_json({"folder": done.folder, "files": done.files, "notes": done.notes})
        return
    say(f"{to} in {plain(out)}: {plain(', '.join(done.files))}")
    print_notes(done.notes)
    say("research use only")
