"""Made folders in place of the models that come along: three for real scans, with the one for phantoms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from gliamap.config import InputConfig, ModelSpec, ValidatedDice
from gliamap.io.checkpoint import file_sha256, read_spec, write_spec
from gliamap.labels import Region
from gliamap.models import shipped


def validated(patients: int | None = 10, **dice: float) -> dict[Region, ValidatedDice]:
    """``WT=0.8`` as the result of a cross-validation of so many patients, give or take 0.02."""
    return {
        Region[name]: ValidatedDice(
            dice=d, low=round(d - 0.02, 2), high=round(d + 0.02, 2), patients=patients, cases=12
        )
        for name, d in dice.items()
    }


def specs() -> dict[str, ModelSpec]:
    """Slices of heads; slices of brains; volumes of brains with any modality; phantoms."""
    four = tiny.spec().prep.modalities
    any_of_four = {
        "network": tiny.spec().network.model_copy(update={"in_channels": 8}),
        "inputs": InputConfig(presence=True),
        "may_be_missing": four,
        "dice_per_modality_subset": {"t1c": {Region.WT: 0.7, Region.TC: 0.6, Region.ET: 0.6}},
    }
    brains = tiny.slice_spec(convention="msd").prep.model_copy(update={"foreground": "brain"})
    made = {
        "heads-2d": tiny.slice_spec(validated=validated(None, WT=0.84)),
        "brains-2d": tiny.slice_spec(convention="msd", validated=validated(WT=0.8, TC=0.5, ET=0.7)).model_copy(
            update={"prep": brains}
        ),
        "brains-3d": tiny.spec(**any_of_four, validated=validated(WT=0.9, TC=0.8, ET=0.7)),
        "drawn": tiny.spec(phantom_only=True),
    }
    about: dict[str, Any] = {"summary": "For tests.", "licence": "CC BY 4.0, by the tests"}
    return {name: spec.model_copy(update={"name": name, **about}) for name, spec in made.items()}


def in_halves(folder: Path) -> Path:
    """Turn the weights of a model folder into half precision, as models are shipped; returns it."""
    spec = read_spec(folder)
    weights = folder / spec.weights_file
    halves = {name: value.half() if value.is_floating_point() else value for name, value in load_file(weights).items()}
    save_file(halves, weights)
    assert {value.dtype for value in halves.values()} == {torch.float16}
    write_spec(folder, spec.model_copy(update={"weights_sha256": file_sha256(weights)}))
    return folder


def ship(root: Path, patch: pytest.MonkeyPatch, models: dict[str, ModelSpec] | None = None) -> Path:
    """Make the models in ``root``, in half precision and with cards, and let them be those that come along."""
    for name, spec in (specs() if models is None else models).items():
        in_halves(tiny.write_model(root / name, spec))
        (root / name / "CARD.md").write_text(f"# {name}\n\n| data | licence |\n|---|---|\n| none | CC BY 4.0 |\n")
    patch.setattr(shipped, "SHIPPED", root)
    return root
