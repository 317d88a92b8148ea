"""What a data set's own names say of its label values: ``dataset.json`` of MSD and nnU-Net, ``dseg.tsv`` of BIDS.

Two ways of naming are understood. *Labels*: each value has a name of its own (``edema`` 1). *Regions*, as in nnU-Net's
region-based training: overlapping unions (``whole tumor`` [1, 2, 3], ``tumor core`` [2, 3], ``enhancing tumor`` 3);
what is in the whole tumour alone is edema, what is in the core but does not enhance is some part of the core.

Names are read word by word and only where every word is known. 'Necrosis' may stand for necrosis alone (BRATS 2013)
or for everything in the core that does not enhance (BraTS since 2017), and so may 'non-enhancing tumour': the other
values of the set tell which. Whatever the words, a meaning is never guessed: either the names equal a convention, or
they are not understood, or they are understood and equal none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gliamap.errors import LabelError
from gliamap.labels import CONVENTIONS, REGION_TISSUES, Region, Tissue
from gliamap.sources.layout import summarise

Values = int | Sequence[int]

_MOST_DIGITS = 9
_TISSUES = frozenset(Tissue) - {Tissue.BACKGROUND}

# The kind of thing that a word names. Longer words come in by their beginning: 'necrotic', 'cystic', 'edematous'.
_WORDS: Mapping[str, str] = {
    **{"ed": "edema", "snfh": "edema"},
    **{"hyperintensity": "bright", "hyperintense": "bright", "hyperintensities": "bright"},
    **{"ncr": "necrosis", "net": "silent", "netc": "silent", "nc": "silent", "ncet": "silent"},
    **{"et": "enhancing", "cet": "enhancing", "rc": "cavity", "cavity": "cavity", "cc": "cyst"},
    **{"core": "core", "tc": "core", "wt": "tumor", "tumor": "tumor", "tumors": "tumor", "glioma": "tumor"},
    **{"glioblastoma": "tumor", "gbm": "tumor", "metastasis": "tumor", "metastases": "tumor", "meningioma": "tumor"},
    **{"mass": "tumor", "gtv": "tumor", "neoplasm": "tumor", "lesion": "lesion", "abnormality": "lesion"},
}
_STEMS: Mapping[str, str] = {
    **{
        "edem": "edema",
        "necro": "necrosis",
        "nonenh": "silent",
        "enh": "enhancing",
        "cyst": "cyst",
        "resect": "cavity",
    },
    **{"infiltrat": "spread", "invad": "spread", "invas": "spread"},
}
_FILLERS = frozenset(
    {
        *("and", "or", "of", "the", "with", "label", "tissue", "region", "area", "part", "component", "surrounding"),
        *("gd", "gadolinium", "contrast", "flair", "t1", "t1c", "t1ce", "t2", "brain", "whole", "complete", "entire"),
        *("solid", "surgical", "fluid", "filled", "peritumoral", "perifocal", "vasogenic"),
    }
)

# What the kinds in a name mean together; a combination that is not here is not understood. 'tumor' is left out where
# anything but edema stands beside it: 'enhancing tumor' is enhancing.
_MEANINGS: Mapping[frozenset[str], frozenset[Tissue]] = {
    frozenset(kinds): frozenset(tissues)
    for tissues, combinations in (
        ({Tissue.ED}, ({"edema"}, {"bright"}, {"bright", "edema"}, {"spread", "edema"})),
        ({Tissue.ED}, ({"bright", "silent"},)),  # surrounding non-enhancing FLAIR hyperintensity
        ({Tissue.NECROSIS, Tissue.NCR}, ({"necrosis"}, {"necrosis", "core"})),
        ({Tissue.NET, Tissue.NCR}, ({"silent"}, {"silent", "core"})),
        ({Tissue.NCR}, ({"necrosis", "silent"}, {"necrosis", "silent", "core"})),
        ({Tissue.ET}, ({"enhancing"}, {"enhancing", "core"}, {"enhancing", "lesion"})),
        ({Tissue.CC}, ({"cyst"},)),
        ({Tissue.RC}, ({"cavity"},)),
        ({Tissue.CORE}, ({"core"},)),
        ({Tissue.TUMOUR}, ({"tumor"}, {"lesion"})),
    )
    for kinds in combinations
}
_NAMED_AS = {Region.WT: Tissue.TUMOUR, Region.TC: Tissue.CORE, Region.ET: Tissue.ET}  # what a region is called after


@dataclass(frozen=True)
class Told:
    """What a data set's names say of its masks: the conventions they may have, whether they can be used, a remark."""

    conventions: tuple[str, ...]
    usable: bool
    notes: tuple[str, ...]

    @property
    def understood(self) -> bool:
        """Whether the names tell what the labels are, if only that they are no convention's."""
        return bool(self.conventions) or not self.usable


def told_by_names(labels: Mapping[str, Values], where: str) -> Told:
    """What the names in the file ``where`` say.

    Masks whose names are understood and equal no convention are not usable: any convention would be a wrong one.
    """
    try:
        found = conventions_from_names(labels)
    except LabelError as error:
        remark = f"the masks were passed over, because {where} numbers labels as no convention does: {error.found}"
        return Told((), usable=False, notes=(remark,))
    if found:
        return Told(found, usable=True, notes=())
    names = _describe(labels)
    remark = f"the labels that {where} names are not understood: {names}" if names else f"{where} names no labels"
    return Told((), usable=True, notes=(remark,))


