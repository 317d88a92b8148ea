"""A volume on another grid: places are kept in mm, linear ramps exactly, and what lies outside is 0."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import make
from gliamap.boxes import Shape
from gliamap.errors import GridError
from gliamap.io.nifti import read_volume
from gliamap.io.regrid import onto_grid
from gliamap.volume import Grid, image_grid

SLOPE = np.array([3.0, -2.0, 0.5])  # of a ramp, per mm along R, A, S


def places(grid: Grid) -> NDArray[np.float64]:
    """The mm coordinates of each voxel centre, ``(3, X, Y, Z)``."""
    index = np.indices(grid.shape).reshape(3, -1)
    return np.asarray(grid.affine[:3, :3] @ index + grid.affine[:3, 3:]).reshape(3, *grid.shape)


def ramp(grid: Grid) -> NDArray[np.float32]:
    return (np.tensordot(SLOPE, places(grid), 1) + 100).astype(np.float32)


def depth(target: Grid, own: Grid) -> NDArray[np.float64]:
    """How far inside the outer edges of ``own`` each voxel of ``target`` lies, in voxels; negative outside."""
    to_own = np.linalg.inv(own.affine)
    index = np.tensordot(to_own[:3, :3], places(target), 1) + to_own[:3, 3].reshape(3, 1, 1, 1)
    size = np.array(own.shape).reshape(3, 1, 1, 1)
    return np.asarray(np.minimum(index + 0.5, size - 0.5 - index).min(axis=0))


def at(shape: Shape, spacing: tuple[float, float, float], origin: tuple[float, float, float]) -> Grid:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return Grid(shape, affine)


def around(own: Grid, kind: str, shape: Shape, voxel: float) -> Grid:
    """A grid turned as those of ``kind``, of nearly cubic voxels, whose middle is that of ``own``."""
    affine = make.affine(kind) @ np.diag([*(voxel / s for s in make.SPACINGS[kind]), 1]) @ np.diag([1.05, 0.95, 1, 1])
    middle = own.affine[:3, :3] @ ((np.array(own.shape) - 1) / 2) + own.affine[:3, 3]
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def test_by_eye() -> None:
    own = at((3, 1, 1), (2, 1, 1), (0, 0, 0))
    volume = np.array([10, 20, 40], np.float32).reshape(3, 1, 1)  # at 0, 2 and 4 mm
    moved = onto_grid(volume, own, at((8, 1, 1), (1, 1, 1), (-1.5, 0, 0)))
    # -1.5 lies outside; -0.5 in the first voxel, before its centre; 5.5 outside
    np.testing.assert_allclose(moved.ravel(), [0, 10, 12.5, 17.5, 25, 35, 40, 0])
    assert moved.dtype == np.float32 and moved.flags.c_contiguous


def test_a_known_point_lands_where_its_millimetres_say() -> None:
    own = make.grid("flipped")
    target = around(own, "oblique", (40, 42, 44), 0.8)
    volume = np.zeros(own.shape, np.float32)
    volume[7, 9, 5] = 1
    found = onto_grid(volume, own, target)
    weight = found / found.sum()
    centre = [float((place * weight).sum()) for place in places(target)]
    expected = own.affine[:3, :3] @ (7, 9, 5) + own.affine[:3, 3]
    np.testing.assert_allclose(centre, expected, atol=0.1)
    there = np.round(np.linalg.inv(target.affine) @ [*expected, 1])[:3].astype(int)
    assert found[tuple(there)] > 0.7 * found.max()


def test_the_same_grid_is_left_alone() -> None:
    grid = make.grid("oblique")
    volume = ramp(grid)
    assert onto_grid(volume, grid, Grid(grid.shape, grid.affine + 1e-5)) is volume


@pytest.mark.parametrize("kind", make.KINDS)
@pytest.mark.parametrize("other", make.KINDS)
def test_ramps_are_kept_where_the_target_is_finer(kind: str, other: str) -> None:
    own = make.grid(kind)
    fine = around(own, other, (40, 50, 60), 0.6)
    moved = onto_grid(ramp(own), own, fine)
    inside = depth(fine, own)
    assert (inside >= 0.51).sum() > 500 and (inside < -0.01).sum() > 500
    np.testing.assert_allclose(moved[inside >= 0.51], ramp(fine)[inside >= 0.51], atol=2e-3)
    assert not moved[inside < -0.01].any()


@pytest.mark.parametrize("kind", make.KINDS)
def test_smoothing_moves_nothing(kind: str) -> None:
    own = Grid((60, 64, 62), make.affine(kind))
    coarse = Grid((20, 12, 30), own.affine @ np.array([[3, 0, 0, 0.5], [0, 5, 0, 1], [0, 0, 2, 0.2], [0, 0, 0, 1]]))
    moved = onto_grid(ramp(own), own, coarse)
    inside = depth(coarse, own) > 9  # the kernel of the widest reaches 8 voxels
    assert inside.sum() > 500
    np.testing.assert_allclose(moved[inside], ramp(coarse)[inside], atol=2e-2)


def test_detail_does_not_alias() -> None:
    own, coarse = at((64, 8, 8), (1, 1, 1), (0, 0, 0)), at((16, 8, 8), (4, 1, 1), (0, 0, 0))
    stripes = np.where(np.arange(64) % 2, 100, 0).astype(np.float32)[:, None, None] * np.ones(own.shape, np.float32)
    moved = onto_grid(stripes, own, coarse)
    np.testing.assert_allclose(moved[2:-2], 50, atol=1)  # taking every fourth voxel would give 0
    across = onto_grid(stripes, own, at((64, 4, 4), (1, 2, 2), (0, 0, 0)))
    np.testing.assert_allclose(across[::2], 0, atol=1e-5)  # smoothed along the coarser axes only
    np.testing.assert_allclose(across[1::2], 100, atol=1e-3)
    turned = np.array([[0, 4, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])  # the second axis runs to the right
    np.testing.assert_allclose(onto_grid(stripes, own, Grid((8, 16, 8), turned))[:, 2:-2], 50, atol=1)


@given(seed=st.integers(0, 2**32 - 1))
def test_any_pair_of_grids(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grids = []
    for _ in range(2):
        turn = make.rotation(rng.uniform(-180, 180), 0) @ make.rotation(rng.uniform(-180, 180), 2)
        affine = np.eye(4)
        # The target is finer, so that nothing is smoothed and the ramp stays a ramp up to the edge.
        affine[:3, :3] = turn @ np.diag(rng.uniform(0.5, 0.8, 3) * (1 if grids else 2) * rng.choice([-1, 1], 3))
        x, y, z = rng.integers(1, 12, 3).tolist()
        affine[:3, 3] = rng.uniform(-5, 5, 3) - affine[:3, :3] @ ((x - 1) / 2, (y - 1) / 2, (z - 1) / 2)
        grids.append(Grid((x, y, z), affine))
    own, target = grids
    volume = ramp(own)
    moved = onto_grid(volume, own, target)
    inside = depth(target, own)
    assert moved.shape == target.shape
    assert not moved[inside < -0.01].any()
    low, high = float(volume.min()), float(volume.max())
    reached = moved[inside > 0.01]
    assert ((reached >= low - 1e-3) & (reached <= high + 1e-3)).all()
    np.testing.assert_allclose(moved[inside >= 0.51], ramp(target)[inside >= 0.51], atol=1e-2)


def test_a_shifted_crop_is_the_crop() -> None:
    own = make.grid("oblique")
    volume = np.random.default_rng(0).random(own.shape).astype(np.float32)
    inner = Grid((5, 6, 7), own.affine @ np.array([[1, 0, 0, 3], [0, 1, 0, 4], [0, 0, 1, 5], [0, 0, 0, 1.0]]))
    np.testing.assert_allclose(onto_grid(volume, own, inner), volume[3:8, 4:10, 5:12], atol=1e-5)
    back = onto_grid(volume[3:8, 4:10, 5:12], inner, own)
    np.testing.assert_allclose(back[3:8, 4:10, 5:12], volume[3:8, 4:10, 5:12], atol=1e-5)
    back[3:8, 4:10, 5:12] = 0
    assert not back.any()


def test_grids_that_do_not_meet() -> None:
    own, target = at((4, 4, 4), (1, 1, 1), (0, 0, 0)), at((3, 5, 6), (1, 1, 1), (100, 0, 0))
    moved = onto_grid(np.ones(own.shape, np.float32), own, target)
    assert moved.shape == (3, 5, 6) and not moved.any()


def test_slices() -> None:
    own, target = at((4, 4, 1), (2, 2, 5), (0, 0, 0)), at((8, 8, 1), (1, 1, 5), (0, 0, 2))
    moved = onto_grid(ramp(own), own, target)
    np.testing.assert_allclose(moved[:7, :7, 0], ramp(at((7, 7, 1), (1, 1, 5), (0, 0, 0)))[..., 0], atol=1e-4)
    assert not onto_grid(ramp(own), own, at((8, 8, 1), (1, 1, 5), (0, 0, 3))).any()  # the next slice


def test_images_without_a_place_are_refused() -> None:
    own, target = image_grid((5, 6, 1)), image_grid((7, 6, 1))
    with pytest.raises(GridError, match=r"5x6x1 voxels.*To do: bring the images to one size"):
        onto_grid(np.zeros(own.shape, np.float32), own, target)


@pytest.mark.slow
def test_a_clinical_case_lies_upon_itself(data_root: Path) -> None:
    """FLAIR and T1c of one patient, on grids of other voxels and origins: their brains coincide, and only so."""
    folder = data_root / "clinical-raw" / "TCGA-DU-7294"
    flair, own = read_volume(folder / f"{folder.name}_fla.nii.gz")
    t1c, target = read_volume(folder / f"{folder.name}_t1c.nii.gz")
    assert own.shape == (256, 256, 68) and target.shape == (512, 512, 68)
    for moved, low, high in ((target, 0.9, 1.0), (Grid(target.shape, target.affine + np.eye(4, 4, 3) * 20), 0.0, 0.8)):
        brain, other = t1c > 0, onto_grid(flair, own, moved) > 0
        assert low <= 2 * (brain & other).sum() / (brain.sum() + other.sum()) <= high


@pytest.mark.parametrize("factor", [0.5, 2])
def test_memory_is_about_the_result_and_one_copy(factor: float) -> None:
    own = at((100, 101, 102), (1, 1, 1), (0, 0, 0))
    x, y, z = (int(n / factor) for n in own.shape)
    target = Grid((x, y, z), own.affine @ np.diag([factor, factor, factor, 1]))
    volume = ramp(own)
    tracemalloc.start()
    moved = onto_grid(volume, own, target)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * moved.nbytes + 2.2 * volume.nbytes + 2**20
