"""What a training changes, and how it is kept: one safetensors file, written whole or not at all, never unpickled.

There is no state of generators or loaders in it, because none is needed: patch i and step k draw from generators that
are made from the seed and their numbers.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from gliamap.config import TrainConfig
from gliamap.errors import FileError
from gliamap.io.tensors import named_tensors, write_tensors
from gliamap.training.optim import make_optimiser
from gliamap.training.progress import Progress


@dataclass(eq=False)
class Learner:
    """Weights, their average, the optimiser with its moments, and how far the training is.

    ``resting``: the parameters that do not change in the first ``freeze_encoder_steps`` steps.
    """

    model: nn.Module
    average: nn.Module
    optimiser: Optimizer
    progress: Progress = field(default_factory=Progress)
    resting: tuple[nn.Parameter, ...] = ()


def make_learner(
    model: nn.Module, config: TrainConfig, *, transferred: Collection[str] = (), resting: Collection[str] = ()
) -> Learner:
    """A learner before its first step.

    ``transferred`` names the tensors that come from another network, which ``config`` can hold back, ``resting`` those
    of them that do not change in the first steps.
    """
    optimiser = make_optimiser(model, config, transferred)
    average = copy.deepcopy(model).requires_grad_(False)
    at_rest = tuple(parameter for name, parameter in model.named_parameters() if name in resting)
    return Learner(model, average, optimiser, resting=at_rest)


@contextmanager
def whole_step(learner: Learner) -> Iterator[None]:
    """A block in which a step is taken; where it does not come to its end, nothing of it remains.

    The forward pass moves running statistics (of batch normalisation) by itself, long before the step is done. They are
    put back, else a step that is done again would move them twice.
    """
    step = learner.progress.step
    before = [buffer.clone() for buffer in learner.model.buffers()]
    try:
        yield
    except BaseException:
        if learner.progress.step == step:
            for buffer, kept in zip(learner.model.buffers(), before, strict=True):
                buffer.copy_(kept)
        raise


def save_state(path: Path, learner: Learner) -> None:
    """Write all of ``learner`` as one file; ``OutputError`` where there is no room for it: the old one stays."""
    tensors: dict[str, Tensor] = {}
    for prefix, module in (("model", learner.model), ("average", learner.average)):
        tensors |= {f"{prefix}.{name}": tensor for name, tensor in named_tensors(module).items()}
    for index, moments in learner.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": value for key, value in moments.items() if value is not None}
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    write_tensors(path, contiguous, {"progress": json.dumps(asdict(learner.progress))})


def load_state(path: Path, learner: Learner) -> None:
    """Load what :func:`save_state` wrote into ``learner``; ``FileError`` where it is damaged."""
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            learner.progress = Progress(**json.loads(file.metadata()["progress"]))
        _put_back(tensors, learner)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FileError(
            f"the saved state {path} is damaged",
            found=str(error).splitlines()[0],
            remedy="start a new run in another folder; the model in best/ of this one can still be used",
        ) from error


def _put_back(tensors: Mapping[str, Tensor], learner: Learner) -> None:
    with torch.no_grad():
        for prefix, module in (("model", learner.model), ("average", learner.average)):
            for name, target in named_tensors(module).items():
                target.copy_(tensors[f"{prefix}.{name}"])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = tensor
    groups = learner.optimiser.state_dict()["param_groups"]
    learner.optimiser.load_state_dict({"state": moments, "param_groups": groups})
