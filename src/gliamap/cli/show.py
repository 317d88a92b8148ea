"""What the verbs share: progress bars with time left, results as JSON or tables, failed cases."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from gliamap.training.stop import Terminated

if TYPE_CHECKING:
    from gliamap.scoring.text_table import TextTable

_console = Console(highlight=False)
_aside = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """A line of the result, with rich markup, on standard output.

    Left to the terminal to wrap, so that a path can be copied, and found by grep.
    """
    _console.print(text, soft_wrap=True)


def remark(text: str) -> None:
    """A line beside the result, on standard error, so that standard output can be piped."""
    _aside.print(text, soft_wrap=True)


def print_table(table: Table) -> None:
    """A table, as wide as the terminal."""
    _console.print(table)


def print_text_table(table: TextTable) -> None:
    """The table of a result; where the terminal is narrow, intervals stand below their means."""
    from gliamap.scoring.text_table import as_rich_table

    print_table(as_rich_table(table, _console.width))


def print_markdown(text: str) -> None:
    """A page in Markdown, as the terminal can show it."""
    from rich.markdown import Markdown

    _console.print(Markdown(text))


def plain(value: object) -> str:
    """``value`` as text in which brackets are no markup and what cannot be printed is spelt out: for paths, names."""
    return escape("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value)))


def count(things: Collection[object], name: str) -> str:
    """How many things there are, in words: '1 case', '2 cases'."""
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float, int, str], None]]:
    """A bar with time left; the value is a callback ``(done, total, name of what is worked on)``.

    Nothing is shown where standard error is no terminal.
    """
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=_aside, transient=True, disable=not _aside.is_terminal) as bar:
        task = bar.add_task(title, total=None, note="")
        yield lambda done, total, note: bar.update(task, completed=done, total=total, note=plain(note))


@contextmanager
def remark_if_stopped(how_to_go_on: str) -> Iterator[None]:
    """Say how to go on where the user (Ctrl-C) or the system (SIGTERM) stops what runs in the block.

    The exit code is then 130 or 143, as if the signal had ended the program.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        remark(f"stopped; {how_to_go_on}")
        if isinstance(stop, Terminated):
            raise typer.Exit(143) from stop
        raise


def print_json(value: Any) -> None:
    """The result as one JSON document on standard output."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False, default=str))


def print_notes(notes: Iterable[str]) -> None:
    """Remarks, a line each."""
    for note in notes:
        remark(f"note: {plain(note)}")


def end_with_failures(failed: Mapping[str, str], total: int) -> None:
    """List the cases that failed and leave with exit code 1; nothing where none did."""
    if not failed:
        return
    remark(f"[bold red]{len(failed)} of {total} cases failed[/]")
    for case_id, why in failed.items():
        remark(f"  [bold]{plain(case_id)}[/]: {plain(why)}")
    raise typer.Exit(1)
