"""Augmentation: drawn before it is applied, the same for image and labels, true to shape, silent on padding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from gliamap.boxes import Shape
from gliamap.config import AugmentConfig
from gliamap.prep.distances import signed_distances
from gliamap.sampling.artefacts import (
    Artefact,
    add_artefact,
    draw_ghosting,
    draw_low_resolution,
    draw_motion,
    draw_spikes,
)
from gliamap.sampling.augment import Augmentation, apply_augmentation, draw_augmentation, move_distances

ALWAYS = AugmentConfig(affine=1, intensity=1, gamma=1, noise=1, bias=1)
NEVER = AugmentConfig(flip=False, affine=0, intensity=0, gamma=0, noise=0, bias=0)
PATCHES: list[Shape] = [(32, 24, 16), (20, 20, 20), (28, 36, 1)]
EVERYTHING = ALWAYS.model_copy(
    update={"elastic": 1.0, "low_resolution": 1.0, "ghosting": 1.0, "spikes": 1.0, "motion": 1.0}
)
OLD_STEPS = ("flips", "matrix", "scale", "shift", "gamma", "noise", "bias")
NOTHING = Augmentation((False, False, False), None, None, None, None, None, None)


def draw(seed: int, config: AugmentConfig, patch: Shape, channels: int = 1) -> Augmentation:
    return draw_augmentation(np.random.default_rng(seed), config, channels, patch)


def sphere(patch: Shape, radius: float, offset: tuple[float, float, float] = (0, 0, 0)) -> Tensor:
    """A ball (a disc where Z = 1) as a uint8 mask; radius and offset from the centre in voxels."""
    axes = np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in patch], indexing="ij")
    distance = sum((a - (o if n > 1 else 0)) ** 2 for a, o, n in zip(axes, offset, patch, strict=True))
    return torch.from_numpy((distance <= radius**2).astype(np.uint8))


def positions(mask: Tensor) -> NDArray[np.float64]:
    """Voxels of a mask, counted from the patch's centre."""
    return np.argwhere(mask.numpy()) - (np.array(mask.shape) - 1) / 2


