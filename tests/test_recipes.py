"""Recipes: the built-in ones are whole, files are checked, and their settings reach the training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import make
import tiny
from gliamap.config import AugmentConfig, PrepConfig, TrainConfig
from gliamap.errors import ConfigError, FileError
from gliamap.io.store import StoreInfo, read_store
from gliamap.recipes.field import (
    brats_3d,
    brats_slices,
    msd_t1gd,
    patches_transfer,
    t1c_binary,
    t1c_boundary,
    unet_classic,
)
from gliamap.recipes.named import MAX_FILE_BYTES, RECIPES, find_recipe, write_recipe
from gliamap.recipes.recipe import Recipe, base_of
from gliamap.recipes.shipped import glioma_3d, t1c_2d, t1gd_2d
from gliamap.sources.splits import SplitOptions
from gliamap.training.loop import Job, check_job
from gliamap.workflows.common.run_record import is_finished
from gliamap.workflows.data.prepare import PrepareOptions, prepare
from gliamap.workflows.training.train import TrainOptions, train
from gliamap.workflows.training.train_settings import full_settings

FIELD = (patches_transfer, brats_slices, msd_t1gd, unet_classic, t1c_binary, t1c_boundary, brats_3d)
SHIPPED = (t1c_2d, t1gd_2d, glioma_3d)
OF_THE_MACHINE = {"seed", "workers", "micro_batch", "save_every_minutes"}
UNSAID = {
    "patches-transfer": {"patch"},
    "patches-transfer-base": {"balance", "foreground_share"},  # patches of a table have none
    "brats-slices": {"patch"},
    "msd-t1gd": set[str](),
    "unet-classic": {"patch", "batch"},
    "t1c-binary": {"patch"},
    "t1c-boundary": {"patch"},
    "brats-3d": {"patch"},
} | {make_recipe().name: set[str]() for make_recipe in SHIPPED}
"""What the recipes of the field, and those of shipped models, leave to the data."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two prepared phantoms, with distances."""
    root = tmp_path_factory.mktemp("phantoms")
    prepare([tiny.write_set(root / "scans", 2)], root / "store", options=PrepareOptions(distances=True))
    return root / "store"


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three prepared pairs of image and mask, with distances."""
    root = tmp_path_factory.mktemp("pairs")
    prepare([make.write_pairs(root / "pairs")], root / "store", options=PrepareOptions(distances=True))
    return root / "store"


@pytest.fixture
def info(store: Path) -> StoreInfo:
    """What the store says of itself."""
    return read_store(store)


def options(recipe: Recipe) -> TrainOptions:
    """The recipe as a training's options."""
    return TrainOptions.model_validate(recipe.model_dump())


def shortened(recipe: Recipe) -> Recipe:
    """Two steps of two patches, its base likewise; tables of small patches, some of which are healthy."""
    short = {"steps": 2, "batch": 2, "validate_every": 2, "workers": 0}
    stride = recipe.stride and 8
    config = recipe.config | short | ({"patch": (16, 8, 1)} if stride else {})
    base = recipe.base and shortened(recipe.base)
    return recipe.model_copy(update={"config": config, "stride": stride, "base": base})


class TestEveryBuiltInRecipe:
    """What holds for all of them."""

    @pytest.mark.parametrize("name", RECIPES)
    def test_gives_a_whole_configuration_that_fits_a_phantom_store(self, store: Path, name: str) -> None:
        info = read_store(store)
        spec, config = full_settings(info, options(RECIPES[name]), "run")
        ids = tuple(entry.case_id for entry in info.cases)
        check_job(Job(store, ids[:1], ids[1:], config, spec, store))
        assert spec.network.in_channels == spec.inputs.channels(4)

    @pytest.mark.parametrize("name", RECIPES)
    def test_is_described_in_a_sentence(self, name: str) -> None:
        text = RECIPES[name].description
        assert RECIPES[name].name == name
        assert text[0].isupper() and text.endswith(".") and len(text) < 110

    @pytest.mark.parametrize("name", RECIPES)
    def test_is_found_by_name_and_comes_back_from_a_file(self, tmp_path: Path, name: str) -> None:
        recipe = find_recipe(name)
        write_recipe(tmp_path / "recipe.json", recipe)
        assert find_recipe(str(tmp_path / "recipe.json")) == recipe

    @pytest.mark.parametrize("name", RECIPES)
    def test_comes_back_from_what_the_command_prints(
        self, command: Callable[..., tuple[int, str, str]], tmp_path: Path, name: str
    ) -> None:
        code, out, _ = command("recipes", name, "--json")
        (tmp_path / "mine.json").write_text(out)
        assert code == 0 and find_recipe("mine.json") == RECIPES[name]

    def test_differs_from_the_default(self) -> None:
        assert len({recipe.model_dump_json(exclude={"name", "description"}) for recipe in RECIPES.values()}) == len(
            RECIPES
        )


