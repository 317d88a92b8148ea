"""Scores in the terminal: the tables of a cohort, of a comparison, of a cross-validation, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gliamap.cli.show import plain, print_text_table, say

if TYPE_CHECKING:
    from gliamap.scoring.paired import Paired
    from gliamap.scoring.repeats import StudyScores
    from gliamap.scoring.summary import Summary
    from gliamap.scoring.text_table import TextTable


def print_summary(summary: Summary) -> None:
    """A cohort's main figures; its intervals stand below the means in a narrow terminal."""
    from gliamap.scoring.summary_table import summary_tables, words_of

    _print(summary_tables(summary), words_of(summary))


def print_paired(paired: Paired) -> None:
    """Two sets of predictions against each other."""
    from gliamap.scoring.paired_table import MAIN, changed_table, paired_tables, paired_words

    _print((*paired_tables(paired, MAIN), changed_table(paired)), paired_words(paired))


def print_study(scores: StudyScores) -> None:
    """The main figures of a cross-validation, then fold by fold."""
    from gliamap.scoring.repeats import folds_table, spread_words

    print_summary(scores.summary)
    _print((folds_table(scores),), spread_words(scores))


def _print(tables: Iterable[TextTable], words: Iterable[str]) -> None:
    for table in tables:
        print_text_table(table)
    for line in words:
        say(plain(line))
