"""The verb recipes, and how train takes a recipe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gliamap.cli.show_recipes import TITLES
from gliamap.config import TrainConfig
from gliamap.recipes.named import RECIPES
from gliamap.recipes.recipe import Recipe
from gliamap.training.progress import StepReport
from gliamap.workflows.training.train import TrainOptions

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(command: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a line of the command, as if from a terminal of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")
    return lambda line: command(*line.split())


def test_the_list_names_every_recipe_and_is_whole_in_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run("recipes")
    assert code == 0 and "next: gliamap recipes NAME" in err
    assert max(map(len, out.splitlines())) <= 80
    assert [line.split()[0] for line in out.splitlines() if line[1:2].isalpha()] == 2 * ["name", *RECIPES]
    assert "…" not in out and "96, 112, 1" in out
    assert all(recipe.description in " ".join(out.split()) for recipe in RECIPES.values())
    assert "1500" in out and "tversky" in out  # the base's steps, too


def test_every_setting_has_words() -> None:
    about = {"name", "description", "reasons", "config", "base"}
    assert TITLES.keys() == (Recipe.model_fields.keys() - about) | TrainConfig.model_fields.keys()


def test_one_recipe_in_full_with_its_base_beside_it(run: Run) -> None:
    code, out, _ = run("recipes patches-transfer")
    assert code == 0 and max(map(len, out.splitlines())) <= 100
    rows = {line[1:42].strip(): line[42:].split() for line in out.splitlines()}
    assert rows["setting"] == ["base", "then"]
    assert rows["network"] == ["unet", "unet"] and rows["output"] == ["binary", "regions"]
    assert rows["steps"] == ["1500", "1000"] and rows["transferred encoder: steps of rest"] == ["0", "200"]
    assert rows["patch table: tumour to healthy"] == ["1:1", "-"]
    assert rows["share of patches around tumour"] == ["-", "0.5"]
    assert "gliamap train store -o run --recipe patches-transfer" in out


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_shown(run: Run, name: str) -> None:
    code, out, _ = run(f"recipes {name}")
    assert code == 0 and out.startswith(f"{name}\n{RECIPES[name].description}\n")


def test_json_is_all_that_standard_output_holds(run: Run) -> None:
    code, out, err = run("recipes --json")
    assert code == 0 and err == "" and [one["name"] for one in json.loads(out)] == list(RECIPES)


def test_a_file_is_shown_like_a_name(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"name": "mine [red]", "config": {"steps": 7}}')
    code, out, _ = run("recipes mine.json")
    assert code == 0 and out.startswith("mine [red]")


def test_an_unknown_name_is_a_plain_error(run: Run) -> None:
    code, out, err = run("recipes nonsense")
    assert (code, out) == (2, "") and "there is no recipe 'nonsense'" in err and "brats-3d" in err


def test_train_takes_recipe_and_options_and_tells_of_the_base(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[TrainOptions] = []

    def stub(_store: Path, _run: Path, *, options: TrainOptions, observe: Any, **_: Any) -> None:
        seen.append(options)
        for base in (True, False):
            observe(StepReport(5, 10, 0.5, 1.0, 1e-3, 1.0, {"WT": 0.25}, base=base))
        raise KeyboardInterrupt

    monkeypatch.setattr("gliamap.workflows.training.train.train", stub)
    code, _, err = run("train store -o run --recipe patches-transfer --loss tversky --steps 30 --seed 4")
    assert code == 130
    assert "base, step 5: loss 0.500, validation Dice WT 0.25\nstep 5: loss 0.500" in err
    assert seen[0].base == RECIPES["patches-transfer"].base  # options are for the recipe itself
    assert [seen[0].config[name] for name in ("loss", "steps", "seed", "batch")] == ["tversky", 30, 4, 16]
