"""How well predicted volumes agree with those of the reference: mean difference and limits of agreement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

AGREEMENT_FROM = 5
"""Pairs of volumes from which on limits are told: a standard deviation of fewer says nothing."""


@dataclass(frozen=True)
class Agreement:
    """Of the differences, predicted minus reference: their mean, and the limits within which 95 % are to be expected.

    In the unit of the volumes. ``mean`` is ``None`` without any pair, ``low`` and ``high`` with fewer than
    ``AGREEMENT_FROM``.
    """

    mean: float | None
    low: float | None
    high: float | None
    pairs: int


def agreement_of(predicted: Sequence[float], reference: Sequence[float]) -> Agreement:
    """Mean difference plus and minus 1.96 standard deviations (Bland & Altman 1986, Lancet 327: 307-310).

    One pair a patient, because the limits are those of independent differences. ``ValueError`` where the two are not
    equally many.
    """
    differences = np.array([a - b for a, b in zip(predicted, reference, strict=True)])
    if not differences.size:
        return Agreement(None, None, None, 0)
    mean = float(differences.mean())
    if differences.size < AGREEMENT_FROM:
        return Agreement(mean, None, None, differences.size)
    half = 1.96 * float(differences.std(ddof=1))
    return Agreement(mean, mean - half, mean + half, differences.size)