def overlap(a: Tensor, b: Tensor) -> float:
    """Dice of two masks."""
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("patch", PATCHES)
def test_the_same_draw_gives_the_same_result(patch: Shape) -> None:
    image, labels = torch.randn(2, *patch), sphere(patch, 6)
    first, again, other = (
        apply_augmentation(image, labels, draw(seed, EVERYTHING, patch, channels=2)) for seed in (5, 5, 6)
    )
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("patch", PATCHES)
def test_applying_changes_neither_the_input_nor_the_global_generator(patch: Shape) -> None:
    image, labels = torch.randn(2, *patch), sphere(patch, 6)
    image_before, labels_before, state = image.clone(), labels.clone(), torch.get_rng_state()
    for drawn in (draw(1, EVERYTHING, patch, channels=2), NOTHING):
        new_image, new_labels, _ = apply_augmentation(image, labels, drawn)
        new_image += 1
        new_labels += 1
        assert torch.equal(image, image_before)
        assert torch.equal(labels, labels_before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("patch", PATCHES)
def test_switched_off_it_changes_nothing(patch: Shape) -> None:
    drawn = draw(0, NEVER, patch)
    assert all(getattr(drawn, f.name) is None for f in fields(drawn) if f.name != "flips")
    image, labels = torch.randn(1, *patch), sphere(patch, 6)
    out_image, out_labels, _ = apply_augmentation(image, labels, drawn)
    assert torch.equal(out_image, image)
    assert torch.equal(out_labels, labels)
    assert out_labels.dtype == torch.uint8


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("seed", range(12))
def test_labels_stay_on_the_image(patch: Shape, seed: int) -> None:
    labels = sphere(patch, 5, offset=(5, -3, 2)) * 3
    spatial = AugmentConfig(flip=True, affine=1, intensity=0, gamma=0, noise=0, bias=0, rotate_degrees=40, scale=0.3)
    image, turned, _ = apply_augmentation(labels[None].float(), labels, draw(seed, spatial, patch))
    assert set(turned.unique().tolist()) <= {0, 3}
    assert overlap(image[0] > 1.5, turned > 0) > 0.95
    assert overlap(labels > 0, turned > 0) < 0.99  # something did move


@pytest.mark.parametrize("patch", PATCHES)
def test_flips_are_exact_and_reach_every_axis_but_z_of_a_slice(patch: Shape) -> None:
    config = NEVER.model_copy(update={"flip": True})
    image, labels = torch.randn(1, *patch), sphere(patch, 5, offset=(5, -3, 2))
    seen = set()
    for seed in range(40):
        drawn = draw(seed, config, patch)
        seen.add(drawn.flips)
        axes = [axis for axis in range(3) if drawn.flips[axis]]
        out_image, out_labels, _ = apply_augmentation(image, labels, drawn)
        assert torch.equal(out_image, image.flip([axis + 1 for axis in axes]))
        assert torch.equal(out_labels, labels.flip(axes))
    assert len(seen) == (4 if patch[2] == 1 else 8)
    assert patch[2] > 1 or not any(flips[2] for flips in seen)


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("seed", range(6))
def test_a_ball_stays_a_ball_whatever_the_proportions_of_the_patch(patch: Shape, seed: int) -> None:
    turning = NEVER.model_copy(update={"affine": 1.0, "rotate_degrees": 60.0, "scale": 0.0})
    before = sphere(patch, 6)
    after = apply_augmentation(before[None].float(), before, draw(seed, turning, patch))[1]
    assert float(after.sum()) == pytest.approx(float(before.sum()), rel=0.05)
    axes = 2 if patch[2] == 1 else 3
    spread = np.linalg.eigvalsh(np.cov(positions(after)[:, :axes].T))
    assert spread.max() / spread.min() < 1.1


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("seed", range(6))
def test_turning_keeps_distances_from_the_centre_and_scaling_changes_them(patch: Shape, seed: int) -> None:
    mark = sphere(patch, 2.5, offset=(5, 3, 3))
    distance = np.linalg.norm(positions(mark).mean(axis=0))
    config = NEVER.model_copy(update={"affine": 1.0, "rotate_degrees": 30.0, "scale": 0.0})
    turned = positions(apply_augmentation(mark[None].float(), mark, draw(seed, config, patch))[1])
    assert np.linalg.norm(turned.mean(axis=0)) == pytest.approx(distance, rel=0.1)
    assert np.linalg.norm(turned.mean(axis=0) - positions(mark).mean(axis=0)) > 0.2
    drawn = draw(seed, config.model_copy(update={"rotate_degrees": 0.0, "scale": 0.5}), patch)
    assert drawn.matrix is not None
    factor = drawn.matrix[0, 0]
    assert 0.6 < factor < 1.7
    scaled = positions(apply_augmentation(mark[None].float(), mark, drawn)[1])
    assert np.linalg.norm(scaled.mean(axis=0)) == pytest.approx(distance / factor, rel=0.1)


def test_a_quarter_turn_by_eye() -> None:
    # Sampling through [[0, -1], [1, 0]]: output (x, y) shows input (-y, x), counted from the centre.
    matrix = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]])
    labels = torch.zeros(5, 5, 1, dtype=torch.uint8)
    labels[4, 2, 0] = 1  # (2, 0) from the centre is seen from (0, -2)
    image, turned, _ = apply_augmentation(labels[None].float(), labels, replace(NOTHING, matrix=matrix))
    assert torch.argwhere(turned).tolist() == [[2, 0, 0]]
    assert torch.allclose(image[0], turned.float(), atol=1e-5)


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("seed", range(5))
def test_zero_stays_zero_under_every_intensity_step(patch: Shape, seed: int) -> None:
    inside = sphere(patch, 7).bool()
    image = torch.randn(3, *patch) * inside
    config = ALWAYS.model_copy(update={"affine": 0.0, "flip": False})
    drawn = draw(seed, config, patch, channels=3)
    assert all(getattr(drawn, name) is not None for name in ("scale", "shift", "gamma", "noise", "bias"))
    out, _, _ = apply_augmentation(image, inside.to(torch.uint8), drawn)
    assert not out[:, ~inside].any()
    assert out.isfinite().all()
    assert ((out - image)[:, inside].abs() > 0).float().mean() > 0.99
    # Varied, still the same picture.
    for before, after in zip(image, out, strict=True):
        assert float(torch.corrcoef(torch.stack([before[inside], after[inside]]))[0, 1]) > 0.8


