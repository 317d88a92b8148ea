"""Whether the weights in half precision, which are shipped, say what those say that were trained."""

from __future__ import annotations

from pathlib import Path

from gliamap.io.checkpoint import read_spec
from gliamap.labels import get_convention, region_mask
from gliamap.metrics.overlap import count, dice
from gliamap.scoring.pairs import find_predictions, pairs_of, read_prediction, read_reference
from gliamap.sources.masks import scan_with_masks
from gliamap.workflows.common.conventions import evenly
from gliamap.workflows.prediction.segment import segment
from gliamap.workflows.prediction.segment_settings import SegmentOptions
from model_making import Making, Row

SAMPLE = 12
"""So many cases are segmented with either."""


def halved_alike(making: Making, trained: Path, packed: Path) -> Row:
    """The lowest Dice of any region of ``cases`` between the masks of the ``packed`` weights and of the ``trained``."""
    spec = read_spec(packed)

    def work() -> Row:
        every, _ = pairs_of(scan_with_masks(making.scans))
        pairs = evenly(every, SAMPLE)
        options = SegmentOptions(
            cases=tuple(pair.case_id for pair in pairs), pictures=False, overwrite=True, window=spec.window.mode
        )
        found = []
        for model in (trained, packed):
            masks = making.folder / "halved" / model.name
            segment(making.scans, masks, model=model, options=options)
            found.append(find_predictions(pairs, masks, None)[0])
        lowest = 1.0
        for one, other in zip(*found, strict=True):
            convention = get_convention(making.conventions[one.case_id])
            _, grid = read_reference(one, convention)
            assert one.prediction is not None and other.prediction is not None  # both were written just now
            a, b = (read_prediction(p, p.prediction, grid, convention)[0] for p in (one, other) if p.prediction)
            lowest = min(lowest, *(dice(count(region_mask(a, r), region_mask(b, r))) for r in spec.output.regions))
        return {"cases": len(pairs), "lowest_dice": lowest}

    weights = [read_spec(model).weights_sha256 for model in (trained, packed)]
    return making.once("half-precision", {"weights": weights}, work)
