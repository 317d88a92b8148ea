"""The verb models: those that come along, and the card of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gliamap.cli.data_verbs import Json
from gliamap.cli.show import plain, print_json, print_markdown, print_table, remark

if TYPE_CHECKING:
    from gliamap.config import ModelSpec

models = typer.Typer(add_completion=False, rich_markup_mode="rich")


@models.callback(invoke_without_command=True)
def list_models(context: typer.Context, json: Json = False) -> None:
    """List the models that come along: for which scans, what they tell, how good they are.

    Their names are taken wherever a model is: segment --model NAME. Without --model, segment chooses one of them.

    Examples:

    gliamap models

    gliamap models show phantom-demo
    """
    from gliamap.models.shipped import shipped_bytes, shipped_specs

    if context.invoked_subcommand:
        return
    found = {name: (spec, shipped_bytes(name)) for name, spec in shipped_specs().items()}
    if json:
        print_json([_as_json(name, *about) for name, about in found.items()])
    else:
        _print_models(found)


@models.command("show")
def show_model(
    name: Annotated[str, typer.Argument(help="Name of a model that comes along.")], json: Json = False
) -> None:
    """Print the card of a model: data, licence, scores, what it is for and what not; with --json its model.json.

    Examples:

    gliamap models show phantom-demo
    """
    from gliamap.io.model_spec import read_spec
    from gliamap.models.shipped import read_card, shipped_model

    if json:
        print_json(read_spec(shipped_model(name)).model_dump(mode="json"))
    else:
        print_markdown(read_card(name))


def _as_json(name: str, spec: ModelSpec, size: int) -> dict[str, Any]:
    """What the list tells of a model; ``show --json`` tells all."""
    told = spec.model_dump(mode="json", include={"summary", "licence", "may_be_missing", "phantom_only", "validated"})
    return {
        "name": name,
        **told,
        "dims": spec.network.dims,
        "modalities": spec.prep.modalities,
        "foreground": spec.prep.foreground,
        "output": spec.output.channels,
        "convention": spec.output.convention,
        "bytes": size,
    }


def _print_models(found: dict[str, tuple[ModelSpec, int]]) -> None:
    """What each model is for and its licence, then its input, output and scores. Fits 100 columns."""
    from rich import box
    from rich.table import Table

    about, table = (Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False) for _ in range(2))
    for one, titles in (
        (about, ("what it is for", "licence")),
        (table, ("scans", "modalities", "output", "Dice [95 %]", "MB")),
    ):
        one.add_column("name", no_wrap=True)
        for title in titles:
            one.add_column(title, justify="right" if title == "MB" else "left")
    for name, (spec, size) in found.items():
        about.add_row(plain(name), plain(spec.summary or "-"), plain(spec.licence or "-"))
        cells = ("\n".join(map(plain, lines)) for lines in _cells(spec))
        table.add_row(plain(name), *cells, f"{size / 1e6:.1f}")
    print_table(about)
    print_table(table)
    remark("Dice: cross-validated, mean over patients; what is behind it: gliamap models show NAME")
    remark("next: gliamap segment SCANS -o MASKS; --model NAME takes one, else the one for these scans is chosen")


def _cells(spec: ModelSpec) -> tuple[tuple[str, ...], ...]:
    """Which scans a model takes, with which modalities, what it tells, and how well; each as lines."""
    kind = (
        "phantoms" if spec.phantom_only else {"brain": "stripped brains", "head": "whole heads"}[spec.prep.foreground]
    )
    modalities = (", ".join(spec.prep.modalities),)
    dice = [
        f"{region} {found.dice:.2f} [{found.low:.2f}, {found.high:.2f}]" for region, found in spec.validated.items()
    ]
    return (
        ("slices, volumes" if spec.network.dims == 2 else "volumes", kind),
        (*modalities, "any of them") if set(spec.may_be_missing) == set(spec.prep.modalities) else modalities,
        (", ".join(spec.output.channels), f"{spec.output.convention} labels"),
        (*dice, *_whose(spec)) if dice else ("not validated",),
    )


def _whose(spec: ModelSpec) -> tuple[str, ...]:
    """How many patients the scores are of, as lines; how many cases where nobody knows these."""
    patients = [found.patients for found in spec.validated.values() if found.patients]
    if len(patients) < len(spec.validated):
        return (f"{max(found.cases for found in spec.validated.values()):,} cases", "patients not known")
    few, most = min(patients), max(patients)
    return (f"{few} patients" if few == most else f"{few}-{most} patients",)
