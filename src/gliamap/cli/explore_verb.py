"""The verb explore."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gliamap.cli.data_verbs import DataSets, Foreground, Json, Labels, Overwrite, Pattern
from gliamap.cli.show import (
    count,
    end_with_failures,
    plain,
    print_json,
    print_notes,
    print_table,
    progress_bar,
    say,
)

if TYPE_CHECKING:
    from gliamap.survey.cohort import Survey


def explore(
    paths: DataSets,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for explore.html, explore.json and the figures.")],
    pattern: Pattern = None,
    labels: Labels = None,
    foreground: Foreground = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Cases looked at at a time. Default: as many as there are processors.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Show what data sets hold: tissues, lesions, where tumours lie, intensities, odd looking cases, what is twice.

    Leaves a page to look at. Exit code 1 where a case could not be read.

    Examples:

    gliamap explore BraTS2021_Training -o explored

    gliamap explore scans -o explored --pattern '{case}_{modality}.nii.gz' --labels binary
    """
    from gliamap.workflows.common.parallel import default_workers
    from gliamap.workflows.data.explore import ExploreOptions
    from gliamap.workflows.data.explore import explore as run

    options = ExploreOptions(
        pattern=pattern,
        labels=labels,
        foreground=foreground,
        workers=workers or default_workers(),
        overwrite=overwrite,
    )
    with progress_bar("explore") as progress:
        found = run(paths, out, options=options, progress=progress)
    if json:
        print_json(found.as_json())
    else:
        for survey in found.surveys:
            _print_survey(survey)
        if found.alike:
            twice = {(one.data_set, one.case_id) for one in found.alike}
            say(f"the same image, mask or patient twice: {count(twice, 'case')}")
        say(f"page in {plain(out / 'explore.html')}")
    print_notes(found.notes)
    end_with_failures(found.failed, sum(len(one.cases) for one in found.surveys) + len(found.failed))


def _print_survey(survey: Survey) -> None:
    from rich.table import Table

    from gliamap.labels import TISSUE_NAMES
    from gliamap.survey.cohort import digits, middle

    cases = survey.with_tumour
    facts = [count(survey.cases, survey.noun)]
    if len(survey.labelled) < len(survey.cases):
        facts.append(f"{len(survey.labelled) or 'none'} with a mask")
    if survey.labelled:
        facts.append(f"{len(cases)} of them with tumour")
    say(f"[bold]{plain(survey.data_set)}[/]: {', '.join(facts)}")
    if survey.tissues:
        table = Table()
        table.add_column("tissue", no_wrap=True)
        for title in (survey.size_unit, f"of the {survey.foreground}, %", "of all labels, %", f"{survey.noun}s"):
            table.add_column(title, justify="right")
        for one in survey.tissues:
            shares = (f"{100 * share:.3g}" for share in (one.of_foreground, one.of_marked))
            table.add_row(TISSUE_NAMES[one.tissue], digits(one.size), *shares, str(one.cases))
        print_table(table)
    if cases:
        say(
            f"{sum(case.lesions for case in cases):,} lesions; the largest of a {survey.noun} measures "
            f"{digits(middle([case.largest for case in cases]))} {survey.size_unit} in the median"
        )
    for title, numbers in (("worst looking", survey.worst()), ("best looking", survey.best())):
        if numbers:
            say(f"{title}: {', '.join(plain(survey.cases[number].case_id) for number in numbers)}")
