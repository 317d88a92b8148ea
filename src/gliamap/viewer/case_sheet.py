"""The report of a case on one sheet of paper: A4, PDF, with its letters inside."""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass, replace

import matplotlib
import numpy as np
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from PIL import Image

from gliamap.report.canvas import FONT, drawable
from gliamap.report.curves import INK, QUIET
from gliamap.report.plot import shortened
from gliamap.scoring.text_table import TextTable
from gliamap.viewer.case_facts import CaseFacts, Rows, lesion_table, score_table, sureness_table, volume_table

_WIDTH, _HEIGHT = 210.0, 297.0  # mm
_LEFT, _RIGHT, _TOP, _BOTTOM = 15.0, 195.0, 15.0, 20.0
_PICTURE = 126.0
"""The most mm that the picture may be high."""

_LINE = 4.2
_LETTERS = 118
"""Letters of a line of small print."""

_WARN, _RULE = "#b35c00", "#c9cfd4"
_WARNINGS, _LESIONS = 6, 3
"""So many of each stand on the sheet; the page has all."""


def draw_case_sheet(facts: CaseFacts, picture: bytes, version: str) -> bytes:
    """The sheet as PDF, with the mosaic ``picture`` (PNG); the same facts give the same bytes.

    What does not fit is left out from the end, and the sheet says so.
    """
    figure = Figure(figsize=(_WIDTH / 25.4, _HEIGHT / 25.4), facecolor="white")
    FigureCanvasPdf(figure)
    sheet = _Sheet(figure)
    sheet.words(shortened(facts.case_id, 60), 16, bold=True)
    sheet.words(facts.images, 8.5, colour=QUIET)
    sheet.words(f"labels {facts.convention.name}: {facts.convention.describe()}", 8.5, colour=QUIET)
    sheet.words("Research use only; not a medical device.", 9, colour=_WARN, bold=True)
    _warnings(sheet, facts)
    sheet.picture(picture)
    tables = [volume_table(facts)]
    tables += [score_table(facts)] if facts.score else []
    tables += [sureness_table(facts)] if facts.sureness else []
    tables += [_first(lesion_table(facts.measures))] if facts.measures.lesions else []
    for table in tables:
        sheet.table(table)
    sheet.rows("The model", facts.card)
    sheet.rows("How the mask was made", facts.made)
    sheet.foot(f"gliamap {version}")
    stream = io.BytesIO()
    with matplotlib.rc_context({"pdf.fonttype": 42}):  # whole letters, which every reader can search and copy
        figure.savefig(stream, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": "gliamap"})
    return stream.getvalue()


def _warnings(sheet: _Sheet, facts: CaseFacts) -> None:
    if not facts.warnings:
        known = "No warnings." if facts.told else "Nothing is known of how this mask was made."
        sheet.words(known, 8.5, colour=QUIET)
    for one in facts.warnings[:_WARNINGS]:
        sheet.words(f"! {one.text[:1].upper()}{one.text[1:]}", 8.5, colour=_WARN)
    if len(facts.warnings) > _WARNINGS:
        sheet.words(f"and {len(facts.warnings) - _WARNINGS} more warnings", 8.5, colour=_WARN)


def _first(table: TextTable) -> TextTable:
    more = len(table.rows) - _LESIONS
    title = f"The {_LESIONS} largest lesions" if more > 0 else table.title
    return replace(table, title=title, rows=table.rows[:_LESIONS])


@dataclass
class _Sheet:
    """A page that is filled from the top, in mm; ``cut`` once something had no room."""

    figure: Figure
    y: float = _TOP
    cut: bool = False

    def words(self, said: str, size: float, *, colour: str = INK, bold: bool = False) -> None:
        """Lines across the sheet."""
        per_line = int(_LETTERS * 8.5 / size)
        for line in textwrap.wrap(shortened(drawable(said), 4 * per_line), per_line):
            if not self._room(size * 0.5):
                return
            self.y += size * 0.42
            self._text(_LEFT, line, size, colour=colour, bold=bold)
            self.y += size * 0.08

    def picture(self, png: bytes) -> None:
        """The mosaic, as wide as the sheet or as high as it may be."""
        image = Image.open(io.BytesIO(png)).convert("RGB")
        width = min(_RIGHT - _LEFT, _PICTURE * image.width / image.height)
        height = width * image.height / image.width
        self.y += 3
        place = (_LEFT / _WIDTH, 1 - (self.y + height) / _HEIGHT, width / _WIDTH, height / _HEIGHT)
        axes = self.figure.add_axes(place)
        axes.imshow(np.asarray(image), aspect="auto", interpolation="lanczos")
        axes.set_axis_off()
        self.y += height + 2

    def table(self, table: TextTable) -> None:
        """A table over the whole width, each column as wide as what stands in it asks for."""
        self._title(table.title)
        lines = [[shortened(drawable(cell), 48) for cell in cells] for cells in (table.head, *table.rows)]
        widths = [max(map(len, column)) + 3 for column in zip(*lines, strict=True)]
        ends = _LEFT + np.cumsum(widths) / sum(widths) * (_RIGHT - _LEFT)
        for number, cells in enumerate(lines):
            if not self._room(_LINE):
                return
            self.y += _LINE
            for column, words in enumerate(cells):
                colour = QUIET if number == 0 else INK
                if column == 0:
                    self._text(_LEFT, words, 7.5, colour=colour)
                else:
                    self._text(float(ends[column]), words, 7.5, colour=colour, align="right")
            if number == 0:
                self._rule(self.y + 1.2)
                self.y += 0.8

    def rows(self, title: str, rows: Rows) -> None:
        """Titles with what is said of each."""
        if not rows:
            return
        self._title(title)
        for name, said in rows:
            for number, line in enumerate(textwrap.wrap(shortened(drawable(said), 2 * _LETTERS), _LETTERS - 20)):
                if not self._room(_LINE):
                    return
                self.y += _LINE - 0.6
                if number == 0:
                    self._text(_LEFT, name, 7, colour=QUIET)
                self._text(_LEFT + 36, line, 7)

    def foot(self, said: str) -> None:
        """The last line."""
        more = "; not all had room here, the page has it" if self.cut else ""
        self.y = _HEIGHT - 10
        self._text(_LEFT, f"{said}. Research use only; not a medical device{more}.", 7, colour=QUIET)

    def _title(self, said: str) -> None:
        if self._room(3 * _LINE):
            self.y += _LINE + 2
            self._text(_LEFT, said, 9, bold=True)

    def _room(self, height: float) -> bool:
        self.cut = self.cut or self.y + height > _HEIGHT - _BOTTOM
        return not self.cut

    def _text(
        self, x: float, said: str, size: float, *, colour: str = INK, bold: bool = False, align: str = "left"
    ) -> None:
        letters = FontProperties(family=FONT, size=size, weight="bold" if bold else "normal")
        place = (x / _WIDTH, 1 - self.y / _HEIGHT)
        self.figure.text(*place, said, color=colour, fontproperties=letters, ha=align, parse_math=False)

    def _rule(self, y: float) -> None:
        height = 1 - y / _HEIGHT
        ends = (_LEFT / _WIDTH, _RIGHT / _WIDTH)
        self.figure.add_artist(Line2D(ends, (height, height), color=_RULE, linewidth=0.6))
