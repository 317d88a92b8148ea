"""The recipes that come along, by name, and recipes in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from gliamap.config import TrainConfig
from gliamap.errors import ConfigError, FileError
from gliamap.io.atomic import read_json, write_json
from gliamap.recipes.field import (
    brats_3d,
    brats_slices,
    msd_t1gd,
    patches_transfer,
    t1c_binary,
    t1c_boundary,
    unet_classic,
)
from gliamap.recipes.recipe import Recipe
from gliamap.recipes.shipped import glioma_3d, t1c_2d, t1gd_2d

_STRONG = {
    "affine": 0.5,
    "rotate_degrees": 30.0,
    "scale": 0.25,
    "intensity": 0.4,
    "gamma": 0.3,
    "noise": 0.2,
    "bias": 0.25,
    "elastic": 0.2,
    "low_resolution": 0.2,
    "ghosting": 0.1,
    "spikes": 0.05,
    "motion": 0.1,
}

_BUILT_IN = (
    Recipe(
        name="default",
        description="What train does without a recipe: sizes that fit the data, moderate variation of patches.",
    ),
    patches_transfer(),
    brats_slices(),
    msd_t1gd(),
    unet_classic(),
    t1c_binary(),
    t1c_boundary(),
    brats_3d(),
    Recipe(
        name="strong",
        description="For few cases: bent anatomy, imitated artefacts of scanners, stronger everything else.",
        config={"augment": _STRONG},
    ),
    Recipe(
        name="any-modality",
        description="One network for any of its modalities: half of the patches lose some while it learns.",
        config={"modality_dropout": 0.5},
    ),
    Recipe(
        name="small-lesions",
        description="Small lesions are drawn as often as large ones, and two patches in three hold tumour.",
        config={"balance": "sizes", "foreground_share": 0.67},
    ),
    t1c_2d(),
    t1gd_2d(),
    glioma_3d(),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _BUILT_IN})
"""The built-in recipes by name; :mod:`gliamap.workflows.training.train_settings` takes the rest from the data."""

MAX_FILE_BYTES = 1_000_000
"""No recipe is as large; another file is not read to its end."""


def find_recipe(name_or_path: str) -> Recipe:
    """The built-in recipe of this name, else the one in this JSON file.

    ``ConfigError`` where it is neither, or where the file holds anything but settings of a training, each with a
    value that it may have; ``FileError`` where it cannot be read.
    """
    if name_or_path in RECIPES:
        return RECIPES[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        raise ConfigError(
            f"there is no recipe '{name_or_path}'",
            expected=f"{', '.join(RECIPES)}, or a JSON file",
            remedy="check the spelling; gliamap plan writes a file that fits your data",
        )
    if path.stat().st_size > MAX_FILE_BYTES:
        raise FileError(f"{path} is no recipe", found=f"{path.stat().st_size} bytes", expected="a small JSON file")
    try:
        recipe = Recipe.model_validate(read_json(path))
    except ValidationError as error:
        raise _unfitting(path, error) from error
    for stage, where in ((recipe.base, "base.config"), (recipe, "config")):
        try:
            TrainConfig.model_validate(stage.config if stage else {})
        except ValidationError as error:
            raise _unfitting(path, error, where) from error
    return recipe


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write a recipe as JSON that :func:`find_recipe` reads back."""
    write_json(path, as_json(recipe))


def as_json(recipe: Recipe) -> dict[str, Any]:
    """What a recipe's file holds: what it says, not what it leaves to the data."""
    return recipe.model_dump(mode="json", exclude_none=True)


def _unfitting(path: Path, error: ValidationError, inside: str = "") -> ConfigError:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in (inside, *first["loc"]) if part != "")
    if first["type"] == "extra_forbidden":
        return ConfigError(f"there is no setting '{where}', which {path} has", remedy="check its spelling")
    return ConfigError(
        f"the setting '{where}' in the recipe {path} does not fit" if where else f"{path} is no recipe",
        found=repr(first["input"])[:80],
        expected=first["msg"].removeprefix("Value error, ").removeprefix("Input should be "),
        remedy="correct the file, or make a new one with gliamap plan",
    )
