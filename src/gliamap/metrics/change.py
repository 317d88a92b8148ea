"""How a size changed from visit to visit. Knows numbers only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gliamap.metrics.undefined import volume_percent_of_nothing


@dataclass(frozen=True)
class Change:
    """The change of a size in percent: against the ``first`` visit, the ``previous`` one, and the ``smallest`` before.

    ``None`` at the first visit, where there is nothing to compare with, and where something came from nothing.
    """

    first: float | None = None
    previous: float | None = None
    smallest: float | None = None


def changes_of(sizes: Sequence[float]) -> list[Change]:
    """The change at each visit; ``sizes`` (from 0 up, any unit) are in the order of the visits."""
    found = []
    for number, now in enumerate(sizes):
        before = sizes[:number]
        compared = (before[0], before[-1], min(before)) if before else ()
        found.append(Change(*(percent_change(now, then) for then in compared)))
    return found


def percent_change(now: float, then: float) -> float | None:
    """The change from ``then`` to ``now`` in percent of ``then``; of nothing: :mod:`gliamap.metrics.undefined`."""
    if then == 0:
        return volume_percent_of_nothing(prediction_empty=now == 0)
    return 100 * (now / then - 1)
