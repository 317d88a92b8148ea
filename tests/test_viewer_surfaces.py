"""Surfaces for the 3D view: size and place are those of the masks, whatever the voxels' shape."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import make
from gliamap.io.cases import read_case
from gliamap.labels import Region, Tissue, region_mask
from gliamap.sources.detect import scan
from gliamap.viewer.packing import base64_bytes, packed
from gliamap.viewer.surfaces import FACES, HEAD_FACES, Surface, make_surfaces

SPACINGS = [(1.0, 1.0, 1.0), (0.7, 0.9, 5.0), (3.0, 1.0, 1.0)]


def tumour(mask: NDArray[np.bool_], tissue: Tissue = Tissue.TUMOUR) -> NDArray[np.uint8]:
    return np.where(mask, np.uint8(tissue), np.uint8(0))


def ball(shape: tuple[int, int, int], spacing: tuple[float, float, float], radius: float) -> NDArray[np.bool_]:
    """The voxels within ``radius`` mm of the grid's middle."""
    axes = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)], indexing="ij")
    return np.asarray(sum(a**2 for a in axes) <= radius**2)


def points_of(surface: Surface) -> NDArray[np.float64]:
    """The vertices ``(V, 3)`` in mm, as scripts read them."""
    lower, upper = np.array(surface.lower), np.array(surface.upper)
    return np.asarray(lower + surface.vertices * ((upper - lower) / 65535))


