"""A scored set of predictions as Markdown: what was scored and how, every table, what was missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gliamap.scoring.evaluation import LISTED, Evaluation
from gliamap.scoring.paired_table import changed_table, paired_tables, paired_words
from gliamap.scoring.summary_table import further_tables, strata_table, summary_tables, words_of
from gliamap.scoring.text_table import titled_markdown


def markdown_of(found: Evaluation) -> str:
    """The whole of it as a text of its own."""
    parts = [
        f"# Scores of {found.predictions or 'predictions'}\n",
        _list((*_facts(found), *words_of(found.summary, found.strata))),
        titled_markdown(summary_tables(found.summary)),
    ]
    if found.paired:
        tables = *paired_tables(found.paired), changed_table(found.paired)
        parts += [f"## Against {found.other}\n", _list(paired_words(found.paired)), titled_markdown(tables)]
    parts += ["## All other figures\n", titled_markdown(further_tables(found.summary))]
    if found.strata:
        parts += [titled_markdown([strata_table(found.strata, found.summary.unit)])]
    cases = {"Missing, scored worst": found.missing, "Without a reference": found.surplus}
    lists = {title: _first(ids) for title, ids in cases.items()} | {"Notes": found.notes}
    parts += [f"## {title}\n\n{_list(lines)}" for title, lines in lists.items() if lines]
    return "\n".join(parts)


def _facts(found: Evaluation) -> tuple[str, ...]:
    """What was scored against what, by which rules."""
    labels = " and ".join
    return (
        f"Predictions: {found.predictions}, labels {labels(found.prediction_conventions) or 'none'}. "
        f"References: {found.references}, labels {labels(found.reference_conventions)}.",
        f"Protocol: {found.protocol.name} ({found.protocol.description}).",
    )


def _list(lines: Iterable[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def _first(ids: Sequence[str]) -> Sequence[str]:
    if len(ids) <= LISTED:
        return ids
    return *ids[:LISTED], f"and {len(ids) - LISTED:,} more, named in scores.json"
