"""The verb report of a whole run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gliamap.cli.show import (
    count,
    end_with_failures,
    plain,
    print_json,
    print_notes,
    print_table,
    progress_bar,
    remark_if_stopped,
    say,
)
from gliamap.errors import ConfigError

if TYPE_CHECKING:
    from gliamap.viewer.cohort_page import Cohort

_SHOWN = 10  # cases in the terminal; the page has all


def report_cohort(run: Path, said: Mapping[str, Any]) -> None:
    """Write the page of the run folder ``run``; ``said`` are the options of the verb by their names."""
    from gliamap.workflows.common.parallel import default_workers
    from gliamap.workflows.reports.cohort import CohortOptions, as_json, cohort

    check_only(said, ("scores", "scans", "pattern"), "a run")
    given = {name: said[name] for name in ("scores", "scans", "pattern", "overwrite")}
    options = CohortOptions(**given, workers=default_workers())
    with remark_if_stopped("the same command does the rest"), progress_bar("report") as progress:
        made = cohort(run, said["out"], options=options, progress=progress)
    if said["json"]:
        print_json(as_json(made))
    else:
        _print_worst(made.cohort)
        say(f"page of {count(made.cohort.cases, 'case')}: {plain(made.page)}; research use only")
    print_notes(made.notes)
    end_with_failures(made.failed, len(made.cohort.cases))


def check_only(said: Mapping[str, Any], allowed: Collection[str], what: str) -> None:
    """``ConfigError`` where an option is given that says nothing for the report of ``what``."""
    always = ("paths", "out", "overwrite", "json", "follow_up", *allowed)
    for name, value in said.items():
        if value is not None and name not in always:
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{option} does not go with the report of {what}", remedy="leave it out")


def _print_worst(cohort: Cohort) -> None:
    """The worst cases, as the page has them."""
    from rich.table import Table

    regions = list(dict.fromkeys(region for case in cohort.cases for region in case.volumes))
    table = Table()
    table.add_column("case", overflow="fold")
    scored = any(case.dice for case in cohort.cases)
    for title in (*(f"{region} {cohort.unit}" for region in regions), "Dice" if scored else "predicted Dice"):
        table.add_column(title, justify="right")
    table.add_column("warnings")
    for case in cohort.worst_first[:_SHOWN]:
        sizes = (f"{case.volumes[region]:.1f}" if region in case.volumes else "-" for region in regions)
        values = case.dice if scored else case.predicted_dice
        dice = f"{sum(values.values()) / len(values):.2f}" if values else "-"
        told = "; ".join(filter(None, (case.failed and f"no mask: {case.failed}", *case.warnings.values())))
        table.add_row(plain(case.case_id), *sizes, dice, plain(told))
    print_table(table)
    if len(cohort.cases) > _SHOWN:
        say(f"the {_SHOWN} worst of {len(cohort.cases)}")
