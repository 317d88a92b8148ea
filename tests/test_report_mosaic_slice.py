"""The slice that is cut out of a mosaic."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import make
from gliamap.case import Case
from gliamap.report.figures import draw_mosaic
from gliamap.report.mosaic_slice import cut_mosaic
from gliamap.report.thumbnail import LARGEST, SIDE


def pixels(jpeg: bytes | None) -> np.ndarray:
    assert jpeg is not None and len(jpeg) <= LARGEST
    picture = Image.open(io.BytesIO(jpeg))
    assert picture.format == "JPEG" and max(picture.size) == SIDE
    return np.asarray(picture).astype(int)


def colourful(shown: np.ndarray) -> int:
    """Pixels that are neither grey nor the blue of letters: those of marked tumour."""
    return int(((shown.max(axis=2) - shown.min(axis=2) > 60) & (shown[..., 2] < shown[..., 0].clip(1))).sum())


@pytest.fixture(params=["volume", "image"])
def case(request: pytest.FixtureRequest) -> Case:
    return make.case("plain") if request.param == "volume" else make.slice_case()


def test_the_slice_with_the_tumour(case: Case, tmp_path: Path) -> None:
    draw_mosaic(case, case.labels, tmp_path / "m.png")
    assert colourful(pixels(cut_mosaic(tmp_path / "m.png"))) > 100


def test_a_plain_one_where_nothing_is_marked(case: Case, tmp_path: Path) -> None:
    assert case.labels is not None
    empty = replace(case, labels=np.zeros_like(case.labels))
    draw_mosaic(empty, empty.labels, tmp_path / "m.png")
    shown = pixels(cut_mosaic(tmp_path / "m.png"))
    assert colourful(shown) == 0 and shown.max() > 150


def test_what_is_no_mosaic(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (1600, 900), "white").save(tmp_path / "white.png")
    Image.new("RGB", (10, 10)).save(tmp_path / "small.png")
    for name in ("text.png", "white.png", "small.png", "missing.png"):
        assert cut_mosaic(tmp_path / name) is None
