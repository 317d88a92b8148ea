"""What a training is made of, as data: a named recipe, in a file or built in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from gliamap.config import InputConfig, OutputConfig, Settings, TrainConfig
from gliamap.errors import ConfigError

DEFAULT_NETWORK = "dynunet"

_NETWORK = ("network", "widths", "dims")
"""What a base shares with its recipe: weights of another network could not be taken over."""


class Recipe(Settings):
    """Everything about a training but its data; ``None`` takes what fits the data.

    ``network``: a name of :data:`gliamap.nets.zoo.NETWORKS`; ``None`` is that of the network whose weights are taken
    over, else ``DEFAULT_NETWORK``. ``output`` is ``regions`` (overlapping WT/TC/ET), ``classes`` (the convention's
    labels) or ``binary`` (WT alone). ``overlap`` is that of windows at inference, ``mirror`` shows the network the
    other hemisphere, too. ``stride`` has patches drawn from a patch table with so many voxels from one to the next
    (:mod:`gliamap.sampling.drawing`). ``base`` is a recipe for the same network that is trained first, on the same
    cases; this one begins with what it has learnt. ``init_from``: the run or model, by its folder or its name, whose
    weights it starts from. ``pretrained``: a file of weights from ImageNet that the network's
    backbone starts from, or ``imagenet`` to have it fetched. ``config`` sets single fields of
    :class:`gliamap.config.TrainConfig` by name. ``reasons`` says why a proposed setting is what it is.
    """

    name: str = "default"
    description: str = ""
    network: str | None = None
    widths: tuple[int, ...] | None = None
    deep_supervision: bool | None = None
    dims: Literal[2, 3] | None = None
    output: Literal["regions", "classes", "binary"] = "regions"
    overlap: float = 0.5
    mirror: bool = False
    stride: int | None = Field(default=None, ge=1)
    base: Recipe | None = None
    init_from: Path | None = None
    pretrained: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    reasons: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _plain_base(self) -> Self:
        base = self.base
        if base is None:
            return self
        if base.base is not None:
            raise ValueError("a base has no base of its own")
        if any(getattr(base, name) is not None for name in _NETWORK):
            raise ValueError("a base has the recipe's network: leave network, widths and dims out of it")
        if self.pretrained is not None:
            raise ValueError("the base comes first: say pretrained in it")
        return self


def base_of(recipe: Recipe) -> Recipe | None:
    """The base of a recipe, with the recipe's network; ``None`` where it has none."""
    network = {name: getattr(recipe, name) for name in _NETWORK}
    return recipe.base and recipe.base.model_copy(update=network)


def network_output(recipe: Recipe, convention: str) -> OutputConfig:
    """What the network's channels mean, for cases whose labels are of ``convention``: with ``binary``, of that name."""
    if recipe.output == "binary":
        return OutputConfig(kind="regions", convention="binary")
    return OutputConfig(kind=recipe.output, convention=convention)


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
