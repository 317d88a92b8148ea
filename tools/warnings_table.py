"""The table of false alarms of ``bench/told.py`` for ``tools/tables.py``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gliamap.scoring.text_table import NOT_RUN, TextTable, as_markdown


def alarms_table(loaded: Sequence[tuple[str, Any]]) -> str:
    """How many undamaged cases were told of, a row a warning that occurred, a column a set of cases."""
    (_, result), *_ = loaded
    if result is None:
        return as_markdown(TextTable("", ("Warning", "Cases"), ((NOT_RUN, NOT_RUN),)))
    sets = result["undamaged"]
    codes = [code for code in result["codes"] if any(code in one["alarms"] for one in sets)]
    rows = [(f"`{code}`", *(f"{one['alarms'].get(code, 0)} of {one['cases']}" for one in sets)) for code in codes]
    return as_markdown(TextTable("", ("Warning", *(one["set"] for one in sets)), tuple(rows)))
