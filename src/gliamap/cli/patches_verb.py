"""The verb patches."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gliamap.cli.data_verbs import Json, Overwrite
from gliamap.cli.show import plain, print_json, print_table, progress_bar, remark, say

if TYPE_CHECKING:
    from gliamap.workflows.data.patch_show import Balance
    from gliamap.workflows.data.patches import PatchTable

Size = Annotated[int, typer.Option(min=1, max=10_000, help="Voxels along the edges of a patch.")]
Stride = Annotated[int | None, typer.Option(min=1, help="Voxels from patch to patch. Default: half the size.")]
Volume = Annotated[bool, typer.Option("--3d", help="Patches of volumes. Default: of slices, every slice.")]
Show = Annotated[bool, typer.Option("--show", help="Print the balance, and draw examples beside the table.")]


def patches(
    store: Annotated[Path, typer.Argument(help="Prepared data set (gliamap prepare).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File for the table, .parquet.")],
    size: Size = 64,
    stride: Stride = None,
    volume: Volume = False,
    show: Show = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Cut every case into patches and write what each of them holds: a row a patch, for pandas, polars and train.

    Where it lies, whether it holds tumour, how much of which tissue, the largest lesion, how much brain.

    Examples:

    gliamap patches store -o patches.parquet --show

    gliamap patches store -o patches.parquet --size 64 --stride 32 --3d

    gliamap train store -o run --patches patches.parquet --ratio 1:1
    """
    from gliamap.workflows.data.patches import PatchOptions
    from gliamap.workflows.data.patches import patches as run

    options = PatchOptions(size=size, stride=stride, volume=volume, show=show, overwrite=overwrite)
    with progress_bar("patches") as progress:
        made = run(store, out, options=options, progress=progress)
    if json:
        print_json(_as_json(made))
        return
    held = f"{made.tumour:,} with tumour, {made.healthy:,} healthy"
    say(f"[bold]{made.patches:,} patches[/] of {made.info.describe()}: {held}")
    if made.balance:
        _print_balance(made.balance)
    say(f"table in {plain(out)}" + (f", examples in {plain(made.sheet)}" if made.sheet else ""))
    ratio = " --ratio 1:1" if made.tumour and made.healthy else ""
    remark(f"next: gliamap train {plain(store)} -o run --patches {plain(out)}{ratio}")


def _print_balance(balance: Balance) -> None:
    from rich.table import Table

    from gliamap.workflows.data.patch_show import lesion_words

    table = Table()
    table.add_column("patches")
    for title in ("number", "share"):
        table.add_column(title, justify="right")
    for name, number in _parts(balance).items():
        table.add_row(plain(name), f"{number:,}", f"{number / balance.patches:.1%}")
    print_table(table)
    if not balance.tumour:
        return
    fewest, median, most = balance.per_patient
    least, low, middle, high, largest = (lesion_words(size, balance.unit) for size in balance.lesions)
    who, whose = (f"{balance.patients}", "patient") if balance.patients else ("not known", "case")
    healthy = (balance.patches - balance.tumour) / balance.tumour
    say(f"[bold]ratio[/]     tumour : healthy = 1 : {healthy:.2g}")
    say(f"[bold]patients[/]  {who}; patches with tumour a {whose}: {fewest:,.0f} to {most:,.0f}, median {median:,.0f}")
    say(f"[bold]lesions[/]   the largest that a patch touches: {least} to {largest}, quartiles {low}, {middle}, {high}")


def _parts(balance: Balance) -> dict[str, int]:
    """What is counted, in words."""
    from gliamap.labels import TISSUE_NAMES

    tissues = {f"  {TISSUE_NAMES[tissue]}": number for tissue, number in balance.tissues.items()}
    healthy = balance.patches - balance.tumour
    return {
        "with tumour": balance.tumour,
        **tissues,
        "healthy": healthy,
        "  half or more shows the patient": balance.mostly,
        "  less": healthy - balance.mostly,
        "all": balance.patches,
    }


def _as_json(made: PatchTable) -> dict[str, Any]:
    found: dict[str, Any] = {
        "table": made.path,
        "cases": made.cases,
        "patches": made.patches,
        "tumour": made.tumour,
        "healthy": made.healthy,
        **made.info.model_dump(mode="json", exclude={"format"}),
    }
    if made.balance:
        tissues = {tissue.name.lower(): number for tissue, number in made.balance.tissues.items()}
        found |= {"balance": asdict(made.balance) | {"tissues": tissues}, "sheet": made.sheet}
    return found
