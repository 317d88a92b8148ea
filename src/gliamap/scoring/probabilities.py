"""Probabilities beside a predicted mask, as ``gliamap segment --probabilities`` writes them.

``CASE_probabilities.nii.gz`` holds ``(X, Y, Z, R)``. What its channels are, ``CASE.json`` says under
``probability_channels``: regions (``WT``, ``TC``, ``ET``), or ``background`` and tissues. Files that anybody may have
made: nothing in them is believed before it is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliamap.errors import FileError, GridError
from gliamap.io.atomic import read_json
from gliamap.io.cases import read_volumes
from gliamap.io.facts import read_facts
from gliamap.labels import REGION_TISSUES, Region, Tissue
from gliamap.volume import Grid

ENDING = "_probabilities"
"""What follows the case id in the name of such a file."""

BACKGROUND = "background"
"""The first channel where the others are tissues that exclude each other."""

_SLACK = 1e-3  # beyond 0 and 1, from rounding
_AGAIN = "write it again with gliamap segment --probabilities"


@dataclass(frozen=True)
class ProbabilityFile:
    """A file of probabilities and what its channels are; no channels where nothing says that."""

    path: Path
    channels: tuple[str, ...]


def find_probabilities(mask: Path, case_id: str) -> ProbabilityFile | None:
    """The probabilities beside a predicted mask; ``None`` where there are none.

    ``FileError`` where ``CASE.json`` names channels that are none.
    """
    path, beside = mask.with_name(f"{case_id}{ENDING}.nii.gz"), mask.with_name(f"{case_id}.json")
    if not path.is_file():
        return None
    says = read_json(beside) if beside.is_file() else None
    named = says.get("probability_channels") if isinstance(says, dict) else None
    if named is None:
        return ProbabilityFile(path, ())
    if not isinstance(named, list) or not are_channels(named):
        raise FileError(
            f"{beside} does not say what the channels of {path.name} are",
            found=str(named)[:100],
            expected=f"regions such as WT, TC, ET; or {BACKGROUND} and then tissues such as NCR, ED, ET; each once",
            remedy="write both again with gliamap segment --probabilities, or move the probabilities away",
        )
    return ProbabilityFile(path, tuple(named))


def are_channels(named: Sequence[object]) -> bool:
    """All are regions, or the first is background and the others tissues; each once, at least one."""
    classes = BACKGROUND in named[:1]
    rest = list(named[1:] if classes else named)
    known = [tissue.name for tissue in Tissue if tissue != Tissue.BACKGROUND] if classes else list(Region)
    return bool(rest) and all(name in known and rest.count(name) == 1 for name in rest)


def read_probabilities(
    file: ProbabilityFile, grid: Grid, regions: Sequence[Region]
) -> dict[Region, NDArray[np.float32]]:
    """The probability ``(X, Y, Z)`` that a voxel is inside, for each of ``regions`` that the channels tell.

    Of tissues, those of a region are added up. ``FileError`` where the file is damaged, holds another number of
    channels, or values that are not probabilities; ``GridError`` where it does not lie on ``grid``.
    """
    check_probabilities(file, grid)
    members = {region: _members(file.channels, region) for region in regions}
    wanted = sorted({channel for channels in members.values() for channel in channels})
    found = {region: np.zeros(grid.shape, np.float32) for region, channels in members.items() if channels}
    for channel, volume, _ in read_volumes(file.path, wanted):
        _check_values(file.path, volume)
        for region, sums in found.items():
            if channel in members[region]:
                np.add(sums, volume, out=sums)
    return {region: np.clip(sums, 0, 1, out=sums) for region, sums in found.items()}


def _members(channels: Sequence[str], region: Region) -> tuple[int, ...]:
    """The channels that make up ``region``."""
    if channels[0] != BACKGROUND:
        return tuple(number for number, name in enumerate(channels) if name == region)
    return tuple(
        number for number, name in enumerate(channels) if number > 0 and Tissue[name] in REGION_TISSUES[region]
    )


def check_probabilities(file: ProbabilityFile, grid: Grid) -> None:
    """``FileError`` where the file holds another number of channels than are named for it, or cannot be read;
    ``GridError`` where it does not lie on ``grid``. Reads the header only.
    """
    facts = read_facts(file.path)
    if facts.channels != len(file.channels):
        raise FileError(
            f"{file.path} does not hold the channels that are named for it",
            found=f"{facts.channels} channels",
            expected=", ".join(file.channels),
            remedy=_AGAIN,
        )
    if not facts.grid.same_as(grid):
        raise GridError(
            f"{file.path} does not lie on the grid of its case",
            found=facts.grid.describe(),
            expected=grid.describe(),
            remedy=_AGAIN,
        )


def _check_values(path: Path, volume: NDArray[np.float32]) -> None:
    low, high = float(volume.min()), float(volume.max())
    if not (low >= -_SLACK and high <= 1 + _SLACK):  # NaN is neither
        raise FileError(
            f"{path} does not hold probabilities",
            found=f"values from {low:g} to {high:g}",
            expected="values from 0 to 1",
            remedy=_AGAIN,
        )
