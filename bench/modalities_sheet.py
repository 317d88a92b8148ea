"""The picture for ``bench/modalities.py``: one slice of a case, the truth and what two networks say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gliamap.case import Case
from gliamap.labels import TISSUE_COLOURS, TISSUE_NAMES, LabelMap, Region, region_mask
from gliamap.report import canvas as ink
from gliamap.report.canvas import Canvas, tissues_in
from gliamap.report.figures import MODALITY_TITLES
from gliamap.report.layout import Place
from gliamap.report.planes import choose_cuts, content_box, display_window, make_turn
from gliamap.report.sheet import CAPTION, MARGIN, Panel, Row, Volume, draw_row, place_rows
from gliamap.scoring.score import CaseScore

HEADER = 66
FOOTER = 44
WIDTH = 1600
HEIGHT = 430

ARM_TITLES = {"without": "trained on all", "with": "trained for any"}


@dataclass(frozen=True, eq=False)
class Shown:
    """A row of the sheet: which modalities both networks had, and what each arm said, with its scores."""

    modalities: tuple[str, ...]
    said: Mapping[str, tuple[LabelMap, CaseScore]]


def draw_sheet(case: Case, rows: Sequence[Shown], out: Path) -> None:
    """Write a PNG to ``out``: in each row the best image that was there, the truth, and what each network said."""
    assert case.labels is not None
    turn = make_turn(case.grid)
    truth = turn.apply(case.labels)
    tumour = region_mask(truth, Region.WT)
    first = turn.apply(case.image[0])
    cut = choose_cuts(tumour, content_box(first, tumour))[0]
    volumes, drawn = [], []
    for row in rows:
        base = next(m for m in ("t1c", "flair", "t2", "t1") if m in row.modalities)
        values = turn.apply(case.image[case.modalities.index(base)])
        volumes.append(Volume(values, display_window(values), turn, case.grid.unit))
        panels = [Panel(cut, MODALITY_TITLES.get(base, base)), Panel(cut, "truth", tissues=truth)]
        for arm, (labels, score) in row.said.items():
            dice = "  ".join(f"{region.value} {one.dice:.2f}" for region, one in score.regions.items())
            panels.append(Panel(cut, f"{ARM_TITLES[arm]}: {dice}", tissues=turn.apply(labels)))
        drawn.append(Row(_heading(case.modalities, row.modalities), tuple(panels), HEIGHT))
    placed = place_rows(drawn, volumes[0], HEADER, WIDTH)
    bottom = placed[-1].bottom + CAPTION
    canvas = Canvas(WIDTH, round(bottom + FOOTER))
    canvas.text((MARGIN, 34), case.case_id, ink.TITLE)
    canvas.text((WIDTH - MARGIN, 34), "Dice of the whole case", ink.QUIET, align="right")
    for row_, places, volume in zip(drawn, placed, volumes, strict=True):
        draw_row(canvas, row_, places, volume)
    maps = [truth, *(turn.apply(labels) for row in rows for labels, _ in row.said.values())]
    _draw_legend(canvas, maps, bottom + FOOTER / 2)
    canvas.save(out)


def _heading(every: Sequence[str], there: Sequence[str]) -> str:
    gone = [MODALITY_TITLES.get(m, m) for m in every if m not in there]
    return f"Without {', '.join(gone)}" if gone else "With every modality"


def _draw_legend(canvas: Canvas, maps: Sequence[LabelMap], y: float) -> None:
    x = float(MARGIN)
    present = set(np.concatenate([tissues_in(tissues) for tissues in maps]).tolist())
    for tissue in (t for t in TISSUE_COLOURS if t in present):
        canvas.tile(Place(x, y - 6, 12, 12), TISSUE_COLOURS[tissue])
        x += 20 + canvas.text((x + 20, y), TISSUE_NAMES[tissue], ink.BODY) + 26
    canvas.text((WIDTH - MARGIN, y), "research use only", ink.NOTICE, align="right")
