"""Whether the modalities look like what they are called. Knows arrays only.

What is asked of four modalities of a skull-stripped brain, all of them relations that hold whatever the scanner:

- fluid (the brightest of T2 that is not also bright on FLAIR) is dark on FLAIR, T1 and T1c;
- T1 goes with T1c more than either goes with FLAIR, and T2 goes with FLAIR more than with T1 or T1c;
- what is brightest on FLAIR is brighter on T2 than on T1;
- vessels make T1c reach further up than T1;
- with labels: edema is brighter on FLAIR and T2 than on T1 and T1c, enhancing tumour brighter on T1c than on T1.

Every naming of the images is tried; where another one than that of the files fits better by a clear margin, the
names are doubted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from gliamap.checks.brightness import against_normal, away_from, brain_of, thinned
from gliamap.checks.findings import Finding
from gliamap.labels import LabelMap, Region, Tissue, region_mask

SWAP_MARGIN = 2.0
"""Another naming must fit better by this much. True names were worse than another by 0.8 at most (12 cases)."""

_MOVE = 1.0  # what one name more to be moved must be worth: T1 and T1c without enhancement are as good either way
_KNOWN = ("t1", "t1c", "t2", "flair")
_SMALLEST_BRAIN = 2000
_SMALLEST_TISSUE = 50
_BRIGHT = 1.5  # spreads of normal brain above its median


@dataclass(frozen=True)
class _Marks:
    """What is measured once, by image number, so that every naming can be tried cheaply.

    ``together[i, j]`` is the rank correlation of two images, ``reach[i]`` how far the brightest voxels of one lie above
    its median, ``uneven[i, j]`` how far what j adds to i leans to bright, ``fluid[i, j]`` the medians of all images
    where i is brightest and j is not bright too, ``top[i]`` those where i is brightest, ``tissues`` those of tissues.
    """

    together: NDArray[np.float64]
    reach: NDArray[np.float64]
    uneven: NDArray[np.float64]
    fluid: NDArray[np.float64]
    top: NDArray[np.float64]
    tissues: Mapping[Tissue, NDArray[np.float64]] = field(default_factory=dict)


def swapped_modalities(
    image: NDArray[np.float32], modalities: Sequence[str], labels: LabelMap | None = None
) -> list[Finding]:
    """At most one 'modalities-swapped' finding for skull-stripped ``(C, X, Y, Z)``; ``labels`` are tissues.

    Says nothing of whole heads (do not ask), of slices, of fewer than two of t1, t1c, t2, flair, or where too little
    brain is to be seen. T1 and T1c are told apart by enhancement alone, of vessels or tumour: where neither shows,
    their swap goes unnoticed.
    """
    numbers = [number for number, name in enumerate(modalities) if name in _KNOWN]
    if len(numbers) < 2 or 1 in image.shape[1:]:
        return []
    marks = _measure(image[numbers], labels)
    if marks is None:
        return []
    names = tuple(modalities[number] for number in numbers)
    fits = {named: _fit(marks, named) for named in permutations(names)}
    better = [named for named in fits if fits[named] - fits[names] >= SWAP_MARGIN]
    if not better:
        return []
    best = max(better, key=lambda named: fits[named] - _MOVE * len(_moved(names, named)))
    looks = [f"what is called {name} looks like {like}" for name, like in _moved(names, best)]
    return [Finding("modalities-swapped", ", ".join(looks))]


def _moved(names: Sequence[str], others: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, other) for name, other in zip(names, others, strict=True) if name != other]


def _measure(image: NDArray[np.float32], labels: LabelMap | None) -> _Marks | None:
    few = thinned(image.shape[1:])
    image = image[(slice(None), *few)]
    brain = brain_of(image)
    normal = brain
    if labels is not None:
        labels = labels[few]
        normal = brain & away_from(region_mask(labels, Region.WT))
    if int(normal.sum()) < _SMALLEST_BRAIN:
        return None
    relative = against_normal(image, normal)
    if relative is None:
        return None
    values = relative[:, normal].astype(np.float64)
    count = len(values)
    fluid = np.zeros((count, count, count))
    uneven = np.zeros((count, count))
    for i, j in permutations(range(count), 2):
        fluid[i, j] = _brightest(values, i, (values[i] <= _BRIGHT) | (values[j] <= _BRIGHT), 0.96)
        uneven[i, j] = _leaning(values[i], values[j])
    every = relative[:, brain].astype(np.float64)
    top = np.stack([_brightest(every, i, np.ones(every.shape[1], np.bool_), 0.97) for i in range(count)])
    ranks = np.stack([_ranks(row[::5]) for row in values])
    return _Marks(
        np.atleast_2d(np.corrcoef(ranks)), np.quantile(values, 0.998, axis=1), uneven, fluid, top,
        {} if labels is None else _tissues(relative, labels),
    )  # fmt: skip


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rank of each value, equal ones sharing the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place])


def _brightest(values: NDArray[np.float64], by: int, among: NDArray[np.bool_], share: float) -> NDArray[np.float64]:
    """The medians of all images where image ``by`` is above its quantile ``share``, ``among`` some of the voxels."""
    chosen = values[:, among]
    return np.asarray(np.median(chosen[:, chosen[by] >= np.quantile(chosen[by], share)], axis=1))


def _leaning(base: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Skewness by quantiles, in -1 to 1, of what ``other`` holds beyond its linear share of ``base``."""
    spread = np.cov(np.clip(base, -4, 4), np.clip(other, -4, 4))
    low, middle, high = np.quantile(other - spread[0, 1] / spread[0, 0] * base, [0.002, 0.5, 0.998])
    return float((high + low - 2 * middle) / max(high - low, 1e-9))


