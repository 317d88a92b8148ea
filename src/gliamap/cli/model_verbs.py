"""The verbs about models: segment, demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gliamap.cli.data_verbs import Json, Overwrite, Pattern
from gliamap.cli.show import (
    end_with_failures,
    plain,
    print_json,
    print_notes,
    print_table,
    progress_bar,
    remark,
    say,
)
from gliamap.cli.show_scores import print_summary

if TYPE_CHECKING:
    from gliamap.workflows.segment import Segmented

# Options whose help needs more than a line.
Labels = Annotated[
    str | None,
    typer.Option(help="Label convention to write, such as brats2023. Default: the input's, else the model's."),
]
Part = Annotated[
    Literal["train", "val", "test"] | None, typer.Option(help="Only the cases of this part of the run's split.")
]
MinSize = Annotated[
    float | None,
    typer.Option(min=0, help="Remove connected parts below this, mL (images: pixels). Default: as the model says."),
]
ResampleTo = Annotated[
    str | None,
    typer.Option(help="Bring the other modalities onto this one's grid, unregistered, where grids differ."),
]
Modalities = Annotated[
    str | None,
    typer.Option(help="Use only these of the model's modalities, as if the others were missing: t1,t1c."),
]
Flips = Annotated[
    bool,
    typer.Option("--flips", help="Average over all flips: 8 times the work in 3D, 4 times in 2D."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Allow a model of skull-stripped brains on whole heads, and the reverse.")
]
Overlap = Annotated[
    float | None, typer.Option(min=0, max=0.9, help="Overlap of windows, a share. Default: as the model says.")
]


def segment(
    source: Annotated[Path, typer.Argument(help="Case folder, folder of cases, image or folder of images.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for masks, numbers and pictures.")],
    model: Annotated[Path, typer.Option(help="Run folder of gliamap train, or a model folder.")],
    labels: Labels = None,
    lossy: Annotated[bool, typer.Option("--lossy", help="Allow --labels to merge labels.")] = False,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Write probabilities, too.")] = False,
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="Write no mosaics.")] = False,
    part: Part = None,
    pattern: Pattern = None,
    resample_to: ResampleTo = None,
    modalities: Modalities = None,
    min_size: MinSize = None,
    overlap: Overlap = None,
    flips: Flips = False,
    precision: Annotated[Literal["fp32", "bf16"] | None, typer.Option(help="Default: the fastest here.")] = None,
    force: Force = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Segment scans: a mask on the input's own grid, volumes, and a picture for each case.

    A case that fails does not stop the others: it is reported at the end, with exit code 1.

    Examples:

    gliamap segment BraTS2021_00006 -o masks --model run

    gliamap segment BraTS2021_Validation -o masks --model run --probabilities

    gliamap segment slices/images -o masks --model run --labels binary

    gliamap segment BraTS2021 -o masks --model run-any --modalities t1c,flair --flips

    gliamap segment clinic -o masks --model run --pattern '{case}/{case}_{modality}.nii.gz' --resample-to t1c
    """
    from gliamap.workflows.segment import SegmentOptions
    from gliamap.workflows.segment import segment as run

    options = SegmentOptions(
        labels=labels,
        lossy=lossy,
        probabilities=probabilities,
        pictures=not no_pictures,
        part=part,
        min_size=min_size,
        overlap=overlap,
        precision=precision,
        pattern=pattern,
        resample_to=resample_to,
        modalities=None if modalities is None else tuple(filter(None, map(str.strip, modalities.split(",")))),
        flips=flips,
        force=force,
        overwrite=overwrite,
    )
    with progress_bar("segment") as progress:
        done = run(source, out, model=model, options=options, progress=progress)
    _print_segmented(done, out, json=json)


def _print_segmented(done: Segmented, out: Path, *, json: bool) -> None:
    if json:
        print_json({"out": out, "cases": done.cases, "failed": done.failed, "notes": done.notes})
    else:
        _print_volumes(done.cases)
        say(f"masks, numbers and pictures in {plain(out)}; research use only")
    print_notes(done.notes)
    end_with_failures(done.failed, len(done.cases) + len(done.failed))


def _print_volumes(cases: list[dict[str, Any]]) -> None:
    """One row a case; long runs show the first 40, all are in the JSON files. Then the label conventions written."""
    from rich.table import Table

    if not cases:
        return
    regions = list(cases[0]["regions"])
    table = Table()
    table.add_column("case", overflow="fold")
    for title in (*(f"{region} {cases[0]['unit']}" for region in regions), "seconds"):
        table.add_column(title, justify="right")
    table.add_column("warnings")
    for summary in cases[:40]:
        sizes = (f"{summary['regions'].get(region, 0):.1f}" for region in regions)
        warnings = plain("; ".join(summary["warnings"]))
        table.add_row(plain(summary["case_id"]), *sizes, f"{summary['seconds']:.1f}", warnings)
    print_table(table)
    if len(cases) > 40:
        say(f"... and {len(cases) - 40} more")
    for name, why in sorted({(summary["label_convention"], summary["label_convention_from"]) for summary in cases}):
        say(f"labels: {name} ({why})")


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
        print_json({"mask": done.mask, "picture": done.picture, "case": done.summary, "scores": scores})
        return
    _print_volumes([done.summary])
    print_summary(done.scores)
    say(f"mask      {plain(done.mask)}")
    say(f"picture   {plain(done.picture)}")
    remark("A phantom and a model trained on phantoms: real scans need a model trained on real cases.")
