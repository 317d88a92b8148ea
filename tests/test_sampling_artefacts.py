"""Artefacts: each by its own law, on simple pictures; the background stays dark and nothing turns up in the labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, fft

from gliamap.boxes import Shape
from gliamap.sampling.artefacts import (
    Artefact,
    Ghosting,
    LowResolution,
    Motion,
    Spikes,
    add_artefact,
    draw_ghosting,
    draw_low_resolution,
    draw_motion,
    draw_spikes,
    repeated,
)

PATCHES: list[Shape] = [(24, 20, 16), (28, 36, 1)]
Draw = Callable[[np.random.Generator, int, Shape], Artefact]
ONE = np.array([True])
DRAW = (draw_low_resolution, draw_ghosting, draw_spikes, draw_motion)


def everywhere(image: Tensor, drawn: Artefact) -> Tensor:
    return add_artefact(image, torch.ones_like(image, dtype=torch.bool), drawn)


def along(axis: int, patch: Shape) -> list[slice | int]:
    """Indices of the line along ``axis`` through the middle of a one-channel image."""
    return [0, *(slice(None) if a == axis else n // 2 for a, n in enumerate(patch))]


def axes_of(patch: Shape) -> list[int]:
    return [axis for axis, size in enumerate(patch) if size > 1]


def test_two_ghosts_hold_the_share_by_eye() -> None:
    image = torch.zeros(1, 24, 3, 1)
    image[0, 12, 1] = 10
    ghosts = everywhere(image, Ghosting(ONE, 0, 6, 0.2))
    wanted = torch.zeros_like(image)
    wanted[0, [6, 12, 18], 1, 0] = torch.tensor([1.0, 8.0, 1.0])
    assert torch.allclose(ghosts, wanted, atol=1e-5)


@pytest.mark.parametrize("patch", [(48, 36, 24), (48, 36, 1)])
@pytest.mark.parametrize("parts", [3, 4, 6])
def test_an_image_with_ghosts_is_like_itself_one_shift_away(patch: Shape, parts: int) -> None:
    rng = np.random.default_rng(parts)
    for axis in axes_of(patch):
        shift = patch[axis] // parts
        image = torch.from_numpy(rng.random((1, *patch))).float()
        ghosts = everywhere(image, Ghosting(ONE, axis, shift, 0.3))
        likeness = fft.ifftn(fft.fftn(ghosts[0] - ghosts.mean()).abs() ** 2).real
        line = likeness.movedim(axis, 0)[:, 0, 0][2 : patch[axis] // 2 + 1]
        assert int(line.argmax()) + 2 == shift
        assert float(ghosts.mean()) == pytest.approx(float(image.mean()), rel=1e-3)


@pytest.mark.parametrize("patch", PATCHES)
def test_ghosts_of_a_flat_image_do_not_show_its_border(patch: Shape) -> None:
    # A ramp ends at unlike values; a ghost that came round from the other side would bring the jump with it.
    for axis in axes_of(patch):
        size = patch[axis]
        ramp = torch.arange(size).float().reshape([-1 if a == 1 + axis else 1 for a in range(4)]).expand(1, *patch)
        line = everywhere(ramp, Ghosting(ONE, axis, size / 3, 0.25))[tuple(along(axis, patch))]
        assert float(line.diff().abs().max()) < 1.5


@pytest.mark.parametrize("factor", [2.0, 3.0, 4.0])
@pytest.mark.parametrize("patch", [(24, 24, 12), (24, 24, 1)])
def test_thick_slices_take_the_detail_of_their_axis_and_no_other(patch: Shape, factor: float) -> None:
    rng = np.random.default_rng(0)
    for axis in axes_of(patch):
        for other in range(3):
            shape = [n if a == other else 1 for a, n in enumerate(patch)]
            image = torch.from_numpy(rng.normal(size=(1, *shape))).float().expand(1, *patch).clone()
            coarse = everywhere(image, LowResolution(ONE, axis, factor))
            if other != axis:
                assert torch.allclose(coarse, image, atol=1e-5)
                continue
            before, after = image[tuple(along(axis, patch))], coarse[tuple(along(axis, patch))]
            assert float(after.diff().abs().mean()) < 0.6 * float(before.diff().abs().mean())


def test_thick_slices_by_eye() -> None:
    # Two voxels as one: means 1, 5, 1, 5 at 0.5, 2.5, 4.5, 6.5, a quarter and three quarters of the way in between.
    image = torch.tensor([0.0, 2, 4, 6, 0, 2, 4, 6]).reshape(1, 1, 8, 1).expand(1, 3, 8, 1)
    coarse = everywhere(image, LowResolution(ONE, 1, 2.0))
    assert coarse[0, 1, :, 0].tolist() == pytest.approx([1, 2, 4, 4, 2, 2, 4, 5])


@pytest.mark.parametrize(
    ("patch", "wave"), [((32, 32, 1), (4, 3, 0)), ((32, 16, 16), (4, -3, 2)), ((16, 32, 8), (0, 5, 0))]
)
def test_a_spike_is_one_stripe_pattern_of_its_frequency(patch: Shape, wave: tuple[int, int, int]) -> None:
    drawn = Spikes(ONE, np.array([wave]) / np.array(patch), np.array([0.7]), 0.5)
    added = everywhere(torch.zeros(1, *patch), drawn)[0]
    power = fft.fftn(added).abs()
    peaks = torch.argwhere(power > 0.01 * power.max()).tolist()
    signed = [[n % size for n, size in zip(sign, patch, strict=True)] for sign in (wave, [-n for n in wave])]
    assert sorted(peaks) == sorted(signed)
    assert float(added.std()) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


def test_stripes_by_eye() -> None:
    quarter = np.array([[0.25, 0, 0]])
    for phase, wanted in ((0.0, [2, 0, -2, 0, 2, 0]), (np.pi / 2, [0, -2, 0, 2, 0, -2])):
        stripes = everywhere(torch.zeros(1, 6, 2, 1), Spikes(ONE, quarter, np.array([phase]), 2.0))
        assert stripes[0, :, 1, 0].tolist() == pytest.approx(wanted, abs=1e-5)


def test_several_spikes_add_up() -> None:
    image, waves, phases = torch.rand(1, 8, 8, 8), np.array([[0.25, 0, 0], [0, 0.1, 0.2]]), np.array([0.0, 1.0])
    both = everywhere(image, Spikes(ONE, waves, phases, 0.3))
    for wave, phase in zip(waves, phases, strict=True):
        image = everywhere(image, Spikes(ONE, wave[None], phase[None], 0.3))
    assert torch.allclose(both, image, atol=1e-5)


@pytest.mark.parametrize("patch", PATCHES)
def test_a_head_that_lies_still_is_seen_as_it_is(patch: Shape) -> None:
    image = torch.randn(1, *patch)
    for axis in axes_of(patch):
        still = Motion(ONE, axis, np.array([0.1, -0.2, 0.3]), np.zeros((3, 6)))
        assert torch.allclose(everywhere(image, still), image, atol=1e-4)


@pytest.mark.parametrize("patch", [(40, 32, 24), (40, 32, 1)])
def test_motion_leaves_the_centre_of_k_space_and_takes_detail_from_the_pose(patch: Shape) -> None:
    # A coarse wave lies in the centre of k-space, a fine one beyond the start: only the fine one moves.
    for axis in axes_of(patch):
        shape = [-1 if a == 1 + axis else 1 for a in range(4)]
        place = torch.arange(patch[axis]).float()
        coarse = torch.cos(torch.pi * (place + 0.5) * 2 / patch[axis]).reshape(shape).expand(1, *patch)
        fine = torch.cos(2 * torch.pi * place / 4).reshape(shape).expand(1, *patch)
        moves = np.array([[0.0, 0, 0, *(2.0 if a == axis else 0.0 for a in range(3))]] * 2)  # half a fine wave
        drawn = Motion(ONE, axis, np.array([0.15, -0.15]), moves)
        inner = slice(6, patch[axis] - 6)
        for image, wanted in ((coarse, coarse), (coarse + fine, coarse - fine)):
            seen = everywhere(image.clone(), drawn).movedim(1 + axis, -1)[..., inner]
            assert float((seen - wanted.movedim(1 + axis, -1)[..., inner]).abs().mean()) < 0.2  # 1 for the unmoved


@pytest.mark.parametrize("patch", PATCHES)
def test_the_patch_goes_on_beyond_its_border_when_the_head_moves(patch: Shape) -> None:
    # Alike all along the axis of the movement, in whatever pose.
    image = torch.rand(1, 1, *patch[1:]).expand(1, *patch)
    moves = np.array([[0.0, 0, 0, 3, 0, 0]])
    assert torch.allclose(everywhere(image, Motion(ONE, 0, np.array([0.1]), moves)), image, atol=1e-4)


@pytest.mark.parametrize("patch", PATCHES)
def test_a_magnitude_is_never_darker_than_the_background(patch: Shape) -> None:
    image = torch.rand(1, *patch) ** 4
    poses = np.random.default_rng(0).uniform(-3, 3, (2, 6))
    seen = everywhere(image, Motion(ONE, 1, np.array([0.1, -0.2]), poses))
    assert float(seen.min()) >= float(image.min()) - 1e-5


@pytest.mark.parametrize("patch", PATCHES)
def test_the_later_movement_wins_whatever_their_order(patch: Shape) -> None:
    image, poses = torch.rand(1, *patch), np.random.default_rng(0).uniform(-2, 2, (3, 6))
    starts = np.array([0.1, 0.3, -0.2])
    first = everywhere(image, Motion(ONE, 0, starts, poses))
    again = everywhere(image, Motion(ONE, 0, starts[[1, 2, 0]], poses[[1, 2, 0]]))
    assert torch.equal(first, again)
    assert not torch.equal(first, everywhere(image, Motion(ONE, 0, starts, poses[[1, 0, 2]])))


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("draw", DRAW)
def test_only_the_spoilt_channels_change_and_nothing_outside(draw: Draw, patch: Shape) -> None:
    rng = np.random.default_rng(1)
    inside = torch.zeros(6, *patch, dtype=torch.bool)
    inside[:, 4:-4, 3:-5] = True
    image = torch.where(inside, torch.randn(6, *patch) + 0.5, 7.0)
    drawn = replace(draw(rng, 3, patch), channels=np.array([False, True, False]))
    out = add_artefact(image, inside, drawn)
    changed = (out != image).flatten(1)
    assert changed.any(dim=1).tolist() == [False, True, False] * 2
    assert not changed[~inside.flatten(1)].any()
    # Still the same picture; what lies outside, however bright, has no part in it.
    assert float(torch.corrcoef(torch.stack([image[1][inside[1]], out[1][inside[1]]]))[0, 1]) > 0.2
    assert torch.equal(out, torch.where(inside, add_artefact(torch.where(inside, image, 0.0), inside, drawn), image))


@pytest.mark.parametrize("draw", DRAW)
def test_brighter_or_stronger_scanners_see_the_same(draw: Draw) -> None:
    # As k-space does, all but the spikes (whose height is their own) follow the image's scale and level.
    drawn = draw(np.random.default_rng(5), 1, (16, 20, 12))
    image = torch.rand(1, 16, 20, 12)
    factor = 1 if isinstance(drawn, Spikes) else 3
    assert torch.allclose(everywhere(image * factor - 2, drawn), everywhere(image, drawn) * factor - 2, atol=1e-4)


@pytest.mark.parametrize("patch", PATCHES)
def test_a_modality_that_is_missing_stays_missing(patch: Shape) -> None:
    rng = np.random.default_rng(1)
    blank = torch.zeros(1, *patch)
    for draw in DRAW:
        assert not add_artefact(blank, blank != 0, draw(rng, 1, patch)).any()


@given(st.integers(0, 9999), st.sampled_from([(64, 48, 32), (96, 128, 1), (1, 40, 40)]))
def test_drawn_values_stay_in_their_ranges(seed: int, patch: Shape) -> None:
    rng = np.random.default_rng(seed)
    low, ghosts, spikes, motion = (draw(rng, 4, patch) for draw in DRAW)
    assert isinstance(low, LowResolution)
    assert isinstance(ghosts, Ghosting)
    assert isinstance(spikes, Spikes)
    assert isinstance(motion, Motion)
    assert all(patch[one.axis] > 1 for one in (low, ghosts, motion))
    assert 2 <= low.factor <= 5
    assert patch[ghosts.axis] / 6 <= ghosts.shift <= patch[ghosts.axis] / 2
    assert 0 < ghosts.share <= 0.25
    assert ((np.linalg.norm(spikes.waves, axis=1) * 30 > 0.999) & (np.linalg.norm(spikes.waves, axis=1) < 0.2501)).all()
    assert not spikes.waves[:, [n == 1 for n in patch]].any()
    assert spikes.height <= 0.3
    assert (np.abs(motion.starts) >= 0.08).all()
    assert np.abs(motion.poses).max() <= 3
    assert len(motion.poses) == len(motion.starts)


def test_parameters_are_repeated_channel_by_channel() -> None:
    assert repeated(np.array([1.0, 2.0]), 4).tolist() == [1, 2, 1, 2]
    assert repeated(np.array([True, False]), 2).tolist() == [True, False]
