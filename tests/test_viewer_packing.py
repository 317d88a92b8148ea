"""How arrays are packed: order of voxels, bytes, greys."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from gliamap.viewer.packing import base64_bytes, packed, quantised


def test_the_first_axis_of_a_volume_is_fastest() -> None:
    volume = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    flat = np.frombuffer(gzip.decompress(packed(volume)), np.uint8)
    x, y, z = 1, 2, 3
    assert flat[x + 2 * (y + 3 * z)] == volume[x, y, z]
    assert flat[:3].tolist() == [0, 12, 4]


def test_a_list_keeps_its_rows_and_the_lower_byte_comes_first() -> None:
    rows = np.array([[1, 2, 258], [4, 5, 6]], ">u2")
    assert gzip.decompress(packed(rows)) == bytes([1, 0, 2, 0, 2, 1, 4, 0, 5, 0, 6, 0])


def test_equal_arrays_give_equal_bytes() -> None:
    volume = np.zeros((3, 4, 5), np.uint8)
    assert packed(volume) == packed(np.asfortranarray(volume))


def test_greys() -> None:
    values = np.array([-5, 0, 50, 100, 1e9, np.nan, 25.2], np.float32).reshape(7, 1, 1)
    assert quantised(values, 0.0, 100.0).ravel().tolist() == [0, 0, 128, 255, 255, 0, 64]
    assert not quantised(values, 100.0, 100.0).any()


@pytest.mark.parametrize(("size", "expected"), [(0, 0), (1, 4), (3, 4), (4, 8)])
def test_base64(size: int, expected: int) -> None:
    assert base64_bytes(bytes(size)) == expected