class TestEveryRecipeOfTheField:
    """Full configurations, each a function."""

    @pytest.mark.parametrize("make_recipe", FIELD + SHIPPED)
    def test_says_every_setting_that_the_data_do_not_decide(self, make_recipe: Callable[[], Recipe]) -> None:
        recipe = make_recipe()
        assert RECIPES[recipe.name] == recipe
        for stage in (recipe, base_of(recipe)):
            if stage is not None:
                assert None not in (stage.network, stage.widths, stage.deep_supervision)
                assert TrainConfig.model_fields.keys() - stage.config.keys() == OF_THE_MACHINE | UNSAID[stage.name]
                assert stage.config["augment"].keys() == AugmentConfig.model_fields.keys()

    @pytest.mark.parametrize("make_recipe", FIELD)
    @pytest.mark.parametrize("kind", ["volumes", "slices"])
    def test_trains(
        self, make_recipe: Callable[[], Recipe], kind: str, store: Path, slices: Path, tmp_path: Path
    ) -> None:
        recipe = make_recipe()
        if kind == "slices" and recipe.dims == 3:
            pytest.skip("a network for volumes cannot learn from single slices")
        split = SplitOptions(test_share=0, val_share=0.5)
        asked = options(shortened(recipe)).model_copy(update={"split": split})
        done = train(store if kind == "volumes" else slices, tmp_path / "run", options=asked)
        assert is_finished(done.run) and done.spec.network.name == recipe.network
        assert (done.run / "base").exists() == (recipe.base is not None)


def test_the_default_is_what_a_training_does_without_a_recipe(info: StoreInfo) -> None:
    assert full_settings(info, options(RECIPES["default"]), "run") == full_settings(info, TrainOptions(), "run")
    spec, config = full_settings(info, TrainOptions(), "run")
    assert config.augment == TrainConfig().augment and not spec.may_be_missing and spec.network.in_channels == 4


def test_what_the_recipes_are_for(info: StoreInfo) -> None:
    planned = {name: full_settings(info, options(recipe), "run") for name, recipe in RECIPES.items()}
    assert {name: spec.network.dims for name, (spec, _) in planned.items() if spec.network.dims == 2}.keys() == {
        *(
            "patches-transfer",
            "brats-slices",
            "msd-t1gd",
            "t1c-binary",
            "t1c-boundary",
            "t1c-2d",
            "t1gd-2d",
            "glioma-3d",
        )
    }
    assert planned["msd-t1gd"][0].output.channels == ("background", "NCR", "ED", "ET")
    assert planned["t1c-binary"][0].output.channels == ("WT",)
    plain, boundary = planned["t1c-binary"], planned["t1c-boundary"]
    assert boundary == (plain[0], plain[1].model_copy(update={"loss": "boundary"}))
    assert planned["brats-slices"][1].loss == "tversky" and planned["brats-3d"][1].loss == "dice-ce"
    assert planned["brats-3d"][0].network.deep_supervision and not planned["unet-classic"][0].network.deep_supervision
    assert planned["strong"][1].augment.elastic > 0 and planned["strong"][1].augment.flip
    assert planned["small-lesions"][1].balance == "sizes"
    assert planned["any-modality"][1].modality_dropout == 0.5 < planned["glioma-3d"][1].modality_dropout


