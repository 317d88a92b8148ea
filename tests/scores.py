"""Scores made up: of a case only what matters is said, every other figure is 0 or unknown."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from gliamap.boxes import Box
from gliamap.labels import Region
from gliamap.metrics.lesions import Lesion, LesionKind
from gliamap.metrics.overlap import Counts
from gliamap.scoring.score import CaseScore, RegionScore
from gliamap.scoring.summary import ScoredCase
from gliamap.volume import Unit

WT, TC, ET = Region.WT, Region.TC, Region.ET
THERE, NOT_THERE = Counts(1, 0, 0, 9), Counts(0, 0, 0, 10)
"""Of a reference that has the region, and of one that has not."""


def region(
    dice: float = 1.0, *, counts: Counts = THERE, lesions: tuple[Lesion, ...] = (), **figures: Any
) -> RegionScore:
    """The score of one region, by figures."""
    needed = {f.name: 0.0 for f in fields(RegionScore) if f.default is MISSING}
    return RegionScore(**(needed | {"dice": dice, "counts": counts, "lesions": lesions} | figures))


def case(name: str, *, unit: Unit = "mm", missing: bool = False, **regions: RegionScore | float) -> ScoredCase:
    """``case("p/1", WT=0.5)``: case ``p/1`` of patient ``p``. A region is its score, or its Dice."""
    scores = {Region(key): region(one) if isinstance(one, float) else one for key, one in regions.items()}
    return ScoredCase(name, name.split("/", maxsplit=1)[0], CaseScore(scores, {}, None, unit, missing))


def lesion(kind: LesionKind = LesionKind.FOUND, **fields: Any) -> Lesion:
    """A lesion of 0.25 mL that component 1 matches."""
    where: dict[str, Any] = {"centre": (1.0, 2.0, 3.04), "box": Box((0, 1, 2), (3, 4, 5)), "matched_by": (1,)}
    return Lesion(**({"kind": kind, "voxels": 25, "volume": 0.25, "dice": 0.5, "hd95": 2.0} | where | fields))
