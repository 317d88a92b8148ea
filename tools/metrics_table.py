"""The table of ``bench/metrics.py`` for ``tools/tables.py``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gliamap.comparison.as_markdown import short_commits
from gliamap.scoring.text_table import NOT_RUN, NOTHING, TextTable, as_markdown

COLUMNS = {
    "areas": "area-weighted",
    "surface_distance": "surface-distance",
    "voxels": "by voxels",
    "monai": "MONAI",
    "everything": "all figures",
    "with_lesions": "and lesions",
    "official": "official script",
}


def metrics_table(loaded: Sequence[tuple[str, Any]]) -> str:
    """Seconds of ours beside those of others, a row a pair of masks; commit and machine below."""
    rows, foot = [], ""
    for name, result in loaded:
        if result is None:
            rows.append((name, *[NOT_RUN] * (len(COLUMNS) + 1)))
            continue
        for row in result["pairs"]:
            seconds = (row["seconds"][column] for column in COLUMNS)
            cells = (NOTHING if value is None else f"{value:.3g}" for value in seconds)
            rows.append((row["pair"], str(row["regions"]), *cells))
        foot += f"\nCommit {short_commits(result['commit'])} on {result['machine']}.\n"
    return as_markdown(TextTable("", ("Pair", "Regions", *COLUMNS.values()), tuple(rows))) + foot
