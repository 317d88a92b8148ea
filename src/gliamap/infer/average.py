"""Several answers as one: probabilities averaged over models and over flips, and how far these disagree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliamap.config import ModelSpec
from gliamap.errors import ConfigError
from gliamap.infer.engine import Engine


class AveragedEngine:
    """Engines that are shown every patch in turn, as one engine that answers with their mean.

    With ``spread`` there are twice as many channels: the means, then the standard deviations over the members (of the
    members themselves, not an estimate for more of them; 0 where there is one). The mean is the same with and without.
    """

    def __init__(self, members: Sequence[Engine], *, spread: bool = False) -> None:
        first = members[0]
        self.members = tuple(members)
        self.spread = spread
        self.channels = first.channels * (2 if spread else 1)
        self.divisor = math.lcm(*(member.divisor for member in members))
        self.name, self.precision, self.version = first.name, first.precision, first.version

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean probabilities of a batch, and after them on request their spread."""
        first, *others = self.members
        start = first(patches).copy()  # an engine may write its next answer over this one
        # Distances from the first answer are small numbers: their squares lose no digits.
        total, squares = np.zeros_like(start), np.zeros_like(start)
        for member in others:
            apart = member(patches) - start
            total += apart
            if self.spread:
                squares += apart * apart
        total /= len(self.members)
        mean = start + total
        if not self.spread:
            return mean
        variance = squares / np.float32(len(self.members)) - total * total
        return np.concatenate([mean, np.sqrt(np.maximum(variance, 0))], axis=1)


class FlippedEngine:
    """An engine that is shown every patch flipped along ``axes``, and whose answer is turned back.

    ``axes`` are spatial: 0, 1, 2 for X, Y, Z. Every channel is flipped alike: those of the other hemisphere are what a
    flipped image would show there, and the constant maps of which modalities are there stay what they are.
    """

    def __init__(self, engine: Engine, axes: Sequence[int]) -> None:
        self._engine = engine
        self._axes = tuple(axis + 2 for axis in axes)
        self.channels, self.divisor = engine.channels, engine.divisor
        self.name, self.precision, self.version = engine.name, engine.precision, engine.version

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of a batch, as it lies."""
        return np.flip(self._engine(np.ascontiguousarray(np.flip(patches, self._axes))), self._axes)


def flips_of(engine: Engine, axes: Sequence[int]) -> tuple[Engine, ...]:
    """The engine shown patches as they are, then under every other flip of ``axes``: ``2 ** len(axes)`` members."""
    subsets = chain.from_iterable(combinations(axes, size) for size in range(1, len(axes) + 1))
    return (engine, *(FlippedEngine(engine, subset) for subset in subsets))


def joint_spec(specs: Sequence[ModelSpec]) -> ModelSpec:
    """What an ensemble of models says of itself: the first one's spec, and only what holds for all of them.

    ``ConfigError`` where they are not shown the same (preparation, inputs, window) or do not say the same (output).
    """
    first, *others = specs
    for other in others:
        for what, theirs, own in (
            ("preparation", other.prep, first.prep),
            ("inputs", other.inputs, first.inputs),
            ("output", other.output, first.output),
            ("dimensions", other.network.dims, first.network.dims),
            ("window", other.window.patch, first.window.patch),
        ):
            if theirs != own:
                raise ConfigError(
                    f"the models {first.name} and {other.name} cannot be averaged, their {what} differs",
                    found=str(theirs),
                    expected=str(own),
                    remedy="name models that were trained on the same store with the same --output and --patch",
                )
    if not others:
        return first
    shared = tuple(m for m in first.may_be_missing if all(m in other.may_be_missing for other in others))
    # A network that takes one size of input alone binds the others.
    network = next((spec.network for spec in specs if spec.network.input_size), first.network)
    # What was measured of a single model says nothing of the mean of several.
    unknown: dict[str, Any] = {"weights_sha256": None, "dice_predictor": None, "window_dice": {}, "metrics": {}}
    return first.model_copy(
        update=unknown
        | {
            "network": network,
            "may_be_missing": shared,
            "phantom_only": any(spec.phantom_only for spec in specs),
        }
    )
