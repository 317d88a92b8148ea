"""Every network through a training and a prediction, and what running statistics are to both."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tiny
from gliamap.config import ModelSpec, NetConfig, WindowConfig
from gliamap.infer.predictor import load_predictor
from gliamap.io.checkpoint import save_checkpoint
from gliamap.nets.zoo import NETWORKS, build_network, size_divisor
from gliamap.training.loop import Job, train
from gliamap.training.state import make_learner, whole_step
from members import Member, every_network

ATTENTION = NetConfig(name="attention-unet", dims=3, in_channels=4, out_channels=3, widths=(4, 6))
"""A network with batch normalisation."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three prepared phantoms."""
    return tiny.write_store(tmp_path_factory.mktemp("phantoms"), 3)


def job_of(store: Path, run: Path, spec: ModelSpec, **changes: object) -> Job:
    cases = ("Phantom_00001", "Phantom_00002"), ("Phantom_00003",)
    return Job(store, *cases, tiny.config(patch=spec.window.patch, batch=2, **changes), spec, run)


@every_network
def test_every_network_learns_and_segments_a_case_of_any_size(member: Member, store: Path, tmp_path: Path) -> None:
    """A step, the weights on disk; then a case whose sizes no network divides."""
    unit = max(size_divisor(member.config()), 16)
    size = (2 * unit, unit) if member.dims == 2 else (unit, unit, 2 * unit)
    network = member.config(size, inputs=4)
    patch = (*size, 1)[:3]
    spec = tiny.spec(network=network, window=WindowConfig(patch=patch))
    job = replace(job_of(store, tmp_path / "run", spec, steps=1), val_ids=())
    train(job)
    torch.manual_seed(job.config.seed)
    drawn, state = build_network(network).state_dict(), tiny.weights(job.run / "state.safetensors")
    assert any((state[f"model.{name}"] != value.numpy()).any() for name, value in drawn.items() if value.ndim > 1)
    case = tiny.phantom(4)
    odd = replace(case, image=case.image[:, :23, :27, :25], labels=None, grid=replace(case.grid, shape=(23, 27, 25)))
    prediction = load_predictor(job.run / "last").predict(odd, keep_probabilities=True)
    assert prediction.labels.shape == (23, 27, 25)
    assert prediction.probabilities is not None and np.isfinite(prediction.probabilities).all()


def test_batch_normalisation_of_a_resting_encoder_keeps_its_statistics(store: Path, tmp_path: Path) -> None:
    spec = tiny.spec(network=ATTENTION)
    save_checkpoint(tmp_path / "source", build_network(ATTENTION), spec)
    resting = replace(
        job_of(store, tmp_path / "run", spec, steps=2, freeze_encoder_steps=2), source=tmp_path / "source"
    )
    train(resting)
    before, after = (tiny.weights(path) for path in (tmp_path / "source", resting.run / "last"))
    statistics = {name for name in before if "running_" in name}
    of_encoder = {name for name in statistics if NETWORKS["attention-unet"].parts.of(name) == "encoder"}
    assert of_encoder and of_encoder < statistics
    assert {name for name in statistics if (before[name] == after[name]).all()} == of_encoder


def test_a_step_broken_off_after_its_forward_pass_leaves_running_statistics_alone(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the step, done again, would move them twice, and the run would not be the one that it was."""
    spec = tiny.spec(network=ATTENTION)
    straight, broken = (job_of(store, tmp_path / name, spec) for name in ("straight", "broken"))
    train(straight)
    clip, calls = nn.utils.clip_grad_norm_, iter(range(10))

    def interrupted(*args: object) -> object:
        if next(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return clip(*args)  # type: ignore[arg-type]

    with tiny.listening_to_ctrl_c(), monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(torch.nn.utils, "clip_grad_norm_", interrupted)
        train(broken)
    train(broken, resume=True)
    for name in ("last", "best", "state.safetensors"):
        assert tiny.same(tiny.weights(straight.run / name), tiny.weights(broken.run / name)), name


def test_running_statistics_are_kept_with_the_weights(store: Path, tmp_path: Path) -> None:
    job = job_of(store, tmp_path / "run", tiny.spec(network=ATTENTION), steps=3)
    train(job)
    state, last = tiny.weights(job.run / "state.safetensors"), tiny.weights(job.run / "last")
    means = [name for name in last if name.endswith("running_mean")]
    assert len(means) == 8  # two convolutions a level, one on the way up, three in the attention
    assert all((state[f"average.{name}"] == last[name]).all() for name in means)
    assert all((state[f"model.{name}"] != last[name]).any() for name in means)
    counts = [int(value) for name, value in last.items() if name.endswith("num_batches_tracked")]
    assert counts == [3] * len(means)


def test_only_a_broken_step_is_undone() -> None:
    learner = make_learner(nn.BatchNorm1d(2), tiny.config())
    mean, x = learner.model.running_mean, torch.ones(3, 2)
    assert isinstance(mean, torch.Tensor)
    with pytest.raises(ZeroDivisionError), whole_step(learner):
        learner.model(x)
        raise ZeroDivisionError
    assert mean.tolist() == [0, 0]
    with pytest.raises(KeyboardInterrupt), whole_step(learner):
        learner.model(x)
        learner.progress.step += 1
        raise KeyboardInterrupt  # it came after the step
    assert mean.tolist() == pytest.approx([0.1, 0.1])
