"""Which patch of a patch table comes next: so many with tumour for so many healthy ones, each at most once an epoch.

Draw number i is a function of the seed and i, as a patch that is chosen freely (:mod:`gliamap.sampling.dataset`): no
order is stored, no position remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box
from gliamap.config import TrainConfig
from gliamap.errors import ConfigError
from gliamap.io.patch_list import ROW, Rows, open_rows
from gliamap.sampling.shuffle import shuffled

COLUMNS = ("case_id", "x", "y", "z", "tumour", "largest_lesion")
"""What of a patch table decides over the order."""


class Sides(NamedTuple):
    """Two numbers of patches: those with tumour and those without."""

    tumour: int
    healthy: int


def sort_rows(columns: Mapping[str, NDArray[Any]], patients: Mapping[str, str]) -> Rows:
    """The patches of the cases in ``patients`` (patient by case), like ones side by side.

    Those with tumour come first, in thirds by the size of the largest lesion that they touch: small, medium, large.
    Within a third, and among the healthy ones, they are sorted by patient and case, then as in the table. ``columns``
    are the table's ``COLUMNS``. A row's case is its number in ``patients``.
    """
    numbers = {case_id: number for number, case_id in enumerate(patients)}
    case = np.fromiter((numbers.get(case_id, -1) for case_id in columns["case_id"]), np.int32)
    wanted = case >= 0
    rows = np.empty(np.count_nonzero(wanted), ROW)
    rows["case"], rows["tumour"] = case[wanted], columns["tumour"][wanted]
    rows["start"] = np.stack([columns[axis][wanted] for axis in "xyz"], axis=-1)
    size, held = columns["largest_lesion"][wanted], rows["tumour"]
    third = np.zeros(len(rows), np.int8)
    if held.any():
        third[held] = np.digitize(size[held], np.quantile(size[held], (1 / 3, 2 / 3)))
    _, patient = np.unique(list(patients.values()), return_inverse=True)
    return rows[np.lexsort((rows["case"], patient[rows["case"]], third, ~held))]


def count_sides(rows: Rows) -> Sides:
    """How many rows hold tumour, and how many do not."""
    tumour = int(np.count_nonzero(rows["tumour"]))
    return Sides(tumour, len(rows) - tumour)


def plan_epoch(ratio: str, there: Sides) -> Sides:
    """How many patches of each side an epoch draws, of those that are there: as many as keep the ratio.

    ``natural`` draws all, ``tumour`` and ``healthy`` all of one side. ``2:3`` draws all of the side that runs out
    first, and of the other so many that there are two with tumour for three healthy ones, rounded down, at least one.
    ``ConfigError`` where a side that is asked for is empty.
    """
    if ratio in ("natural", "tumour", "healthy"):
        epoch = Sides(there.tumour * (ratio != "healthy"), there.healthy * (ratio != "tumour"))
        empty = sum(epoch) == 0
    else:
        tumour, healthy = (int(part) for part in ratio.split(":"))
        epoch = Sides(
            min(there.tumour, max(1, there.healthy * tumour // healthy)),
            min(there.healthy, max(1, there.tumour * healthy // tumour)),
        )
        empty = min(epoch) == 0
    if empty:
        raise ConfigError(
            f"the training cases have no patches for the ratio {ratio}",
            found=f"{there.tumour} patches with tumour, {there.healthy} healthy ones",
            remedy="ask for another --ratio, or for patches of another size",
        )
    return epoch


class PatchOrder:
    """The order in which a training draws the patches of a table. Holds counts and names, never the rows.

    An epoch is ``sum(epoch)`` draws. Any run of consecutive draws, a batch say, has as many patches with tumour as the
    ratio of an epoch asks for, up to rounding. Within an epoch no patch comes twice. A side that has more patches than
    an epoch draws is subsampled anew each epoch: its sorted list is cut into as many stretches of nearly equal length
    as are wanted, from another beginning each time, and each gives one of its patches at random. So every third by
    lesion size and every patient gives its share, and over the epochs each patch is as likely as any other.
    """

    def __init__(self, path: Path, case_ids: Sequence[str], config: TrainConfig) -> None:
        self._path = path
        self._case_ids = case_ids
        self._patch = config.patch
        self._seed = config.seed
        self.there = count_sides(self._rows)
        self.epoch = plan_epoch(config.ratio, self.there)

    @cached_property
    def _rows(self) -> Rows:
        return open_rows(self._path)

    def __getstate__(self) -> dict[str, Any]:
        """Without the map, which would travel to worker processes as its whole content: they open it themselves."""
        return {name: value for name, value in self.__dict__.items() if name != "_rows"}

    def draw(self, rng: np.random.Generator, number: int) -> tuple[str, Box]:
        """The case and the box of draw ``number``, counted from 0. ``rng`` is that of the patch of this number."""
        row = self._rows[self.row(rng, number)]
        x, y, z = (int(n) for n in row["start"])
        width, height, depth = self._patch
        return self._case_ids[row["case"]], Box((x, y, z), (x + width, y + height, z + depth))

    def row(self, rng: np.random.Generator, number: int) -> int:
        """Which row of the sorted list draw ``number`` takes."""
        epoch, place = divmod(number, sum(self.epoch))
        before, after = (n * self.epoch.tumour // sum(self.epoch) for n in (place, place + 1))
        side = 0 if after > before else 1
        there, wanted = self.there[side], self.epoch[side]
        stretch = shuffled(place - before if side else before, wanted, (self._seed, side, epoch))
        beginning = shuffled(epoch % there, there, (self._seed, side))
        inside = rng.integers(stretch * there // wanted, (stretch + 1) * there // wanted)
        return side * self.there.tumour + (beginning + int(inside)) % there
