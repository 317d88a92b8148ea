"""Which pages of a file are asked for: those of the box and none around it."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliamap.boxes import Box, Shape, read_padded
from gliamap.io.pages import announce


class Pages(mmap.mmap):
    """A map that notes what is said of it."""

    said: list[tuple[int, ...]]

    def madvise(self, *advice: int) -> None:
        super().madvise(*advice)
        self.said.append(advice)


def mapped(path: Path, array: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch) -> np.ndarray[Any, Any]:
    """``array`` saved and opened as a store opens it, in a map that takes notes."""
    np.save(path, array)
    with monkeypatch.context() as patch:
        patch.setattr(mmap, "mmap", Pages)
        found = np.load(path, mmap_mode="r")
    found.base.said = []
    return found


def asked_for(array: np.ndarray[Any, Any]) -> list[range]:
    """The bytes that were asked for, in the file."""
    assert array.base.said[0] == (mmap.MADV_RANDOM,)
    return [range(start, start + length) for _, start, length in array.base.said[1:]]


def test_of_each_plane_the_rows_of_the_box_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = mapped(tmp_path / "a.npy", np.zeros((2, 4, 64, 64), np.float16), monkeypatch)
    announce(image, Box((1, 32, 5), (3, 48, 9)))
    begin = image.offset
    assert begin < 4096
    planes = [begin + (c * 4 + x) * 8192 + 32 * 128 for c in (0, 1) for x in (1, 2)]
    assert [(r.start, r.stop) for r in asked_for(image)] == [(p - p % 4096, p + 16 * 128) for p in planes]


@given(
    st.tuples(*[st.integers(1, 30)] * 3), st.tuples(*[st.integers(-9, 35)] * 3), st.tuples(*[st.integers(1, 20)] * 3)
)
def test_every_voxel_of_the_box_is_asked_for(
    tmp_path_factory: pytest.TempPathFactory, shape: Shape, start: Shape, size: Shape
) -> None:
    x, y, z = (a + n for a, n in zip(start, size, strict=True))
    box = Box(start, (x, y, z))
    with pytest.MonkeyPatch.context() as patch:
        labels = mapped(tmp_path_factory.mktemp("pages") / "a.npy", np.zeros(shape, np.uint8), patch)
    announce(labels, box)
    places = np.arange(int(np.prod(shape))).reshape(shape)[box.clip(shape).slices] + labels.offset
    ranges = asked_for(labels)
    assert all(any(place in r for r in ranges) for place in places.ravel().tolist())


def test_values_are_the_same_and_arrays_in_memory_are_left_alone(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(2, 9, 8, 7)).astype(np.float16)
    np.save(tmp_path / "a.npy", array)
    box = Box((3, -2, 1), (12, 5, 4))
    found = np.load(tmp_path / "a.npy", mmap_mode="r")
    announce(found, box)
    announce(array, box)
    assert np.array_equal(read_padded(found, box), read_padded(array, box))
