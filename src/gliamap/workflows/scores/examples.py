"""Pictures beside scores: prediction and reference of some cases, from the worst to the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gliamap.case import DataSet
from gliamap.errors import LayoutError
from gliamap.io.cases import read_case
from gliamap.labels import Convention
from gliamap.report.figures import MosaicOptions, draw_mosaic
from gliamap.report.gallery import GalleryItem, draw_gallery
from gliamap.scoring.pairs import Pair, read_prediction
from gliamap.scoring.summary import ScoredCase


def draw_examples(
    scored: Sequence[ScoredCase],
    pairs: Sequence[Pair],
    conventions: Mapping[str, Convention],
    out: Path,
    *,
    references: DataSet,
    count: int,
) -> None:
    """Draw ``count`` cases into ``out/gallery.png``, evenly spread over the ranks from worst to best mean Dice.

    Volumes get a mosaic each as well, ``out/CASE_comparison.png``. Missing predictions and, where there are any
    others, cases without tumour in the reference are passed over. ``LayoutError`` where ``references`` have no
    images, or none of them has a prediction.
    """
    files = {found.case_id: found for found in references.cases if found.modalities and found.labels}
    by_id = {pair.case_id: pair for pair in pairs if pair.prediction is not None and pair.case_id in files}
    drawn = []
    for case_id in choose_examples([case for case in scored if case.case_id in by_id], count):
        pair = by_id[case_id]
        case = read_case(files[case_id], convention=conventions[case_id].name)
        assert pair.prediction is not None
        labels, _ = read_prediction(pair, pair.prediction, case.grid, conventions[case_id])
        score = next(found.score for found in scored if found.case_id == case_id)
        note = "Dice " + ", ".join(f"{region} {value.dice:.2f}" for region, value in score.regions.items())
        drawn.append(GalleryItem(case, labels, case.labels, case_id, note))
        if not case.grid.is_2d:
            picture = MosaicOptions(convention=conventions[case_id].name)
            draw_mosaic(case, labels, out / f"{case_id}_comparison.png", reference=case.labels, options=picture)
    if not drawn:
        raise LayoutError(f"{references.root} has no images of the cases predicted")
    draw_gallery(drawn, out / "gallery.png", columns=min(6, len(drawn)))


def choose_examples(scored: Sequence[ScoredCase], count: int) -> list[str]:
    """Case ids evenly spread over the ranks of mean Dice, worst first; cases with tumour where there are any."""
    with_tumour = [c for c in scored if any(r.reference_volume > 0 for r in c.score.regions.values())]
    pool = with_tumour or list(scored)
    ranked = sorted(pool, key=lambda c: (np.mean([r.dice for r in c.score.regions.values()]), c.case_id))
    if len(ranked) <= count:
        return [case.case_id for case in ranked]
    return [ranked[int(i)].case_id for i in np.linspace(0, len(ranked) - 1, count).round()]