@pytest.mark.parametrize("patch", PATCHES)
def test_a_blank_patch_stays_blank(patch: Shape) -> None:
    out, _, _ = apply_augmentation(torch.zeros(2, *patch), sphere(patch, 3), draw(0, EVERYTHING, patch, channels=2))
    assert not out.any()


def test_gamma_keeps_the_range_of_a_channel() -> None:
    image = torch.linspace(-2, 3, 64).reshape(1, 4, 4, 4)
    for gamma in (0.7, 1.4):
        out, _, _ = apply_augmentation(image, sphere((4, 4, 4), 1), replace(NOTHING, gamma=np.array([gamma])))
        assert (float(out.min()), float(out.max())) == pytest.approx((-2, 3), abs=1e-5)
        assert (out.flatten().diff() > 0).all()
        assert (float(out.mean()) > float(image.mean())) is (gamma < 1)


def test_probabilities_are_kept() -> None:
    later = {"elastic": 0.3, "low_resolution": 0.5, "ghosting": 0.7, "spikes": 0.9, "motion": 0.2}
    config = AugmentConfig(affine=0.2, intensity=0.4, gamma=0.6, noise=0.8, bias=0.1, **later)
    drawn = [draw(seed, config, (8, 8, 8)) for seed in range(600)]
    wanted = {"matrix": 0.2, "scale": 0.4, "shift": 0.4, "gamma": 0.6, "noise": 0.8, "bias": 0.1, **later}
    for name, share in wanted.items():
        assert np.mean([getattr(one, name) is not None for one in drawn]) == pytest.approx(share, abs=0.06), name


def same(a: object, b: object) -> bool:
    return np.array_equal(a, b) if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) else a == b


@pytest.mark.parametrize("patch", PATCHES)
def test_new_steps_change_no_draw_of_the_old_ones(patch: Shape) -> None:
    old = AugmentConfig(affine=0.5, intensity=0.5, gamma=0.5, noise=0.5, bias=0.5)
    new = EVERYTHING.model_copy(update=old.model_dump(include={"affine", "intensity", "gamma", "noise", "bias"}))
    for seed in range(20):
        without, beside = draw(seed, old, patch, channels=3), draw(seed, new, patch, channels=3)
        assert all(same(getattr(without, name), getattr(beside, name)) for name in OLD_STEPS)
        assert beside.motion is not None


