"""The measures of a label map: counted by eye on small grids."""

from __future__ import annotations

import json

import numpy as np
import pytest

import make
from gliamap.boxes import Shape
from gliamap.labels import LabelMap, Region, Tissue
from gliamap.metrics.diameters import Diameters
from gliamap.metrics.measures import LESIONS_LISTED, Head, Side, SideMeasure, measure_tumour
from gliamap.metrics.midline import Midline
from gliamap.volume import Grid, image_grid

SHAPE: Shape = (20, 16, 10)
GRID = Grid(SHAPE, np.diag([2.0, 1.0, 5.0, 1]))  # 10 mm³ a voxel
MIDLINE = Midline((1.0, 0.0, 0.0), 19.0, symmetry=0.9, spread_mm=1.0)  # between voxels 9 and 10


def two_lesions() -> LabelMap:
    """On the left 3 x 4 x 2 voxels of edema with 2 enhancing ones, on the right a core of one voxel."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:5, 3:7, 4:6] = Tissue.ED
    labels[3, 4:6, 5] = Tissue.ET
    labels[15, 8, 2] = Tissue.NCR
    return labels


def head(midline: Midline | None = MIDLINE) -> Head:
    mask = np.zeros(SHAPE, bool)
    mask[:, :, :5] = True
    return Head(mask, "brain", midline)


def test_volumes_and_lesions_by_hand() -> None:
    found = measure_tumour(two_lesions(), GRID)
    assert (found.unit, found.volume_unit) == ("mm", "mL")
    assert found.tissues == pytest.approx({Tissue.NCR: 0.01, Tissue.ED: 0.22, Tissue.ET: 0.02})
    assert [one.volume for one in found.regions] == pytest.approx([0.25, 0.03, 0.02])
    assert [one.lesions for one in found.regions] == [2, 2, 1]
    assert found.lesion_count == 2
    large, small = found.lesions
    assert (large.number, small.number) == (1, 2)
    assert large.volume == pytest.approx(0.24)
    assert large.regions == pytest.approx({Region.WT: 0.24, Region.TC: 0.02, Region.ET: 0.02})
    assert small.regions == pytest.approx({Region.WT: 0.01, Region.TC: 0.01})
    assert large.centre == pytest.approx((3, 4.5, 4.5))
    assert small.centre == (15, 8, 2)
    assert small.diameters == Diameters(2, 1, 2)
    enhancing = found.region(Region.ET)
    assert enhancing is not None
    assert enhancing.diameters is not None
    assert enhancing.diameters.longest == pytest.approx(5**0.5)  # from the middle of one edge to that of another
    assert enhancing.diameters.product == pytest.approx(4)
    assert enhancing.diameters.slice == 5
    assert found.region(Region.WT) == found.regions[0]


def test_without_a_head_there_are_no_shares_and_no_sides() -> None:
    found = measure_tumour(two_lesions(), GRID)
    assert all(one.share is None for one in found.regions)
    assert (found.side, found.midline, found.foreground, found.foreground_volume) == (None, None, None, None)
    assert all(one.side is None for one in found.lesions)
    assert len(found.notes) == 2


def test_the_share_is_that_of_the_brain_and_of_tumour_beyond_it() -> None:
    found = measure_tumour(two_lesions(), GRID, head=head())
    # 20 x 16 x 5 voxels of brain, and 12 of the tumour's in the slice above
    assert found.foreground_volume == pytest.approx((1600 + 12) / 100)
    assert found.regions[0].share == pytest.approx(25 / 1612)
    assert found.notes == ()


def test_sides() -> None:
    found = measure_tumour(two_lesions(), GRID, head=head())
    assert [one.side for one in found.lesions] == [
        SideMeasure(Side.LEFT, 1.0, crosses=False),
        SideMeasure(Side.RIGHT, 0.0, crosses=False),
    ]
    assert found.side == SideMeasure(Side.LEFT, 24 / 25, crosses=False)


@pytest.mark.parametrize(
    ("first", "stop", "spread", "side", "crosses"),
    [
        (6, 14, 1.0, Side.BOTH, True),  # 7 mm to either side
        (7, 13, 1.0, Side.BOTH, False),  # 5 mm, no more
        (7, 14, 1.0, Side.BOTH, False),
        (6, 14, 8.0, Side.BOTH, False),  # the midline is less sure than that
        (0, 10, 1.0, Side.LEFT, False),
        (10, 20, 1.0, Side.RIGHT, False),
    ],
)
def test_crossing(first: int, stop: int, spread: float, side: Side, crosses: bool) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[first:stop, 5, 5] = Tissue.ED
    midline = Midline((1.0, 0.0, 0.0), 19.0, symmetry=0.9, spread_mm=spread)
    found = measure_tumour(labels, GRID, head=head(midline))
    assert found.side is not None
    assert (found.side.side, found.side.crosses) == (side, crosses)
    assert ("the midline is not sure, and with it the side" in found.notes) == (spread > 4)


def test_two_lesions_on_two_sides_do_not_cross() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2, 5, 5] = labels[17, 5, 5] = Tissue.ED
    found = measure_tumour(labels, GRID, head=head())
    assert found.side == SideMeasure(Side.BOTH, 0.5, crosses=False)


@pytest.mark.parametrize("kind", make.KINDS)
def test_the_same_tumour_in_another_file_order(kind: str) -> None:
    """Volumes do not depend on how a file lies, and a slice is axial whichever axis of the file it lies across."""
    grid = make.grid(kind)
    labels = np.zeros(grid.shape, np.uint8)
    axis = {"plain": 2, "flipped": 0, "oblique": 2}[kind]
    plane: list[slice | int] = [slice(4, 6), slice(4, 6), slice(4, 6)]
    plane[axis] = 7
    labels[tuple(plane)] = Tissue.ET
    found = measure_tumour(labels, grid)
    assert found.lesions[0].diameters.slice == 7
    assert found.regions[0].volume == pytest.approx(4 * np.prod(grid.spacing) / 1000)
    across = sorted(edge for at, edge in enumerate(grid.spacing) if at != axis)
    assert found.lesions[0].diameters.longest == pytest.approx(np.hypot(across[0], 2 * across[1]))
    assert any("not quite axial" in note for note in found.notes) == (kind == "oblique")


def test_a_slice_is_measured_in_pixels() -> None:
    labels = np.zeros((9, 8, 1), np.uint8)
    labels[2:7, 3, 0] = Tissue.TUMOUR
    found = measure_tumour(labels, image_grid((9, 8, 1)), regions=[Region.WT])
    assert (found.unit, found.volume_unit) == ("px", "px")
    assert found.regions[0].volume == 5
    assert found.lesions[0].diameters == Diameters(5, 1, 0)
    assert found.side is None


def test_nothing_and_a_cavity_alone() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    nothing = measure_tumour(labels, GRID, head=head())
    assert (nothing.lesions, nothing.lesion_count, nothing.side, nothing.tissues) == ((), 0, None, {})
    assert all(one.volume == 0 and one.share == 0 and one.diameters is None for one in nothing.regions)
    assert nothing.notes == ()
    labels[:] = Tissue.RC
    cavity = measure_tumour(labels, GRID)
    assert cavity.tissues == {Tissue.RC: pytest.approx(32.0)}
    assert cavity.lesion_count == 0


def test_many_lesions_are_counted_and_the_largest_listed() -> None:
    labels = np.zeros((60, 3, 3), np.uint8)
    labels[::2, 1, 1] = Tissue.ED
    labels[10, :, 1] = Tissue.ED
    found = measure_tumour(labels, Grid((60, 3, 3), np.eye(4)))
    assert found.lesion_count == 30
    assert len(found.lesions) == LESIONS_LISTED
    assert found.lesions[0].centre == (10, 1, 1)


def test_all_of_it_as_json() -> None:
    found = measure_tumour(two_lesions(), GRID, head=head()).as_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["regions"]["ET"] == {
        "volume": 0.02,
        "share": round(2 / 1612, 6),
        "lesions": 1,
        "diameters": {"longest": 2.24, "perpendicular": 1.79, "product": 4.0, "slice": 5},
    }
    assert found["lesions"][1]["side"] == {"side": "right", "left_share": 0.0, "crosses": False}
    bare = measure_tumour(np.zeros(SHAPE, np.uint8), GRID).as_json()
    assert (bare["side"], bare["midline"], bare["regions"]["WT"]["diameters"]) == (None, None, None)
