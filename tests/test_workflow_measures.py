"""Measures of a case: what its images say of head and midline, and what real cases measure."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import make
from gliamap.case import Case
from gliamap.io.cases import read_case
from gliamap.io.nifti import read_volume
from gliamap.labels import Region
from gliamap.metrics.measures import Side
from gliamap.sources.detect import scan
from gliamap.sources.phantom import make_phantom
from gliamap.workflows.reports.measures import find_head, measure_case


def test_a_phantom() -> None:
    case = make_phantom(1, (72, 88, 64))
    assert case.labels is not None
    found = measure_case(case, case.labels)
    assert found.foreground == "brain"
    assert found.midline is not None
    assert found.midline.sure
    assert found.side is not None


def test_mirrored_left_is_right() -> None:
    case = make_phantom(0, (72, 88, 64))
    assert case.labels is not None
    mirrored = replace(case, image=case.image[:, ::-1], labels=np.ascontiguousarray(case.labels[::-1]))
    assert mirrored.labels is not None
    one, other = measure_case(case, case.labels).side, measure_case(mirrored, mirrored.labels).side
    assert one is not None
    assert other is not None
    assert one.left_share == pytest.approx(1 - other.left_share, abs=0.02)
    assert one.side != other.side or one.side == Side.BOTH


def test_a_photograph_has_no_side() -> None:
    case = make.slice_case(columns=120, rows=110)
    assert case.labels is not None
    found = measure_case(case, case.labels, regions=[Region.WT])
    assert found.unit == "px"
    assert found.side is None


def test_real_cases_are_sure_of_their_midline(data_root: Path) -> None:
    """All of BraTS 2021 lies in one atlas, whose midline is known: the plane must lie there in every case."""
    for files in scan(data_root / "brats21").cases[2::4]:
        case = read_case(files)
        assert case.labels is not None
        start = time.process_time()
        found = measure_case(case, case.labels)
        assert time.process_time() - start < 10
        assert found.foreground == "brain"
        assert found.midline is not None
        assert found.midline.sure, case.case_id
        assert abs(found.midline.normal[0]) > 0.99
        assert found.regions[0].share is not None
        assert 0.005 < found.regions[0].share < 0.3


def test_scans_of_one_head_on_different_grids_have_one_midline(data_root: Path) -> None:
    """A patient's T1 and FLAIR as scanned, 5 and 2.5 mm thick, the head turned by some 7 degrees."""
    planes = []
    for name in ("t1", "fla"):
        volume, grid = read_volume(data_root / f"clinical-raw/TCGA-DU-7294/TCGA-DU-7294_{name}.nii.gz")
        case = Case("a", "a", (name,), volume[None], grid)
        head = find_head(case, np.zeros(grid.shape, np.bool_))
        assert head is not None
        assert head.midline is not None
        assert head.midline.sure
        planes.append(head.midline)
    one, other = planes
    assert float(np.dot(one.normal, other.normal)) > np.cos(np.radians(1.5))
    assert abs(one.offset - other.offset) < 1.5
    assert 5 < np.degrees(np.arctan2(one.normal[1], one.normal[0])) < 9
