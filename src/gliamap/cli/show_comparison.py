"""A comparison in the terminal: what the tables mean, the tables, what was not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliamap.cli.show import plain, print_notes, print_text_table, remark, say

if TYPE_CHECKING:
    from gliamap.comparison.nouns import Comparison


def print_comparison(comparison: Comparison) -> None:
    """Everything of it; tables fit 100 columns."""
    from gliamap.comparison.tables import lacking_of, tables_of, words_of

    for line in words_of(comparison):
        say(plain(line))
    for table in tables_of(comparison):
        print_text_table(table)
    for what, why in lacking_of(comparison).items():
        remark(f"[bold]not run[/] {plain(what)}: {plain(why)}")
    print_notes(comparison.notes)
