"""Label conventions as data: what the numbers in a mask file mean, and how to get from one meaning to another.

Inside gliamap a label map holds :class:`Tissue` values, whatever its file said. Files are converted once when they
are read (:func:`to_tissue`) and once when they are written (:func:`from_tissue`), and nowhere else.

Sources of the conventions: the BraTS challenge pages of each year, the Medical Segmentation Decathlon's
``dataset.json`` of Task01, nnU-Net's BraTS data sets.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gliamap.errors import LabelError

_LISTED_VALUES = 8
"""A message names this many values at most; no convention has more than four."""

_DESCRIBED = 3
"""A message explains this many conventions at most, and names more."""

LabelMap = NDArray[np.uint8]
"""An ``(X, Y, Z)`` map of :class:`Tissue` values."""


class Tissue(IntEnum):
    """The canonical labels. 1 to 3 are those of BraTS 2023."""

    BACKGROUND = 0
    NCR = 1  # necrotic or non-enhancing core, not told apart
    ED = 2  # edema and infiltration (SNFH in BraTS 2024)
    ET = 3  # enhancing tumour
    NECROSIS = 4  # necrosis alone
    NET = 5  # non-enhancing tumour alone
    CC = 6  # cystic component
    RC = 7  # resection cavity: not tumour
    CORE = 8  # the core, not divided further
    TUMOUR = 9  # tumour, not divided further


TISSUE_NAMES: Mapping[Tissue, str] = MappingProxyType(
    {
        Tissue.BACKGROUND: "background",
        Tissue.NCR: "necrotic / non-enhancing core",
        Tissue.ED: "edema",
        Tissue.ET: "enhancing tumour",
        Tissue.NECROSIS: "necrosis",
        Tissue.NET: "non-enhancing tumour",
        Tissue.CC: "cystic component",
        Tissue.RC: "resection cavity",
        Tissue.CORE: "tumour core",
        Tissue.TUMOUR: "tumour",
    }
)

TISSUE_COLOURS: Mapping[Tissue, str] = MappingProxyType(
    {
        Tissue.ED: "#12b886",
        Tissue.TUMOUR: "#ffb000",
        Tissue.CORE: "#ff6b4a",
        Tissue.ET: "#ffd43b",
        Tissue.NET: "#d77bd0",
        Tissue.NCR: "#f03e3e",
        Tissue.NECROSIS: "#f03e3e",
        Tissue.CC: "#5c7cfa",
        Tissue.RC: "#4dabf7",
    }
)
"""Each tissue's colour, in pictures and in tables for viewers, in the order of drawing: edema, then what enhances,
then the core.

Within a label convention they stay apart for readers with red-green blindness (a test computes it).
"""

_WIDER: Mapping[Tissue, Tissue] = MappingProxyType(
    {
        Tissue.NECROSIS: Tissue.NCR,
        Tissue.NET: Tissue.NCR,
        Tissue.CC: Tissue.NCR,
        Tissue.NCR: Tissue.CORE,
        Tissue.ET: Tissue.CORE,
        Tissue.CORE: Tissue.TUMOUR,
        Tissue.ED: Tissue.TUMOUR,
        Tissue.RC: Tissue.BACKGROUND,
    }
)
"""The next wider tissue that contains each one: the only merges that a lossy conversion may make."""


class Region(StrEnum):
    """The overlapping regions that BraTS scores."""

    WT = "WT"
    TC = "TC"
    ET = "ET"


REGION_NAMES: Mapping[Region, str] = MappingProxyType(
    {Region.WT: "whole tumour", Region.TC: "tumour core", Region.ET: "enhancing tumour"}
)

REGION_TISSUES: Mapping[Region, frozenset[Tissue]] = MappingProxyType(
    {
        Region.WT: frozenset(Tissue) - {Tissue.BACKGROUND, Tissue.RC},
        Region.TC: frozenset({Tissue.NCR, Tissue.ET, Tissue.NECROSIS, Tissue.NET, Tissue.CC, Tissue.CORE}),
        Region.ET: frozenset({Tissue.ET}),
    }
)


@dataclass(frozen=True)
class Convention:
    """What each value in a file means. Background is 0 everywhere and is not listed."""

    name: str
    title: str
    values: Mapping[int, Tissue]

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions that this convention can tell, outermost first."""
        known = set(self.values.values())
        wanted = {Region.WT: known, Region.TC: known & REGION_TISSUES[Region.TC], Region.ET: known & {Tissue.ET}}
        return tuple(region for region in Region if wanted[region])

    @property
    def tissues(self) -> tuple[Tissue, ...]:
        """The tissues in the order of their file values, background excluded."""
        return tuple(self.values[value] for value in sorted(self.values))

    def region_values(self, region: Region) -> tuple[int, ...]:
        """The file values that make up ``region``, ascending."""
        return tuple(sorted(v for v, tissue in self.values.items() if tissue in REGION_TISSUES[region]))

    def describe(self) -> str:
        """Values and meanings in one line, for messages and ``--help``."""
        return ", ".join(f"{value} {TISSUE_NAMES[self.values[value]]}" for value in sorted(self.values))


