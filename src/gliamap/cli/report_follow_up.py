"""The verb report of a patient's visits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from gliamap.cli.report_cohort import check_only
from gliamap.cli.show import plain, print_json, print_text_table, say
from gliamap.errors import ConfigError


def report_follow_up(visits: Sequence[Path], said: Mapping[str, Any]) -> None:
    """Write the page of the ``visits``; ``said`` are the options of the verb by their names."""
    from gliamap.viewer.follow_up_page import NOTICE, linked_words, sizes_table
    from gliamap.workflows.reports.follow_up import PAGE, FollowUpOptions, follow_up

    check_only(said, ("prediction", "dates", "labels", "pattern"), "visits")
    given = {name: said[name] for name in ("labels", "pattern", "overwrite")}
    options = FollowUpOptions(**given, dates=_dates(said["dates"]))
    out = said["out"] or Path(PAGE)
    found = follow_up(visits, out, predictions=said["prediction"] or (), options=options)
    if said["json"]:
        print_json({"page": str(out), **found.as_json()})
        return
    print_text_table(sizes_table(found))
    for sentence in linked_words(found):
        say(sentence)
    say(f"[bold]{NOTICE}[/]")
    say(f"page: {plain(out)}; research use only")


def _dates(words: str | None) -> tuple[date, ...]:
    """Dates from '2020-01-31,2020-05-02'."""
    try:
        return tuple(date.fromisoformat(word.strip()) for word in words.split(",")) if words else ()
    except ValueError as error:
        raise ConfigError(
            "the dates of the visits are not dates", found=words, expected="such as 2020-01-31,2020-05-02"
        ) from error
