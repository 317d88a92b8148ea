"""The torch engine: probabilities of known logits, temperature, slices, low precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gliamap.config import ModelSpec, NetConfig, OutputConfig, PrepConfig, WindowConfig
from gliamap.infer.engine import TorchEngine, cpu_has_fast_bf16
from gliamap.nets.zoo import build_network


class Ladder(nn.Module):
    """Logits: channel k is k times the first input channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.steps = nn.Parameter(torch.arange(channels).float())
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shapes.append(tuple(x.shape))
        return x[:, :1] * self.steps.reshape(1, -1, *[1] * (x.ndim - 2))


def make_spec(kind: str = "regions", dims: int = 3, temperature: float = 1.0, channels: int = 1) -> ModelSpec:
    output = OutputConfig.model_validate({"kind": kind, "convention": "brats2023"})
    network = {"dims": dims, "in_channels": channels, "out_channels": len(output.channels), "widths": (4, 8, 8)}
    return ModelSpec(
        name="test",
        network=NetConfig.model_validate(network),
        output=output,
        prep=PrepConfig(modalities=("t1", "t2")[:channels]),
        window=WindowConfig(patch=(8, 8, 1 if dims == 2 else 8)),
        temperature=temperature,
    )


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_regions_are_sigmoids_of_logits_over_temperature(temperature: float) -> None:
    engine = TorchEngine(Ladder(3), make_spec(temperature=temperature))
    x = np.linspace(-3, 3, 8, dtype=np.float32).reshape(1, 1, 2, 2, 2)
    out = engine(x)
    assert out.shape == (1, 3, 2, 2, 2)
    assert out.dtype == np.float32
    for k in range(3):
        assert out[0, k] == pytest.approx(1 / (1 + np.exp(-k * x[0, 0] / temperature)), abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_classes_are_a_softmax_of_logits_over_temperature(temperature: float) -> None:
    engine = TorchEngine(Ladder(4), make_spec("classes", temperature=temperature))
    x = np.linspace(-2, 2, 8, dtype=np.float32).reshape(1, 1, 2, 2, 2)
    out = engine(x)
    weights = np.exp(np.arange(4)[:, None, None, None] * x[0] / temperature)
    assert out[0] == pytest.approx(weights / weights.sum(axis=0), abs=1e-6)


def test_a_network_for_slices_sees_no_third_axis() -> None:
    model = Ladder(3)
    out = TorchEngine(model, make_spec(dims=2))(np.zeros((5, 1, 4, 6, 1), np.float32))
    assert model.shapes == [(5, 1, 4, 6)]
    assert out.shape == (5, 3, 4, 6, 1)


def test_a_network_for_slices_is_never_given_the_first_slice_of_a_block() -> None:
    model = build_network(make_spec(dims=2).network)
    with pytest.raises(ValueError, match="not equal to one"):
        TorchEngine(model, make_spec(dims=2))(np.zeros((1, 1, 8, 8, 2), np.float32))


def test_the_engine_says_what_it_needs() -> None:
    spec = make_spec("classes")
    engine = TorchEngine(build_network(spec.network).train(), spec)
    assert (engine.channels, engine.divisor) == (4, 4)
    assert (engine.name, engine.precision, engine.version) == ("torch", "fp32", torch.__version__)


def test_the_network_is_put_into_evaluation() -> None:
    model = nn.Sequential(Ladder(3), nn.Dropout(0.9)).train()
    out = TorchEngine(model, make_spec())(np.full((1, 1, 8, 8, 8), 20, np.float32))
    assert (out[:, 1:] > 0.99).all()


@pytest.mark.parametrize("kind", ["regions", "classes"])
@pytest.mark.parametrize("dims", [2, 3])
def test_half_precision_gives_nearly_the_same_probabilities(kind: str, dims: int) -> None:
    spec = make_spec(kind, dims, channels=2)
    torch.manual_seed(0)
    model = build_network(spec.network)
    x = np.random.default_rng(0).normal(size=(2, 2, 8, 8, 1 if dims == 2 else 8)).astype(np.float32)
    full, half = (TorchEngine(model, spec, precision)(x) for precision in ("fp32", "bf16"))
    assert half.dtype == np.float32
    assert not np.array_equal(half, full)
    # A network without training amplifies rounding most.
    assert np.abs(half - full).mean() < 0.005
    assert np.abs(half - full).max() < 0.15
    assert 0 <= half.min() <= half.max() <= 1


def test_the_same_patch_gives_the_same_answer_twice() -> None:
    spec = make_spec()
    engine = TorchEngine(build_network(spec.network), spec)
    x = np.random.default_rng(0).normal(size=(1, 1, 8, 8, 8)).astype(np.float32)
    assert np.array_equal(engine(x), engine(x))


def test_the_question_about_the_processor_has_an_answer() -> None:
    assert cpu_has_fast_bf16() in (True, False)
