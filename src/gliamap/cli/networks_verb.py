"""The verb networks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from gliamap.cli.data_verbs import Json
from gliamap.cli.show import print_json, print_text_table, progress_bar, remark

Dims = Annotated[int | None, typer.Option(min=2, max=3, help="Networks for slices, or for volumes. Default: both.")]
Size = Annotated[
    tuple[int, int, int] | None,
    typer.Option(min=1, help="Input X Y Z (Z = 1 for slices). Default: 256 256 1, and 64 64 64."),
]
Modalities = Annotated[int, typer.Option(min=1, help="How many the network is shown.")]


def networks(dims: Dims = None, size: Size = None, modalities: Modalities = 4, json: Json = False) -> None:
    """List the networks, and what each costs: parameters, arithmetic, seconds on this machine.

    Take one with train --network NAME, or in a recipe.

    Examples:

    gliamap networks

    gliamap networks --dims 2 --size 192 192 1 --modalities 1
    """
    from gliamap.workflows.training.networks import networks as run
    from gliamap.workflows.training.networks import networks_table

    wanted: tuple[Literal[2, 3], ...] = (2, 3)
    if dims or size:
        wanted = (2,) if dims == 2 or (dims is None and size and size[2] == 1) else (3,)
    found = []
    for each in wanted:
        with progress_bar(f"{each}D networks") as bar:
            found.append(run(each, size=size, modalities=modalities, progress=bar))
    if json:
        print_json([asdict(one) for costs in found for one in costs])
        return
    for costs in found:
        print_text_table(networks_table(costs))
    remark(
        "GFLOP: 10^9 operations of one forward pass, a multiplication and an addition being two; seconds: of that pass"
    )
    remark("next: gliamap train STORE -o RUN --network NAME; --widths makes most of them smaller or larger")
