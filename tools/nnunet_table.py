"""The tables of ``bench/nnunet_slices.py`` for ``tools/tables.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gliamap.comparison.as_markdown import short_commits
from gliamap.scoring.estimate import Estimate, estimate_cell
from gliamap.scoring.text_table import NOT_RUN, NOTHING, TextTable, as_markdown

Result = Mapping[str, Any]
Loaded = Sequence[tuple[str, Any]]

SYSTEMS = ("gliamap", "nnU-Net")
FULL_EPOCHS = 1000


def nnunet_table(loaded: Loaded) -> str:
    """What each system scores, what its voxels score pooled, and what the training of each fold was."""
    return "\n".join(_tables(name, result) for name, result in loaded)


def _tables(name: str, result: Result | None) -> str:
    if result is None:
        return as_markdown(TextTable("", ("System", "Dice"), ((name, NOT_RUN),)))
    study, systems = result["study"], result["systems"]
    versions = ", ".join(f"{name} {version}" for name, version in result["folds"][0]["nnU-Net"]["versions"].items())
    foot = (
        f"Dice: mean over {result['patients']} patients ({result['cases']} cases) [95 % interval]; difference: gliamap "
        f"less nnU-Net, patient by patient, both with flips or both without. Recipe {study['recipe']}, seed "
        f"{study['seed']}, data `{study['data_fingerprint']}`, trained at {short_commits(study['commit'])}; "
        f"{versions}. Commit {short_commits(result['commit'])} on {result['machine']}; threads: {study['threads']}.\n"
    )
    return "\n".join((_scores(systems), _pooled(systems), _trainings(result["folds"]), foot))


def _scores(systems: Sequence[Result]) -> str:
    regions = list(systems[0]["regions"])
    head = ("System", *(f"Dice {region}" for region in regions), *(f"difference {region}" for region in regions))
    rows = []
    for row in systems:
        dice = (_cell(row["regions"][region]["dice"]) for region in regions)
        gain = (_cell(row["difference"].get(region), signed=True) for region in regions)
        rows.append((row["title"], *dice, *gain))
    return as_markdown(TextTable("", head, tuple(rows)))


def _cell(found: Result | None, *, signed: bool = False) -> str:
    return estimate_cell(Estimate(**found) if found else None, 3, signed=signed)


def _pooled(systems: Sequence[Result]) -> str:
    regions = list(systems[0]["regions"])
    tissues = [name for name in systems[0]["pooled_class_dice"] if name not in regions]
    rows = []
    for row in systems:
        pooled = [row["regions"][region]["pooled_dice"] for region in regions]
        pooled += [row["pooled_class_dice"].get(tissue) for tissue in tissues]
        rows.append((row["title"], *(NOTHING if dice is None else f"{dice:.3f}" for dice in pooled)))
    return as_markdown(TextTable("", ("System", *(f"pooled Dice {n}" for n in (*regions, *tissues))), tuple(rows)))


def _trainings(folds: Sequence[Result]) -> str:
    head = ("Fold", "System", "Minutes", "Iterations", "Batch", "Patch", "Widths", "Precision", "nnU-Net's epochs")
    rows = []
    for fold in folds:
        for system in SYSTEMS:
            own = fold[system]
            epochs = f"{own['full_epochs']:g} of {FULL_EPOCHS}" if "full_epochs" in own else NOTHING
            patch = "x".join(str(size) for size in own["patch"] if size > 1)
            widths = f"{own['widths'][0]} to {own['widths'][-1]}"
            cost = (f"{own['minutes']:.1f}", str(own["iterations"]), str(own["batch"]))
            rows.append((str(fold["fold"]), system, *cost, patch, widths, own["precision"], epochs))
    return as_markdown(TextTable("", head, tuple(rows)))
