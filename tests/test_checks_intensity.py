"""Images that cannot be images: not finite, empty, constant, cut off, or one another's copy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import make
from gliamap.boxes import Shape
from gliamap.checks.findings import Finding
from gliamap.checks.intensity import ImageSummary, check_images, spike_of, summarise_image
from gliamap.io.nifti import read_volume, replace_nonfinite

Volume = NDArray[np.float32]
SHAPE: Shape = (60, 70, 80)  # more voxels than are sampled


def brain(seed: int = 0, shape: Shape = SHAPE, *, levels: float = 1000) -> Volume:
    """A stripped brain of whole intensities around ``levels``, and 0 outside."""
    inside = make.ball(shape, (0.5, 0.5, 0.5), 0.45)
    values = np.rint(np.random.default_rng(seed).normal(levels, 0.2 * levels, shape))
    return np.where(inside, np.clip(values, 1, None), 0).astype(np.float32)


def head(seed: int = 0, shape: Shape = SHAPE) -> Volume:
    """A head in noise."""
    noise = np.abs(np.rint(np.random.default_rng(seed).normal(0, 12, shape))).astype(np.float32)
    return np.where(brain(seed, shape) > 0, brain(seed, shape), noise)


def check(stripped: bool = True, **volumes: Volume) -> list[Finding]:
    copies = {name: volume.copy() for name, volume in volumes.items()}
    return check_images(
        {name: summarise_image(one, replace_nonfinite(one)) for name, one in copies.items()}, stripped=stripped
    )


def codes(stripped: bool = True, **volumes: Volume) -> list[str]:
    return [finding.code for finding in check(stripped, **volumes)]


def test_nothing_is_said_of_brains_and_heads() -> None:
    assert codes(t1=brain(0), t1c=brain(1), t2=brain(2, levels=30)) == []
    assert codes(t1c=brain(0, (33, 26, 1))) == []
    assert codes(stripped=False, t1=head(0), t1c=head(1)) == []
    assert check_images({}, stripped=True) == []


def test_not_finite() -> None:
    odd = brain()
    odd[3, 4, 5:8] = (math.nan, math.inf, -math.inf)
    (finding,) = check(t1=odd, t2=brain(1))
    assert (finding.code, finding.found) == ("not-finite", "t1: 3 voxels")
    assert codes(t1=np.full(SHAPE, math.nan, np.float32)) == ["not-finite", "empty-image"]


def test_empty_and_constant() -> None:
    (finding,) = check(t1=np.zeros(SHAPE, np.float32), t2=brain())
    assert (finding.code, finding.found) == ("empty-image", "t1: every voxel is 0")
    (finding,) = check(t1=np.full(SHAPE, -2.5, np.float32), t2=brain())
    assert (finding.code, finding.found) == ("constant-image", "t1: every voxel is -2.5")


def test_one_voxel_is_enough_not_to_be_empty() -> None:
    nearly = np.zeros(SHAPE, np.float32)
    nearly[1, 2, 3] = 7
    assert "empty-image" not in codes(t1=nearly)


def test_a_mask_in_place_of_an_image() -> None:
    mask = make.labels(SHAPE).astype(np.float32)
    (finding,) = check(t1=brain(), t2=mask)
    assert (finding.code, finding.found) == ("constant-image", "t2: only the values 0, 1, 2, 3")


def clipped(volume: Volume, percent: float) -> Volume:
    """Bright voxels set to the value above which ``percent`` of the foreground lie."""
    return np.minimum(volume, np.percentile(volume[volume > 0], 100 - percent).astype(np.float32))


def floored(volume: Volume, percent: float) -> Volume:
    """Dark voxels of the foreground set to the value below which ``percent`` of it lie."""
    low = np.percentile(volume[volume > 0], percent).astype(np.float32)
    return np.where(volume > 0, np.maximum(volume, low), 0)


@pytest.mark.parametrize("levels", [120, 3000])  # as coarse as 8 bit, as fine as 16
@pytest.mark.parametrize(("percent", "expected"), [(0.1, []), (1, []), (3, ["saturated"]), (20, ["saturated"])])
def test_cut_off_above(levels: float, percent: float, expected: list[str]) -> None:
    volume = clipped(brain(levels=levels), percent)
    assert codes(t1=volume) == expected
    assert codes(t1=volume * np.float32(0.37)) == expected
    assert codes(stripped=False, t1=np.where(volume > 0, volume, head())) == expected


def test_cut_off_below() -> None:
    (finding,) = check(t1=floored(brain(), 7))
    assert finding.code == "saturated"
    assert finding.found.startswith("t1: 7")
    resampled = floored(brain(), 7)
    resampled[30, 35, 30:50] = np.arange(1, 21)  # a few voxels below the limit
    assert codes(t1=resampled) == ["saturated"]


def test_what_lies_around_a_head_is_not_cut_off() -> None:
    padded = head()
    padded[:, :12] = 5
    assert codes(stripped=False, t1=padded) == []
    assert spike_of(summarise_image(padded, 0), stripped=False)[1] == 0


@settings(max_examples=30)
@given(st.floats(0.05, 20), st.floats(-500, 500), st.booleans())
def test_copies_are_told_whatever_their_scale(slope: float, offset: float, whole: bool) -> None:
    one = brain(shape=(40, 42, 38))
    copy = one * np.float32(slope) + np.float32(offset)
    (finding,) = check(t1=one, t2=brain(1, (40, 42, 38)), t1c=np.rint(copy) if whole else copy)
    assert finding.code == "copied-channel"
    assert finding.found.startswith("t1 and t1c (")


def test_equal_images_are_called_equal() -> None:
    (finding,) = check(t1=brain(), t2=brain())
    assert finding.found == "t1 and t2 (equal)"


def test_no_copies() -> None:
    one, noise = brain(), np.random.default_rng(5).normal(0, 60, SHAPE).astype(np.float32)
    assert codes(t1=one, t2=np.where(one > 0, one + noise, 0)) == []
    assert codes(t1=one, t2=1000 * (one > 0) - one) == []  # the reverse contrast
    assert codes(t1=one, t2=one.reshape(SHAPE[::-1])) == []  # of another size
    assert codes(t1=np.zeros(SHAPE, np.float32), t2=np.zeros(SHAPE, np.float32)) == ["empty-image"]


def test_the_sample_is_small_and_the_same_for_every_modality() -> None:
    ramp = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    first, second = summarise_image(ramp, 0), summarise_image(ramp.copy(), 0)
    assert first.sample.size < ramp.size
    np.testing.assert_array_equal(first.sample, second.sample)
    assert summarise_image(ramp[:, :, :1], 0).sample.size == ramp[:, :, :1].size


def test_real_images(data_root: Path) -> None:
    def of(folder: str) -> dict[str, ImageSummary]:
        return {
            path.name.split("_")[-1].split(".")[0]: summarise_image(read_volume(path)[0], 0)
            for path in sorted((data_root / folder).glob("*.nii.gz"))
            if "seg" not in path.name
        }

    (finding,) = check_images(of("brats21/BraTS2021_01482"), stripped=True)
    assert finding == Finding("saturated", "t1: 7.5 % of the foreground hold the value 99")
    assert check_images(of("brats21/BraTS2021_01478"), stripped=True) == []
    assert check_images(of("btp-t1post/BTP_04_pre"), stripped=False) == []
