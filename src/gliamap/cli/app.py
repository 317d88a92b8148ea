"""The command ``gliamap``: arguments in, workflow called, result printed.

Workflows are imported inside the verbs, so that ``gliamap --help`` answers at once.
"""

from __future__ import annotations

import sys

import typer

from gliamap.cli import data_verbs, model_verbs
from gliamap.cli.show import plain, remark
from gliamap.errors import GliamapError

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

app.command("prepare")(data_verbs.prepare)
app.command("train")(model_verbs.train)
app.command("segment")(model_verbs.segment)
app.command("evaluate")(data_verbs.evaluate)
app.command("phantom")(data_verbs.phantom)
app.command("demo")(model_verbs.demo)


def main() -> None:
    """Run the command. Errors that a user can cause are printed without a traceback, with their exit code."""
    try:
        app(standalone_mode=True)  # Ctrl-C ends with exit code 130
    except GliamapError as error:
        print_error(error)
        sys.exit(error.exit_code)


def print_error(error: GliamapError) -> None:
    """The message's parts on lines of their own, on standard error."""
    remark(f"[bold red]error[/]     {plain(error.what)}")
    for title, text in (("found", error.found), ("expected", error.expected), ("to do", error.remedy)):
        if text:
            remark(f"[bold]{title:<9}[/] {plain(text)}")
