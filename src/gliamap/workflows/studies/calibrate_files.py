"""What a calibration leaves: JSON, tables, words and a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gliamap.io.atomic import atomic_files, write_json, write_text
from gliamap.report.confidence_figure import Panel, draw_confidence
from gliamap.scoring.estimate import estimate_cell
from gliamap.scoring.text_table import NOT_RUN, NOTHING, TextTable, counted, titled_markdown
from gliamap.workflows.common.run_record import command_line, versions
from gliamap.workflows.studies.calibrate_found import FALL, Calibrated, Lesson

FIGURE = "predicted-dice.png"

_FOUND = TypeAdapter(Calibrated)


def write_calibration(out: Path, found: Calibrated) -> None:
    """Write ``calibration.json``, ``calibration.md`` and the figure into ``out``, in place of earlier ones."""
    with atomic_files(out) as folder:
        write_json(folder / "calibration.json", as_json(found))
        write_text(folder / "calibration.md", as_markdown(found))
        (folder / FIGURE).write_bytes(draw_confidence(_panels(found)))


def as_json(found: Calibrated) -> dict[str, Any]:
    """What ``calibration.json`` holds. Models are named without their place on the machine."""
    content = _FOUND.dump_python(found, mode="json")
    models = ["/".join(model.parts[-4:]) for model in found.models]
    return {"format": 1, **content, "models": models, "versions": versions(), "command": command_line()}


def as_markdown(found: Calibrated) -> str:
    """All that is found, for people."""
    words = "\n".join(f"- {words}" for words in sentences(found))
    figure = f"![Predicted against true Dice]({FIGURE})"
    return f"# Calibration\n\n{words}\n\n{titled_markdown([dice_table(found), confidence_table(found)])}\n{figure}\n"


def sentences(found: Calibrated) -> list[str]:
    """What was decided, and why."""
    mode = {"windows": "windows", "one-pass": "one pass"}[found.mode]
    if not found.difference:
        why = "the network takes no other size"
    elif found.mode == "one-pass":
        why = f"against windows no region's mean Dice falls by more than {FALL}"
    else:
        why = f"in one pass the mean Dice of a region falls by more than {FALL}"
    before, after = found.likelihood
    said = [
        f"The default is {mode}: {why}.",
        f"The temperature is {found.temperature:.3f}: the mean negative log likelihood of voxels near the tumour goes "
        f"from {before:.4f} to {after:.4f}{', flips included' if found.flips else ''}.",
    ]
    if not any(lesson.learned for lesson in found.lessons):
        said.append("No Dice is predicted: there are too few patients to learn it from.")
    elif found.flips:
        said.append("Dice is predicted where a case is segmented with flips, not otherwise.")
    return said


def dice_table(found: Calibrated) -> TextTable:
    """Windows and one pass side by side, with intervals over patients."""
    rows = []
    for region, windows in found.dice["windows"].items():
        one_pass = found.dice.get("one-pass", {}).get(region)
        apart = found.difference.get(region)
        cells = (
            estimate_cell(windows, 4),
            estimate_cell(one_pass, 4) if one_pass else NOT_RUN,
            estimate_cell(apart, 4, signed=True) if apart else NOT_RUN,
        )
        rows.append((region.value, *cells, f"{windows.patients:,}", f"{windows.cases:,}"))
    head = ("Region", "Windows", "One pass", "Difference", "Patients", "Cases")
    return TextTable(f"Dice of held-out cases, {counted(found.folds, 'fold')}", head, tuple(rows))


def confidence_table(found: Calibrated) -> TextTable:
    """How well the Dice of a case is predicted by lines that were learned without its patient."""
    head = ("Region", "Predicted", "Cases", "Patients", "Mean error", "Saying the mean", "90 % interval", "Held")
    rows = tuple((one.region.value, "some" if one.found else "none", *_cells(one)) for one in found.lessons)
    return TextTable("Predicted Dice", head, rows, texts=2)


def _cells(one: Lesson) -> tuple[str, ...]:
    numbers = (f"{one.cases:,}", f"{one.patients:,}")
    if one.learned is None or one.plain_error is None:
        return (*numbers, "too few", *(NOTHING,) * 3)
    line = one.learned.line
    interval = f"{line.low:+.2f} to {line.high:+.2f}"
    return (*numbers, f"{line.error:.3f}", f"{one.plain_error:.3f}", interval, f"{100 * one.learned.held:.0f} %")


def _panels(found: Calibrated) -> list[Panel]:
    by_place = {(one.region, one.found): one for one in found.lessons}
    panels = []
    for region in found.dice["windows"]:
        some, none = by_place[region, True], by_place[region, False]
        pairs = ([(case.predicted, case.dice) for case in one.judged] for one in (some, none))
        panels.append(Panel(region, some.learned.line if some.learned else None, *pairs))
    return panels
