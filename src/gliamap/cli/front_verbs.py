"""The verbs that look before anything is done: inspect, check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gliamap.cli.data_verbs import DataSets, Json, Labels, Overwrite, Pattern
from gliamap.cli.show import plain, print_json, print_notes, print_table, progress_bar, remark, say

if TYPE_CHECKING:
    from rich.table import Table

    from gliamap.checks.cohort import CohortReport
    from gliamap.checks.findings import Level
    from gliamap.workflows.data.inspect import Inspection

_SHOWN_CASES = 40
_SHOWN_LINES = 5
_COLOURS = {"PASS": "green", "WARN": "yellow", "FAIL": "bold red"}
_SEEN = {"brain": "skull-stripped", "head": "whole heads", None: "not told"}


def inspect(
    path: Annotated[Path, typer.Argument(help="Data set, archive, case folder or image.")],
    pattern: Pattern = None,
    json: Json = False,
) -> None:
    """Tell what a data set is, from all its headers and the voxels of three cases.

    Layout, cases, patients, modalities, label convention and why, grids, skull-stripped or whole heads, planes.

    Examples:

    gliamap inspect BraTS2021_Training

    gliamap inspect scans --pattern '{case}/{case}_{modality}.nii.gz'
    """
    from gliamap.workflows.data.inspect import inspect as run

    with progress_bar("inspect") as progress:
        found = run(path, pattern=pattern, progress=progress)
    if json:
        print_json(found.as_json())
        return
    say(f"[bold]{plain(found.name)}[/]")
    print_table(_facts(found))
    print_notes(found.notes)


def check(
    paths: DataSets,
    pattern: Pattern = None,
    split: Annotated[Path | None, typer.Option(help="Split file to search for patients on both sides.")] = None,
    labels: Labels = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for check.html and check.json.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Cases checked at a time. Default: as many as there are processors.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Look for what is wrong with the cases of data sets before anybody trains on them.

    Every case is PASS, WARN or FAIL, with what to do: headers, grids, images, masks, copies, cases and patients that
    occur twice. Exit code 1 where a case is FAIL.

    Examples:

    gliamap check BraTS2021_Training -o checked

    gliamap check BraTS2021_Training MSD/Task01_BrainTumour --split run/split.json
    """
    from gliamap.workflows.common.parallel import default_workers
    from gliamap.workflows.data.check import CheckOptions
    from gliamap.workflows.data.check import check as run

    options = CheckOptions(
        pattern=pattern, labels=labels, split=split, workers=workers or default_workers(), overwrite=overwrite
    )
    with progress_bar("check") as progress:
        found = run(paths, out=out, options=options, progress=progress)
    if json:
        print_json(found.as_json())
    else:
        _print_check(found)
        print_notes(found.notes)
        if out:
            say(f"report in {plain(out / 'check.html')}")
    if any(count and level == "FAIL" for level, count in found.counts.items()):
        raise typer.Exit(1)


def _facts(found: Inspection) -> Table:
    """What was found, a line each."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for title, lines in _lines(found):
        for number, line in enumerate(lines):
            table.add_row("" if number else title, plain(line))
    return table


def _lines(found: Inspection) -> Iterable[tuple[str, Sequence[str]]]:
    """Titles and what stands beside them; what the data set does not have has no line."""
    yield "layout", [found.layout + (", inside an archive" if found.in_archive else "")]
    yield "cases", [f"{found.cases}, {found.labelled or 'none'} with a mask"]
    yield "patients", [_patients(found)]
    yield "modalities", _counted(found.modalities, found.cases)
    if found.incomplete:
        yield "missing", _first([f"{case}: {', '.join(names)}" for case, names in found.incomplete.items()], "cases")
    if found.labelled:
        yield "labels", _labels(found)
        yield (
            "values",
            [_values(found)],
        )
    yield "foreground", [f"{_SEEN[found.foreground]} ({found.foreground_why})"]
    yield "planes", _counted(found.planes, found.cases)
    yield "grids", _first([f"{kind.describe()} {_of(kind.cases, found.cases)}" for kind in found.grids], "kinds")
    if found.differing:
        yield "", [f"the files of {len(found.differing)} cases do not share a grid: {_few(found.differing)}"]
    yield "files", [", ".join(f"{count} {name}" for name, count in found.kinds.items()) or "none can be read"]
    if found.folds:
        yield "folds", [", ".join(f"{fold}: {_number(count, 'case')}" for fold, count in found.folds.items())]
    if found.unreadable:
        yield "unreadable", _first([f"{name}: {why}" for name, why in found.unreadable.items()], "files")


def _patients(found: Inspection) -> str:
    if found.patients is None:
        return "not known"
    return str(found.patients) + (f", {found.revisited} of them with several cases" if found.revisited else "")


def _labels(found: Inspection) -> list[str]:
    from gliamap.labels import CONVENTIONS

    seen = found.labels
    named = [f"{name}: {CONVENTIONS[name].describe()}" for name in seen.conventions]
    return [*(named if seen.told else ["not told: say it with --labels"]), f"({seen.why})"]


def _values(found: Inspection) -> str:
    seen = found.labels
    return f"{', '.join(map(str, seen.values)) or 'none but 0'} in {_number(seen.masks_read, 'mask')}"


def _counted(counts: Mapping[str, int], total: int) -> list[str]:
    """Names and in how many cases they occur: together, where they occur in the same number."""
    same: dict[int, list[str]] = {}
    for name, count in counts.items():
        same.setdefault(count, []).append(name)
    return [f"{', '.join(names)} {_of(count, total)}" for count, names in same.items()]


def _of(count: int, total: int) -> str:
    return "in all cases" if count == total else f"in {_number(count, 'case')}"


def _number(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"


def _few(names: Iterable[str]) -> str:
    from gliamap.sources.layout import summarise

    return summarise(names)


def _first(lines: Sequence[str], name: str) -> list[str]:
    rest = len(lines) - _SHOWN_LINES
    return [*lines[:_SHOWN_LINES], *([f"and {rest} more {name}"] if rest > 0 else [])]


def _print_check(found: CohortReport) -> None:
    from rich.table import Table

    for one in found.data_sets:
        patients = "patients not known" if one.patients is None else _number(one.patients, "patient")
        labels = f"labels {', '.join(one.labels) or 'not told'}" if one.labelled else "no masks"
        say(f"[bold]{plain(one.name)}[/]: {_number(one.cases, 'case')}, {patients}, layout {one.layout}, {labels}")
    say(", ".join(f"{_level(level)} {count}" for level, count in found.counts.items()))
    if not found.rules:
        return
    table = Table()
    for title in ("", "rule", "what it means, and what to do", "cases"):
        table.add_column(title, justify="right" if title == "cases" else "left", no_wrap=title in ("", "rule"))
    for rule, count in found.rules:
        means = f"{plain(rule.title)}\n[dim]to do: {plain(rule.remedy)}[/]"
        table.add_row(_level(rule.level), rule.code, means, str(count))
    print_table(table)
    for row in found.to_look_at[:_SHOWN_CASES]:
        place = f" in {row.data_set}" if len(found.data_sets) > 1 else ""
        say(f"{_level(row.report.level)} [bold]{plain(row.report.case_id)}[/]{plain(place)}")
        for finding in row.report.findings:
            say(plain(f"     {finding.code}" + (f": {finding.found}" if finding.found else "")))
    rest = len(found.to_look_at) - _SHOWN_CASES
    if rest > 0:
        remark(f"... and {rest} more cases; --out names them all")


def _level(level: Level) -> str:
    return f"[{_COLOURS[level.value]}]{level.value}[/]"
