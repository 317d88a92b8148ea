"""A training that starts from another network: what rests does not move, and an interruption changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from gliamap.nets.zoo import NETWORKS
from gliamap.training.loop import Job, train
from gliamap.training.progress import StepReport

PART_OF = NETWORKS["unet"].parts.of


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three prepared phantoms."""
    return tiny.write_store(tmp_path_factory.mktemp("phantoms"), 3)


MakeJob = Callable[..., Job]


@pytest.fixture
def job(store: Path, tmp_path: Path) -> MakeJob:
    """A job of six steps that starts from a network for WT alone, in which every voxel is tumour."""
    binary = tiny.spec().output.model_copy(update={"convention": "binary"})
    one = tiny.spec().network.model_copy(update={"out_channels": 1})
    tiny.write_model(tmp_path / "source", tiny.spec(network=one, output=binary), bias=[50])

    def make_job(name: str = "run", **changes: Any) -> Job:
        cases = ("Phantom_00001", "Phantom_00002"), ("Phantom_00003",)
        return Job(store, *cases, tiny.config(**changes), tiny.spec(), tmp_path / name, source=tmp_path / "source")

    return make_job


def stop_at(step: int) -> Callable[[StepReport], None]:
    def observe(report: StepReport) -> None:
        if report.step == step:
            raise KeyboardInterrupt

    return observe


def moved(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """The tensors of ``before`` that are others now."""
    return {name for name in before if not np.array_equal(before[name], after[name])}


def source_of(job: Job) -> dict[str, Any]:
    assert job.source
    return tiny.weights(job.source)


def state_of(job: Job) -> dict[str, Any]:
    return tiny.weights(job.run / "state.safetensors")


def test_the_encoder_rests_and_then_moves(job: MakeJob) -> None:
    one = job(freeze_encoder_steps=3, weight_decay=0.1)
    source = source_of(one)
    encoder = {name: value for name, value in source.items() if PART_OF(name) == "encoder"}
    with pytest.raises(KeyboardInterrupt):
        train(one, observe=stop_at(3))
    state = state_of(one)
    for kind in ("model", "average"):  # bit for bit, weight decay or not
        assert not moved(encoder, {name: state[f"{kind}.{name}"] for name in encoder})
    assert state["model.up.0.weight"].tolist() != source["up.0.weight"].tolist()
    moments = {int(name.split(".")[1]) for name in state if name.startswith("optimiser.")}
    assert min(moments) == len(encoder)  # the encoder's come first, and have none
    train(one, resume=True)
    assert moved(encoder, tiny.weights(one.run / "last")) == set(encoder)


def test_without_a_rest_everything_moves_from_the_first_step(job: MakeJob) -> None:
    one = job()
    with pytest.raises(KeyboardInterrupt):
        train(one, observe=stop_at(1))
    source = source_of(one)
    state = state_of(one)
    kept = {name: value for name, value in source.items() if not name.startswith("head")}
    assert moved(kept, {name: state[f"model.{name}"] for name in kept}) == set(kept)


def test_the_average_starts_from_the_transferred_weights(job: MakeJob) -> None:
    one = job()
    with pytest.raises(KeyboardInterrupt):
        train(one, observe=stop_at(1))
    source, state = source_of(one), state_of(one)
    for name in ("down.0.0.weight", "merge.0.3.weight"):
        expected = 1 / 10 * source[name] + 9 / 10 * state[f"model.{name}"]
        assert state[f"average.{name}"] == pytest.approx(expected, abs=1e-6)


def test_what_was_transferred_moves_less_at_a_lower_rate(job: MakeJob) -> None:
    """AdamW's first step has the length of the rate (weight decay aside), for each weight with a gradient."""
    steps = {}
    for name, rate in (("full", 1.0), ("tenth", 0.1)):
        one = job(name, transferred_rate=rate, weight_decay=0, warmup_steps=0, clip_norm=1e6)
        with pytest.raises(KeyboardInterrupt):
            train(one, observe=stop_at(1))
        source = source_of(one)
        steps[name] = np.abs(state_of(one)["model.merge.0.3.weight"] - source["merge.0.3.weight"]).max()
    assert steps["full"] == pytest.approx(1e-2, rel=0.01) and steps["tenth"] == pytest.approx(1e-3, rel=0.01)


@pytest.mark.parametrize(("step", "optimiser"), [(1, "adamw"), (2, "sgd"), (3, "adamw"), (5, "adamw")])
def test_resuming_equals_no_interruption_and_needs_no_weights_of_the_source(
    job: MakeJob, step: int, optimiser: str
) -> None:
    changes = {"freeze_encoder_steps": 2, "transferred_rate": 0.3, "optimiser": optimiser}
    straight, broken = job("straight", **changes), job("broken", **changes)
    train(straight)
    with pytest.raises(KeyboardInterrupt):
        train(broken, observe=stop_at(step))
    assert broken.source is not None
    (broken.source / "weights.safetensors").write_bytes(b"")
    train(broken, resume=True)
    for name in ("last", "best", "state.safetensors"):
        assert tiny.same(tiny.weights(straight.run / name), tiny.weights(broken.run / name)), name


def test_only_what_was_transferred_rests(job: MakeJob) -> None:
    one = replace(job(freeze_encoder_steps=6), source=None)
    with pytest.raises(KeyboardInterrupt):
        train(one, observe=stop_at(1))
    assert "optimiser.0.exp_avg" in state_of(one)  # the moments of the first convolution
