"""Whether a mask can be a tumour: its values, where it lies, its specks. An empty mask is one too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gliamap.checks.findings import Finding
from gliamap.components import label_components
from gliamap.labels import CONVENTIONS, get_convention, values_in
from gliamap.sources.layout import summarise

OUTSIDE_SHARE, OUTSIDE_VOXELS = 0.002, 20
"""From this share of the tumour, and this many voxels, it counts as outside: real masks have next to none there."""

SPECK_VOXELS = 10
"""Components of fewer voxels are specks."""

MANY_SPECKS, SPECKS_SHARE = 25, 0.05
"""From this number, or this share of a 3D tumour, specks are told: hand-drawn masks have up to 20, of 2 % at most."""

_SHOWN = 5


def check_values(values: NDArray[np.integer], conventions: Sequence[str]) -> list[Finding]:
    """``labels-outside-convention`` where no one of ``conventions`` (any known one, where empty) knows all values.

    ``values`` (X, Y, Z) are those of the file.
    """
    candidates = [get_convention(name) for name in conventions or CONVENTIONS]
    present = values_in(values)
    if any(all(value in one.values for value in present) for one in candidates):
        return []
    # Where each value is known somewhere, it is the mixture that fits nowhere.
    odd = [v for v in present if not any(v in one.values for one in candidates)] or list(present)
    counts = [f"{value} in {np.count_nonzero(values == value)} voxels" for value in odd[:_SHOWN]]
    more = f" and {len(odd) - _SHOWN} values more" if len(odd) > _SHOWN else ""
    known = summarise([f"{one.name} ({one.describe()})" for one in candidates], 2)
    return [Finding("labels-outside-convention", f"{', '.join(counts)}{more}; expected {known}")]


def check_place(
    tumour: NDArray[np.bool_], image: NDArray[np.float32], backgrounds: Sequence[float | None]
) -> list[Finding]:
    """``tumour-outside-brain`` where ``tumour`` (X, Y, Z) lies in the background of every channel of the image.

    ``image`` is ``(C, X, Y, Z)``; ``backgrounds`` are the values of each channel's background, ``None`` where it has
    none. Dark spots inside the brain do not count: the background is in one piece.
    """
    total = int(np.count_nonzero(tumour))
    if None in backgrounds or not total or not len(image):
        return []
    limit = max(OUTSIDE_VOXELS, OUTSIDE_SHARE * total)
    levels = np.array(backgrounds, np.float32)
    if np.count_nonzero((image[:, tumour] == levels[:, None]).all(axis=0)) < limit:
        return []
    empty = np.ones(tumour.shape, np.bool_)
    for channel, level in zip(image, levels, strict=True):
        empty &= channel == level
    labelled = label_components(empty)
    around = 1 + int(np.argmax(np.bincount(labelled.ravel())[1:]))
    outside = int(np.count_nonzero(labelled[tumour] == around))
    if outside < limit:
        return []
    return [Finding("tumour-outside-brain", f"{100 * outside / total:.2g} % of the tumour, {outside} voxels")]


def check_specks(tumour: NDArray[np.bool_]) -> list[Finding]:
    """``tiny-components``: many 26-connected parts of the whole tumour (X, Y, Z) of fewer than 10 voxels.

    In a slice their share does not count: the tip of a tumour is small.
    """
    sizes = np.bincount(label_components(tumour).ravel())[1:]
    specks = sizes[sizes < SPECK_VOXELS]
    share = specks.sum() / max(1, sizes.sum())
    if len(specks) < MANY_SPECKS and (share < SPECKS_SHARE or tumour.shape[2] == 1):
        return []
    found = f"{len(specks)} components below {SPECK_VOXELS} voxels, together {specks.sum()} voxels"
    return [Finding("tiny-components", f"{found} ({100 * share:.2g} % of the tumour)")]
