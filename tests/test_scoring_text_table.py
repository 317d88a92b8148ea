"""Tables as text: the same cells in a terminal and in Markdown."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from comparisons import estimate
from gliamap.scoring.estimate import Estimate, estimate_cell
from gliamap.scoring.text_table import TextTable, as_markdown, as_rich_table

TABLE = TextTable("Dice", ("Region", "Arm", "Dice"), (("WT", "a", "0.5"), ("WT", "b", "-"), ("TC", "a", "0.7")), 2)


def printed(table: TextTable, width: int = 100) -> list[str]:
    """The lines of a table in a terminal of so many columns."""
    stream = io.StringIO()
    Console(file=stream, width=width).print(as_rich_table(table, width))
    return [line.rstrip() for line in stream.getvalue().splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("found", "signed", "shown"),
    [
        (estimate(0.6123, 0.5, 0.7), False, "0.612 [0.500, 0.700]"),
        (estimate(0.01, -0.02, 0.04), True, "+0.010 [-0.020, +0.040]"),
        (estimate(0.6), False, "0.600"),
        (estimate(None), False, "-"),
        (None, False, "-"),
    ],
)
def test_estimates_by_eye(found: Estimate | None, signed: bool, shown: str) -> None:
    assert estimate_cell(found, 3, signed=signed) == shown


def test_markdown_by_eye() -> None:
    assert as_markdown(TABLE).splitlines() == [
        "| Region | Arm | Dice |",
        "| --- | --- | ---: |",
        "| WT | a | 0.5 |",
        "| WT | b | - |",
        "| TC | a | 0.7 |",
    ]


def test_a_terminal_shows_once_what_rows_share() -> None:
    assert printed(TABLE) == [
        "Dice",
        " Region  Arm  Dice",
        " ─────────────────",
        " WT      a     0.5",
        "         b       -",
        " TC      a     0.7",
    ]


def test_a_wide_table_breaks_before_intervals_and_not_inside() -> None:
    cell = "0.612 [0.500, 0.700]"
    wide = TextTable("", ("Arm", *("figshare (heads)",) * 5), (("unet", *(cell,) * 5),))
    lines = printed(wide)
    assert max(map(len, lines)) <= 100
    assert [line.count("[0.500, 0.700]") for line in lines] == [0, 0, 0, 0, 5]
    assert printed(TextTable("", ("Arm", "Dice"), (("unet", cell),)))[-1] == f" unet  {cell}"


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), min_size=1, max_size=4))
def test_no_name_breaks_a_row_of_markdown(rows: list[list[str]]) -> None:
    table = TextTable("", ("a", "b"), tuple(map(tuple, rows)))  # type: ignore[arg-type]
    lines = as_markdown(table).removesuffix("\n").split("\n")
    assert len(lines) == len(rows) + 2
    assert {line.replace("\\|", "").count("|") for line in lines} == {3}


def test_brackets_in_names_are_no_markup() -> None:
    assert "[bold]a" in printed(TextTable("[red]", ("Arm", "n"), (("[bold]a", "[/]"),)))[-1]
