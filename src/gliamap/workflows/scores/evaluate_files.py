"""What an evaluation leaves: tables, JSON and a page."""

from __future__ import annotations

import platform
from collections.abc import Collection, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gliamap import __version__
from gliamap.io.atomic import atomic_files, write_json, write_text
from gliamap.report.evaluation_figures import draw_figures
from gliamap.report.evaluation_page import draw_page
from gliamap.report.plot import write_figures
from gliamap.scoring.evaluation import Evaluation
from gliamap.scoring.evaluation_markdown import markdown_of
from gliamap.scoring.rows import as_json, case_rows, lesion_rows, patient_rows
from gliamap.scoring.summary import ScoredCase

OUTPUTS = ("scores.html", "scores.md", "scores.csv", "scores.json", "patients.csv", "lesions.csv", "other.csv")
"""The files that :func:`write_evaluation` may write, beside the folder ``figures``."""


def write_evaluation(out: Path, found: Evaluation, others: Sequence[ScoredCase] = ()) -> None:
    """Write an evaluation into ``out``, in place of what an earlier one left there.

    ``scores.html``, a page for people, and its ``figures`` as PNG; ``scores.md``, its tables; ``scores.csv``, a row a
    case and region; ``patients.csv``, a row a patient and region; ``lesions.csv``, a row a lesion, where the protocol
    has a rule for them; ``scores.json``, all of it; ``other.csv``, as ``scores.csv``, of ``others``, the predictions
    compared with. ``OutputError`` where ``out`` cannot be written to.
    """
    figures = draw_figures(found)
    texts = {
        "scores.html": draw_page(found, figures, __version__),
        "scores.md": markdown_of(found),
        "scores.csv": case_rows(found.cases),
        "patients.csv": patient_rows(found.cases),
    }
    if found.protocol.lesions:
        texts["lesions.csv"] = lesion_rows(found.cases)
    if found.paired:
        texts["other.csv"] = case_rows(others)
    earlier = any((out / name).exists() for name in OUTPUTS)
    with atomic_files(out) as folder:
        write_figures(folder / "figures", [figures])
        for name, text in texts.items():
            write_text(folder / name, text)
        write_json(folder / "scores.json", evaluation_as_json(found))
        written = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    if earlier:  # where none was, nothing in the folder is ours to remove
        _remove_stale(out, written, [case.case_id for case in found.cases])


def _remove_stale(out: Path, written: Collection[Path], case_ids: Sequence[str]) -> None:
    """Remove what an earlier evaluation left and this one has not ``written``, as with another protocol; pictures of
    its cases, too.
    """
    pictures = (f"{case_id}_comparison.png" for case_id in case_ids)
    for path in (*(out / name for name in (*OUTPUTS, "gallery.png", *pictures)), *out.glob("figures/*.png")):
        if path.relative_to(out) not in written:
            path.unlink(missing_ok=True)


def evaluation_as_json(found: Evaluation) -> dict[str, Any]:
    """What ``scores.json`` holds. Folders are named without their place on the machine."""
    return {
        "format": 1,
        "predictions": found.predictions,
        "references": found.references,
        "protocol": found.protocol.name,
        "prediction_conventions": list(found.prediction_conventions),
        "reference_conventions": list(found.reference_conventions),
        "missing": list(found.missing),
        "surplus": list(found.surplus),
        "notes": list(found.notes),
        **as_json(found.summary, found.cases),
        "strata": [asdict(stratum) for stratum in found.strata],
        "other": found.other or None,
        "paired": found.paired and asdict(found.paired),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    return {
        "gliamap": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy")},
    }
