"""Protocols as data: the table of the challenges, and the page that tells it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gliamap.labels import Region
from gliamap.scoring.protocols import LEGACY, PROTOCOLS

PAGE = Path(__file__).parents[1] / "docs" / "protocols.md"

# name, dilation, size limit in mm3
CHALLENGES = [
    ("brats2023-gli", 3, 50),
    ("brats2023-ssa", 3, 50),
    ("brats2023-ped", 3, 50),
    ("brats2023-men", 1, 50),
    ("brats2023-met", 1, 2),
]


@pytest.mark.parametrize(("name", "dilation", "limit"), CHALLENGES)
def test_the_rules_of_the_2023_challenges(name: str, dilation: int, limit: float) -> None:
    protocol = PROTOCOLS[name]
    assert protocol.lesions is not None
    assert (protocol.name, protocol.lesions.dilation, protocol.lesions.size_limit_mm3) == (name, dilation, limit)


def test_legacy_scores_whole_regions() -> None:
    assert PROTOCOLS["legacy"] is LEGACY
    assert LEGACY.lesions is None


def test_every_protocol_has_all_regions_and_one_worst() -> None:
    assert list(PROTOCOLS) == ["legacy", *(name for name, _, _ in CHALLENGES)]
    for protocol in PROTOCOLS.values():
        assert protocol.regions == (Region.WT, Region.TC, Region.ET)
        assert protocol.worst_hd95_mm == 374


def test_the_page_has_the_same_table() -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.read_text().splitlines()]
    told = {row[0].strip("`"): row[1:] for row in rows if re.fullmatch(r"`(legacy|brats.*)`", row[0])}
    assert list(told) == list(PROTOCOLS)
    for name, protocol in PROTOCOLS.items():
        rule = protocol.lesions
        figures = ["-", "-"] if rule is None else [str(rule.dilation), str(rule.size_limit_mm3)]
        assert told[name] == [
            protocol.description,
            ", ".join(protocol.regions),
            *figures,
            f"{protocol.worst_hd95_mm:g}",
        ]
