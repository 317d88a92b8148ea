"""The verb segment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gliamap.cli.data_verbs import Json
from gliamap.cli.show import (
    count,
    end_with_failures,
    plain,
    print_json,
    print_notes,
    print_table,
    progress_bar,
    remark,
    remark_if_stopped,
    say,
)

if TYPE_CHECKING:
    from gliamap.workflows.prediction.choose_model import Choice
    from gliamap.workflows.prediction.segment import Segmented
    from gliamap.workflows.prediction.segment_settings import SegmentOptions

_INPUT, _SHOWN, _SPEED = "What is segmented", "How the network sees it", "Speed and memory"
_OUTPUT, _RUN = "What is written", "The run"

Model = Annotated[
    list[Path] | None,
    typer.Option(
        help="Run, model or cross-validation folder, or a shipped model (gliamap models). Repeatable: several are "
        "averaged. Default: the shipped model for such scans."
    ),
]

Part = Annotated[
    Literal["train", "val", "test"] | None,
    typer.Option(help="Only the cases of this part of the run's split.", rich_help_panel=_INPUT),
]
Pattern = Annotated[
    str | None,
    typer.Option(
        help="How files are named where no layout fits, such as '{case}_{modality}.nii.gz'.", rich_help_panel=_INPUT
    ),
]
ResampleTo = Annotated[
    str | None,
    typer.Option(
        help="Bring the other modalities onto this one's grid, unregistered, where grids differ.",
        rich_help_panel=_INPUT,
    ),
]
Modalities = Annotated[
    str | None,
    typer.Option(
        help="Use only these of the model's modalities, as if the others were missing: t1,t1c.", rich_help_panel=_INPUT
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Allow a model of skull-stripped brains on whole heads, and the reverse.",
        rich_help_panel=_INPUT,
    ),
]

Window = Annotated[
    Literal["auto", "windows", "one-pass"],
    typer.Option(help="Slide over the brain, or show it all at once. auto: as the model says.", rich_help_panel=_SHOWN),
]
Overlap = Annotated[
    float | None,
    typer.Option(min=0, max=0.9, help="Of windows, a share. Default: as the model says.", rich_help_panel=_SHOWN),
]
Flips = Annotated[
    bool,
    typer.Option(
        "--flips", help="Average over all flips: 8 times the work in 3D, 4 times in 2D.", rich_help_panel=_SHOWN
    ),
]

EngineName = Annotated[
    Literal["auto", "torch", "openvino", "onnxruntime"],
    typer.Option(help="What runs the network. auto: the fastest here.", rich_help_panel=_SPEED),
]
Precision = Annotated[
    Literal["fp32", "bf16", "fp16"] | None,
    typer.Option(help="Default: the fastest here. fp16 is for GPUs.", rich_help_panel=_SPEED),
]
MaxMemory = Annotated[
    str | None, typer.Option(help="Such as 8GB. Default: 70 % of what is free.", rich_help_panel=_SPEED)
]

Labels = Annotated[
    str | None,
    typer.Option(
        help="Label convention, such as brats2023. Default: the input's, else the model's.", rich_help_panel=_OUTPUT
    ),
]
Lossy = Annotated[bool, typer.Option("--lossy", help="Allow --labels to merge labels.", rich_help_panel=_OUTPUT)]
MinSize = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Remove connected parts below this, mL (images: pixels). Default: as the model says.",
        rich_help_panel=_OUTPUT,
    ),
]
Probabilities = Annotated[
    bool, typer.Option("--probabilities", help="Write probabilities, too.", rich_help_panel=_OUTPUT)
]
Uncertainty = Annotated[
    bool,
    typer.Option(
        "--uncertainty",
        help="Write entropy, too, and with --flips or several models how far these disagree.",
        rich_help_panel=_OUTPUT,
    ),
]
Report = Annotated[
    bool, typer.Option("--report", help="Write a page of each case, too: CASE_report.html.", rich_help_panel=_OUTPUT)
]
NoPictures = Annotated[bool, typer.Option("--no-pictures", help="Write no mosaics.", rich_help_panel=_OUTPUT)]

Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Keep what --out holds whole, made from the same in the same way.", rich_help_panel=_RUN
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.", rich_help_panel=_RUN)]
Events = Annotated[
    bool,
    typer.Option(
        "--events", help="Print progress for programs: a JSON object a line, no tables.", rich_help_panel=_RUN
    ),
]


def segment(
    source: Annotated[Path, typer.Argument(help="Case folder, folder of cases, image or folder of images.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for masks, numbers and pictures.")],
    model: Model = None,
    part: Part = None,
    pattern: Pattern = None,
    resample_to: ResampleTo = None,
    modalities: Modalities = None,
    force: Force = False,
    window: Window = "auto",
    overlap: Overlap = None,
    flips: Flips = False,
    engine: EngineName = "auto",
    precision: Precision = None,
    max_memory: MaxMemory = None,
    labels: Labels = None,
    lossy: Lossy = False,
    min_size: MinSize = None,
    probabilities: Probabilities = False,
    uncertainty: Uncertainty = False,
    report: Report = False,
    no_pictures: NoPictures = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    events: Events = False,
    json: Json = False,
) -> None:
    """Segment scans: a mask on the input's own grid, volumes, and a picture for each case.

    A case that fails does not stop the others: it is reported at the end, with exit code 1. After Ctrl-C, or where
    some cases failed, the same command with --resume does the rest.

    Examples:

    gliamap segment BraTS2021_00006 -o masks

    gliamap segment BraTS2021_Validation -o masks --model run --resume

    gliamap segment slices/images -o masks --model run --labels binary

    gliamap segment BraTS2021 -o masks --model study --flips --uncertainty

    gliamap segment clinic -o masks --model run --pattern '{case}/{case}_{modality}.nii.gz' --resample-to t1c
    """
    options = _options(locals())
    from gliamap.cli.events import progress_lines, write_done
    from gliamap.workflows.prediction.segment import segment as run

    shown = progress_lines() if events else progress_bar("segment")
    with remark_if_stopped("the same command with --resume goes on"), shown as progress:
        done = run(source, out, model=model, options=options, progress=progress, tell_choice=_say_choice)
    if events:
        write_done(done.cases, done.failed)
        end_with_failures(done.failed, len(done.cases) + len(done.failed))
    else:
        _print_segmented(done, out, json=json)


def _options(said: Mapping[str, Any]) -> SegmentOptions:
    """The options of the workflow, by the names of those of the command line."""
    from gliamap.workflows.prediction.segment_settings import SegmentOptions

    given = {name: said[name] for name in SegmentOptions.model_fields if name in said}
    if said["modalities"] is not None:
        given["modalities"] = tuple(filter(None, map(str.strip, said["modalities"].split(","))))
    return SegmentOptions.model_validate(given | {"pictures": not said["no_pictures"]})


def _say_choice(choice: Choice) -> None:
    """On standard error: standard output may be JSON."""
    remark(f"model: {plain(choice.model)} ({plain(choice.reason)})")


def _print_segmented(done: Segmented, out: Path, *, json: bool) -> None:
    if json:
        choice = {"choice": done.manifest["choice"]}
        print_json({"out": out, "cases": done.cases, "failed": done.failed, "notes": done.notes} | choice)
    else:
        print_volumes(done.cases)
        _print_costs(done.manifest)
        say(f"masks, numbers and pictures in {plain(out)}; research use only")
    print_notes(done.notes)
    end_with_failures(done.failed, len(done.cases) + len(done.failed))


def print_volumes(cases: list[dict[str, Any]]) -> None:
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
        warnings = plain("; ".join(warning["text"] for warning in summary["warnings"]))
        table.add_row(plain(summary["case_id"]), *sizes, f"{summary['seconds']:.1f}", warnings)
    print_table(table)
    if len(cases) > 40:
        say(f"... and {len(cases) - 40} more")
    for name, why in sorted({(summary["label_convention"], summary["label_convention_from"]) for summary in cases}):
        say(f"labels: {name} ({why})")


def _print_costs(manifest: Mapping[str, Any]) -> None:
    """What ran the network, and what it cost."""
    engine, kept = manifest["engine"], manifest["kept"]
    anew = [case_id for case_id in manifest["cases"] if case_id not in kept]
    if kept:
        say(f"{count(kept, 'case')} kept from before")
    if anew:
        stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in manifest["stages"].items())
        say(f"{count(anew, 'case')} in {manifest['seconds']:.1f} s: {stages}")
        memory = manifest["peak_memory_bytes"] / 1e9
        say(f"with {engine['name']} in {engine['precision']}, at most {memory:.1f} GB of memory")
