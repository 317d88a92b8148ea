"""The verb recipes."""

from __future__ import annotations

from typing import Annotated

import typer

from gliamap.cli.data_verbs import Json
from gliamap.cli.show import print_json

Name = Annotated[str | None, typer.Argument(help="Show this one in full: a name, or a file.")]


def recipes(name: Name = None, json: Json = False) -> None:
    """List the recipes that come along, or show one: all settings of a training but its data.

    Examples:

    gliamap recipes

    gliamap recipes brats-3d

    gliamap recipes brats-3d --json > mine.json

    gliamap train store -o run --recipe mine.json
    """
    from gliamap.cli.show_recipes import print_recipe, print_recipes
    from gliamap.recipes.named import RECIPES, as_json, find_recipe

    if name is None:
        found = tuple(RECIPES.values())
        print_json([as_json(recipe) for recipe in found]) if json else print_recipes(found)
    else:
        recipe = find_recipe(name)
        print_json(as_json(recipe)) if json else print_recipe(recipe)
