"""Probabilities beside a mask: found by name, believed only after a look."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

import make
from gliamap.errors import FileError, GliamapError, GridError
from gliamap.io.cases import write_probabilities
from gliamap.labels import Region
from gliamap.scoring.probabilities import ProbabilityFile, find_probabilities, read_probabilities
from gliamap.volume import Grid

ALL = tuple(Region)
SHAPE = make.SHAPES["oblique"]
REGIONS = ["WT", "TC", "ET"]


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """An empty mask on the oblique grid."""
    path = tmp_path / "a.nii.gz"
    nib.Nifti1Image(np.zeros(SHAPE, np.uint8), make.affine("oblique")).to_filename(path)
    return path


def write(mask: Path, *values: float, channels: object = None) -> Path:
    """One channel a value, constant; ``channels`` is what the JSON beside says of them."""
    probs = np.stack([np.full(SHAPE, value, np.float32) for value in values])
    path = mask.with_name("a_probabilities.nii.gz")
    write_probabilities(path, probs, mask)
    mask.with_name("a.json").write_text(json.dumps({} if channels is None else {"probability_channels": channels}))
    return path


def read(mask: Path, grid: Grid | None = None) -> dict[Region, NDArray[np.float32]]:
    file = find_probabilities(mask, "a")
    assert file is not None
    return read_probabilities(file, grid or make.grid("oblique"), ALL)


def test_regions_are_channels(mask: Path) -> None:
    write(mask, 0.75, 0.5, 0.25, channels=REGIONS)
    found = read(mask)
    assert {region: (probs.shape, float(probs.max())) for region, probs in found.items()} == {
        Region.WT: (SHAPE, 0.75), Region.TC: (SHAPE, 0.5), Region.ET: (SHAPE, 0.25)
    }  # fmt: skip


def test_tissues_are_added_up(mask: Path) -> None:
    write(mask, 0.125, 0.5, 0.25, 0.125, channels=["background", "ED", "NCR", "ET"])
    assert {region: float(probs[0, 0, 0]) for region, probs in read(mask).items()} == {
        Region.WT: 0.875, Region.TC: 0.375, Region.ET: 0.125
    }  # fmt: skip


def test_one_channel_is_the_whole_tumour(mask: Path) -> None:
    write(mask, 0.5, channels=["WT"])
    assert set(read(mask)) == {Region.WT}


def test_places_and_rounding(mask: Path) -> None:
    probs = np.zeros((1, *SHAPE), np.float32)
    probs[0, 3, 2, 1] = 1.0000001
    write_probabilities(mask.with_name("a_probabilities.nii.gz"), probs, mask)
    mask.with_name("a.json").write_text('{"probability_channels": ["WT"]}')
    found = read(mask)[Region.WT]
    assert (found[3, 2, 1], found.sum()) == (1, 1)


def test_none_and_silent_ones(mask: Path) -> None:
    assert find_probabilities(mask, "a") is None
    path = write(mask, 0.5)
    assert find_probabilities(mask, "a") == ProbabilityFile(path, ())
    mask.with_name("a.json").unlink()
    assert find_probabilities(mask, "a") == ProbabilityFile(path, ())
    mask.with_name("a.json").write_text("[1]")
    assert find_probabilities(mask, "a") == ProbabilityFile(path, ())


NO_CHANNELS = (
    *([], "WT", {"WT": 0}, 7, [None], [["WT"]], ["WT", 3], ["WT", "WT"], ["ED"], ["TC", "ED"]),
    *(["background"], ["background", "WT"], ["background", "ED", "BACKGROUND"], ["background", "ED", "ED"]),
)


@pytest.mark.parametrize("channels", NO_CHANNELS)
def test_words_that_are_no_channels(mask: Path, channels: object) -> None:
    write(mask, 0.5, channels=channels)
    with pytest.raises(FileError, match=r"a\.json does not say what the channels of a_probabilities\.nii\.gz are"):
        find_probabilities(mask, "a")


def test_what_is_no_probability_is_refused(mask: Path) -> None:
    for value, words in ((1.5, "1.5"), (-0.25, "-0.25"), (np.nan, "nan"), (np.inf, "inf")):
        write(mask, 0.5, value, channels=["WT", "TC"])
        with pytest.raises(FileError, match=f"does not hold probabilities.*{words}"):
            read(mask)
    write(mask, 0.5, 0.5, channels=["WT"])
    with pytest.raises(FileError, match=r"2 channels\. Expected: WT"):
        read(mask)
    write(mask, 0.5, channels=["WT"])
    with pytest.raises(GridError, match="grid of its case"):
        read(mask, make.grid("plain"))


def test_damaged_files_are_errors_of_ours(mask: Path) -> None:
    path = write(mask, 0.5, 0.5, channels=["WT", "TC"])
    whole = path.read_bytes()
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 4):
        path.write_bytes(whole[:cut])
        with pytest.raises(GliamapError):
            read(mask)
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        with suppress(GliamapError):  # a byte of the gzip header may not matter
            read(mask)
