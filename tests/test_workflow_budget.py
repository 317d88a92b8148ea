"""Budgets: what they are written as, and recipes that use just that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliamap.comparison.nouns import Budget
from gliamap.config import TrainConfig
from gliamap.errors import ConfigError
from gliamap.recipes.named import RECIPES
from gliamap.recipes.recipe import Recipe
from gliamap.workflows.studies.budget import LEAST_STEPS, VALIDATIONS, Pace, parse_budget, stages_of, within

TWO = RECIPES["patches-transfer"]  # a base of 1500 steps, then 1000, 200 of them with the encoder at rest


def steps(recipe: Recipe) -> list[int]:
    return [stage.config["steps"] for stage in stages_of(recipe)]


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("2000steps", Budget("steps", 2000)),
        ("15min", Budget("minutes", 15)),
        ("2h", Budget("minutes", 120)),
        ("90s", Budget("minutes", 1.5)),
        (" 1.5 h ", Budget("minutes", 90)),
    ],
)
def test_budgets_as_they_are_written(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["", "15", "0min", "-5min", "1.5steps", "15 minutes", "nanh", "1e3s", "2000 STEPS x"])
def test_nonsense_is_no_budget(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no budget.*2000steps, 15min, 2h or 90s"):
        parse_budget(text)


def test_a_budget_of_steps() -> None:
    found = within(Recipe(config={"steps": 5000, "warmup_steps": 50}), Budget("steps", 400))
    assert found.config == {"steps": 400, "validate_every": 50, "freeze_encoder_steps": 0, "warmup_steps": 40}
    assert within(Recipe(), Budget("steps", 4000)).config["warmup_steps"] == 50
    assert within(Recipe(), Budget("steps", 10)).config["validate_every"] == 2


def test_base_and_rest_share_the_budget_as_they_share_the_steps() -> None:
    found = within(TWO, Budget("steps", 500))
    assert steps(found) == [300, 200]
    assert found.config["freeze_encoder_steps"] == 40
    assert [stage.config["validate_every"] for stage in stages_of(found)] == [38, 25]
    assert found.config | {"steps": 0} != TWO.config and found.config["loss"] == TWO.config["loss"]


def test_a_budget_of_time() -> None:
    """60 s, of which eight validations take 8: 52 s of steps, ten a second."""
    found = within(Recipe(config={"steps": 1000}), Budget("minutes", 1), [Pace(0.1, 1.0)])
    assert found.config["steps"] == 520 and found.config["validate_every"] == 65


def test_validations_that_would_take_all_the_time_become_fewer() -> None:
    """A quarter of 60 s is time for three validations of 5 s."""
    found = within(Recipe(config={"steps": 1000}), Budget("minutes", 1), [Pace(0.1, 5.0)])
    assert found.config["steps"] == 450 and found.config["validate_every"] == 150


def test_a_budget_that_is_too_short_says_so() -> None:
    with pytest.raises(ConfigError, match=r"1 minute is too short.*20 s a step, 0 s a validation.*--budget"):
        within(Recipe(), Budget("minutes", 1), [Pace(20.0, 0.0)])
    with pytest.raises(ConfigError, match="too short"):
        within(Recipe(), Budget("minutes", 1), [Pace(0.1, 100.0)])
    with pytest.raises(ConfigError, match="Found: 5 steps"):
        within(Recipe(), Budget("steps", 5))


@given(
    own=st.lists(st.integers(1, 10_000), min_size=1, max_size=2),
    pace=st.floats(1e-3, 10),
    validation=st.floats(0, 100),
    minutes=st.floats(1, 600),
)
def test_a_training_never_takes_more_than_its_time(
    own: list[int], pace: float, validation: float, minutes: float
) -> None:
    base = Recipe(config={"steps": own[0]}) if len(own) == 2 else None
    recipe = Recipe(config={"steps": own[-1]}, base=base)
    paces = [Pace(pace, validation)] * len(own)
    try:
        found = within(recipe, Budget("minutes", minutes), paces)
    except ConfigError:
        return
    took = 0.0
    for stage in stages_of(found):
        config = TrainConfig.model_validate(stage.config)
        times = -(-config.steps // config.validate_every)
        assert times <= VALIDATIONS and config.warmup_steps <= config.steps / 10
        took += config.steps * pace + times * validation
    assert took <= 60 * minutes * (1 + 1e-6) and sum(steps(found)) >= LEAST_STEPS


@given(st.integers(LEAST_STEPS, 10**6))
def test_every_step_of_a_budget_is_used(count: int) -> None:
    assert sum(steps(within(TWO, Budget("steps", count)))) == count
