"""The comparison of two sets of predictions as tables, for a terminal, Markdown or a page."""

from __future__ import annotations

from collections.abc import Iterable

from gliamap.scoring.estimate import ENOUGH, estimate_cell, estimates_title
from gliamap.scoring.figure_names import NAMES
from gliamap.scoring.paired import BETTER, Paired, PairedFigure
from gliamap.scoring.text_table import NOTHING, TextTable, counted

MAIN = ("dice", "hd95", "lesion_dice", "lesion_hd95")
"""The figures that a terminal shows."""


def paired_tables(paired: Paired, names: Iterable[str] = BETTER) -> tuple[TextTable, ...]:
    """A table for each figure that any region has: both means, their difference patient by patient, how sure it is."""
    return tuple(_paired_table(paired, name) for name in names if any(name in of for of in paired.regions.values()))


def _paired_table(paired: Paired, name: str) -> TextTable:
    found = {region: figures[name] for region, figures in paired.regions.items() if name in figures}
    rows = tuple((region.value, *_cells(name, one, paired.cases)) for region, one in found.items())
    title = f"{NAMES[name].title(paired.unit)}: ours against the other"
    head = ("Region", "Ours", "Other", "Difference", "p", "Holm p", "Wins", "Losses", "Ties")
    return TextTable(estimates_title(title, ((one.difference, paired.cases) for one in found.values())), head, rows)


def changed_table(paired: Paired) -> TextTable:
    """The cases whose Dice differs most, each with the region in which it does."""
    rows = tuple(
        (one.case_id, one.region.value, f"{one.ours:.3f}", f"{one.other:.3f}", f"{one.change:+.3f}")
        for one in paired.changed
    )
    return TextTable("Cases that differ most", ("Case", "Region", "Dice ours", "Dice other", "Difference"), rows, 2)


def paired_words(paired: Paired) -> tuple[str, ...]:
    """What the tables mean, a sentence or two a line."""
    lines = [
        f"{counted(paired.patients, 'patient')}, {counted(paired.cases, 'case')} in both. A difference is ours minus "
        "the other, patient by patient, with its 95 % interval. Wins are patients with whom ours is better.",
        "p: Wilcoxon's signed-rank test, two-sided; Holm p: adjusted for the regions of a figure, not for the figures. "
        f"None with fewer than {ENOUGH} patients who differ.",
    ]
    if paired.unmatched:
        lines.append(f"{counted(len(paired.unmatched), 'case')} left out, scored on one side only.")
    return tuple(lines)


def _cells(name: str, found: PairedFigure, cases: int) -> tuple[str, ...]:
    digits = NAMES[name].digits
    means = (f"{one.mean:.{digits}f}" if one.mean is not None else NOTHING for one in (found.ours, found.other))
    return (
        *means,
        estimate_cell(found.difference, digits, signed=True, of=cases),
        *map(_p, (found.p, found.p_holm)),
        *(f"{n:,}" for n in (found.wins, found.losses, found.ties)),
    )


def _p(value: float | None) -> str:
    if value is None:
        return NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}"
