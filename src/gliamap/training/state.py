"""What a run needs to go on where it stopped: one safetensors file, written atomically, never unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from gliamap.errors import FileError
from gliamap.io.atomic import atomic_path


@dataclass
class Progress:
    """How far a run is: steps done, seconds spent, the last step's loss, best validation Dice and when it was.

    ``pending``: the last step's validation and log row are still to come.
    """

    step: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    pending: bool = False
    best_dice: float = -1.0
    best_step: int = 0


def save_state(path: Path, model: nn.Module, average: nn.Module, optimiser: Optimizer, progress: Progress) -> None:
    """Write weights, their average, the optimiser's moments and the progress as one file."""
    tensors: dict[str, Tensor] = {}
    for prefix, module in (("model", model), ("average", average)):
        tensors |= {f"{prefix}.{name}": tensor for name, tensor in _tensors(module).items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": value for key, value in moments.items() if value is not None}
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as part:
        save_file(contiguous, str(part), metadata={"progress": json.dumps(asdict(progress))})


def load_state(path: Path, model: nn.Module, average: nn.Module, optimiser: Optimizer) -> Progress:
    """Load what :func:`save_state` wrote into the given objects; ``FileError`` where it is damaged."""
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            progress = Progress(**json.loads(file.metadata()["progress"]))
        _put_back(tensors, model, average, optimiser)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FileError(
            f"the saved state {path} is damaged",
            found=str(error).splitlines()[0],
            remedy="start a new run in another folder; the model in best/ of this one can still be used",
        ) from error
    return progress


def _put_back(tensors: Mapping[str, Tensor], model: nn.Module, average: nn.Module, optimiser: Optimizer) -> None:
    with torch.no_grad():
        for prefix, module in (("model", model), ("average", average)):
            for name, target in _tensors(module).items():
                target.copy_(tensors[f"{prefix}.{name}"])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, each once (DynUNet registers its layers twice)."""
    return dict(module.named_parameters()) | dict(module.named_buffers())
