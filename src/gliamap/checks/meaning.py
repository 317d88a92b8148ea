"""Which label convention gives the numbers of a mask an anatomically right meaning. Knows arrays only.

What is asked of a case, by value:

- enhancing tumour is brighter on T1c, compared with T1 where there is one, than the other tissues;
- edema is the outer shell: more of its surface touches normal brain, less of it enhancing tumour, than that of the
  core, which is also brighter on T2;
- a core that is not divided further holds bright enhancement, a necrotic one does not.

Each becomes a score, roughly a logarithm of odds, for every convention that knows the values. Over a data set the
scores add up, and a convention pays for a tissue that it has and that no case shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gliamap.boxes import bounding_box
from gliamap.checks.brightness import against_normal, away_from, brain_of
from gliamap.labels import Convention, Tissue, values_in

SURE = 3.0
"""A convention must be ahead of every other meaning by this much: odds of about 20 to 1."""

AGREEMENT = 0.75
"""And of the cases that tell the two apart, this share must be for it."""

_OPINION = 1.0  # from this difference on, a case tells two conventions apart
_MOST_OF_A_CASE = 6.0  # so that no single case outvotes a data set
_SMALLEST = 10  # voxels of a value, to be measured
_FULL_RESOLUTION = 64  # grids up to this size are not thinned
_SLICES_OF_A_CASE = 6.0  # a slice shows fewer tissues than its patient has, and slices come many a patient

_LACKING: Mapping[Tissue, tuple[float, float]] = MappingProxyType(
    {
        Tissue.ED: (3.0, 6.0),
        Tissue.CORE: (2.5, 6.0),
        Tissue.ET: (1.5, 2.5),
        Tissue.NET: (1.2, 4.0),
        Tissue.NCR: (1.0, 4.0),
        Tissue.RC: (0.9, 4.0),
        Tissue.NECROSIS: (0.7, 2.5),
        Tissue.CC: (0.5, 2.5),
        Tissue.TUMOUR: (6.0, 6.0),
    }
)
"""What a convention pays for a tissue that no case shows: for each case, and at most. Whole sets of low-grade tumours
lack enhancement, none lacks edema. Set by hand."""


@dataclass(frozen=True)
class Evidence:
    """What one case says: a score for every convention that knows its ``values`` (higher is better), and why."""

    values: tuple[int, ...]
    scores: Mapping[str, float]
    why: str
    is_slice: bool = False


@dataclass(frozen=True)
class _Look:
    """What one value looks like: medians and a quantile against normal brain, and what its surface touches.

    ``enhancement`` is T1c less T1, or T1c alone; ``bright`` its 90th percentile; ``None`` without such an image.
    ``touches`` are shares of the surface, by value, 0 for normal tissue.
    """

    enhancement: float | None
    bright: float | None
    t2: float | None
    touches: Mapping[int, float]


def tell_convention(
    image: NDArray[np.float32],
    modalities: Sequence[str],
    values: NDArray[np.integer],
    candidates: Sequence[Convention],
) -> Evidence | None:
    """What a case says of the candidates; ``values`` is the file's own integer map ``(X, Y, Z)``.

    ``image`` is ``(C, X, Y, Z)``, skull-stripped or, with less certainty, a whole head. ``None`` where the mask is
    empty or no candidate knows all of its values.
    """
    present = values_in(values)
    fitting = [convention for convention in candidates if all(value in convention.values for value in present)]
    if not present or not fitting:
        return None
    is_slice = 1 in values.shape
    looks = _looks(image, modalities, values, present) if len(fitting) > 1 else {}
    scores = {convention.name: _score(looks, convention) for convention in fitting}
    return Evidence(present, scores, _describe(looks), is_slice)


def settle(evidences: Sequence[Evidence | None], candidates: Sequence[Convention]) -> tuple[Convention | None, str]:
    """The convention that the cases of one data set speak for, and why; ``None`` where doubt remains.

    Conventions that mean the same by every value that occurs are one; the first of them in ``candidates`` is given.
    """
    cases = [evidence for evidence in evidences if evidence is not None]
    present = sorted({value for case in cases for value in case.values})
    groups: dict[tuple[Tissue, ...], Convention] = {}
    for convention in candidates:
        if present and all(value in convention.values for value in present):
            groups.setdefault(tuple(convention.values[value] for value in present), convention)
    fitting = list(groups.values())
    if not fitting:
        return None, f"no convention knows {_named(present)}" if present else "no mask that was looked at tells"
    if len(fitting) == 1:
        return fitting[0], f"only this one knows {_named(present)}"
    totals = {convention.name: _total(cases, convention, present) for convention in fitting}
    best, *others = sorted(fitting, key=lambda convention: -totals[convention.name])
    rivals = [other for other in others if not _beats(best, other, cases, totals)]
    if rivals:
        return None, f"{' and '.join(c.name for c in (best, *rivals))} remain possible after {_counted(cases)}"
    telling = max(cases, key=lambda case: case.scores[best.name] - max(case.scores[other.name] for other in others))
    return best, _counted(cases) + (f", for example: {telling.why}" if telling.why else "")


def _total(cases: Sequence[Evidence], convention: Convention, present: Iterable[int]) -> float:
    ahead = [case.scores[convention.name] - max(case.scores.values()) for case in cases]
    counted = sum(1 / _SLICES_OF_A_CASE if case.is_slice else 1.0 for case in cases)
    shown = {convention.values[value] for value in present}
    lacking = [_LACKING[tissue] for tissue in convention.tissues if tissue not in shown]
    return sum(max(score, -_MOST_OF_A_CASE) for score in ahead) - sum(
        min(most, each * counted) for each, most in lacking
    )


def _beats(best: Convention, other: Convention, cases: Sequence[Evidence], totals: Mapping[str, float]) -> bool:
    if totals[best.name] - totals[other.name] < SURE:
        return False
    differences = [case.scores[best.name] - case.scores[other.name] for case in cases]
    opinions = [difference > 0 for difference in differences if abs(difference) >= _OPINION]
    return not opinions or sum(opinions) >= AGREEMENT * len(opinions)


def _counted(cases: Sequence[Evidence]) -> str:
    kind = "slice" if any(case.is_slice for case in cases) else "case"
    return f"{len(cases)} {kind}{'' if len(cases) == 1 else 's'}"


def _named(values: Iterable[int]) -> str:
    return ", ".join(str(value) for value in values)


def _looks(
    image: NDArray[np.float32], modalities: Sequence[str], values: NDArray[np.integer], present: Iterable[int]
) -> dict[int, _Look]:
    step = (slice(None, None, 2 if max(values.shape) > _FULL_RESOLUTION and 1 not in values.shape else 1),) * 3
    image, values = image[(slice(None), *step)], values[step]
    tumour = values != 0
    relative = against_normal(image, brain_of(image) & away_from(tumour))
    at = {name: number for number, name in enumerate(modalities)}
    box = bounding_box(tumour)
    if box is None:
        return {}
    near = box.grow(1, (values.shape[0], values.shape[1], values.shape[2])).slices
    values = values[near]
    channels = {} if relative is None else {name: relative[(number, *near)] for name, number in at.items()}
    enhancement = channels.get("t1c")
    if enhancement is not None and "t1" in channels:
        enhancement = enhancement - channels["t1"]
    looks = {}
    for value in present:
        mask = values == value
        if int(mask.sum()) >= _SMALLEST:
            looks[value] = _Look(
                _quantile(enhancement, mask, 0.5), _quantile(enhancement, mask, 0.9),
                _quantile(channels.get("t2"), mask, 0.5), _touches(values, mask),
            )  # fmt: skip
    return looks


def _quantile(channel: NDArray[np.float32] | None, mask: NDArray[np.bool_], share: float) -> float | None:
    return None if channel is None else float(np.quantile(channel[mask], share))


def _touches(values: NDArray[np.integer], mask: NDArray[np.bool_]) -> dict[int, float]:
    surface = ndimage.binary_dilation(mask) & ~mask
    found, counts = np.unique(values[surface], return_counts=True)
    return {int(value): int(count) / max(int(counts.sum()), 1) for value, count in zip(found, counts, strict=True)}


def _score(looks: Mapping[int, _Look], convention: Convention) -> float:
    tissues = {value: convention.values[value] for value in looks}
    enhancing = next((value for value, tissue in tissues.items() if tissue == Tissue.ET), None)
    score = 0.0 if enhancing is None else _is_enhancing(looks, enhancing)
    for value, tissue in tissues.items():
        if tissue == Tissue.CORE:
            score += _holds_enhancement(looks, value)
        if tissue == Tissue.ED:
            inner = [other for other in tissues if other != value]  # all, so that no convention has more to gain
            score += sum(
                _is_outside(looks[value], looks[other], None if other == enhancing else enhancing) for other in inner
            )
    return score


def _is_enhancing(looks: Mapping[int, _Look], value: int) -> float:
    """How much brighter on T1c than every other value and normal brain; alone, by more than that."""
    own = looks[value].enhancement
    if own is None:
        return 0.0
    others = [look.enhancement for other, look in looks.items() if other != value and look.enhancement is not None]
    return _bounded(1.5 * (own - max(0.0, *(others or [0.6])) - 0.4), 3)


def _holds_enhancement(looks: Mapping[int, _Look], value: int) -> float:
    """Whether the brightest tenth is enhanced: by 2.5 spreads in most cores with an enhancing part, 1.6 without.

    A core without is no sign against: the tumour may not enhance.
    """
    bright = looks[value].bright
    others = [look.enhancement for other, look in looks.items() if other != value and look.enhancement is not None]
    return 0.0 if bright is None else max(0.0, _bounded(1.5 * (bright - max([*others, 0.0]) - 2.0), 3))


def _is_outside(edema: _Look, core: _Look, enhancing: int | None) -> float:
    score = _bounded(5 * (edema.touches.get(0, 0.0) - core.touches.get(0, 0.0)), 2)
    if enhancing is not None:
        score += _bounded(3 * (core.touches.get(enhancing, 0.0) - edema.touches.get(enhancing, 0.0)), 1)
    if edema.t2 is not None and core.t2 is not None:
        score += _bounded(0.3 * (core.t2 - edema.t2), 0.75)
    return score


def _bounded(value: float, most: float) -> float:
    return max(-most, min(most, value))


def _describe(looks: Mapping[int, _Look]) -> str:
    """The facts of a case in words, for the message that names the convention."""
    said = [
        f"{100 * look.touches.get(0, 0.0):.0f} % of the surface of {value} touches normal tissue"
        for value, look in looks.items()
    ]
    lit = {value: look.enhancement for value, look in looks.items() if look.enhancement is not None}
    if lit:
        brightest = max(lit, key=lambda value: lit[value])
        said.append(f"{brightest} is brightest on T1c")
    return ", ".join(said)
