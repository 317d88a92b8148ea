"""How far a training is, and what an observer is told of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gliamap.labels import LabelMap, Region
from gliamap.volume import Unit


@dataclass
class Progress:
    """How far a run is: steps done, seconds spent, the last step's loss and gradient, best validation Dice and when.

    ``pending``: the last step's validation and log row are still to come.
    """

    step: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    gradient_norm: float = 0.0
    pending: bool = False
    best_dice: float = -1.0
    best_step: int = 0


@dataclass(frozen=True, eq=False)
class Example:
    """The slice across Z with the most reference tumour of a validation case, to look at.

    ``image`` is ``(C, X, Y)`` as the network was given it, ``reference`` and ``predicted`` are tissues ``(X, Y)``.
    ``spacing`` is in ``unit``.
    """

    case_id: str
    modalities: tuple[str, ...]
    image: NDArray[np.floating]
    reference: LabelMap
    predicted: LabelMap
    spacing: tuple[float, float]
    unit: Unit = "mm"


@dataclass(frozen=True)
class StepReport:
    """What an observer is told after each step.

    ``dice`` and ``example`` are filled where the step was followed by a validation. ``stages`` are the seconds that
    were spent on each stage since the last report: ``load`` (waiting for the batch), ``forward``, ``backward``,
    ``update``, ``validate``, ``save`` (of the state). ``gradient_norm`` is the norm before clipping. ``base``: the step
    is one of the training that goes before the one asked for, see :attr:`gliamap.recipes.recipe.Recipe.base`.
    """

    step: int
    steps: int
    loss: float
    seconds: float
    learning_rate: float
    gradient_norm: float
    dice: Mapping[Region, float] | None = None
    example: Example | None = None
    stages: Mapping[str, float] = field(default_factory=dict)
    base: bool = False


class Clock:
    """Seconds spent on each stage of the work."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block's time under ``name``."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - started

    def take(self) -> dict[str, float]:
        """What was counted since the last call."""
        taken, self._seconds = self._seconds, {}
        return taken