def test_what_a_seed_draws_stays_as_it_was() -> None:
    # Drawn before elastic and the artefacts existed: a training of then gets the same patches now.
    rng = np.random.default_rng(7)
    drawn = draw_augmentation(rng, AugmentConfig(affine=1, intensity=1, gamma=1, noise=1, bias=1), 2, (8, 6, 4))
    assert drawn.matrix is not None
    assert drawn.scale is not None
    assert drawn.bias is not None
    assert drawn.flips == (False, False, False)
    assert drawn.noise == pytest.approx((0.1230460494977879, 1503827931), rel=1e-12)
    assert drawn.matrix[0] == pytest.approx(
        [1.0535938742835225, 0.17945747242124255, -0.10636088522425366, 0.0], rel=1e-12
    )
    assert drawn.scale == pytest.approx([1.0073642240640464, 0.9166678347506224], rel=1e-12)
    assert drawn.bias[1, 2, 2] == pytest.approx(
        [-0.11974795111255782, 0.22444621568970263, 0.09732884300307226], rel=1e-12
    )
    assert rng.random() == 0.13161581580830573


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("seed", range(6))
def test_bent_labels_and_teachers_stay_on_the_image(patch: Shape, seed: int) -> None:
    labels = sphere(patch, 5, offset=(4, -3, 2)) * 3
    config = NEVER.model_copy(update={"flip": True, "affine": 1.0, "elastic": 1.0})
    soft = torch.stack([(labels > 0).float(), (labels == 0).float()])
    image, turned, moved = apply_augmentation((labels > 0)[None].float(), labels, draw(seed, config, patch), soft)
    assert moved is not None
    assert moved.shape == soft.shape
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 1
    assert torch.allclose(moved[0], image[0], atol=1e-6)
    assert set(turned.unique().tolist()) == {0, 3}
    assert turned.dtype == torch.uint8
    assert overlap(image[0] > 0.5, turned > 0) > 0.95


@pytest.mark.parametrize("patch", PATCHES)
def test_a_landmark_moves_in_image_labels_and_teachers(patch: Shape) -> None:
    # All control points move alike: output voxel x shows input voxel x + (3, -2, 0).
    labels = torch.zeros(patch, dtype=torch.uint8)
    labels[9, 9] = 2
    points = np.zeros((3, 4, 4, 4 if patch[2] > 1 else 1)) + np.reshape([3, -2, 0], (3, 1, 1, 1))
    image, moved, soft = apply_augmentation(
        labels[None].float(), labels, replace(NOTHING, elastic=points), labels[None] / 2
    )
    assert soft is not None
    assert torch.argwhere(moved[..., 0]).tolist() == [[6, 11]]
    assert torch.allclose(image[0], moved.float(), atol=1e-4)
    assert torch.allclose(soft[0], moved / 2, atol=1e-4)


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("step", ["low_resolution", "ghosting", "spikes", "motion"])
def test_artefacts_take_zero_for_the_background_and_leave_it(step: str, patch: Shape) -> None:
    inside = sphere(patch, 7).bool()
    image = torch.randn(2, *patch) * inside
    drawn = draw(3, NEVER.model_copy(update={step: 1.0}), patch, channels=2)
    out, _, _ = apply_augmentation(image, inside.to(torch.uint8), drawn)
    assert torch.equal(out, add_artefact(image, image != 0, getattr(drawn, step)))
    assert not torch.equal(out, image)
    assert not out[:, ~inside].any()
    # Nor does it matter how bright an earlier step leaves the background.
    shifted, _, _ = apply_augmentation(
        image, inside.to(torch.uint8), replace(drawn, scale=np.ones(2), shift=np.full(2, 5.0))
    )
    assert torch.allclose(shifted[:, inside], out[:, inside] + 5, atol=1e-4)


def test_teachers_are_flipped_like_labels_and_given_back_as_they_were_otherwise() -> None:
    image, labels, soft = torch.randn(1, 4, 5, 6), sphere((4, 5, 6), 2), torch.rand(2, 4, 5, 6)
    out = apply_augmentation(image, labels, replace(NOTHING, flips=(True, False, True)), soft)
    assert out[2] is not None
    assert torch.equal(out[2], soft.flip([1, 3]))
    assert apply_augmentation(image, labels, NOTHING)[2] is None


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("seed", range(6))
def test_distances_stay_on_the_labels_and_are_positive_beyond_the_patch(patch: Shape, seed: int) -> None:
    labels = sphere(patch, 5, offset=(4, -3, 2))
    labels[0] = 1  # at the edge of the patch, too: beyond it is background all the same
    distances = torch.from_numpy(signed_distances(labels.numpy() > 0, (1, 1, 1)).astype(np.float32))[None]
    before = distances.clone()
    drawn = draw(seed, NEVER.model_copy(update={"flip": True, "affine": 1.0, "elastic": 1.0}), patch)
    moved = move_distances(distances, drawn)
    _, turned, inside = apply_augmentation(torch.ones(1, *patch), labels, drawn, torch.ones(1, *patch))
    assert inside is not None and moved.shape == distances.shape and torch.equal(distances, before)
    assert ((moved[0] < 0) == (turned > 0)).float().mean() > 0.97
    assert (moved[0][inside[0] == 0] == distances.max()).all()
    assert float(moved.min()) >= float(distances.min()) - 1e-4 and float(moved.max()) <= float(distances.max()) + 1e-4


