"""From the prepared grid back to native voxels: the boxes of patches."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliamap.boxes import Box, Shape
from gliamap.case import CaseFiles, CaseIdentity, GridRecord
from gliamap.config import PrepConfig
from gliamap.labels import Region, region_mask
from gliamap.prep.pipeline import prepare
from gliamap.prep.steps import reorient
from gliamap.volume import Grid
from make import KINDS, MODALITIES, case

SIZES = st.tuples(*[st.integers(1, 9)] * 3)


@st.composite
def records(draw: st.DrawFn) -> GridRecord:
    """Any axes and flips, any crop, resampled or not."""
    native = draw(SIZES)
    axes = draw(st.sampled_from(list(permutations((0, 1, 2)))))
    flips = draw(st.tuples(*[st.booleans()] * 3))
    turned = [native[axis] for axis in axes]
    start = [draw(st.integers(0, n - 1)) for n in turned]
    stop = [draw(st.integers(a + 1, n)) for a, n in zip(start, turned, strict=True)]
    crop = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    shape = draw(st.one_of(st.just(crop.shape), SIZES))
    return GridRecord(Grid(native, np.eye(4)), axes, flips, crop, shape, (1.0, 1.0, 1.0))


def covered(record: GridRecord, box: Box) -> set[tuple[int, int, int]]:
    """The native voxels that share more than a face with a box of the prepared grid, one by one."""
    inside = box.clip(record.shape)
    if 0 in inside.shape:
        return set()
    numbers = np.stack(np.meshgrid(*(np.arange(n) for n in record.native.shape), indexing="ij"))
    kept = reorient(numbers, record.axes, record.flips)[(slice(None), *record.crop.slices)]
    lines = []
    for low, high, size, shown in zip(inside.start, inside.stop, record.crop.shape, record.shape, strict=True):
        # Voxel v of the crop reaches from v to v + 1; in these units both grids have whole numbers.
        lines.append([v for v in range(size) if v * shown < high * size and (v + 1) * shown > low * size])
    return {tuple(map(int, voxel)) for voxel in kept[(slice(None), *np.ix_(*lines))].reshape(3, -1).T}


@given(records(), st.tuples(*[st.integers(-4, 9)] * 3), SIZES)
def test_a_box_holds_just_the_native_voxels_that_it_covers(record: GridRecord, start: Shape, size: Shape) -> None:
    stop = (start[0] + size[0], start[1] + size[1], start[2] + size[2])
    (low,), (high,) = record.native_boxes(np.array([start]), np.array([stop]))
    box = Box(tuple(low.tolist()), tuple(high.tolist()))
    voxels = covered(record, Box(start, stop))
    if not voxels:
        assert 0 in box.shape
    else:
        assert (low == np.min(list(voxels), axis=0)).all()
        assert (high == np.max(list(voxels), axis=0) + 1).all()
        assert np.prod(box.shape) == len(voxels)
    assert (low >= 0).all() and (low <= high).all() and (high <= record.native.shape).all()


def test_by_eye() -> None:
    """Native 10 x 6 x 4; Z becomes X, reversed; the crop leaves two rows of Y out; X is halved."""
    grid = Grid((10, 6, 4), np.eye(4))
    record = GridRecord(grid, (2, 1, 0), (True, False, False), Box((0, 2, 0), (4, 6, 10)), (2, 4, 10), (2.0, 1.0, 1.0))
    low, high = record.native_boxes(np.array([[0, 0, 3]]), np.array([[1, 2, 5]]))
    assert low.tolist() == [[3, 2, 2]]  # X 3 to 5 is Z 3 to 5 of the prepared grid
    assert high.tolist() == [[5, 4, 4]]  # its first X is the last two of native Z


@pytest.mark.parametrize("kind", KINDS)
def test_halves_of_a_real_preparation_hold_the_same_tumour(kind: str) -> None:
    one = case(kind)
    prepared = prepare(one, PrepConfig(modalities=MODALITIES))
    assert one.labels is not None and prepared.labels is not None
    x, y, z = prepared.record.shape
    starts = np.array([[0, 0, 0], [x // 2, 0, 0], [0, y // 2, 0], [0, 0, z // 3]])
    stops = np.array([[x, y, z], [x, y, z], [x, y, z], [x, y, z // 2]])
    lows, highs = prepared.record.native_boxes(starts, stops)
    for number in range(4):
        ours, theirs = (
            np.count_nonzero(
                region_mask(
                    labels[tuple(slice(a, b) for a, b in zip(low[number], high[number], strict=True))], Region.WT
                )
            )
            for labels, low, high in ((prepared.labels, starts, stops), (one.labels, lows, highs))
        )
        assert ours == theirs > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_voxel_s_size_follows_the_grid(kind: str) -> None:
    one = case(kind)
    native = prepare(one, PrepConfig(modalities=MODALITIES)).record
    assert native.voxel_size == one.grid.voxel_size
    moved = prepare(one, PrepConfig(modalities=MODALITIES, spacing=(3.0, 3.0, 3.0))).record
    whole = native.voxel_size * np.prod(native.shape)
    assert moved.voxel_size * np.prod(moved.shape) == pytest.approx(whole)


def test_the_files_of_a_case_can_be_sent_to_another_process() -> None:
    views = {"modalities": MappingProxyType({"t1": Path("t1.nii")}), "channels": MappingProxyType({"t1": 2})}
    files = CaseFiles(CaseIdentity("c", "p"), **views)
    sent = copy.deepcopy(files)  # as pickling does it; a read-only view refuses both
    assert sent == replace(files, modalities=dict(files.modalities), channels=dict(files.channels))
