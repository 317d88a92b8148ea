"""What the cases of a training were like, for the model to know which cases are unlike them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gliamap.case import PreparedCase
from gliamap.checks.likeness import Tumour, count_lesions, look_of, seen_in
from gliamap.config import Seen
from gliamap.io.store import StoreInfo, read_case

MOST_CASES = 200
"""As many are looked at; more change the ranges little."""


def collect_seen(store: Path, info: StoreInfo, case_ids: Sequence[str]) -> Seen:
    """The ranges over prepared cases (at least one); over :data:`MOST_CASES`, drawn evenly, where there are more.

    Reads a part of the stored voxels: seconds for 200 volumes.
    """
    ordered = sorted(case_ids)
    chosen = np.linspace(0, len(ordered) - 1, min(len(ordered), MOST_CASES)).round().astype(int)
    cases = (read_case(store, ordered[number]) for number in chosen)
    return seen_in([(look_of(case, info.prep.modalities), _tumour(case)) for case in cases])


def _tumour(case: PreparedCase) -> Tumour:
    """What the index of a stored case says of its tumour."""
    assert case.index is not None  # every stored case has one
    size, unit = case.record.voxel_size, case.record.native.unit
    volumes = {region: voxels * size for region, voxels in case.index.voxels.items()}
    return Tumour(volumes, count_lesions((lesion.size for lesion in case.index.lesions), unit))
