"""Learning rate, optimiser and weight averaging, by formulas that can be checked by eye."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gliamap.config import TrainConfig
from gliamap.training.optim import learning_rate, make_optimiser, update_average


def config(schedule: str = "cosine", *, steps: int = 110, warmup: int = 10, optimiser: str = "adamw") -> TrainConfig:
    return TrainConfig.model_validate(
        {"steps": steps, "warmup_steps": warmup, "schedule": schedule, "learning_rate": 2.0, "optimiser": optimiser}
    )


@pytest.mark.parametrize("schedule", ["cosine", "poly"])
def test_warm_up_is_linear_and_never_zero(schedule: str) -> None:
    assert [learning_rate(step, config(schedule)) for step in (0, 4, 9)] == pytest.approx([0.2, 1.0, 2.0])
    assert learning_rate(10, config(schedule)) == 2.0


def test_cosine_at_its_corners() -> None:
    assert learning_rate(60, config()) == pytest.approx(1.0)
    assert learning_rate(110, config()) == pytest.approx(0)
    assert 0 < learning_rate(109, config()) < 0.001


def test_poly_at_its_corners() -> None:
    assert learning_rate(60, config("poly")) == pytest.approx(2 * 0.5**0.9)
    assert learning_rate(109, config("poly")) == pytest.approx(2 * 0.01**0.9)
    assert learning_rate(110, config("poly")) == 0


def test_without_warm_up_it_starts_at_the_top() -> None:
    assert learning_rate(0, config(warmup=0)) == 2.0


@given(st.integers(1, 300), st.integers(0, 400), st.sampled_from(["cosine", "poly"]))
def test_every_step_has_a_rate_above_zero_and_none_above_the_highest(steps: int, warmup: int, schedule: str) -> None:
    settings = config(schedule, steps=steps, warmup=warmup)
    rates = [learning_rate(step, settings) for step in range(steps)]
    assert all(0 < rate <= 2 for rate in rates)
    after = rates[warmup:]
    assert after == sorted(after, reverse=True)


def test_optimisers_by_name() -> None:
    layer = nn.Linear(2, 1)
    adam, sgd = make_optimiser(layer, config()), make_optimiser(layer, config(optimiser="sgd"))
    assert isinstance(adam, torch.optim.AdamW) and adam.param_groups[0]["weight_decay"] == 0.01
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.param_groups[0]["momentum"], sgd.param_groups[0]["nesterov"]) == (0.99, True)


def test_what_was_transferred_is_a_group_of_its_own_where_its_rate_is() -> None:
    layer = nn.Linear(2, 1)
    slow = config().model_copy(update={"transferred_rate": 0.1})
    groups = make_optimiser(layer, slow, {"weight"}).param_groups
    assert [(group["params"], group["factor"]) for group in groups] == [([layer.weight], 0.1), ([layer.bias], 1.0)]
    for settings, transferred in ((config(), {"weight"}), (slow, set())):
        (group,) = make_optimiser(layer, settings, transferred).param_groups
        assert group["params"] == [layer.weight, layer.bias] and group["factor"] == 1


@pytest.mark.parametrize(
    ("step", "decay", "expected"),
    [
        (0, 0.999, 0.1 * 4 + 0.9 * 8),  # (1 + 0) / (10 + 0)
        (8, 0.999, 0.5 * 4 + 0.5 * 8),  # (1 + 8) / (10 + 8)
        (8, 0.25, 0.25 * 4 + 0.75 * 8),  # the decay itself, being smaller
        (10**9, 0.999, 0.999 * 4 + 0.001 * 8),
        (5, 0.0, 8),
    ],
)
def test_average_is_decay_times_old_plus_rest_times_new(step: int, decay: float, expected: float) -> None:
    average, model = nn.Linear(1, 1), nn.Linear(1, 1)
    nn.init.constant_(average.weight, 4)
    nn.init.constant_(model.weight, 8)
    update_average(average, model, step, decay)
    assert average.weight.item() == pytest.approx(expected)
    assert model.weight.item() == 8


def test_running_statistics_are_averaged_and_counts_are_copied() -> None:
    average, model = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    model(torch.tensor([[1.0], [3.0]]))  # a tenth of the way from 0 to its mean of 2
    assert model.running_mean.item() == pytest.approx(0.2)
    update_average(average, model, 10**9, 0.5)
    assert average.running_mean.item() == pytest.approx(0.1)
    assert average.num_batches_tracked == 1
