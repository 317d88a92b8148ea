"""What can be added up over cases: histograms with fixed bins and maps of one size. Whole numbers, so order is nothing.

Knows numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gliamap.labels import Tissue

Ints = NDArray[np.int64]
_Key = TypeVar("_Key")

PLACES = 64
"""Columns and rows of a map of places: the box of the foreground is brought to this, whatever its size."""

_Z_FROM, _Z_TO, _Z_BINS = -4.0, 8.0, 120
_SIZES_FROM, _SIZES_A_DECADE, _SIZE_BINS = -3, 4, 36

INTENSITY_EDGES: NDArray[np.float64] = np.linspace(_Z_FROM, _Z_TO, _Z_BINS + 1)
"""Edges of the bins of normalised intensity, in standard deviations; the outer bins hold all that lies beyond."""

SIZE_EDGES: NDArray[np.float64] = 10.0 ** (np.arange(_SIZE_BINS + 1) / _SIZES_A_DECADE + _SIZES_FROM)
"""Edges of the bins of lesion size, in mL or pixels, four a decade; the outer bins hold all that lies beyond."""


@dataclass(frozen=True, eq=False)
class Places:
    """In how many of ``cases`` tumour, and foreground, lies behind each place of a plane, ``(PLACES, PLACES)``.

    The first axis runs along the first of R, A, S that the plane has, the second along the other.
    """

    cases: int
    tumour: Ints
    foreground: Ints

    def plus(self, other: Places) -> Places:
        """Of both."""
        return Places(self.cases + other.cases, self.tumour + other.tumour, self.foreground + other.foreground)


def _no_sizes() -> Ints:
    return np.zeros(_SIZE_BINS, np.int64)


@dataclass(frozen=True, eq=False)
class Counts:
    """Sums over cases; those of no case by default.

    ``intensities``: voxels in the bins of :data:`INTENSITY_EDGES`, by modality and tissue; background is the
    foreground without any label. ``lesion_sizes``: lesions in the bins of :data:`SIZE_EDGES`. ``places`` by the name
    of the plane, ``slice`` where it is not known.
    """

    intensities: Mapping[tuple[str, Tissue], Ints] = field(default_factory=dict)
    lesion_sizes: Ints = field(default_factory=_no_sizes)
    places: Mapping[str, Places] = field(default_factory=dict)

    def plus(self, other: Counts) -> Counts:
        """Of the cases of both: associative, and the same in any order."""
        places = {**self.places, **other.places}
        both = self.places.keys() & other.places.keys()
        return Counts(
            _sum(self.intensities, other.intensities),
            self.lesion_sizes + other.lesion_sizes,
            places | {plane: self.places[plane].plus(other.places[plane]) for plane in both},
        )


def _sum(one: Mapping[_Key, Ints], other: Mapping[_Key, Ints]) -> Mapping[_Key, Ints]:
    both = one.keys() & other.keys()
    return MappingProxyType({**one, **other, **{key: one[key] + other[key] for key in both}})


def count_intensities(values: NDArray[np.floating], tissues: NDArray[np.uint8]) -> dict[Tissue, Ints]:
    """The histogram of normalised ``values`` (N,) of each of the ``tissues`` (N,) that occur."""
    at = np.clip((values - _Z_FROM) * (_Z_BINS / (_Z_TO - _Z_FROM)), 0, _Z_BINS - 1).astype(np.int64)
    table = np.bincount(tissues * np.int64(_Z_BINS) + at, minlength=len(Tissue) * _Z_BINS).reshape(-1, _Z_BINS)
    return {tissue: table[tissue] for tissue in Tissue if table[tissue].any()}


def count_sizes(sizes: NDArray[np.floating]) -> Ints:
    """The histogram of lesion ``sizes`` (N,), all above 0."""
    exponents = np.log10(sizes) - _SIZES_FROM
    at = np.floor(exponents * _SIZES_A_DECADE + 1e-9)  # 0.001 mL, one voxel, belongs to the bin that it begins
    return np.bincount(np.clip(at, 0, _SIZE_BINS - 1).astype(np.int64), minlength=_SIZE_BINS)
