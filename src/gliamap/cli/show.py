"""What the verbs share: progress bars with time left, results as JSON or tables, failed cases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(highlight=False)
aside = Console(stderr=True, highlight=False)
"""Progress and remarks go to standard error, so that standard output can be piped."""


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar with time left; the value is a callback ``(done, total, name of what is worked on)``."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=aside, transient=True) as bar:
        task = bar.add_task(title, total=None, note="")
        yield lambda done, total, note: bar.update(task, completed=done, total=total, note=escape(note))


def print_json(value: Any) -> None:
    """The result as one JSON document on standard output."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False, default=str))


def end_with_failures(failed: Mapping[str, str], total: int) -> None:
    """List the cases that failed and leave with exit code 1; nothing where none did."""
    if not failed:
        return
    aside.print(f"[bold red]{len(failed)} of {total} cases failed[/]")
    for case_id, why in failed.items():
        aside.print(f"  [bold]{escape(case_id)}[/]: {escape(why)}")
    raise typer.Exit(1)