def test_distances_are_flipped_exactly_and_are_positive_beyond_a_patch_within_the_tumour() -> None:
    distances = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert torch.equal(move_distances(distances, replace(NOTHING, flips=(True, False, True))), distances.flip([1, 3]))
    half = np.array([[0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 0.5, 0]])
    assert float(move_distances(-distances - 1, replace(NOTHING, matrix=half)).max()) < 0
    moved = move_distances(-distances - 1, replace(NOTHING, matrix=4 * half))
    assert float(moved[0, 0, 0, 0]) > 0 and float(moved.max()) == 1


@pytest.mark.parametrize("patch", PATCHES)
def test_mirrored_channels_get_what_their_modalities_get(patch: Shape) -> None:
    image, labels = torch.randn(3, *patch) * sphere(patch, 9), sphere(patch, 5)
    drawn = replace(draw(2, EVERYTHING, patch, channels=3), noise=None)
    alone, moved, _ = apply_augmentation(image, labels, drawn)
    both, moved_too, _ = apply_augmentation(torch.cat([image, image]), labels, drawn)
    assert torch.equal(both, torch.cat([alone, alone]))
    assert torch.equal(moved, moved_too)


SIDES = st.integers(1, 12)


@given(st.tuples(SIDES, SIDES, SIDES), st.integers(1, 3), st.integers(0, 999))
def test_any_patch_and_any_seed(patch: Shape, channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = torch.from_numpy(rng.normal(size=(channels, *patch)).astype(np.float32))
    image *= torch.from_numpy(rng.random((channels, *patch)) < 0.6)
    labels = torch.from_numpy(rng.integers(0, 4, patch).astype(np.uint8))
    image[0] *= seed % 2  # a modality that is missing
    steps = EVERYTHING.model_copy(update={"affine": 0.0, "elastic": 0.0, "flip": False})
    for config in (EVERYTHING, steps):
        drawn = draw(seed, config, patch, channels)
        out, turned, _ = apply_augmentation(image, labels, drawn)
        assert out.shape == image.shape
        assert out.dtype == torch.float32
        assert out.isfinite().all()
        assert turned.shape == labels.shape
        assert turned.dtype == torch.uint8
        assert torch.equal(out, apply_augmentation(image, labels, draw(seed, config, patch, channels))[0])
    assert not out[image == 0].any()
    assert torch.equal(turned, labels)


@pytest.mark.parametrize("draw_one", [draw_ghosting, draw_low_resolution, draw_motion, draw_spikes])
def test_mostly_one_modality_is_spoilt(draw_one: Callable[[np.random.Generator, int, Shape], Artefact]) -> None:
    rng = np.random.default_rng(0)
    spoilt = np.array([draw_one(rng, 4, (8, 8, 1)).channels for _ in range(400)])
    assert (spoilt.sum(axis=1) >= 1).all()
    assert 0.4 < (spoilt.sum(axis=1) == 1).mean() < 0.65
    assert (spoilt.sum(axis=1) == 4).mean() < 0.05
    assert spoilt.mean(axis=0) == pytest.approx([0.4] * 4, abs=0.08)
