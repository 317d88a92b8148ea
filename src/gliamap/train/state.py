"""What a run needs to go on where it stopped: one safetensors file, written atomically, never unpickled."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gliamap.errors import FileError
from gliamap.io.atomic import atomic_path


@dataclass
class Progress:
    """How far a run is: steps done, seconds spent, best validation Dice and when it was."""

    step: int = 0
    seconds: float = 0.0
    best_dice: float = -1.0
    best_step: int = 0


def save_state(
    path: Path, model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer, progress: Progress
) -> None:
    """Write weights, their average, the optimiser's moments and the progress as one file."""
    tensors: dict[str, Tensor] = {}
    for prefix, module in (("model", model), ("average", average)):
        tensors |= {f"{prefix}.{name}": tensor for name, tensor in _tensors(module).items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": value for key, value in moments.items() if value is not None}
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as part:
        save_file(contiguous, str(part), metadata={"progress": json.dumps(asdict(progress))})


def load_state(path: Path, model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer) -> Progress:
    """Load what :func:`save_state` wrote into the given objects; ``FileError`` where it is damaged."""
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            progress = Progress(**json.loads(file.metadata()["progress"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise FileError(f"the saved state {path} is damaged ({error})", remedy="start the run anew") from error
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
    return progress


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, each once (DynUNet registers its layers twice)."""
    return dict(module.named_parameters()) | dict(module.named_buffers())
