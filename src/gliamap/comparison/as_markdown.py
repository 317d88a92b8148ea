"""A comparison as Markdown: what the tables mean, the tables, what was not run."""

from __future__ import annotations

from gliamap.comparison.nouns import Comparison
from gliamap.comparison.tables import elsewhere_tables, lacking_of, own_tables, words_of
from gliamap.scoring.text_table import titled_markdown


def markdown_of(comparison: Comparison) -> str:
    """The whole comparison as a text of its own."""
    parts = [f"# Comparison with {comparison.baseline}\n", own_markdown(comparison)]
    if comparison.elsewhere:
        parts.append("## On other data sets\n\n" + elsewhere_markdown(comparison))
    lacking = [f"- {what}: {why}\n" for what, why in lacking_of(comparison).items()]
    parts += ["## Not run\n\n" + "".join(lacking)] if lacking else []
    parts += ["## Notes\n\n" + "".join(f"- {note}\n" for note in comparison.notes)] if comparison.notes else []
    return "\n".join([*parts, origin_of(comparison)])


def origin_of(comparison: Comparison) -> str:
    """By which commits it was made, and where: a line."""
    return f"Commit {short_commits(comparison.commit)} on {comparison.machine}.\n"


def short_commits(commits: str) -> str:
    """Commits with blanks between, each by its first ten characters; that there were changes beside stays visible."""
    parts = (commit.partition("+") for commit in commits.split())
    return ", ".join(f"`{name[:10]}{sign}{changes}`" for name, sign, changes in parts)


def own_markdown(comparison: Comparison) -> str:
    """What the tables mean, and those of each data set that was trained on."""
    words = "".join(f"- {line}\n" for line in words_of(comparison))
    return words + "\n" + titled_markdown(own_tables(comparison))


def elsewhere_markdown(comparison: Comparison) -> str:
    """The tables of what was tested on other data sets."""
    return titled_markdown(elsewhere_tables(comparison))
