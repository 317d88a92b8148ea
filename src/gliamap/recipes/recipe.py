"""What a training is made of, as data: a named recipe, in a file or built in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from gliamap.config import InputConfig, Settings, TrainConfig
from gliamap.errors import ConfigError


class Recipe(Settings):
    """Everything about a training but its data; ``None`` takes what fits the data.

    ``output`` is ``regions`` (overlapping WT/TC/ET) or ``classes`` (the convention's labels). ``overlap`` is that of
    windows at inference, ``mirror`` shows the network the other hemisphere, too. ``config`` sets single fields of
    :class:`gliamap.config.TrainConfig` by name. ``reasons`` says why a proposed setting is what it is.
    """

    name: str = "default"
    description: str = ""
    network: str = "dynunet"
    widths: tuple[int, ...] | None = None
    deep_supervision: bool | None = None
    dims: Literal[2, 3] | None = None
    output: Literal["regions", "classes"] = "regions"
    overlap: float = 0.5
    mirror: bool = False
    config: dict[str, Any] = Field(default_factory=dict)
    reasons: dict[str, str] = Field(default_factory=dict)


def network_inputs(recipe: Recipe, config: TrainConfig, modalities: Sequence[str]) -> InputConfig:
    """What the network sees beside ``modalities``, under ``config``, the recipe's full settings.

    Where modalities are dropped in training, it is told which are there. ``ConfigError`` where there is but one.
    """
    if config.modality_dropout > 0 and len(modalities) == 1:
        raise ConfigError(
            f"{modalities[0]} is the only modality and cannot be left out in training",
            found=f"modality_dropout {config.modality_dropout:g}",
            remedy="take another recipe, or prepare several modalities",
        )
    return InputConfig(mirror=recipe.mirror, presence=config.modality_dropout > 0)
