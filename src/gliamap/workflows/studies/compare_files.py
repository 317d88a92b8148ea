"""What a comparison leaves for people: tables, a page and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gliamap import __version__
from gliamap.comparison.as_csv import comparison_rows, run_rows
from gliamap.comparison.as_markdown import markdown_of
from gliamap.comparison.nouns import Comparison, RunResult, as_json
from gliamap.io.atomic import atomic_files, write_json, write_text
from gliamap.report.comparison_figures import draw_figures
from gliamap.report.comparison_page import draw_page
from gliamap.report.plot import write_figures


def write_comparison(out: Path, comparison: Comparison, *, runs: Sequence[RunResult]) -> None:
    """Write the comparison into ``out``, over what an earlier one left there.

    ``comparison.json`` (see :func:`~gliamap.comparison.nouns.from_json`), ``comparison.csv`` (a row an arm, data set
    and region), ``cases.csv`` (a row a run, case and region), ``comparison.md``, ``comparison.html`` and its
    ``figures`` as PNG, in a folder for each data set where there are several. ``OutputError`` where ``out`` cannot be
    written to.
    """
    figures = [draw_figures(comparison, data.name) for data in comparison.data]
    with atomic_files(out) as folder:
        write_figures(folder / "figures", figures)
        write_text(folder / "comparison.html", draw_page(comparison, figures, __version__))
        write_text(folder / "comparison.md", markdown_of(comparison))
        write_text(folder / "comparison.csv", comparison_rows(comparison))
        write_text(folder / "cases.csv", run_rows(runs))
        write_json(folder / "comparison.json", as_json(comparison))
