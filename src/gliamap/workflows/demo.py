"""A phantom segmented, scored and drawn with the built-in model: what gliamap makes, in a minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gliamap.errors import OutputError
from gliamap.io.cases import read_case, read_mask_file
from gliamap.labels import get_convention, to_tissue
from gliamap.models.shipped import PHANTOM_DEMO, shipped_model
from gliamap.report.figures import MosaicOptions, draw_mosaic
from gliamap.scoring.summary import Summary
from gliamap.sources.detect import scan
from gliamap.sources.phantom import PHANTOM_CONVENTION, write_phantoms
from gliamap.workflows.common.failures import check_folder
from gliamap.workflows.prediction.segment import segment
from gliamap.workflows.prediction.segment_settings import SegmentOptions
from gliamap.workflows.reports.report import ReportOptions, write_report
from gliamap.workflows.scores.evaluate import EvaluateOptions, evaluate

DEMO_SEED = 2026
"""Not a seed that the built-in model was trained on."""


@dataclass(frozen=True)
class Demonstration:
    """The case's summary (as ``CASE.json``), its scores, and the files to look at."""

    summary: dict[str, Any]
    scores: Summary
    mask: Path
    picture: Path
    report: Path


def demo(out: Path, *, progress: Callable[[float, int, str], None] | None = None) -> Demonstration:
    """Make a phantom, segment it, score it, draw prediction beside reference, all under ``out``.

    An earlier demonstration in ``out`` is replaced; a folder that holds anything else is left alone (``OutputError``).
    """
    steps = ("making a phantom", "segmenting", "scoring", "drawing")

    def tell(done: float) -> None:
        if progress:
            progress(done, len(steps), steps[int(done)] if done < len(steps) else "")

    tell(0)
    model = shipped_model(PHANTOM_DEMO)
    _check_free(out)
    (scan_folder,) = write_phantoms(out / "scans", 1, seed=DEMO_SEED, overwrite=True)
    options = SegmentOptions(overwrite=True)
    done = segment(
        scan_folder,
        out / "masks",
        model=model,
        options=options,
        progress=lambda part, _total, _note: tell(1 + min(part, 0.99)),
    )
    tell(2)
    scores = evaluate(out / "masks", out / "scans", out=out / "scores", options=EvaluateOptions(overwrite=True))
    tell(3)
    mask = out / "masks" / str(done.cases[0]["mask"])
    picture = out / "comparison.png"
    (files,) = scan(scan_folder).cases
    case = read_case(files)
    labels = to_tissue(read_mask_file(mask)[0], get_convention(PHANTOM_CONVENTION))
    draw_mosaic(case, labels, picture, reference=case.labels, options=MosaicOptions(convention=PHANTOM_CONVENTION))
    page = ReportOptions(reference=files.labels, model=model, overwrite=True)
    report = write_report(files, mask, out / "report.html", options=page).page
    tell(len(steps))
    return Demonstration(done.cases[0], scores.summary, mask, picture, report)


def _check_free(out: Path) -> None:
    check_folder(out)
    if out.is_dir() and any(out.iterdir()) and not (out / "scans" / "phantom.json").is_file():
        raise OutputError(f"{out} holds something else than a demonstration", remedy="choose another --out")