def _tissues(relative: NDArray[np.float32], labels: LabelMap) -> dict[Tissue, NDArray[np.float64]]:
    masks = {tissue: labels == tissue for tissue in (Tissue.ED, Tissue.ET)}
    return {
        tissue: np.median(relative[:, mask], axis=1).astype(np.float64)
        for tissue, mask in masks.items()
        if int(mask.sum()) >= _SMALLEST_TISSUE
    }


_Relation = tuple[tuple[str, ...], float, float, Callable[[_Marks, Mapping[str, int]], float | None]]


def _edema(marks: _Marks, at: Mapping[str, int], bright: str) -> float | None:
    found = marks.tissues.get(Tissue.ED)
    if found is None:
        return None
    return float(found[at[bright]] - max(found[at["t1"]], found[at["t1c"]]))


def _enhancing(marks: _Marks, at: Mapping[str, int]) -> float | None:
    found = marks.tissues.get(Tissue.ET)
    return None if found is None else float(found[at["t1c"]] - found[at["t1"]])


# Which modalities it takes, how much it weighs, what counts as clear, and the figure: positive where names are right.
_RELATIONS: tuple[_Relation, ...] = (
    (("t2", "flair"), 2.0, 0.7, lambda m, at: -m.fluid[at["t2"], at["flair"], at["flair"]]),
    (("t1", "t2", "flair"), 0.5, 1.0, lambda m, at: -m.fluid[at["t2"], at["flair"], at["t1"]]),
    (("t1c", "t2", "flair"), 0.5, 1.0, lambda m, at: -m.fluid[at["t2"], at["flair"], at["t1c"]]),
    (("t1", "t1c", "flair"), 1.0, 0.3,
     lambda m, at: m.together[at["t1"], at["t1c"]] - m.together[at["t1"], at["flair"]]),
    (("t1", "t1c", "flair"), 1.0, 0.3,
     lambda m, at: m.together[at["t1"], at["t1c"]] - m.together[at["t1c"], at["flair"]]),
    (("t1", "t1c", "t2", "flair"), 1.0, 0.3,
     lambda m, at: m.together[at["t2"], at["flair"]]
     - max(m.together[at["t2"], at["t1"]], m.together[at["t2"], at["t1c"]])),
    (("t1", "t2", "flair"), 1.0, 1.0, lambda m, at: m.top[at["flair"], at["t2"]] - m.top[at["flair"], at["t1"]]),
    (("t1", "t1c"), 0.7, 0.4,
     lambda m, at: math.log(max(m.reach[at["t1c"]], 0.1) / max(m.reach[at["t1"]], 0.1))),
    (("t1", "t1c"), 0.7, 0.4, lambda m, at: m.uneven[at["t1"], at["t1c"]] - m.uneven[at["t1c"], at["t1"]]),
    (("t1", "t1c", "flair"), 2.0, 1.0, lambda m, at: _edema(m, at, "flair")),
    (("t1", "t1c", "t2"), 1.0, 1.0, lambda m, at: _edema(m, at, "t2")),
    (("t1", "t1c"), 2.0, 1.0, _enhancing),
)  # fmt: skip


def _fit(marks: _Marks, named: Sequence[str]) -> float:
    """How well the relations hold where image i is called ``named[i]``: a sum of weighted, bounded figures."""
    at = {name: number for number, name in enumerate(named)}
    total = 0.0
    for needed, weight, clear, figure in _RELATIONS:
        if all(name in at for name in needed):
            value = figure(marks, at)
            total += 0.0 if value is None else weight * math.tanh(float(value) / clear)
    return total
