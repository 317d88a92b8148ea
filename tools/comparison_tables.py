"""Tables of comparisons and networks for ``tools/tables.py``, as the commands themselves show them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from gliamap.comparison.as_markdown import elsewhere_markdown, origin_of, own_markdown
from gliamap.comparison.nouns import Comparison, from_json
from gliamap.scoring.text_table import NOT_RUN, TextTable, as_markdown
from gliamap.workflows.training.networks import NetworkCost, networks_table

Loaded = Sequence[tuple[str, Any]]


def compare_table(loaded: Loaded) -> str:
    """The ``comparison.json`` of ``gliamap compare``: Dice, differences, other figures and costs of each arm."""
    return _each(loaded, own_markdown)


def matrix_table(loaded: Loaded) -> str:
    """What the same file holds of tests on other data sets."""
    return _each(loaded, elsewhere_markdown)


def networks_tables(loaded: Loaded) -> str:
    """What ``gliamap networks --json`` printed: a table for each input."""
    return "\n".join(_missing(name) if rows is None else "\n".join(_networks(rows)) for name, rows in loaded)


def _each(loaded: Loaded, shown: Callable[[Comparison], str]) -> str:
    return "\n".join(
        _missing(name) if content is None else _shown(from_json(content), shown) for name, content in loaded
    )


def _shown(comparison: Comparison, shown: Callable[[Comparison], str]) -> str:
    return f"{shown(comparison)}\n{origin_of(comparison)}"


def _networks(rows: Iterable[dict[str, Any]]) -> Iterable[str]:
    costs = [NetworkCost(**row) for row in rows]
    for _, group in groupby(costs, key=lambda one: (one.dims, one.size)):
        table = networks_table(list(group))
        yield f"**{table.title}**\n\n{as_markdown(table)}"


def _missing(name: str) -> str:
    return as_markdown(TextTable("", (name, "Measured"), ((NOT_RUN, NOT_RUN),)))
