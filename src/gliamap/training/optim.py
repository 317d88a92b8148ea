"""Optimiser, learning rate and weight averaging."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import nn

from gliamap.config import TrainConfig


def make_optimiser(model: nn.Module, config: TrainConfig, transferred: Collection[str] = ()) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum 0.99 as nnU-Net uses it.

    The parameters named in ``transferred`` are a group of their own where ``config`` gives them a rate of their own.
    Each group's rate is the learning rate times its ``factor``.
    """
    slow = transferred if config.transferred_rate < 1 else ()
    members: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        members.setdefault(config.transferred_rate if name in slow else 1.0, []).append(parameter)
    groups = [{"params": parameters, "factor": factor} for factor, parameters in members.items()]
    if config.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        groups, lr=config.learning_rate, momentum=0.99, nesterov=True, weight_decay=config.weight_decay
    )


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of step ``step`` (from 0): linear warm-up, then cosine to 0 or poly with exponent 0.9."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    if config.schedule == "cosine":
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
    return float(config.learning_rate * (1 - done) ** 0.9)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, step: int, decay: float) -> None:
    """Move ``average`` towards ``model`` (exponential moving average).

    The decay starts low, ``(1 + step) / (10 + step)``, so that the first random weights are soon forgotten. Running
    statistics (of batch normalisation) are averaged as the weights are, which they belong to; counts are copied.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), share)
    for kept, new in zip(average.buffers(), model.buffers(), strict=True):
        if new.is_floating_point():
            kept.lerp_(new, share)
        else:
            kept.copy_(new)
