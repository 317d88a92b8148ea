"""Masks that cannot be tumours: odd values, empty space, specks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import make
from gliamap.boxes import Shape
from gliamap.checks.masks import check_place, check_specks, check_values
from gliamap.io.cases import read_case
from gliamap.labels import Region, region_mask
from gliamap.sources.detect import scan

SHAPE: Shape = (40, 44, 36)


def mask_of(*values: int) -> NDArray[np.int16]:
    """One voxel of each value."""
    out = np.zeros((4, 5, 6), np.int16)
    out.ravel()[: len(values)] = values
    return out


@pytest.mark.parametrize(
    ("values", "conventions", "found"),
    [
        ((), ("brats2021",), None),
        ((1, 2, 4), ("brats2021",), None),
        ((1, 2, 3), ("brats2023", "brats2024"), None),
        ((1, 4), ("brats2023", "brats2024"), None),
        ((1, 2, 4), (), None),
        ((1, 2, 3), ("brats2021",), "3 in 1 voxels; expected brats2021 (1 necrotic"),
        ((-1, 1, 9), (), "-1 in 1 voxels, 9 in 1 voxels; expected brats2021"),
        ((1, 255), ("binary", "binary255"), "1 in 1 voxels, 255 in 1 voxels; expected binary"),  # a mixture
        ((5, 6, 7, 8, 9, 10, 11), ("binary",), "8 in 1 voxels, 9 in 1 voxels and 2 values more; expected binary"),
    ],
)
def test_values(values: tuple[int, ...], conventions: tuple[str, ...], found: str | None) -> None:
    findings = check_values(mask_of(*values), conventions)
    if found is None:
        assert findings == []
    else:
        (finding,) = findings
        assert finding.code == "labels-outside-convention"
        assert found in finding.found


def test_place() -> None:
    brain = make.ball(SHAPE, (0.5, 0.5, 0.5), 0.45)
    image = np.stack([np.where(brain, 100, 0), np.where(brain, 50, -3)]).astype(np.float32)
    tumour = make.labels(SHAPE) > 0
    assert check_place(tumour, image, (0, -3)) == []
    (finding,) = check_place(np.roll(tumour, 20, axis=1), image, (0, -3))
    assert finding.code == "tumour-outside-brain"
    outside = int((np.roll(tumour, 20, axis=1) & ~brain).sum())
    assert finding.found == f"{100 * outside / tumour.sum():.2g} % of the tumour, {outside} voxels"


def test_place_knows_dark_spots_and_images_without_background() -> None:
    brain = make.ball(SHAPE, (0.5, 0.5, 0.5), 0.45)
    tumour = make.labels(SHAPE) > 0
    necrosis = np.where(brain & ~(make.labels(SHAPE) == 1), 100, 0).astype(np.float32)[None]
    assert check_place(tumour, necrosis, (0,)) == []
    shifted = np.roll(tumour, 20, axis=1)
    assert check_place(shifted, necrosis, (None,)) == []
    assert check_place(np.zeros_like(tumour), necrosis, (0,)) == []
    assert check_place(shifted, necrosis[:0], ()) == []


def test_one_modality_that_shows_something_is_enough() -> None:
    brain = make.ball(SHAPE, (0.5, 0.5, 0.5), 0.45)
    wide = make.ball(SHAPE, (0.5, 0.5, 0.5), 0.8)
    image = np.stack([np.where(brain, 100, 0), np.where(wide, 50, 0)]).astype(np.float32)
    tumour = np.roll(make.labels(SHAPE) > 0, 12, axis=1)
    assert check_place(tumour, image[:1], (0,)) != []
    assert check_place(tumour, image, (0, 0)) == []


def with_specks(count: int) -> NDArray[np.bool_]:
    """A tumour of 3375 voxels, and single voxels three apart."""
    out = np.zeros(SHAPE, np.bool_)
    out[:15, :15, :15] = True
    apart = out[20::3, ::3, ::3]
    apart[np.unravel_index(np.arange(count), apart.shape)] = True
    return out


@pytest.mark.parametrize(("count", "told"), [(0, False), (20, False), (25, True), (60, True)])
def test_specks(count: int, told: bool) -> None:
    found = check_specks(with_specks(count))
    assert [finding.code for finding in found] == (["tiny-components"] if told else [])
    if count == 60:
        assert found[0].found == "60 components below 10 voxels, together 60 voxels (1.7 % of the tumour)"


def test_a_tumour_of_specks() -> None:
    few = np.zeros(SHAPE, np.bool_)
    few[3, 4, 5:8] = True
    assert [finding.code for finding in check_specks(few)] == ["tiny-components"]
    assert check_specks(few[:, :, 5:6]) == []  # the tip of a tumour in a slice
    assert check_specks(np.zeros(SHAPE, np.bool_)) == []


def test_corners_join() -> None:
    stair = np.zeros(SHAPE, np.bool_)
    stair[range(12), range(12), range(12)] = True
    assert check_specks(stair) == []


def test_real_masks(data_root: Path) -> None:
    for files in scan(data_root / "brats21").cases[-3:]:
        case = read_case(files, modalities=("flair",))
        assert case.labels is not None
        tumour = region_mask(case.labels, Region.WT)
        assert check_place(tumour, case.image, (0,)) == []
        assert check_place(np.roll(tumour, (15, 15, 15), (0, 1, 2)), case.image, (0,)) != []
        assert check_specks(tumour) == []
