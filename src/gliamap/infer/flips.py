"""Flips at inference: an engine shown every patch both ways round, whose answers are turned back and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

from gliamap.infer.engine import Engine


class FlippedEngine:
    """An engine that averages another one's probabilities over all flips of some axes.

    ``axes`` are spatial: 0, 1, 2 for X, Y, Z. The other engine runs ``2 ** len(axes)`` times a batch. Every channel is
    flipped alike: those of the other hemisphere are what a flipped image would show there, and the constant maps of
    which modalities are there stay what they are.
    """

    def __init__(self, engine: Engine, axes: Sequence[int]) -> None:
        self._engine = engine
        subsets = chain.from_iterable(combinations(axes, size) for size in range(len(axes) + 1))
        self._flips = [tuple(axis + 2 for axis in subset) for subset in subsets]
        self.channels = engine.channels
        self.divisor = engine.divisor

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean probabilities of a batch."""
        total: NDArray[np.float32] = np.zeros((len(patches), self.channels, *patches.shape[2:]), np.float32)
        for axes in self._flips:
            total += np.flip(self._engine(np.ascontiguousarray(np.flip(patches, axes))), axes)
        total /= len(self._flips)
        return total