def _convention(name: str, title: str, values: dict[int, Tissue]) -> Convention:
    return Convention(name, title, MappingProxyType(values))


CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        c.name: c
        for c in (
            _convention("brats2021", "BraTS 2017-2021", {1: Tissue.NCR, 2: Tissue.ED, 4: Tissue.ET}),
            _convention("brats2023", "BraTS 2023 GLI", {1: Tissue.NCR, 2: Tissue.ED, 3: Tissue.ET}),
            _convention(
                "brats2024", "BraTS 2024 GLI post-treatment", {1: Tissue.NCR, 2: Tissue.ED, 3: Tissue.ET, 4: Tissue.RC}
            ),
            _convention("msd", "MSD Task01 and nnU-Net BraTS sets", {1: Tissue.ED, 2: Tissue.NCR, 3: Tissue.ET}),
            _convention("brats-ped", "BraTS-PED 2024", {1: Tissue.ET, 2: Tissue.NET, 3: Tissue.CC, 4: Tissue.ED}),
            _convention(
                "brats2013", "BRATS 2013-2016", {1: Tissue.NECROSIS, 2: Tissue.ED, 3: Tissue.NET, 4: Tissue.ET}
            ),
            _convention("brats2012", "BRATS 2012", {1: Tissue.ED, 2: Tissue.CORE}),
            _convention("binary", "tumour as 1", {1: Tissue.TUMOUR}),
            _convention("binary255", "tumour as 255", {255: Tissue.TUMOUR}),
        )
    }
)


def get_convention(name: str) -> Convention:
    """The convention called ``name``; ``LabelError`` where there is none."""
    if name not in CONVENTIONS:
        raise LabelError(
            f"there is no label convention called '{name[:80]}'", expected="one of " + ", ".join(CONVENTIONS)
        )
    return CONVENTIONS[name]


def values_in(labels: NDArray[np.generic]) -> tuple[int, ...]:
    """The distinct non-zero values of an integer label map, ascending."""
    if labels.dtype == np.uint8:
        present = np.flatnonzero(np.bincount(labels.ravel(), minlength=1))
    else:
        present = np.unique(labels)
    return tuple(int(v) for v in present if v != 0)


def resolve_convention(
    values: Iterable[int], candidates: Sequence[Convention] = tuple(CONVENTIONS.values())
) -> Convention:
    """The one of ``candidates`` under which ``values`` have a certain meaning.

    Candidates that do not know some value fall out. Where several remain and give every value the same meaning, the
    first is taken; where they disagree, or none remains, ``LabelError`` names them.
    """
    present = sorted({int(v) for v in values} - {0})
    fitting = [c for c in candidates if all(v in c.values for v in present)]
    if not fitting:
        raise _outside(present, candidates)
    meanings = {tuple(c.values[v] for v in present) for c in fitting}
    if len(meanings) > 1:
        raise LabelError(
            "the mask's values fit more than one label convention and mean different things in them",
            found=f"{_listed(present)}; " + "; ".join(f"{c.name}: {c.describe()}" for c in fitting),
            remedy="name the convention with --labels, for example --labels " + fitting[0].name,
        )
    return fitting[0]


def _outside(present: Sequence[int], candidates: Sequence[Convention]) -> LabelError:
    fits = [c.name for c in CONVENTIONS.values() if all(v in c.values for v in present)]
    named = [f"{c.name} ({c.describe()})" if len(candidates) <= _DESCRIBED else c.name for c in candidates]
    what = "its label convention" if len(candidates) <= _DESCRIBED else "every label convention"
    remedy = f"check the file, or name its convention with --labels ({', '.join(fits)})"
    return LabelError(
        f"the mask holds values outside {what}",
        found=_listed(present),
        expected=" or ".join(named),
        remedy=remedy if fits else "check that this is the mask: no label convention has these values",
    )


def _listed(present: Sequence[int]) -> str:
    """The values for a message; of very many, as where an image is taken for a mask, the first few and their number."""
    if len(present) <= _LISTED_VALUES:
        return f"values {list(present)}"
    first = ", ".join(str(v) for v in present[:_LISTED_VALUES])
    return f"{len(present)} different values ({first} ...), as in an image rather than a mask"


def to_tissue(labels: NDArray[np.integer], convention: Convention) -> LabelMap:
    """Turn a file's values into tissues. ``LabelError`` where a value is outside ``convention``."""
    resolve_convention(values_in(labels), [convention])
    table = np.zeros(256, np.uint8)
    for value, tissue in convention.values.items():
        table[value] = tissue
    return np.asarray(table[labels.astype(np.uint8, copy=False)])


