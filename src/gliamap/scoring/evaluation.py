"""A scored set of predictions as a whole: what tables, files and the page are made from."""

from __future__ import annotations

from dataclasses import dataclass

from gliamap.scoring.paired import Paired
from gliamap.scoring.protocols import LEGACY, Protocol
from gliamap.scoring.strata import Stratum
from gliamap.scoring.summary import ScoredCase, Summary

LISTED = 300
"""Missing and surplus cases that a page or a text names; scores.json names all."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of a set of predictions.

    ``missing`` names the cases without a prediction (scored at their worst), ``surplus`` the predictions without a
    reference (not scored). The conventions are all those that were met on either side. ``notes`` are remarks for the
    user. ``predictions``, ``references`` and ``other`` are what the folders are called; ``paired`` compares with the
    predictions in ``other``, where any were given.
    """

    cases: tuple[ScoredCase, ...]
    summary: Summary
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    prediction_conventions: tuple[str, ...]
    reference_conventions: tuple[str, ...]
    notes: tuple[str, ...] = ()
    protocol: Protocol = LEGACY
    predictions: str = ""
    references: str = ""
    strata: tuple[Stratum, ...] = ()
    paired: Paired | None = None
    other: str = ""