def volume(surface: Surface) -> float:
    """Inside the surface, in mm³, positive where triangles turn anticlockwise seen from outside (Gauss)."""
    a, b, c = (points_of(surface)[surface.faces[:, corner]] for corner in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def is_closed(surface: Surface) -> bool:
    """Each edge is walked once in either direction."""
    faces = surface.faces.astype(np.int64)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there, back = (np.unique(edges @ weights, return_counts=True) for weights in ([1, 10**6], [10**6, 1]))
    return all(np.array_equal(x, y) for x, y in zip(there, back, strict=True)) and bool(np.all(there[1] == 1))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_ball_keeps_its_volume_place_and_shape(spacing: tuple[float, float, float]) -> None:
    shape = tuple(round(60 / edge) + 1 for edge in spacing)
    mask = ball(shape, spacing, 20.0)
    (one,) = make_surfaces(tumour(mask), None, spacing)
    assert volume(one) == pytest.approx(mask.sum() * np.prod(spacing), rel=0.04)
    middle = (np.array(shape) - 1) / 2 * spacing
    radii = np.linalg.norm(points_of(one) - middle, axis=1)
    assert radii.mean() == pytest.approx(20, abs=0.7)
    assert np.abs(radii - 20).max() < 0.5 * max(spacing) + 1.0
    assert is_closed(one)


def test_voxel_0_is_where_millimetres_begin() -> None:
    labels = np.zeros((40, 30, 20), np.uint8)
    labels[30:34, 4:8, 10:12] = Tissue.TUMOUR  # centres 30..33, 4..7 and 10..11 voxels from the first
    (one,) = make_surfaces(labels, None, (1.0, 2.0, 4.0))
    assert np.mean([one.lower, one.upper], axis=0) == pytest.approx([31.5, 11.0, 42.0], abs=0.6)


def test_the_whole_holds_its_tissues_in_the_colours_of_the_slices() -> None:
    labels = make.labels((48, 40, 44))
    head = make.ball((48, 40, 44), (0.5, 0.5, 0.5), 0.48)
    found = make_surfaces(labels, head, (1.0, 1.0, 1.0))
    assert [(one.name, one.title, one.colour, one.opacity) for one in found] == [
        ("head", "head or brain", "#a9b4bf", 0.1),
        ("WT", "whole tumour", "#12b886", 0.16),
        ("ET", "enhancing tumour", "#ffd43b", 0.42),
        ("NCR", "necrotic / non-enhancing core", "#f03e3e", 0.95),
    ]
    for outer, inner in pairwise(found):
        assert np.all(np.array(outer.lower) < inner.lower) and np.all(np.array(outer.upper) > inner.upper)


def test_a_cavity_comes_before_the_tissues_and_the_core_stays_solid() -> None:
    labels = make.labels((48, 40, 44))
    labels[2:8, 2:8, 2:8] = Tissue.RC
    found = make_surfaces(labels, None, (1.0, 1.0, 1.0))
    assert [(one.name, one.opacity) for one in found] == [("WT", 0.16), ("RC", 0.42), ("ET", 0.42), ("NCR", 0.95)]


@pytest.mark.parametrize("tissue", [Tissue.ED, Tissue.TUMOUR, Tissue.NCR])
def test_a_tumour_of_one_tissue_is_one_surface(tissue: Tissue) -> None:
    (one,) = make_surfaces(tumour(make.ball((20, 20, 20), (0.5, 0.5, 0.5), 0.3), tissue), None, (1.0, 1.0, 1.0))
    assert one.name == "WT"


def test_nothing_has_no_surface() -> None:
    empty = np.zeros((20, 16, 12), np.uint8)
    assert make_surfaces(empty, None, (1.0, 1.0, 1.0)) == ()
    assert make_surfaces(empty, empty.astype(bool), (1.0, 1.0, 1.0)) == ()
    assert [one.name for one in make_surfaces(empty, empty == 0, (1.0, 1.0, 1.0))] == ["head"]
    assert make_surfaces(np.full((20, 16, 1), Tissue.ED, np.uint8), None, (1.0, 1.0, 1.0)) == ()


def test_a_single_voxel_is_seen() -> None:
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[12, 20, 7] = Tissue.ET
    (one,) = make_surfaces(labels, None, (1.0, 1.0, 1.0))
    assert is_closed(one) and points_of(one).mean(axis=0) == pytest.approx([12, 20, 7], abs=1)
    assert np.ptp(points_of(one), axis=0).max() < 4


def test_a_mask_up_to_the_border_is_closed() -> None:
    (one,) = make_surfaces(np.full((9, 8, 7), Tissue.ED, np.uint8), None, (1.0, 1.0, 3.0))
    assert is_closed(one)
    assert volume(one) == pytest.approx(9 * 8 * 7 * 3, rel=0.15)


def test_triangles_are_bounded_even_where_all_is_surface() -> None:
    rng = np.random.default_rng(3)
    sponge = rng.random((120, 110, 100)) < 0.3
    head, one = make_surfaces(tumour(sponge), sponge, (1.0, 1.0, 1.0))
    assert 0 < len(one.faces) <= FACES and 0 < len(head.faces) <= HEAD_FACES
    assert one.faces.dtype == one.vertices.dtype == np.uint16


@given(
    st.tuples(*[st.integers(2, 14)] * 3), st.tuples(*[st.sampled_from([0.6, 1.0, 4.0])] * 3), st.integers(0, 2**32 - 1)
)
def test_any_mask_has_a_closed_surface_near_it(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], seed: int
) -> None:
    mask = np.random.default_rng(seed).random(shape) < 0.4
    mask[0, 0, 0] = True
    (one,) = make_surfaces(tumour(mask), None, spacing)
    assert is_closed(one) and volume(one) > 0
    reach = 2 * np.maximum(spacing, 2.0)
    where = np.argwhere(mask) * spacing
    assert np.all(one.lower >= where.min(axis=0) - reach) and np.all(one.upper <= where.max(axis=0) + reach)


def test_real_tumours_are_small_in_a_page(data_root: Path) -> None:
    for files in scan(data_root / "brats21").cases[:1] + scan(data_root / "brats23").cases:
        case = read_case(files, modalities=("flair",))
        assert case.labels is not None
        start = time.process_time()
        found = make_surfaces(case.labels, case.image[0] != 0, case.grid.spacing)
        assert time.process_time() - start < 2  # 0.2 s on an idle machine
        size = sum(base64_bytes(packed(array)) for one in found for array in (one.vertices, one.faces))
        assert size < 400_000
        assert [one.name for one in found] == ["head", "WT", "ET", "NCR"]
        assert volume(found[1]) == pytest.approx(region_mask(case.labels, Region.WT).sum(), rel=0.05)