def test_dropped_modalities_come_with_a_presence_mask(info: StoreInfo) -> None:
    spec, _ = full_settings(info, options(RECIPES["any-modality"]), "run")
    assert spec.inputs.presence and not spec.inputs.mirror
    assert spec.may_be_missing == ("t1", "t1c", "t2", "flair")
    assert spec.network.in_channels == 8  # four images, four constants that say which are there


def test_the_mirrored_hemisphere_doubles_the_channels(info: StoreInfo) -> None:
    spec, _ = full_settings(info, TrainOptions(mirror=True), "run")
    assert spec.inputs.mirror and not spec.inputs.presence and spec.may_be_missing == ()
    assert spec.network.in_channels == 8


def test_the_only_modality_cannot_be_dropped(info: StoreInfo) -> None:
    alone = info.model_copy(update={"prep": PrepConfig(modalities=("t1c",))})
    with pytest.raises(ConfigError, match=r"t1c is the only modality.*Found: modality_dropout 0.5"):
        full_settings(alone, options(RECIPES["any-modality"]), "run")
    assert full_settings(alone, TrainOptions(), "run")[0].network.in_channels == 1


def test_an_unknown_name_is_answered_with_the_names() -> None:
    with pytest.raises(ConfigError, match=r"no recipe 'stong'.*default, patches-transfer, brats-slices, msd"):
        find_recipe("stong")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"config": {"stepps": 3}}, "no setting 'config.stepps'"),
        ({"config": {"augment": {"elastics": 1}}}, "no setting 'config.augment.elastics'"),
        ({"netwrk": "unet"}, "no setting 'netwrk'"),
        ({"config": {"steps": "many"}}, r"'config.steps' in the recipe .* does not fit. Found: 'many'"),
        ({"config": {"modality_dropout": 2}}, r"'config.modality_dropout'.*Expected: less than or equal to 1"),
        ({"config": [1]}, r"'config' in the recipe .* Expected: a valid dictionary"),
        ({"dims": 4}, r"'dims'.*Expected: 2 or 3"),
        ({"base": {"config": {"stepps": 3}}}, "no setting 'base.config.stepps'"),
        ({"base": {"base": {}}}, "a base has no base of its own"),
        ({"base": {"widths": [4, 8]}}, "a base has the recipe's network"),
        ({"widths": "wide"}, "'widths'"),
        ([], "is no recipe"),
        (None, "is no recipe"),
        ("default", "is no recipe"),
    ],
)
def test_a_file_is_checked_before_it_is_used(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=message):
        find_recipe(str(path))


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text("{")
    with pytest.raises(FileError, match="is not valid JSON"):
        find_recipe(str(path))
    path.write_text("[" * 200_000)
    with pytest.raises(FileError, match="is not valid JSON"):
        find_recipe(str(path))
    path.write_bytes(b" " * (MAX_FILE_BYTES + 1))
    with pytest.raises(FileError, match="is no recipe"):
        find_recipe(str(path))
    with pytest.raises(ConfigError, match="there is no recipe"):
        find_recipe(str(tmp_path))


def test_what_is_built_in_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        RECIPES["mine"] = Recipe()  # type: ignore[index]
    with pytest.raises(ValidationError):
        RECIPES["default"].network = "unet"  # type: ignore[misc]


def test_the_docs_list_every_recipe() -> None:
    text = (Path(__file__).resolve().parent.parent / "docs" / "how-to" / "recipes.md").read_text(encoding="utf-8")
    for name, recipe in RECIPES.items():
        assert f"| `{name}` | {recipe.description} |" in text


def test_the_recipe_in_the_docs_is_one(tmp_path: Path, info: StoreInfo) -> None:
    text = (Path(__file__).resolve().parent.parent / "docs" / "how-to" / "recipes.md").read_text(encoding="utf-8")
    path = tmp_path / "mine.json"
    path.write_text(text.split("```json\n")[1].split("```")[0], encoding="utf-8")
    spec, config = full_settings(info, options(find_recipe(str(path))), "run")
    assert spec.inputs.mirror and config.augment.motion == 0.1 and config.augment.flip and config.steps == 3000
