"""Our surface figures beside those of DeepMind's surface-distance and of MONAI, on masks of every awkward kind.

Both are held to 1e-6. MONAI keeps distances in single precision, and even the place of its percentile between two
voxels, so its HD95 has 1e-5. Empty masks are left out: they give NaN or infinity there; here a rule decides.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import surface_distance
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice
from monai.metrics.meaniou import compute_iou
from monai.metrics.surface_dice import compute_surface_dice
from monai.metrics.surface_distance import compute_average_surface_distance
from numpy.typing import NDArray

from gliamap.metrics import overlap, surface, voxel_surface
from gliamap.metrics.surface import SurfaceDistances

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]

pytestmark = [  # what the two libraries still call in scipy, and in themselves
    pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning"),
]

SPACINGS: tuple[Spacing, ...] = ((1.0, 1.0, 1.0), (0.5, 1.25, 3.0), (0.94, 0.94, 5.0), (2.0, 2.0, 2.0))
WORST = 374.0


def ball(shape: tuple[int, int, int], centre: tuple[int, int, int], radius: float) -> Mask:
    """A ball of voxels; ``radius`` in voxels."""
    squares = sum((axis - c) ** 2 for axis, c in zip(np.ogrid[tuple(map(slice, shape))], centre, strict=True))
    return np.asarray(squares <= radius**2)


def fifty(seed: int) -> Mask:
    """Fifty lesions of one to a few voxels, at random places."""
    rng = np.random.default_rng(seed)
    out = np.zeros((40, 36, 30), bool)
    for x, y, z in rng.integers((0, 0, 0), (37, 33, 28), (50, 3)):
        out[x : x + rng.integers(1, 4), y : y + rng.integers(1, 4), z : z + rng.integers(1, 3)] = True
    return out


def named_pairs() -> Iterator[tuple[str, Mask, Mask]]:
    shape = (30, 24, 18)
    middle, corner = ball(shape, (12, 12, 9), 6), ball(shape, (0, 0, 0), 5)
    one, other = np.zeros(shape, bool), np.zeros(shape, bool)
    one[3, 4, 5], other[20, 21, 2] = True, True
    yield "grown", ball(shape, (13, 12, 9), 7), middle
    yield "far apart", ball(shape, (26, 20, 15), 2), ball(shape, (3, 3, 3), 2)
    yield "touching", np.roll(middle, 13, axis=0), middle
    yield "at the border", corner, ball(shape, (2, 0, 1), 4)
    yield "the whole grid", np.ones(shape, bool), middle
    yield "one voxel each", one, other
    yield "one voxel in a ball", one, middle
    yield "the same", middle, middle
    yield "fifty lesions", fifty(0), fifty(1)
    noise = np.random.default_rng(2).random((2, *shape)) < 0.1
    yield "noise", noise[0], noise[1]
    yield "one slice thick", middle & (np.arange(18) == 9), np.roll(middle, 2, axis=1) & (np.arange(18) == 9)


PAIRS = {name: (a, b) for name, a, b in named_pairs()}


def test_the_pairs_are_not_empty() -> None:
    assert all(a.any() and b.any() for a, b in PAIRS.values())


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("name", PAIRS)
def test_area_weighted_figures_are_those_of_surface_distance(name: str, spacing: Spacing) -> None:
    check_against_surface_distance(*PAIRS[name], spacing)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("name", PAIRS)
def test_voxel_figures_are_those_of_monai(name: str, spacing: Spacing) -> None:
    check_against_monai(*PAIRS[name], spacing)


@pytest.mark.parametrize("seed", range(5))
def test_slices_are_measured_as_both_measure_planes(seed: int) -> None:
    a, b = np.random.default_rng(seed).random((2, 20, 17, 1)) < (0.05, 0.2, 0.5, 0.8, 0.95)[seed]
    check_against_surface_distance(a, b, (0.7, 1.3, 9.0))
    check_against_monai(a, b, (0.7, 1.3, 9.0))


some_masks = hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=6).flatmap(
    lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape))
)


@settings(deadline=None, max_examples=60)
@given(some_masks, st.sampled_from(SPACINGS))
def test_any_masks(pair: tuple[Mask, Mask], spacing: Spacing) -> None:
    if pair[0].any() and pair[1].any():
        check_against_surface_distance(*pair, spacing)
        check_against_monai(*pair, spacing)


def check_against_surface_distance(prediction: Mask, reference: Mask, spacing: Spacing) -> None:
    flat = prediction.shape[2] == 1
    masks = [mask[..., 0] if flat else mask for mask in (reference, prediction)]
    theirs = surface_distance.compute_surface_distances(*masks, spacing[: masks[0].ndim])
    ours = surface.surface_distances(prediction, reference, spacing)
    sizes = [np.asarray(theirs[f"surfel_areas_{side}"]) for side in ("gt", "pred")]
    lengths = [np.asarray(theirs[f"distances_{way}"]) for way in ("gt_to_pred", "pred_to_gt")]
    total = sum(float((d * s).sum()) for d, s in zip(lengths, sizes, strict=True))
    expected = {
        "hd95": surface_distance.compute_robust_hausdorff(theirs, 95),
        "hd": surface_distance.compute_robust_hausdorff(theirs, 100),
        # surface-distance gives the averages of both directions; theirs by area, joined by area, are the ASSD
        "assd": total / sum(float(s.sum()) for s in sizes),
        "surface_dice": surface_distance.compute_surface_dice_at_tolerance(theirs, 1.0),
    }
    assert figures(ours, surface.hd95(ours, worst=WORST)) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def check_against_monai(prediction: Mask, reference: Mask, spacing: Spacing) -> None:
    flat = prediction.shape[2] == 1
    one, other = (torch.from_numpy(m[..., 0] if flat else m)[None, None].float() for m in (prediction, reference))
    steps = list(spacing[: one.ndim - 2])
    ours = voxel_surface.voxel_distances(prediction, reference, spacing)
    hd95 = voxel_surface.hd95_voxels(ours, worst=WORST)
    their_hd95 = compute_hausdorff_distance(one, other, include_background=True, percentile=95, spacing=steps)
    assert hd95 == pytest.approx(their_hd95.item(), rel=1e-6, abs=1e-5)
    expected = {
        "hd95": hd95,
        "hd": compute_hausdorff_distance(one, other, include_background=True, spacing=steps).item(),
        "assd": compute_average_surface_distance(
            one, other, include_background=True, symmetric=True, spacing=steps
        ).item(),
        "surface_dice": compute_surface_dice(one, other, [1.0], include_background=True, spacing=steps).item(),
    }
    assert figures(ours, hd95) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    counts = overlap.count(prediction, reference)
    assert overlap.dice(counts) == pytest.approx(compute_dice(one, other, include_background=True).item(), rel=1e-6)
    assert overlap.iou(counts) == pytest.approx(compute_iou(one, other, include_background=True).item(), rel=1e-6)


def figures(found: SurfaceDistances, hd95: float) -> dict[str, float]:
    """The figures of one measurement; each definition has an HD95 of its own."""
    return {
        "hd95": hd95,
        "hd": surface.hd(found, worst=WORST),
        "assd": surface.assd(found, worst=WORST),
        "surface_dice": surface.surface_dice(found),
    }
