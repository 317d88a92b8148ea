"""A table as text, made once and shown anywhere: in a terminal, in Markdown, on a page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.markup import escape
from rich.table import Table

from gliamap.scoring.table import Estimate

NOT_RUN = "not run"
NOTHING = "-"

_WIDTH = 100
"""Columns of a terminal in which a table should fit."""


@dataclass(frozen=True)
class TextTable:
    """A title, the names of columns, rows of as many cells.

    The first ``texts`` columns are words, the others figures. Rows that begin alike stand together.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1

    @property
    def begins_group(self) -> tuple[bool, ...]:
        """For each row whether it begins otherwise than the one before."""
        firsts = [row[0] for row in self.rows]
        return tuple(before != first for before, first in zip([None, *firsts], firsts, strict=False))


def estimate_cell(found: Estimate | None, digits: int, *, signed: bool = False) -> str:
    """``mean [low, high]``; without the interval where there is none, '-' where there is no figure."""
    if found is None or found.mean is None:
        return NOTHING
    form = f"{'+' if signed else ''}.{digits}f"
    interval = "" if found.low is None or found.high is None else f" [{found.low:{form}}, {found.high:{form}}]"
    return f"{found.mean:{form}}{interval}"


def as_markdown(table: TextTable) -> str:
    """The table without its title, in Markdown; what would end a cell is escaped."""
    rule = ["---"] * table.texts + ["---:"] * (len(table.head) - table.texts)
    return "".join(f"| {' | '.join(row)} |\n" for row in (_escaped(table.head), rule, *map(_escaped, table.rows)))


def _escaped(cells: Iterable[str]) -> list[str]:
    return [" ".join(cell.split()).replace("|", "\\|") for cell in cells]


def as_rich_table(table: TextTable) -> Table:
    """The table for a terminal. What rows have in common at their beginning is shown once.

    Where it would be too wide, intervals stand below their means; words are wrapped in any case.
    """
    shown = Table(
        title=escape(table.title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    narrow = _broken if _natural_width(table) > _WIDTH else str
    for number, title in enumerate(table.head):
        words = number < table.texts
        shown.add_column(
            escape(title if words else narrow(title)),
            justify="left" if words else "right",
            overflow="fold",
            no_wrap=not words,
        )
    grouped = not all(table.begins_group)
    for first, (name, *cells) in zip(table.begins_group, table.rows, strict=True):
        if grouped and first:
            shown.add_section()
        shown.add_row(escape(name) if first else "", *(escape(narrow(cell)) for cell in cells))
    return shown


def _natural_width(table: TextTable) -> int:
    columns = zip(table.head, *table.rows, strict=True)
    return sum(2 + max(map(len, column)) for column in columns)


def _broken(cell: str) -> str:
    """On a line of its own: the interval of a mean, what is said of a name in parentheses."""
    return cell.replace(" [", "\n[").replace(" (", "\n(")
