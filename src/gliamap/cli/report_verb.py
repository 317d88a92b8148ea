"""The verb report: of a case, of a patient's visits, of a whole run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gliamap.cli.data_verbs import Json, Overwrite, Pattern
from gliamap.cli.show import count, plain, print_json, print_notes, print_text_table, say
from gliamap.errors import ConfigError

_LONGEST = 300  # letters of a warning, which may come from outside

_CASE, _VISITS, _RUN = "Of a case", "Of a patient's visits", "Of a run"

Prediction = Annotated[
    list[Path] | None,
    typer.Option(help="Mask to report on. With --follow-up: repeat it, one a visit.", rich_help_panel=_CASE),
]
Reference = Annotated[Path | None, typer.Option(help="Mask to compare with.", rich_help_panel=_CASE)]
Probabilities = Annotated[
    Path | None, typer.Option(help="Default: CASE_probabilities.nii.gz beside the mask.", rich_help_panel=_CASE)
]
Uncertainty = Annotated[
    Path | None, typer.Option(help="Map of it. Default: CASE_entropy.nii.gz beside the mask.", rich_help_panel=_CASE)
]
Model = Annotated[Path | None, typer.Option(help="Run or model folder, to show its card.", rich_help_panel=_CASE)]
Labels = Annotated[str | None, typer.Option(help="Label convention of the masks, if not told.", rich_help_panel=_CASE)]
ReferenceLabels = Annotated[
    str | None, typer.Option(help="Label convention of the reference, if not told.", rich_help_panel=_CASE)
]
Pdf = Annotated[Path | None, typer.Option(help="Also write one A4 page.", rich_help_panel=_CASE)]
FollowUp = Annotated[
    bool,
    typer.Option("--follow-up", help="Compare the visits named, the earliest first.", rich_help_panel=_VISITS),
]
Dates = Annotated[
    str | None, typer.Option(help="Of the visits, such as 2020-01-31,2020-05-02.", rich_help_panel=_VISITS)
]
Scores = Annotated[
    Path | None, typer.Option(help="Output of gliamap evaluate, to show the scores.", rich_help_panel=_RUN)
]
Scans = Annotated[
    Path | None, typer.Option(help="Data set of the run, to make a report of each case, too.", rich_help_panel=_RUN)
]


def report(
    paths: Annotated[
        list[Path], typer.Argument(help="Case; with --follow-up its visits; or the output folder of segment.")
    ],
    prediction: Prediction = None,
    reference: Reference = None,
    probabilities: Probabilities = None,
    uncertainty: Uncertainty = None,
    model: Model = None,
    labels: Labels = None,
    reference_labels: ReferenceLabels = None,
    pdf: Pdf = None,
    follow_up: FollowUp = False,
    dates: Dates = None,
    scores: Scores = None,
    scans: Scans = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The page. Default: report.html, follow_up.html, RUN/cohort.html."),
    ] = None,
    pattern: Pattern = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Show a case, a patient's visits or a whole run as a page that opens in any browser, offline.

    What the CASE.json beside a mask says of how it was made, its warnings first, stands on the page.

    Examples:

    gliamap report BraTS2021_00006 --prediction masks/BraTS2021_00006.nii.gz -o report.html

    gliamap report --follow-up visit1 visit2 --prediction masks/visit1.nii.gz --prediction masks/visit2.nii.gz

    gliamap report masks --scores scores
    """
    said = locals()
    if follow_up:
        from gliamap.cli.report_follow_up import report_follow_up

        report_follow_up(paths, said)
    elif len(paths) == 1 and ((paths[0] / "segment.json").is_file() or ((scores or scans) and not prediction)):
        from gliamap.cli.report_cohort import report_cohort

        report_cohort(paths[0], said)
    else:
        _report_case(paths, said)


def _report_case(paths: list[Path], said: Mapping[str, Any]) -> None:
    from gliamap.cli.report_cohort import check_only
    from gliamap.report.plot import shortened
    from gliamap.viewer.case_facts import volume_table
    from gliamap.workflows.reports.report import ReportOptions
    from gliamap.workflows.reports.report import report as run

    check_only(said, ("prediction", *ReportOptions.model_fields), "a case")
    masks: list[Path] = said["prediction"] or []
    if len(paths) != 1 or len(masks) != 1:
        raise ConfigError(
            "the report of a case is that of one case and one mask",
            found=f"{count(paths, 'case')}, {count(masks, 'mask')}",
            remedy="name a case and its mask with --prediction, visits with --follow-up, or a run's folder, which holds"
            " segment.json",
        )
    options = ReportOptions.model_validate({name: said[name] for name in ReportOptions.model_fields})
    done = run(paths[0], masks[0], said["out"] or Path("report.html"), options=options)
    if said["json"]:
        print_json({"page": done.page, "pdf": done.pdf, **done.facts.as_json()})
        return
    for warning in done.facts.warnings:
        say(f"[yellow]warning[/] {plain(shortened(warning.text, _LONGEST))}")
    print_text_table(volume_table(done.facts))
    print_notes((*done.facts.notes, *done.facts.measures.notes))
    say(f"page: {plain(done.page)}; research use only")
    if done.pdf:
        say(f"sheet: {plain(done.pdf)}")