def from_tissue(labels: LabelMap, convention: Convention, *, lossy: bool = False) -> NDArray[np.uint8]:
    """Turn tissues into a file's values.

    A tissue that ``convention`` lacks is an error, unless ``lossy`` allows it to become the next wider tissue that
    the convention has (necrosis -> core -> tumour). What no wider tissue can hold is an error even then.
    """
    value_of = {tissue: value for value, tissue in convention.values.items()}
    table = np.zeros(256, np.uint8)
    for present in values_in(labels):
        tissue = Tissue(present)
        target = widened(tissue, value_of) if lossy else tissue
        if target == Tissue.BACKGROUND:
            continue
        if target not in value_of:
            raise _not_convertible(tissue, convention, value_of, lossy=lossy)
        table[present] = value_of[target]
    return np.asarray(table[labels])


def convert(
    labels: NDArray[np.integer], source: Convention, target: Convention, *, lossy: bool = False
) -> NDArray[np.uint8]:
    """Turn the values of one convention into those of another; see :func:`from_tissue` for ``lossy``."""
    return from_tissue(to_tissue(labels, source), target, lossy=lossy)


def merges(source: Convention, target: Convention) -> tuple[tuple[Tissue, Tissue], ...]:
    """The merges ``(tissue, becomes)`` that a lossy conversion from ``source`` to ``target`` would make."""
    value_of = {tissue: value for value, tissue in target.values.items()}
    pairs = [(tissue, widened(tissue, value_of)) for tissue in source.tissues]
    return tuple((tissue, wider) for tissue, wider in pairs if wider not in (tissue, None) and wider is not None)


def widened(tissue: Tissue, known: Container[Tissue]) -> Tissue | None:
    """``tissue`` where it is known, else the next wider one that is, or background; ``None`` where nothing holds it."""
    at: Tissue | None = tissue
    while at is not None and at != Tissue.BACKGROUND and at not in known:
        at = _WIDER.get(at)
    return at


def _not_convertible(
    tissue: Tissue, convention: Convention, value_of: Mapping[Tissue, int], *, lossy: bool
) -> LabelError:
    wider = widened(tissue, value_of)
    what = f"'{TISSUE_NAMES[tissue]}' has no value in the label convention {convention.name}"
    if wider is None or lossy:
        return LabelError(what, remedy="choose a convention that has it; no wider label can hold it here")
    return LabelError(
        what, remedy=f"choose another convention, or accept that it becomes '{TISSUE_NAMES[wider]}' with --lossy"
    )


def region_mask(labels: LabelMap, region: Region) -> NDArray[np.bool_]:
    """The boolean mask of ``region`` in a map of tissues, same shape."""
    table = np.zeros(256, np.bool_)
    table[list(REGION_TISSUES[region])] = True
    return np.asarray(table[labels])


def encode_regions(labels: LabelMap, regions: Sequence[Region]) -> NDArray[np.bool_]:
    """Overlapping region masks ``(R, *space)`` of a map of tissues."""
    return np.stack([region_mask(labels, region) for region in regions])


def decode_regions(masks: Iterable[NDArray[np.bool_]], regions: Sequence[Region], convention: Convention) -> LabelMap:
    """Tissues from the mask of each of ``regions`` (outermost first), inner regions drawn over outer ones.

    WT alone is edema (or tumour, where the convention has nothing finer), TC beyond ET is the non-enhancing core.
    An inner voxel outside its outer region counts as inner. One mask is held at a time, where they come one by one.
    """
    out: LabelMap | None = None
    for region, mask in zip(regions, masks, strict=True):
        if out is None:
            out = np.zeros(mask.shape, np.uint8)
        out[mask] = _rest_of(region, convention)
    assert out is not None  # every convention has a region
    return out


def _rest_of(region: Region, convention: Convention) -> Tissue:
    """The tissue that fills ``region`` where no inner region lies."""
    preferred = {
        Region.WT: (Tissue.ED, Tissue.TUMOUR),
        Region.TC: (Tissue.NCR, Tissue.CORE),
        Region.ET: (Tissue.ET,),
    }[region]
    for tissue in preferred:
        if tissue in convention.tissues:
            return tissue
    raise LabelError(
        f"the label convention {convention.name} has no single label for {region.value}",
        remedy="use class outputs, or another convention",
    )


def encode_classes(labels: LabelMap, tissues: Sequence[Tissue]) -> NDArray[np.bool_]:
    """Exclusive class masks ``(1 + len(tissues), *space)``, background first, of a map of tissues."""
    return np.stack([labels == tissue for tissue in (Tissue.BACKGROUND, *tissues)])


def decode_classes(channels: Iterable[NDArray[np.generic]], tissues: Sequence[Tissue]) -> LabelMap:
    """Tissues from the scores or mask of background and of each of ``tissues``: the largest wins, of equals the first.

    One channel and the largest so far are held at a time, where they come one by one.
    """
    rest = iter(channels)
    largest = np.array(next(rest))
    out = np.zeros(largest.shape, np.uint8)
    for tissue, channel in zip(tissues, rest, strict=True):
        wins = channel > largest
        out[wins] = tissue
        np.copyto(largest, channel, where=wins)
    return out
