"""What a network is shown: the modalities, their mirror image, and which of them are there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape, read_padded
from gliamap.config import InputConfig
from gliamap.inputs import NetworkInput, cut_channels, with_presence

PLAIN, MIRROR, PRESENCE = InputConfig(), InputConfig(mirror=True), InputConfig(presence=True)
BOTH = InputConfig(mirror=True, presence=True)
ALL = (PLAIN, MIRROR, PRESENCE, BOTH)


def line(*values: float) -> NDArray[np.float32]:
    """An image of one modality that is a row along X."""
    return np.array(values, np.float32).reshape(1, -1, 1, 1)


def along_x(start: int, stop: int) -> Box:
    return Box((start, 0, 0), (stop, 1, 1))


@pytest.mark.parametrize(
    ("box", "own", "mirrored"),
    [
        (along_x(0, 5), [1, 2, 3, 4, 5], [5, 4, 3, 2, 1]),
        (along_x(0, 2), [1, 2], [5, 4]),
        (along_x(3, 4), [4], [2]),
        (along_x(2, 3), [3], [3]),  # the middle is its own partner
        (along_x(-2, 2), [0, 0, 1, 2], [0, 0, 5, 4]),
        (along_x(3, 7), [4, 5, 0, 0], [2, 1, 0, 0]),
        (along_x(-1, 6), [0, 1, 2, 3, 4, 5, 0], [0, 5, 4, 3, 2, 1, 0]),
    ],
)
def test_beside_voxel_x_its_partner_is_shown(box: Box, own: list[float], mirrored: list[float]) -> None:
    image = line(1, 2, 3, 4, 5)
    assert cut_channels(image, box, PLAIN)[:, :, 0, 0].tolist() == [own]
    assert cut_channels(image, box, MIRROR)[:, :, 0, 0].tolist() == [own, mirrored]


def test_a_grid_of_even_width_has_no_middle_voxel() -> None:
    assert cut_channels(line(1, 2, 3, 4), along_x(1, 4), MIRROR)[:, :, 0, 0].tolist() == [[2, 3, 4], [3, 2, 1]]


@given(st.tuples(*[st.integers(1, 7)] * 3), st.tuples(*[st.integers(-9, 9)] * 3), st.tuples(*[st.integers(1, 9)] * 3))
def test_the_mirror_is_the_box_of_the_mirrored_image(shape: Shape, start: Shape, size: Shape) -> None:
    image = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float16)
    x, y, z = (a + n for a, n in zip(start, size, strict=True))
    box = Box(start, (x, y, z))
    found = cut_channels(image, box, MIRROR)
    assert found.dtype == np.float32
    assert np.array_equal(found[:2], read_padded(image, box))
    assert np.array_equal(found[2:], read_padded(image[:, ::-1], box))


def values(channels: NDArray[np.float32]) -> list[float]:
    """The channels of an input of one voxel."""
    return [float(v) for v in channels.reshape(-1)]


def voxel(*modalities: float) -> NDArray[np.float32]:
    return np.array(modalities, np.float32).reshape(-1, 1, 1, 1)


def test_maps_say_which_modality_is_there_and_what_is_missing_is_blank() -> None:
    assert values(with_presence(voxel(3, 4, 5), (True, False, True), PRESENCE)) == [3, 0, 5, 1, 0, 1]
    assert values(with_presence(voxel(3, 4, 5), None, PRESENCE)) == [3, 4, 5, 1, 1, 1]


def test_of_a_missing_modality_the_mirror_is_blank_too() -> None:
    assert values(with_presence(voxel(3, 4, 30, 40), (False, True), BOTH)) == [0, 4, 0, 40, 0, 1]


@pytest.mark.parametrize("config", [PLAIN, MIRROR])
def test_a_network_without_presence_maps_needs_every_modality(config: InputConfig) -> None:
    assert values(with_presence(voxel(3, 4), None, config)) == [3, 4]
    assert values(with_presence(voxel(3, 4), (True, True), config)) == [3, 4]
    with pytest.raises(ValueError, match="every modality"):
        with_presence(voxel(3, 4), (True, False), config)


def test_the_maps_cover_the_padding() -> None:
    image = NetworkInput(line(1, 2), PRESENCE, (True,))
    assert image.cut(along_x(-1, 3))[:, :, 0, 0].tolist() == [[0, 1, 2, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize("config", ALL)
@pytest.mark.parametrize("modalities", [1, 4])
def test_an_input_is_cut_then_marked_and_has_the_channels_that_the_settings_say(
    config: InputConfig, modalities: int
) -> None:
    image = np.random.default_rng(0).normal(size=(modalities, 6, 5, 4)).astype(np.float16)
    present = tuple(n != 1 for n in range(modalities)) if config.presence else None
    box = Box((-1, 2, 0), (3, 5, 6))
    shown = NetworkInput(image, config, present)
    found = shown.cut(box)
    assert found.shape == (config.channels(modalities), 4, 3, 6)
    assert found.dtype == np.float32
    assert np.array_equal(found, with_presence(cut_channels(image, box, config), present, config))
    assert shown.shape == (6, 5, 4)
