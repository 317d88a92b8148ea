"""Protocols as data: by which rules a challenge scores. ``docs/protocols.md`` tells the same in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gliamap.labels import Region
from gliamap.metrics.lesions import LesionRule
from gliamap.metrics.undefined import WORST_HD95_MM


@dataclass(frozen=True)
class Protocol:
    """The rules of one challenge.

    ``regions`` are those it scores; ``worst_hd95_mm`` is the HD95 of a region, or a lesion, that only one of the two
    masks has; ``lesions`` says how lesions are matched, ``None`` where they are not scored one by one. HD95 is
    area-weighted and the rule for empty masks is the same in all (:mod:`gliamap.metrics.undefined`).
    """

    name: str
    description: str
    regions: tuple[Region, ...]
    worst_hd95_mm: float
    lesions: LesionRule | None


def _protocol(name: str, description: str, lesions: LesionRule | None) -> Protocol:
    return Protocol(name, description, tuple(Region), WORST_HD95_MM, lesions)


LEGACY = _protocol("legacy", "BraTS 2017-2021: whole regions, no lesions", None)

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            LEGACY,
            _protocol("brats2023-gli", "BraTS 2023, adult glioma", LesionRule(dilation=3, size_limit_mm3=50)),
            _protocol(
                "brats2023-ssa", "BraTS 2023, glioma, Sub-Saharan Africa", LesionRule(dilation=3, size_limit_mm3=50)
            ),
            _protocol("brats2023-ped", "BraTS 2023, paediatric tumours", LesionRule(dilation=3, size_limit_mm3=50)),
            _protocol("brats2023-men", "BraTS 2023, meningioma", LesionRule(dilation=1, size_limit_mm3=50)),
            _protocol("brats2023-met", "BraTS 2023, metastases", LesionRule(dilation=1, size_limit_mm3=2)),
        )
    }
)
"""Every protocol by name."""
