"""The rows of a patch table: every voxel is covered, and every count is what counting one by one gives."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape, read_padded, whole, window_boxes
from gliamap.case import GridRecord, PreparedCase
from gliamap.components import find_components
from gliamap.config import PrepConfig
from gliamap.io.patch_table import PatchTableInfo, tissue_column
from gliamap.labels import CONVENTIONS, LabelMap, Region, Tissue, region_mask
from gliamap.prep.pipeline import prepare
from gliamap.sampling.patches import patch_rows, patch_stretches
from gliamap.volume import Grid
from make import KINDS, MODALITIES, case

SIZES = st.tuples(*[st.integers(1, 9)] * 3)


def prepared(labels: LabelMap, spacing: float = 10.0) -> PreparedCase:
    """A case of these labels; its voxels are cubes of ``spacing`` mm, 1 mL by default."""
    x, y, z = labels.shape
    grid = Grid((x, y, z), np.diag([spacing, spacing, spacing, 1.0]))
    record = GridRecord(grid, (0, 1, 2), (False, False, False), whole((x, y, z)), (x, y, z), (spacing,) * 3)
    return PreparedCase("one", "one", np.zeros((1, x, y, z), np.float16), record, labels)


def table(size: Shape, stride: int, convention: str = "brats2021") -> PatchTableInfo:
    return PatchTableInfo(fingerprint="", size=size, stride=stride, convention=convention)


def boxes(rows: Any, size: Shape) -> list[Box]:
    corners = zip(*(rows[axis].tolist() for axis in "xyz"), strict=True)
    return [Box((x, y, z), (x + size[0], y + size[1], z + size[2])) for x, y, z in corners]


def starts(size: int, width: int, stride: int) -> list[int]:
    """Where patches start along X."""
    return patch_stretches((size, 1, 1), (width, 1, 1), stride)[0][:, 0].tolist()


def test_places_by_eye() -> None:
    assert starts(10, 4, 2) == [0, 2, 4, 6]
    assert starts(11, 4, 2) == [0, 2, 4, 6, 7]  # the last one is moved back to the edge
    assert starts(4, 4, 2) == [0]
    assert starts(3, 8, 4) == [-3]  # centred, as a window is
    assert starts(3, 1, 2) == [0, 1, 2]  # every slice
    assert patch_stretches((5, 1, 1), (4, 1, 1), 2)[0].tolist() == [[0, 4], [1, 5]]
    with pytest.raises(ValueError, match="stride"):
        patch_stretches((5, 1, 1), (4, 1, 1), 0)


@given(SIZES, SIZES, st.integers(1, 9))
def test_patches_cover_every_voxel_and_stay_inside_where_they_can(shape: Shape, size: Shape, stride: int) -> None:
    stretches = patch_stretches(shape, size, stride)
    seen = np.zeros(shape, np.int32)
    for one in product(*(along.tolist() for along in stretches)):
        box = Box(tuple(start for start, _ in one), tuple(stop for _, stop in one))
        assert box.shape == size
        seen[box.clip(shape).slices] += 1
    assert seen.min() >= 1
    for n, width, along, window in zip(shape, size, stretches, window_boxes(shape, size, 0.5)[0].start, strict=True):
        assert (np.diff(along[:, 0]) > 0).all()
        assert along.min() >= min(0, n - width) and along.max() <= max(n, width)
        if n <= width:
            assert along[:, 0].tolist() == [window]


def test_rows_by_eye() -> None:
    """A row of six voxels, patches of three, two apart: at 0, 2 and 3."""
    labels = np.array([Tissue.ED, Tissue.NCR, 0, 0, Tissue.RC, Tissue.ET], np.uint8).reshape(6, 1, 1)
    inside = np.array([1, 1, 1, 1, 1, 0], np.bool_).reshape(6, 1, 1)
    rows = patch_rows(prepared(labels), table((3, 1, 1), 2, "brats2024"), inside=inside)
    assert rows["x"].tolist() == [0, 2, 3]
    assert rows["y"].tolist() == rows["z"].tolist() == [0, 0, 0]
    assert rows["native_x"].tolist() == [0, 2, 3] and rows["native_to_x"].tolist() == [3, 5, 6]
    assert rows["native_to_y"].tolist() == rows["native_to_z"].tolist() == [1, 1, 1]
    assert rows["tumour"].tolist() == [True, False, True]  # a resection cavity is no tumour
    assert rows["tumour_fraction"].tolist() == [2 / 3, 0, 1 / 3]
    counts = {name: rows[f"voxels_{name}"].tolist() for name in ("ncr", "ed", "et", "rc")}
    assert counts == {"ncr": [1, 0, 0], "ed": [1, 0, 0], "et": [0, 0, 1], "rc": [0, 1, 1]}
    assert rows["largest_lesion"].tolist() == [2, 0, 1]
    assert rows["brain_fraction"].tolist() == [1, 1, pytest.approx(2 / 3)]


def test_a_patch_knows_the_whole_size_of_the_largest_lesion_that_it_touches() -> None:
    labels = np.zeros((12, 4, 1), np.uint8)
    labels[0:5, 0] = Tissue.ED  # five voxels
    labels[4, 3] = Tissue.ED  # one voxel
    labels[8:10, 1:3] = Tissue.ET  # four voxels
    rows = patch_rows(prepared(labels), table((4, 4, 1), 4), inside=labels == 0)
    assert rows["x"].tolist() == [0, 4, 8]
    assert rows["largest_lesion"].tolist() == [5, 5, 4]
    small = patch_rows(prepared(labels), table((1, 1, 1), 1), inside=labels == 0)
    of_voxel = small["largest_lesion"].reshape(12, 4)
    assert of_voxel[4].tolist() == [5, 0, 0, 1]


def test_a_case_without_tumour_and_a_case_smaller_than_the_patch() -> None:
    labels = np.zeros((3, 3, 2), np.uint8)
    rows = patch_rows(prepared(labels), table((4, 2, 1), 1), inside=labels == 0)
    assert rows["x"].tolist() == [-1] * 4 and rows["y"].tolist() == [0, 0, 1, 1] and rows["z"].tolist() == [0, 1] * 2
    assert not rows["tumour"].any() and not rows["largest_lesion"].any()
    assert rows["brain_fraction"].tolist() == [6 / 8] * 4  # what lies outside is of the patch, too
    assert rows["native_x"].tolist() == [0] * 4 and rows["native_to_x"].tolist() == [3] * 4


@st.composite
def labelled(draw: st.DrawFn) -> tuple[LabelMap, str, NDArray[np.bool_]]:
    """Labels of a few scattered tissues of a convention, or of none, and any voxels inside."""
    shape, convention = draw(SIZES), draw(st.sampled_from(sorted(CONVENTIONS)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = np.array([Tissue.BACKGROUND, *CONVENTIONS[convention].tissues], np.uint8)
    marked = rng.random(shape) < draw(st.sampled_from([0.0, 0.05, 0.3]))
    return rng.choice(values, shape) * marked, convention, rng.random(shape) < 0.5


@given(labelled(), SIZES, st.integers(1, 9))
def test_rows_are_what_counting_one_by_one_gives(
    given: tuple[LabelMap, str, NDArray[np.bool_]], size: Shape, stride: int
) -> None:
    labels, convention, inside = given
    info = table(size, stride, convention)
    rows = patch_rows(prepared(labels, 5.0), info, inside=inside)
    numbers, lesions = find_components(region_mask(labels, Region.WT))
    sizes = {lesion.number: np.float32(lesion.voxels * 0.125) for lesion in lesions}
    volume = int(np.prod(size))
    for row, box in enumerate(boxes(rows, size)):
        part = read_padded(labels, box)
        tumour = int(np.count_nonzero(region_mask(part.astype(np.uint8), Region.WT)))
        assert rows["tumour"][row] == (tumour > 0)
        assert rows["tumour_fraction"][row] == tumour / volume
        for tissue in info.tissues:
            assert rows[tissue_column(tissue)][row] == np.count_nonzero(part == tissue)
        touched = set(read_padded(numbers, box).ravel().tolist()) - {0}
        assert rows["largest_lesion"][row] == max((sizes[number] for number in touched), default=0)
        assert rows["brain_fraction"][row] == np.count_nonzero(read_padded(inside, box)) / volume


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(6, 6, 1), (5, 4, 3)])
def test_the_native_box_holds_the_same_tumour(kind: str, size: Shape) -> None:
    one = case(kind)
    ready = prepare(one, PrepConfig(modalities=MODALITIES))
    assert one.labels is not None
    rows = patch_rows(ready, table(size, 2), inside=(ready.image != 0).any(axis=0))
    native = [np.stack([rows[f"native_{to}{axis}"] for axis in "xyz"], axis=1) for to in ("", "to_")]
    held = rows["voxels_ncr"] + rows["voxels_ed"] + rows["voxels_et"]
    for low, high, count in zip(*native, held, strict=True):
        box = one.labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        assert np.count_nonzero(region_mask(box, Region.WT)) == count
    assert ready.index is not None
    assert rows["largest_lesion"].max() == np.float32(max(lesion.size for lesion in ready.index.lesions))
    assert len(set(held.tolist())) > 3


def test_a_resampled_case_knows_the_size_of_its_voxels() -> None:
    one = prepare(case("oblique"), PrepConfig(modalities=MODALITIES, spacing=(2.0, 2.0, 2.0)))
    assert one.index is not None
    rows = patch_rows(one, table((4, 4, 4), 4), inside=(one.image != 0).any(axis=0))
    assert rows["largest_lesion"].max() == np.float32(one.index.lesions[0].size)


def test_rows_are_ordered_by_x_then_y_then_z() -> None:
    labels = np.zeros((4, 4, 2), np.uint8)
    rows = patch_rows(prepared(labels), table((2, 2, 1), 2), inside=labels == 0)
    corners = [tuple(int(rows[axis][n]) for axis in "xyz") for n in range(8)]
    assert corners == sorted(corners)
