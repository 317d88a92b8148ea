"""A table as text, made once and shown anywhere: in a terminal, in Markdown, on a page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.markup import escape
from rich.table import Table

NOT_RUN = "not run"
NOTHING = "-"


def counted(number: int, name: str) -> str:
    """How many things there are, in words: '1 case', '2,000 cases'."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"


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


def as_markdown(table: TextTable) -> str:
    """The table without its title, in Markdown; what would end a cell is escaped."""
    rule = ["---"] * table.texts + ["---:"] * (len(table.head) - table.texts)
    return "".join(f"| {' | '.join(row)} |\n" for row in (_escaped(table.head), rule, *map(_escaped, table.rows)))


def titled_markdown(tables: Iterable[TextTable]) -> str:
    """Several tables in Markdown, each below its title."""
    return "\n".join(f"**{table.title}**\n\n{as_markdown(table)}" for table in tables)


def _escaped(cells: Iterable[str]) -> list[str]:
    return [" ".join(cell.split()).replace("|", "\\|") for cell in cells]


def as_rich_table(table: TextTable, width: int = 100) -> Table:
    """The table for a terminal of so many columns. What rows have in common at their beginning is shown once.

    Where it would be too wide, intervals stand below their means; words are wrapped in any case.
    """
    shown = Table(
        title=escape(table.title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    narrow = _broken if _natural_width(table) > width else str
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
