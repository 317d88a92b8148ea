"""The picture of a training's example: which way up, what is drawn over what, and that nothing collides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from gliamap.case import Case
from gliamap.errors import GridError
from gliamap.labels import CONVENTIONS, TISSUE_COLOURS, LabelMap, Tissue
from gliamap.report import canvas as ink
from gliamap.report import example
from gliamap.report.example import draw_example
from gliamap.volume import Grid

RAS = np.diag([1.0, 1.5, 1.0, 1.0])
SHAPE = (40, 30)


def one_slice(
    modalities: tuple[str, ...] = ("t1",), *, px: bool = False, labels: LabelMap | None = None, **images: float
) -> Case:
    """A flat bright square in RAS+; ``images`` gives a modality another brightness."""
    image = np.zeros((len(modalities), *SHAPE, 1), np.float32)
    for channel, name in zip(image, modalities, strict=True):
        channel[5:35, 5:25] = images.get(name, 1.0) * np.linspace(0.5, 1.5, 30)[:, None, None]
    if labels is None:
        labels = np.zeros((*SHAPE, 1), np.uint8)
    return Case("Mrs_Smith", "Mrs_Smith", modalities, image, Grid((*SHAPE, 1), RAS, "px" if px else "mm"), labels)


def square(tissue: Tissue, x: slice, y: slice) -> LabelMap:
    labels = np.zeros((*SHAPE, 1), np.uint8)
    labels[x, y] = tissue
    return labels


NOTHING = square(Tissue.BACKGROUND, slice(0), slice(0))


def drawn(case: Case, predicted: LabelMap, folder: Path) -> NDArray[np.uint8]:
    draw_example(case, predicted, folder / "e.png", title="step 500", about="validation Dice WT 0.50")
    with Image.open(folder / "e.png") as picture:
        return np.asarray(picture.convert("RGB"))


def where(picture: NDArray[np.uint8], colour: str, *, tolerance: int = 30) -> NDArray[np.intp]:
    """Rows and columns of the pixels of ``colour``, legend and header left out."""
    body = picture[example.HEADER : -(example.FOOTER + 20)].astype(int)
    return np.argwhere((np.abs(body - np.round(255 * np.array(to_rgb(colour)))) < tolerance).all(axis=2))


def test_the_patients_right_front_is_left_and_up(tmp_path: Path) -> None:
    right_front = square(Tissue.ET, slice(28, 33), slice(19, 23))  # large x is right, large y is front
    picture = drawn(one_slice(labels=right_front), NOTHING, tmp_path)
    places = where(picture, TISSUE_COLOURS[Tissue.ET])
    rows, columns = places.mean(axis=0)
    tile = (picture.shape[1] - 2 * 24 - example.GAP) / 2
    assert columns < 24 + tile / 2
    assert rows < (picture.shape[0] - example.HEADER - example.FOOTER) / 2
    high, wide = np.ptp(places, axis=0) + 1
    assert high / wide == pytest.approx(4 * 1.5 / 5, rel=0.05)  # true proportions: 5 voxels of 1 by 4 of 1.5


def test_every_modality_has_the_reference_and_only_the_last_panel_the_prediction(tmp_path: Path) -> None:
    names = ("t1", "t1c", "t2", "flair", "dwi")
    case = one_slice(names, labels=square(Tissue.ED, slice(10, 20), slice(10, 20)))
    picture = drawn(case, square(Tissue.NCR, slice(12, 16), slice(12, 16)), tmp_path)
    assert picture.shape[1] == 2 * 24 + 5 * (example.PANEL + example.GAP) - example.GAP  # four modalities and one
    panels = [set(), set(), set()]
    colours = (TISSUE_COLOURS[Tissue.ED], TISSUE_COLOURS[Tissue.NCR], ink.REFERENCE)
    for found, colour in zip(panels, colours, strict=True):
        found.update(int((column - 24) // (example.PANEL + example.GAP)) for column in where(picture, colour)[:, 1])
    assert panels == [{0, 1, 2, 3}, {4}, {4}]


def test_around_a_normalised_brain_it_is_black(tmp_path: Path) -> None:
    case = one_slice()
    case.image[...] = np.where(case.image != 0, case.image - 1.0, 0)  # 0 is now a middling grey of the brain
    case.image[:, 5:15, 15:25] = 0  # a front left corner without brain
    picture = drawn(case, NOTHING, tmp_path)
    row, left, right = example.HEADER + 132, 379, 157  # at y = 20, x = 10 and 30; the crop is 34 x 24 voxels
    assert picture[row, left].tolist() == [0, 0, 0]
    assert picture[row, right, 0] > 60


@pytest.mark.parametrize(("missing", "base"), [("flair", "t1c"), ("t1c", "flair")])
def test_a_missing_modality_is_named_and_not_drawn_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, base: str
) -> None:
    words = written(monkeypatch)
    titles = {"t1c": "T1 post-contrast", "flair": "FLAIR"}
    labels = square(Tissue.ET, slice(10, 20), slice(10, 20))
    drawn(one_slice(("t1", "t1c", "flair"), labels=labels, **{missing: 0.0}), labels, tmp_path)
    assert f"{titles[missing]}: missing" in words
    assert f"prediction on {titles[base]}" in words


def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[float, float, float, float]]:
    """Fills with what is written, and left, right, top, bottom of it on the sheet."""
    words: dict[str, tuple[float, float, float, float]] = {}
    write = ink.Canvas.text

    def text(self: ink.Canvas, at: tuple[float, float], line: str, style: ink.Style, **more: ink.Align) -> float:
        width = write(self, at, line, style, **more)
        left = at[0] - {"left": 0.0, "center": 0.5, "right": 1.0}[more.get("align", "left")] * width
        words[line] = (left, left + width, at[1] - style.size / 2, at[1] + style.size / 2)
        return width

    monkeypatch.setattr(ink.Canvas, "text", text)
    return words


def test_a_picture_without_spacing_has_no_letters_and_none_names_the_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = written(monkeypatch)
    drawn(one_slice(), NOTHING, tmp_path)
    assert {"R", "L", "A", "P", "step 500", "T1"} <= words.keys()
    words.clear()
    drawn(one_slice(px=True), NOTHING, tmp_path)
    assert not {"R", "L", "A", "P"} & words.keys()
    assert not any("Smith" in word for word in words)


@pytest.mark.parametrize("convention", sorted(CONVENTIONS))
@pytest.mark.parametrize("modalities", [("t1",), ("t1", "t1c", "t2", "flair")])
def test_no_words_lie_on_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, convention: str, modalities: tuple[str, ...]
) -> None:
    words = written(monkeypatch)
    labels = NOTHING.copy()
    for row, tissue in enumerate(CONVENTIONS[convention].tissues):
        labels[10:20, 8 + 2 * row] = tissue
    about = "validation Dice WT 0.81 · TC 0.70 · ET 0.66"
    draw_example(one_slice(modalities, labels=labels), labels, tmp_path / "e.png", title="step 1000000", about=about)
    boxes = [box for word, box in words.items() if word not in "RLAP"]
    with Image.open(tmp_path / "e.png") as picture:
        width, height = picture.size
    for number, (left, right, top, bottom) in enumerate(boxes):
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        for other in boxes[number + 1 :]:
            assert right + 8 <= other[0] or other[1] + 8 <= left or bottom <= other[2] or other[3] <= top


def test_a_blank_slice_is_drawn(tmp_path: Path) -> None:
    case = one_slice()
    case.image[...] = 0
    drawn(case, NOTHING, tmp_path)


def test_the_same_example_gives_the_same_bytes(tmp_path: Path) -> None:
    labels = square(Tissue.ET, slice(10, 20), slice(10, 20))
    for name in ("a", "b"):
        draw_example(one_slice(labels=labels), labels, tmp_path / name, title="step 1")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_no_slice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GridError, match="39x30x1"):
        draw_example(one_slice(), NOTHING[1:], tmp_path / "e.png", title="")
    bare = one_slice()
    bare = Case(bare.case_id, bare.patient_id, bare.modalities, bare.image, bare.grid)
    with pytest.raises(GridError, match="without labels"):
        draw_example(bare, NOTHING, tmp_path / "e.png", title="")
    assert not list(tmp_path.iterdir())
