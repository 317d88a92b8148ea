"""The verbs that hand masks and data sets to other programs: convert-labels, export-dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gliamap.cli.data_verbs import Json, Overwrite, Pattern
from gliamap.cli.show import (
    count,
    end_with_failures,
    plain,
    print_json,
    print_notes,
    progress_bar,
    remark_if_stopped,
    say,
)

if TYPE_CHECKING:
    from gliamap.workflows.data.convert import Merged

To = Annotated[str, typer.Option(help="Label convention to write, such as brats2021, brats2023 or msd.")]
From = Annotated[
    str | None, typer.Option("--from", help="Label convention of the masks, where layout and values do not tell.")
]
Lossy = Annotated[bool, typer.Option("--lossy", help="Let labels that cannot be told apart there become one.")]
Slicer = Annotated[bool, typer.Option("--slicer", help="Write segmentations for 3D Slicer, CASE.seg.nrrd.")]


def convert_labels(
    source: Annotated[Path, typer.Argument(help="A mask, a folder of masks, or a data set.")],
    out: Annotated[Path, typer.Argument(help="File or folder to write; a name that ends in .seg.nrrd is for Slicer.")],
    to: To,
    from_: From = None,
    lossy: Lossy = False,
    slicer: Slicer = False,
    pattern: Pattern = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Convert masks from one label convention to another, without loss or not at all.

    Grids and headers stay as they are. Tables of label names and colours are put beside the masks: labels.ctbl for
    3D Slicer, labels.label for ITK-SNAP.

    Examples:

    gliamap convert-labels BraTS2021_Training masks --to msd

    gliamap convert-labels mask.nii.gz out.nii.gz --from msd --to brats2023

    gliamap convert-labels mask.nii.gz mask.seg.nrrd --from brats2021 --to brats2021
    """
    from gliamap.workflows.data.convert import ConvertOptions
    from gliamap.workflows.data.convert import convert_labels as run

    options = ConvertOptions(labels=from_, lossy=lossy, slicer=slicer, pattern=pattern, overwrite=overwrite)
    with progress_bar("convert") as progress:
        done = run(source, out, to=to, options=options, progress=progress)
    if json:
        print_json(
            {"to": to, "files": done.files, "from": done.conventions, "failed": done.failed, "notes": done.notes}
            | {"merged": _merged(done.merged)}
        )
    else:
        before = ", ".join(Counter(done.conventions.values()))
        say(f"[bold]{count(done.files, 'mask')}[/] converted from {before} to {to} in {plain(out)}")
        for merged in done.merged:
            say(plain(f"merged: {merged.describe()}"))
    print_notes(done.notes)
    end_with_failures(done.failed, len(done.files) + len(done.failed))


Layout = Annotated[Literal["nnunet", "msd", "brats21", "brats23"], typer.Option("--to", help="Layout to write.")]
Labels = Annotated[
    str | None, typer.Option(help="Label convention of the data set, where layout and values do not tell.")
]
SplitFile = Annotated[
    Path | None, typer.Option("--split", help="Its test part becomes the test part (nnunet, msd): split.json.")
]
Name = Annotated[str | None, typer.Option(help="Name of the new data set. Default: as the folder.")]
Number = Annotated[int, typer.Option("--id", min=1, max=999, help="nnU-Net's number: Dataset500_Name.")]


def export_dataset(
    source: Annotated[Path, typer.Argument(help="Data set: a folder that gliamap recognises.")],
    out: Annotated[Path, typer.Argument(help="Folder to write; for nnunet the one that holds its data sets.")],
    to: Layout,
    pattern: Pattern = None,
    labels: Labels = None,
    lossy: Lossy = False,
    split: SplitFile = None,
    name: Name = None,
    number: Number = 500,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a data set in the layout of nnU-Net, MSD Task01, BraTS 2021 or BraTS 2023.

    Voxels, grids and patients stay as they are; labels become those of the layout. Cases without a mask go to its test
    part. An interrupted call goes on where it stopped.

    Examples:

    gliamap export-dataset BraTS2021_Training nnUNet_raw --to nnunet --name Glioma --id 501

    gliamap export-dataset Task01_BrainTumour.tar brats --to brats23
    """
    from gliamap.workflows.data.export import export_dataset as run
    from gliamap.workflows.data.export_plan import ExportOptions

    options = ExportOptions(
        pattern=pattern, labels=labels, lossy=lossy, split=split, name=name, id=number, overwrite=overwrite
    )
    with remark_if_stopped("the same command goes on"), progress_bar("export") as progress:
        done = run(source, out, to=to, options=options, progress=progress)
    contents = done.contents
    cases = (*contents.train, *contents.test)
    if json:
        print_json(
            {"root": done.root, "train": contents.train, "test": contents.test, "reused": done.reused}
            | {"modalities": contents.modalities, "label_convention": contents.convention.name}
            | {"merged": _merged(done.merged), "failed": done.failed, "notes": done.notes}
        )
    else:
        reused = f", {done.reused} were there already" if done.reused else ""
        say(f"[bold]{count(cases, 'case')}[/]{reused} in {plain(done.root)}")
        say(f"modalities {', '.join(contents.modalities)}; labels {contents.convention.name}")
        for merged in done.merged:
            say(plain(f"merged: {merged.describe()}"))
    print_notes(done.notes)
    end_with_failures(done.failed, len(cases) + len(done.failed))


def _merged(merged: Sequence[Merged]) -> list[dict[str, object]]:
    return [{"tissue": m.tissue.name, "becomes": m.becomes.name, "masks": m.masks} for m in merged]
