"""The command ``gliamap``: arguments in, workflow called, result printed.

Workflows are imported inside the verbs, so that ``gliamap --help`` answers at once.
"""

from __future__ import annotations

import io
import sys
from typing import NoReturn

import typer

from gliamap.cli import (
    calibrate_verb,
    compare_verb,
    data_verbs,
    demo_verb,
    evaluate_verb,
    explore_verb,
    export_verb,
    front_verbs,
    label_verbs,
    models_verb,
    networks_verb,
    patches_verb,
    plan_verb,
    recipes_verb,
    report_verb,
    segment_verb,
    serve_verb,
    split_verb,
    study_verbs,
    teach_verb,
    train_verb,
)
from gliamap.cli.show import plain, remark
from gliamap.errors import GliamapError
from gliamap.interrupts import insisting

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Brain tumour segmentation in MRI: train, run, measure and show models in 2D and 3D.

    From a folder of scans to scored predictions in four verbs:

    [bold]gliamap prepare[/] DATA -o STORE; [bold]gliamap train[/] STORE -o RUN;
    [bold]gliamap segment[/] SCANS -o MASKS --model RUN; [bold]gliamap evaluate[/] MASKS REFERENCES

    Research use only; not a medical device.""",
)

app.command("inspect")(front_verbs.inspect)
app.command("check")(front_verbs.check)
app.command("explore")(explore_verb.explore)
app.command("prepare")(data_verbs.prepare)
app.command("split")(split_verb.split)
app.command("plan")(plan_verb.plan)
app.command("recipes")(recipes_verb.recipes)
app.add_typer(models_verb.models, name="models")
app.command("networks")(networks_verb.networks)
app.command("patches")(patches_verb.patches)
app.command("train")(train_verb.train)
app.command("cross-validate")(study_verbs.cross_validate)
app.command("compare")(compare_verb.compare)
app.command("calibrate")(calibrate_verb.calibrate)
app.command("teach")(teach_verb.teach)
app.command("segment")(segment_verb.segment)
app.command("evaluate")(evaluate_verb.evaluate)
app.command("report")(report_verb.report)
app.command("serve")(serve_verb.serve)
app.command("convert-labels")(label_verbs.convert_labels)
app.command("export")(export_verb.export)
app.command("export-dataset")(label_verbs.export_dataset)
app.command("phantom")(data_verbs.phantom)
app.command("demo")(demo_verb.demo)


def main() -> None:
    """Run the command. Errors that a user can cause are printed without a traceback, with their exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may hold what the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with insisting():
            app(standalone_mode=True)
    except KeyboardInterrupt:
        sys.exit(130)  # as it does in a verb
    except GliamapError as error:
        _end(error)
    except OSError as error:
        what = f"{error.filename} cannot be used" if error.filename else "the system refused something"
        remedy = "check the path, its permissions and the free space"
        _end(GliamapError(what, found=error.strerror or str(error), remedy=remedy))
    except MemoryError as error:
        _end(GliamapError("there is not enough memory", found=str(error), remedy="use smaller data or another machine"))


def _end(error: GliamapError) -> NoReturn:
    print_error(error)
    sys.exit(error.exit_code)


def print_error(error: GliamapError) -> None:
    """The message's parts on lines of their own, on standard error."""
    remark(f"[bold red]error[/]     {plain(error.what)}")
    for title, text in (("found", error.found), ("expected", error.expected), ("to do", error.remedy)):
        if text:
            remark(f"[bold]{title:<9}[/] {plain(text)}")