def conventions_from_names(labels: Mapping[str, Values]) -> tuple[str, ...]:
    """The label conventions that these named values may be; background (0) may be among them.

    A convention that knows exactly these values comes before, and instead of, those that know more. ``()`` where a
    name is not understood or nothing is named. ``LabelError`` where every name is understood and no convention numbers
    its labels so, for example 1 enhancing, 2 edema, 3 necrosis.
    """
    named = {name: _as_values(values) for name, values in labels.items() if not _is_background(name, values)}
    meanings = _meanings(named)
    if not meanings:
        return ()
    fitting = [
        convention
        for convention in CONVENTIONS.values()
        if all(convention.values.get(value) in tissues for value, tissues in meanings.items())
    ]
    if not fitting:
        raise LabelError(
            "the labels are numbered as in no convention that gliamap knows",
            found=_describe(labels),
            expected=" or ".join(f"{c.name} ({c.describe()})" for c in CONVENTIONS.values()),
            remedy="renumber the masks, or correct the names if they are wrong",
        )
    exact = [convention.name for convention in fitting if convention.values.keys() == meanings.keys()]
    return tuple(exact or (convention.name for convention in fitting))


def means_tumour(name: str) -> bool:
    """Whether ``name`` stands for the whole tumour: ``lesion``, ``WT``, but not ``tumor core``."""
    return _tissues(name) == {Tissue.TUMOUR}


def named_values(raw: object) -> dict[str, Values]:
    """The named values of the ``labels`` of a ``dataset.json``: value to name (MSD, nnU-Net v1) or name to value.

    Empty where they are neither.
    """
    if not isinstance(raw, Mapping):
        return {}
    numbers = {key: as_number(str(key)) for key in raw}
    if raw and None not in numbers.values():
        return grouped((str(name), numbers[key] or 0) for key, name in raw.items())
    pairs = [(str(name), _numbers(value)) for name, value in raw.items()]
    return {name: value for name, value in pairs if value is not None} if all(v is not None for _, v in pairs) else {}


def grouped(pairs: Iterable[tuple[str, int]]) -> dict[str, Values]:
    """Named values from pairs of a name and a value, of which several may have one name."""
    found: dict[str, list[int]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def as_number(text: str) -> int | None:
    """The whole number that ``text`` is, if it is one that a label or a channel can have."""
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None


def _numbers(value: object) -> Values | None:
    """A whole number or a list of them, also where they are written as text; ``None`` for anything else."""
    if isinstance(value, list | tuple):
        numbers = [_numbers(one) for one in value]
        return [n for n in numbers if isinstance(n, int)] if all(isinstance(n, int) for n in numbers) else None
    if isinstance(value, str):
        return as_number(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _as_values(values: Values) -> tuple[int, ...]:
    return (values,) if isinstance(values, int) else tuple(values)


def _is_background(name: str, values: Values) -> bool:
    return _as_values(values) == (0,) and not _tissues(name)


def _describe(labels: Mapping[str, Values]) -> str:
    shown = sorted((_as_values(values), name) for name, values in labels.items() if not _is_background(name, values))
    return summarise([f"{'+'.join(map(str, values))[:20]} {name[:60]}" for values, name in shown], 8)


def _meanings(named: Mapping[str, tuple[int, ...]]) -> dict[int, frozenset[Tissue]]:
    """The tissues that each value may be; empty where a name is not understood."""
    tissues = {name: _tissues(name) for name in named}
    if not all(tissues.values()) or any(0 in values for values in named.values()):
        return {}
    overlap = any(len(values) > 1 for values in named.values())
    regions: dict[Region, frozenset[int]] = {}
    found: dict[int, frozenset[Tissue]] = {}
    for name, values in named.items():
        region = next((r for r, tissue in _NAMED_AS.items() if overlap and tissues[name] == {tissue}), None)
        if region:
            regions[region] = frozenset(values)
        for value in values:
            found[value] = found.get(value, _TISSUES) & (REGION_TISSUES[region] if region else tissues[name])
    if not _nested([regions[region] for region in Region if region in regions]):
        return {}
    for value in found:
        found[value] &= _told_by_regions(value, regions)
    return found


def _nested(sets: Sequence[frozenset[int]]) -> bool:
    return all(inner <= outer for outer, inner in pairwise(sets))


def _told_by_regions(value: int, regions: Mapping[Region, frozenset[int]]) -> frozenset[Tissue]:
    """What a value may be that is in one region, but not in the next inner one."""
    whole, core, enhancing = (regions.get(region) for region in Region)
    if core is not None and value not in core and value in (whole or ()):
        return frozenset({Tissue.ED})
    if enhancing is not None and value not in enhancing and value in (core or ()):
        return REGION_TISSUES[Region.TC] - {Tissue.ET, Tissue.CORE}
    return _TISSUES


def _tissues(name: str) -> frozenset[Tissue]:
    """The tissues that one name may mean; empty where it is not understood."""
    kinds = [_kind(word) for word in _split(name)]
    if not kinds or any(kind is None for kind in kinds):
        return frozenset()
    found = frozenset(kind for kind in kinds if kind)
    if len(found) > 1 and "edema" not in found:
        found -= {"tumor"}
    return _MEANINGS.get(found, frozenset())


def _kind(word: str) -> str | None:
    """The kind of thing that a word names, nothing for a word that adds none, ``None`` for an unknown word."""
    if word in _FILLERS:
        return ""
    if word in _WORDS:
        return _WORDS[word]
    return next((kind for stem, kind in _STEMS.items() if word.startswith(stem)), None)


def _split(name: str) -> list[str]:
    """The words of a name: ``NonEnhancing_Tumour`` is nonenhancing, tumor."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    plain = spaced.replace("oedem", "edem").replace("tumour", "tumor")
    joined = re.sub(r"\b(?:non|not|un)[^a-z0-9]*(?=enh)", "non", re.sub(r"[^a-z0-9]+", " ", plain))
    return joined.split()
