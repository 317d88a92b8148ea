"""The sheet of patches: which way up, which slice, that all tiles are there, that equal patches give equal bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from gliamap.boxes import Shape
from gliamap.labels import TISSUE_COLOURS, Tissue
from gliamap.report import patch_sheet as module
from gliamap.report.patch_sheet import COLUMNS, PatchGroup, PatchItem, draw_patch_sheet
from gliamap.report.sheet import HEADING, MARGIN

SIDE = (module.WIDTH - 2 * MARGIN - (COLUMNS - 1) * module.GAP) / COLUMNS
BLACK, WHITE = (0.0, 1.0)


def patch(
    shape: Shape = (16, 16, 1), *, spacing: tuple[float, float, float] = (1, 1, 1), grey: float = 0.5
) -> PatchItem:
    return PatchItem(np.full(shape, grey, np.float32), np.zeros(shape, np.uint8), (BLACK, WHITE), spacing, ("a", "b"))


def drawn(folder: Path, *groups: PatchGroup) -> NDArray[np.uint8]:
    draw_patch_sheet(groups, folder / "s.png", title="8 patches", about="T1")
    with Image.open(folder / "s.png") as picture:
        return np.asarray(picture.convert("RGB"))


def tile(picture: NDArray[np.uint8], row: int, column: int) -> NDArray[np.int64]:
    """The pixels of a tile of the first group, whose patches have two lines of text."""
    top = module.HEADER + HEADING + row * (SIDE + 2 * module.LINE + module.GAP)
    left = MARGIN + column * (SIDE + module.GAP)
    return picture[round(top) : round(top + SIDE), round(left) : round(left + SIDE)].astype(np.int64)


def where(pixels: NDArray[np.int64], tissue: Tissue) -> NDArray[np.intp]:
    """Rows and columns of the pixels in a tissue's colour."""
    colour = np.round(255 * np.array(to_rgb(TISSUE_COLOURS[tissue])))
    return np.argwhere((np.abs(pixels - colour) < 40).all(axis=2))


def test_the_patient_s_right_front_is_left_and_up(tmp_path: Path) -> None:
    one = patch()
    one.labels[12:15, 11:14] = Tissue.ET  # large x is right, large y is front
    found = where(tile(drawn(tmp_path, PatchGroup("With tumour", (one,))), 0, 0), Tissue.ET) / SIDE
    assert len(found) > 20
    (up, left), (down, right) = found.min(axis=0), found.max(axis=0)
    assert abs(up - 2 / 16) < 0.05 and abs(down - 5 / 16) < 0.05
    assert abs(left - 1 / 16) < 0.05 and abs(right - 4 / 16) < 0.05


def test_of_a_volume_the_slice_with_most_is_shown(tmp_path: Path) -> None:
    one, plain = patch((16, 16, 9)), patch((16, 16, 9))
    one.labels[3:6, 3:6, 2] = Tissue.NCR
    one.labels[2:9, 2:9, 6] = Tissue.ED
    plain.image[..., 4] = 1
    picture = drawn(tmp_path, PatchGroup("", (one, plain)))
    assert len(where(tile(picture, 0, 0), Tissue.ED)) and not len(where(tile(picture, 0, 0), Tissue.NCR))
    assert tile(picture, 0, 1)[20:-20, 20:-20].min() > 250  # the middle one


def test_every_tile_has_its_place_and_its_proportions(tmp_path: Path) -> None:
    flat = patch((16, 8, 1), spacing=(1.0, 1.0, 5.0))
    picture = drawn(tmp_path, PatchGroup("", tuple([patch(grey=1.0)] * COLUMNS + [flat])), PatchGroup("Healthy", ()))
    assert picture.shape[1] == module.WIDTH
    for column in range(COLUMNS):
        assert tile(picture, 0, column)[4:-4, 4:-4].min() > 250
    wide = tile(picture, 1, 0).max(axis=2) > 60
    assert wide[round(SIDE / 2)].all()
    rows = np.flatnonzero(wide.any(axis=1))
    assert abs((rows[-1] - rows[0]) / SIDE - 0.5) < 0.05
    assert tile(picture, 1, 1).max() < 40  # nothing but the sheet


def test_a_group_without_patches_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(module.Canvas, "text", lambda _canvas, _at, text, *_ink, **_align: said.append(text))
    drawn(tmp_path, PatchGroup("With tumour", (patch(),)), PatchGroup("Healthy", ()))
    assert {"With tumour", "Healthy: none"} <= set(said)


def test_equal_patches_give_equal_bytes(tmp_path: Path) -> None:
    drawn(tmp_path, PatchGroup("With tumour", (patch(),)))
    before = (tmp_path / "s.png").read_bytes()
    drawn(tmp_path, PatchGroup("With tumour", (patch(),)))
    assert (tmp_path / "s.png").read_bytes() == before
