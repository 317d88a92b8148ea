"""Recipes in words: a table of all, or every setting of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from gliamap.cli.show import plain, print_table, remark, say
from gliamap.config import AugmentConfig, TrainConfig
from gliamap.recipes.recipe import DEFAULT_NETWORK, Recipe, base_of

LISTED = ("network", "dims", "output", "loss", "steps", "batch", "patch")
"""The settings that the table of all recipes shows, by their own names."""

TITLES: Mapping[str, str] = {
    "network": "network",
    "widths": "channels from level to level",
    "deep_supervision": "losses at coarser levels, too",
    "dims": "dimensions",
    "init_from": "starts from the weights of",
    "pretrained": "backbone starts from weights in",
    "output": "output",
    "mirror": "shown the other hemisphere, too",
    "overlap": "overlap of windows when it is used",
    "loss": "loss",
    "level_weight": "weight of a coarser level's loss",
    "soft_weight": "share of it that teachers have, if any",
    "steps": "steps",
    "batch": "patches a step",
    "micro_batch": "patches at once",
    "patch": "size of a patch",
    "foreground_share": "share of patches around tumour",
    "balance": "drawn evenly for these",
    "stride": "patch table: voxels from patch to patch",
    "ratio": "patch table: tumour to healthy",
    "modality_dropout": "share of patches that lose modalities",
    "augment": "variation of patches",
    "optimiser": "optimiser",
    "learning_rate": "highest learning rate",
    "schedule": "its course",
    "warmup_steps": "steps of warm-up",
    "weight_decay": "weight decay",
    "clip_norm": "largest norm of a gradient",
    "ema_decay": "averaged weights: share kept at a step",
    "freeze_encoder_steps": "transferred encoder: steps of rest",
    "transferred_rate": "transferred weights: factor of the rate",
    "precision": "precision",
    "validate_every": "steps between validations",
    "save_every_minutes": "minutes between saves",
    "workers": "processes that load patches",
    "seed": "seed",
}
"""The settings in words, in the order of the table."""

UNSAID: Mapping[str, str] = {
    "network": DEFAULT_NETWORK,
    "init_from": "-",
    "pretrained": "-",
    "stride": "-",
    "micro_batch": "all",
}
"""What a setting is that the recipe leaves open, in words; all others fit the data."""


def print_recipes(found: Sequence[Recipe]) -> None:
    """What each recipe does, then its main settings, a row a recipe. Fits 80 columns."""
    about, table = (Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False) for _ in range(2))
    for one, titles in ((about, ("what it does",)), (table, LISTED)):
        one.add_column("name", no_wrap=True)
        for title in titles:
            one.add_column(title)
    for recipe in found:
        about.add_row(recipe.name, recipe.description)
        stages = [_in_words(stage) for stage in _stages(recipe)]
        cells = ("\n".join(dict.fromkeys(words[name] for words in stages)) for name in LISTED)
        table.add_row(recipe.name, *cells)
    print_table(about)
    print_table(table)
    remark("data: what fits the data; where there are two values, one recipe is trained after the other")
    remark("next: gliamap recipes NAME for all of its settings")


def print_recipe(recipe: Recipe) -> None:
    """Every setting of a recipe, its base beside it, and the command that trains it."""
    say(f"[bold]{plain(recipe.name)}[/]\n{plain(recipe.description)}")
    if recipe.base:
        say(f"trained first, its base: {plain(recipe.base.description)}")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    for title in ("base", "then") if recipe.base else ("value",):
        table.add_column(title)
    stages = [_in_words(stage) for stage in _stages(recipe)]
    for name, title in TITLES.items():
        table.add_row(title, *(plain(words[name]) for words in stages))
    print_table(table)
    say(f"gliamap train store -o run --recipe {plain(recipe.name)}")
    remark("options of train come first; to change anything else, write it to a file with --json and take that")


def _stages(recipe: Recipe) -> list[Recipe]:
    """The trainings of a recipe, in their order."""
    base = base_of(recipe)
    return [base, recipe] if base else [recipe]


def _in_words(recipe: Recipe) -> dict[str, str]:
    """All settings of a recipe by name, in words; ``-`` where one does not matter beside the others."""
    config = TrainConfig.model_validate(recipe.config)
    idle = {"ratio"} if recipe.stride is None else {"foreground_share", "balance"}
    words = {}
    for name in TITLES:
        value = getattr(recipe if name in Recipe.model_fields else config, name)
        if name in {"patch", "batch"} - recipe.config.keys():
            value = None
        words[name] = "-" if name in idle else UNSAID.get(name, "data") if value is None else _word(value)
    return words


def _word(value: Any) -> str:
    """The value of a setting in words."""
    if isinstance(value, AugmentConfig):
        each = ((name.replace("_", " "), part) for name, part in value if part)
        return ", ".join(name if part is True else f"{name} {_word(part)}" for name, part in each)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
