"""The verb plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gliamap.cli.data_verbs import Json, Overwrite
from gliamap.cli.show import count, plain, print_json, print_table, progress_bar, remark, say

if TYPE_CHECKING:
    from gliamap.workflows.training.plan import Planned

Memory = Annotated[
    str | None,
    typer.Option(help="What a training may take, such as 8GB. Default: what is free on the GPU, else in RAM."),
]
From = Annotated[str, typer.Option("--recipe", help="Recipe to start from: a name, or a file.")]


def plan(
    store: Annotated[Path, typer.Argument(help="Prepared data set (gliamap prepare).")],
    memory: Memory = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File for the proposed recipe, JSON.")] = None,
    recipe: From = "default",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Propose patch, batch, depth, spacing and normalisation for a training, with the reasons.

    The proposal rests on the prepared cases' sizes, spacings, lesions and intensities, and on the memory.

    Examples:

    gliamap plan store --memory 8GB

    gliamap plan store --memory 8GB --recipe strong -o recipe.json

    gliamap train store -o run --recipe recipe.json
    """
    from gliamap.recipes.named import find_recipe
    from gliamap.workflows.training.plan import PlanOptions
    from gliamap.workflows.training.plan import plan as run

    options = PlanOptions(memory=memory, recipe=find_recipe(recipe), overwrite=overwrite)
    with progress_bar("plan") as progress:
        planned = run(store, out=out, options=options, progress=progress)
    if json:
        print_json(_as_json(planned) | {"out": out})
        return
    _print_facts(planned)
    _print_proposal(planned)
    taken, given = (f"{n / 1e9:.1f} GB" for n in (planned.proposal.memory.total, planned.memory_bytes))
    say(f"training is estimated to take {taken} of {given}; loaders and validation come on top")
    if planned.times_the_work > 1.5:
        say(
            f"a step computes {planned.times_the_work:.1f} times what it would without this plan: "
            "where time is short, plan with less --memory"
        )
    if planned.prepare:
        say(f"to prepare as proposed (with --labels and --pattern, where you gave them):\n  {plain(planned.prepare)}")
        remark("then plan again: sizes change with the spacing")
    if out:
        say(f"recipe in {plain(out)}")
        remark(f"next: gliamap train {plain(store)} -o run --recipe {plain(out)}")
    else:
        remark("to train so, write it to a file with -o recipe.json")


def _print_facts(planned: Planned) -> None:
    import numpy as np

    facts = planned.facts
    smallest, largest = (pick(np.array([case.shape for case in facts.cases]), axis=0) for pick in (np.min, np.max))
    sizes = f"{_by(facts.shape)} (median; {_by(smallest)} to {_by(largest)})"
    say(f"[bold]data[/]     {count(facts.cases, 'case')}, {sizes} voxels of {_by(facts.spacing)} {facts.unit}")
    tumours = facts.tumours
    if tumours:
        sizes_ml = [case.lesion_size for case in tumours]
        box = np.round(np.median([case.lesion for case in tumours if case.lesion is not None], axis=0))
        unit = "mL" if facts.unit == "mm" else "pixels"
        low, middle, high = np.percentile(sizes_ml, (0, 50, 100))
        say(
            f"[bold]lesions[/]  {count(tumours, 'case')} with one; the largest of each {middle:,.1f} {unit} (median; "
            f"{low:,.1f} to {high:,.1f}), in a box of {_by(box)} voxels"
        )
    say(f"[bold]memory[/]   {planned.memory_bytes / 1e9:.1f} GB, {plain(planned.memory_from)}")


def _print_proposal(planned: Planned) -> None:
    from rich.table import Table

    table = Table(show_lines=True)
    for title in ("setting", "proposed", "because"):
        table.add_column(title)
    for setting, value in _values(planned).items():
        table.add_row(setting, plain(value), plain(planned.proposal.recipe.reasons[setting]))
    print_table(table)


def _values(planned: Planned) -> dict[str, str]:
    """What is proposed, in words, by the names under which reasons are given."""
    proposal = planned.proposal
    recipe, prep = proposal.recipe, planned.facts.prep
    config, widths = recipe.config, recipe.widths or ()
    at_once = f", {config['micro_batch']} at a time" if "micro_batch" in config else ""
    kept = _by(prep.spacing) if prep.spacing else "native"
    return {
        "network": f"{recipe.network}, {recipe.dims}D",
        "levels": f"{len(widths)} (widths {', '.join(map(str, widths))})",
        "patch": _by(config["patch"]),
        "batch": f"{config['batch']}{at_once}",
        "spacing": _by(proposal.spacing) if proposal.spacing else f"keep ({kept})",
        "normalisation": proposal.normalise or f"keep ({prep.normalise})",
    }


def _as_json(planned: Planned) -> dict[str, Any]:
    proposal, memory = planned.proposal, planned.proposal.memory
    parts = {"program": memory.program, "parameters": memory.parameters, "patches": memory.patches}
    return {
        "memory_bytes": planned.memory_bytes,
        "memory_from": planned.memory_from,
        "estimated_bytes": {"total": memory.total} | parts,
        "cases": len(planned.facts.cases),
        "median_shape": planned.facts.shape,
        "median_spacing": planned.facts.spacing,
        "spacing": proposal.spacing,
        "normalise": proposal.normalise,
        "prepare": planned.prepare,
        "times_the_work": planned.times_the_work,
        "recipe": proposal.recipe.model_dump(mode="json", exclude_none=True),
    }


def _by(values: Any) -> str:
    return "x".join(f"{float(value):g}" for value in values)
