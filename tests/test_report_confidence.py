"""The picture of predicted against true Dice: a square for each region, whatever there is to draw in it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from gliamap.config import DiceLine
from gliamap.labels import Region
from gliamap.report.confidence_figure import Panel, draw_confidence

LINE = DiceLine(intercept=0.5, low=-0.2, high=0.1, error=0.05, patients=20, cases=20)
PAIRS = [(0.1, 0.2), (0.8, 0.9)]


def drawn(*panels: Panel) -> Image.Image:
    return Image.open(io.BytesIO(draw_confidence(panels)))


def coloured(picture: Image.Image) -> int:
    """Pixels that are of the colour of TC, however faint: more red than blue. Lines and letters are bluish grey."""
    rgb = np.asarray(picture.convert("RGB")).astype(int)
    return int((rgb[..., 0] - rgb[..., 2] > 12).sum())


def test_every_region_has_a_square_of_its_own() -> None:
    one = drawn(Panel(Region.WT, LINE, PAIRS, []))
    two = drawn(Panel(Region.WT, LINE, PAIRS, []), Panel(Region.ET, LINE, PAIRS, [(0.7, 1.0)]))
    assert one.height == two.height and two.width > 1.8 * one.width


def test_without_a_line_there_is_neither_band_nor_dot() -> None:
    nothing, dots, all_of_it = (
        drawn(Panel(Region.TC, line, pairs, [])) for line, pairs in ((None, []), (None, PAIRS), (LINE, PAIRS))
    )
    assert coloured(nothing) < 50 < coloured(dots) < coloured(all_of_it) / 20
    assert nothing.size == dots.size == all_of_it.size
