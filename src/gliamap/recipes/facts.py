"""What a proposal needs to know of a prepared data set. Knows no files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gliamap.boxes import Shape
from gliamap.config import PrepConfig

Spacing = tuple[float, float, float]

FAR = 10.0
NARROW = 0.4


@dataclass(frozen=True)
class Tails:
    """What some voxels of a prepared image show, the worst of its modalities.

    ``farthest`` is the largest distance from the mean, ``spread`` half the distance between the 16th and the 84th
    percentile, both in standard deviations: about 4 and 1 where intensities are normally distributed.
    """

    farthest: float
    spread: float

    @property
    def heavy(self) -> bool:
        """A few intensities are so far off that they take the standard deviation from all others."""
        return self.farthest > FAR or self.spread < NARROW


@dataclass(frozen=True)
class CaseFacts:
    """One case on its prepared grid: voxels, mm (pixels for images), the box and size of its largest lesion, if any.

    ``lesion_size`` is in mL (pixels for images). ``tails`` is ``None`` where no voxel was looked at.
    """

    shape: Shape
    spacing: Spacing
    lesion: Shape | None = None
    lesion_size: float = 0.0
    tails: Tails | None = None


@dataclass(frozen=True)
class DataFacts:
    """The cases (at least one), how they were prepared, and how many channels a network gives."""

    cases: tuple[CaseFacts, ...]
    prep: PrepConfig
    outputs: int
    unit: Literal["mm", "px"] = "mm"

    @property
    def slices(self) -> bool:
        """Every case is a single slice."""
        return all(case.shape[2] == 1 for case in self.cases)

    @property
    def shape(self) -> Shape:
        """The median of the prepared shapes, axis by axis, rounded."""
        x, y, z = (round(float(n)) for n in np.median([case.shape for case in self.cases], axis=0))
        return (x, y, z)

    @property
    def spacing(self) -> Spacing:
        """The median of the prepared spacings, axis by axis, to a hundredth."""
        x, y, z = (max(0.01, round(float(s), 2)) for s in np.median([case.spacing for case in self.cases], axis=0))
        return (x, y, z)

    @property
    def spacings_differ(self) -> bool:
        """Along some axis, the coarsest case is more than 5 % coarser than the finest."""
        every = np.array([case.spacing for case in self.cases])
        return bool((every.max(axis=0) > 1.05 * every.min(axis=0)).any())

    @property
    def tumours(self) -> tuple[CaseFacts, ...]:
        """The cases that have a lesion."""
        return tuple(case for case in self.cases if case.lesion is not None)

    @property
    def looked_at(self) -> tuple[Tails, ...]:
        """The tails of the cases whose voxels were looked at."""
        return tuple(case.tails for case in self.cases if case.tails is not None)

    def share_within(self, patch: Shape) -> float:
        """The share of the cases with a lesion whose largest one fits into ``patch``; an axis of 1 voxel fits all."""
        fit = [
            all(n <= p or p == 1 for n, p in zip(case.lesion, patch, strict=True))
            for case in self.tumours
            if case.lesion is not None
        ]
        return sum(fit) / len(fit) if fit else 1.0
