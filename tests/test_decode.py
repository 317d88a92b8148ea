"""From probabilities to labels, by eye."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gliamap.config import CleanUpConfig, OutputConfig
from gliamap.infer.decode import decode
from gliamap.labels import CONVENTIONS, Tissue, encode_classes, encode_regions

REGIONS = OutputConfig(kind="regions", convention="brats2021")
CLASSES = OutputConfig(kind="classes", convention="msd")
KEEP = CleanUpConfig()


def column(*voxels: tuple[float, ...]) -> NDArray[np.float32]:
    """Probabilities (R, X, 1, 1) from one tuple a voxel."""
    return np.array(voxels, np.float32).T[:, :, None, None]


def test_regions_by_eye() -> None:
    probabilities = column((0, 0, 0), (0.9, 0.1, 0), (0.9, 0.8, 0.2), (0.9, 0.8, 0.7), (0.5, 0.5, 0.5), (0.4, 0.2, 0.6))
    assert decode(probabilities, REGIONS, KEEP, 1.0).ravel().tolist() == [
        Tissue.BACKGROUND,
        Tissue.ED,
        Tissue.NCR,
        Tissue.ET,
        Tissue.BACKGROUND,  # exactly one half is not enough
        Tissue.ET,  # an inner region counts even outside its outer one
    ]


def test_classes_by_eye() -> None:
    # The channels follow the values of the convention: background, ED, NCR, ET for MSD.
    probabilities = column(
        (0, 0, 0, 0), (0.1, 0.6, 0.2, 0.1), (0.1, 0.2, 0.6, 0.1), (0.3, 0.2, 0.1, 0.4), (0.5, 0.5, 0, 0)
    )
    labels = decode(probabilities, CLASSES, KEEP, 1.0).ravel().tolist()
    assert labels == [Tissue.BACKGROUND, Tissue.ED, Tissue.NCR, Tissue.ET, Tissue.BACKGROUND]


def test_a_binary_model_gives_tumour() -> None:
    output = OutputConfig(kind="regions", convention="binary")
    assert decode(column((0.2,), (0.7,)), output, KEEP, 1.0).ravel().tolist() == [0, Tissue.TUMOUR]


@settings(max_examples=30)
@given(st.sampled_from(sorted(CONVENTIONS)), st.sampled_from(["regions", "classes"]), st.integers(0, 99))
def test_decode_undoes_encode(name: str, kind: str, seed: int) -> None:
    output = OutputConfig.model_validate({"kind": kind, "convention": name})
    tissues = (0, *output.tissues)
    if kind == "regions":  # the tissues that regions alone can tell apart
        tissues = tuple(t for t in tissues if t in (0, Tissue.NCR, Tissue.ED, Tissue.ET, Tissue.TUMOUR, Tissue.CORE))
        if name in ("brats-ped", "brats2013"):  # their core has no label of its own
            return
    labels = np.random.default_rng(seed).choice(np.array(tissues, np.uint8), (4, 5, 3))
    encode = encode_regions(labels, output.regions) if kind == "regions" else encode_classes(labels, output.tissues)
    assert np.array_equal(decode(encode.astype(np.float32), output, KEEP, 1.0), labels)


def lumps(*sizes: int) -> NDArray[np.float32]:
    """Sure edema along X: lumps of the given sizes with two voxels between them."""
    line = [v for size in sizes for v in (*([1] * size), 0, 0)]
    return column(*[(v, 0, 0) for v in line])


@pytest.mark.parametrize(
    ("min_size", "voxel_size", "kept"),
    [
        (0.0, 1.0, [1, 3, 7]),
        (3.0, 1.0, [3, 7]),
        (3.1, 1.0, [7]),
        (8.0, 1.0, []),
        (0.006, 0.002, [3, 7]),
        (0.07, 0.01, [7]),  # 0.07 / 0.01 is 7.000000000000001 in floating point
        (0.0071, 0.001, []),
    ],
)
def test_small_parts_are_removed(min_size: float, voxel_size: float, kept: list[int]) -> None:
    labels = decode(lumps(1, 3, 7), REGIONS, CleanUpConfig(min_size=min_size), voxel_size)
    runs = "".join("x" if v else " " for v in labels.ravel()).split()
    assert [len(run) for run in runs] == kept


def test_a_small_core_inside_a_large_tumour_stays() -> None:
    probabilities = column(*[(1, k == 4, k == 4) for k in range(9)])
    labels = decode(probabilities, REGIONS, CleanUpConfig(min_size=5), 1.0).ravel()
    assert labels.tolist() == [Tissue.ED] * 4 + [Tissue.ET] + [Tissue.ED] * 4


@pytest.mark.parametrize("output", [REGIONS, CLASSES])
def test_channels_that_come_one_by_one_say_the_same(output: OutputConfig) -> None:
    # Few values, so that many are equal: of equals the first wins.
    rng = np.random.default_rng(0)
    probabilities = rng.integers(0, 3, (len(output.channels), 6, 5, 4)).astype(np.float32) / 2
    labels = decode(probabilities, output, KEEP, 1.0)
    assert np.array_equal(decode(iter(probabilities), output, KEEP, 1.0), labels)
    if output is CLASSES:
        assert np.array_equal(labels, np.array([0, *output.tissues])[probabilities.argmax(axis=0)])
