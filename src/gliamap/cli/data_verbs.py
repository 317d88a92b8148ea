"""The verbs about data: prepare, phantom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gliamap.cli.show import (
    count,
    end_with_failures,
    plain,
    print_json,
    print_notes,
    progress_bar,
    remark,
    remark_if_stopped,
    say,
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Pattern = Annotated[
    str | None, typer.Option(help="How files are named where no layout fits, such as '{case}_{modality}.nii.gz'.")
]
DataSets = Annotated[list[Path], typer.Argument(help="Data sets. Several are searched together for what is twice.")]
Labels = Annotated[
    str | None, typer.Option(help="Label convention, such as brats2021, where the data set does not tell.")
]

Modality = Annotated[
    list[str] | None, typer.Option(help="Modality to use (t1, t1c, t2, flair); repeat for more. Default: all.")
]
Foreground = Annotated[
    Literal["brain", "head"] | None,
    typer.Option(help="What to normalise over: brain (skull-stripped) or head. Default: what layout or voxels say."),
]
Normalise = Annotated[
    Literal["zscore", "robust"],
    typer.Option(help="By mean and deviation; robust cuts the darkest and brightest 0.5 % first."),
]
Spacing = Annotated[
    tuple[float, float, float] | None, typer.Option(help="Resample to this spacing, mm (pixels for images).")
]
PixelMm = Annotated[
    float | None, typer.Option(help="How wide a pixel is, mm, where images do not tell: scans in mm are brought to it.")
]
Distances = Annotated[
    bool, typer.Option("--distances", help="Make distances to tumour surfaces, too, for train --loss boundary.")
]


def prepare(
    data: Annotated[list[Path], typer.Argument(help="Data sets: folders that gliamap recognises. Several are joined.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the prepared data set (the store).")],
    modality: Modality = None,
    labels: Labels = None,
    foreground: Foreground = None,
    normalise: Normalise = "zscore",
    spacing: Spacing = None,
    pixel_mm: PixelMm = None,
    pattern: Pattern = None,
    distances: Distances = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Prepare labelled cases for training: orient, crop, resample where asked, normalise, index the tumour.

    An interrupted call goes on where it stopped; cases whose files changed are done again.

    Examples:

    gliamap prepare BraTS2021_Training -o store

    gliamap prepare BraTS2021_Training -o store-t1c --modality t1c

    gliamap prepare slices -o store --spacing 2 2 1
    """
    from gliamap.workflows.data.prepare import PrepareOptions
    from gliamap.workflows.data.prepare import prepare as run

    options = PrepareOptions(
        modalities=tuple(modality) if modality else None,
        labels=labels,
        foreground=foreground,
        normalise=normalise,
        spacing=spacing,
        pixel_mm=pixel_mm,
        pattern=pattern,
        overwrite=overwrite,
        distances=distances,
    )
    with remark_if_stopped("the same command goes on"), progress_bar("prepare") as progress:
        done = run(data, out, options=options, progress=progress)
    patients = {entry.patient_id for entry in done.info.cases}
    if json:
        print_json(
            {"store": str(out), "cases": len(done.info.cases), "patients": len(patients), "reused": done.reused}
            | {"convention": done.info.convention, "failed": done.failed, "notes": done.notes}
        )
    else:
        known = count(patients, "patient") if done.info.patients_known else "patients not known"
        reused = f", {done.reused} were there already" if done.reused else ""
        say(f"[bold]{count(done.info.cases, 'case')}[/] ({known}{reused}) in {plain(out)}")
        say(
            f"modalities {', '.join(done.info.prep.modalities)}; labels {done.info.convention}; "
            f"normalised over the {done.info.prep.foreground}{', tails cut' if normalise == 'robust' else ''}"
            f"{'; with distances' if distances else ''}"
        )
        remark(f"next: gliamap train {plain(out)} -o run")
    print_notes(done.notes)
    end_with_failures(done.failed, len(done.info.cases) + len(done.failed))


def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write the phantoms to.")],
    number: Annotated[int, typer.Option("-n", "--count", min=1, help="How many cases.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same cases.")] = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write procedural brain phantoms with tumours, as a BraTS 2021 data set.

    They look like brains and are none: use them to try things out.

    Examples:

    gliamap phantom phantoms

    gliamap phantom -n 20 --seed 1 phantoms
    """
    from gliamap.sources.phantom import write_phantoms

    with progress_bar("phantom") as progress:
        written = write_phantoms(out, number, seed=seed, overwrite=overwrite, progress=progress)
    if json:
        print_json({"out": out, "cases": written})
        return
    say(f"[bold]{count(written, 'phantom')}[/] in {plain(out)}")
    remark(f"next: gliamap prepare {plain(out)} -o store")
