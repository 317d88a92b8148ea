"""What a run of gliamap segment made, as one page: every case a row, to sort, filter and look at.

Small pictures lie beside the page and are loaded as they come into sight. Without scripts it is a plain table, the
worst cases first.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from gliamap.checks.findings import WARNINGS
from gliamap.labels import REGION_NAMES, Region
from gliamap.report import page
from gliamap.report.evaluation_boxes import BOX_FROM, draw_boxes
from gliamap.scoring.estimate import estimate, patient_means
from gliamap.scoring.text_table import NOTHING
from gliamap.viewer.document import read_static, write_document

PICTURES = "thumbnails"
"""The folder of the small pictures, beside the page."""

_FIRST = '<td class="first">'  # of a group of figures


@dataclass(frozen=True)
class CohortCase:
    """A case of a run, as far as it is known: what failed has no volumes, what was not scored no scores.

    ``volumes`` in the unit of the cohort. ``predicted_dice``, ``dice`` (0..1) and ``hd95`` (mm, or pixels) by region.
    ``warnings``: their texts by code. ``failed``: why there is no mask. ``picture`` and ``report`` are files beside the
    page, empty where there is none.
    """

    case_id: str
    patient_id: str
    volumes: Mapping[Region, float] = field(default_factory=dict)
    predicted_dice: Mapping[Region, float] = field(default_factory=dict)
    dice: Mapping[Region, float] = field(default_factory=dict)
    hd95: Mapping[Region, float] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)
    failed: str = ""
    picture: str = ""
    report: str = ""

    @property
    def badness(self) -> tuple[bool, float, bool, int, str]:
        """What puts a case before another: see :data:`ORDER`."""
        told = self.dice or self.predicted_dice
        known = list(WARNINGS)
        ranks = [known.index(code) if code in known else len(known) for code in self.warnings]
        mean = sum(told.values()) / len(told) if told else 1.0
        return (not self.failed, mean, not ranks, min(ranks, default=0), self.case_id)


ORDER = (
    "Worst first: cases without a mask, then by the mean Dice of their regions (the predicted one where none was "
    "scored), then by their most serious warning."
)


@dataclass(frozen=True)
class Cohort:
    """The cases of a run. ``unit`` is that of volumes, ``about`` says how they were made and scored, by its name."""

    name: str
    cases: tuple[CohortCase, ...]
    unit: str
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def distance_unit(self) -> str:
        """The unit of HD95."""
        return "mm" if self.unit == "mL" else "px"

    @property
    def worst_first(self) -> list[CohortCase]:
        """The cases, see :data:`ORDER`."""
        return sorted(self.cases, key=lambda case: case.badness)

    @property
    def warned(self) -> dict[str, int]:
        """How many cases have each warning, the most serious first."""
        counts = Counter(code for case in self.cases for code in case.warnings)
        known = [code for code in WARNINGS if code in counts]
        return {code: counts[code] for code in (*known, *sorted(set(counts) - set(known)))}


def draw_page(cohort: Cohort, version: str) -> str:
    """The page; names and texts of the cases come from outside and are escaped."""
    parts = [_header(cohort), _boxes(cohort), _table(cohort)]
    styles, scripts = [read_static("cohort.css")], [read_static("cohort.js")]
    title = f"gliamap report: {cohort.name}"
    return write_document(title, parts, version=version, styles=styles, scripts=scripts, images_beside=True)


def _header(cohort: Cohort) -> str:
    failed = sum(bool(case.failed) for case in cohort.cases)
    warned = sum(bool(case.warnings) for case in cohort.cases)
    facts = [page.count(len(cohort.cases), "case"), f"{warned:,} with warnings"]
    badge = f' <span class="badge FAIL">{failed:,} without a mask</span>' if failed else ""
    about = " · ".join(f"{page.text(name)} <b>{page.name(said)}</b>" for name, said in cohort.about.items())
    return f"""<header>
<p>gliamap report · research use only</p>
<h1>{page.name(cohort.name)}</h1>
<p>{" · ".join(facts)}{badge}<br>
{about}</p>
</header>"""


def _boxes(cohort: Cohort) -> str:
    """Volumes and scores of all cases as box plots, where there are two or more to compare."""
    wanted = {
        f"Volume, {cohort.unit}": ("volumes", False),
        "Predicted Dice": ("predicted_dice", True),
        "Dice": ("dice", True),
        f"HD95, {cohort.distance_unit}": ("hd95", False),
    }
    drawn = {
        title: drawing
        for title, (figure, share) in wanted.items()
        if (drawing := _box(cohort.cases, figure, title, share=share))
    }
    if not drawn:
        return ""
    said = (
        f"Every dot is a patient, whose cases were averaged. The box holds the middle half (drawn from {BOX_FROM} on), "
        "its line is the median; the diamond is the mean with its 95 % interval."
    )
    return f"<h2>All cases</h2>\n<p>{said}</p>\n{page.figures(drawn, dict.fromkeys(drawn, ''), three=True)}"


def _box(cases: Sequence[CohortCase], figure: str, title: str, *, share: bool) -> bytes | None:
    values: dict[Region, list[tuple[str, float]]] = {}
    for case in cases:
        for region, value in getattr(case, figure).items():
            values.setdefault(region, []).append((case.patient_id, value))
    patients = {region: list(patient_means(values[region]).values()) for region in Region if region in values}
    if max(map(len, patients.values()), default=0) < 2:
        return None
    return draw_boxes(title, patients, {region: estimate(values[region]) for region in patients}, share=share)


def _table(cohort: Cohort) -> str:
    groups = _groups(cohort)
    above = "".join(
        f'<th colspan="{len(regions)}" scope="colgroup"><span>{page.text(title)}</span></th>'
        for title, _, regions, _ in groups
    )
    below = "".join(
        f'<th class="number{"" if number else " first"}" scope="col" data-name="{page.text(title)}, {region}">'
        f'<abbr title="{REGION_NAMES[region]}">{region}</abbr></th>'
        for title, _, regions, _ in groups
        for number, region in enumerate(regions)
    )
    rows = "\n".join(_row(case, groups) for case in cohort.worst_first)
    return f"""<h2>Case by case</h2>
<p>{ORDER}</p>
{_filter(cohort)}
<div class="wide" tabindex="0" role="region" aria-label="Table of cases"><table id="cases">
<thead><tr><th rowspan="2" scope="col">Slice</th><th rowspan="2" scope="col" data-name="Case">Case</th>{above}
<th rowspan="2" scope="col" data-name="Warnings">Warnings</th></tr>
<tr>{below}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>"""


_Group = tuple[str, str, tuple[Region, ...], int]
"""Columns that belong together: their title, the field of a case, its regions, digits after the point."""


def _groups(cohort: Cohort) -> list[_Group]:
    """The groups of figures of which any case has one."""
    all_groups = (
        (f"volume {cohort.unit}", "volumes", 1 if cohort.unit == "mL" else 0),
        ("predicted Dice", "predicted_dice", 2),
        ("Dice", "dice", 2),
        (f"HD95 {cohort.distance_unit}", "hd95", 1),
    )
    found: list[_Group] = []
    for title, figure, digits in all_groups:
        present = {region for case in cohort.cases for region in getattr(case, figure)}
        if present:
            found.append((title, figure, tuple(region for region in Region if region in present), digits))
    return found


def _row(case: CohortCase, groups: Sequence[_Group]) -> str:
    cells = "".join(
        f"{_FIRST if number == 0 else '<td>'}{_number(getattr(case, figure).get(region), digits)}</td>"
        for _, figure, regions, digits in groups
        for number, region in enumerate(regions)
    )
    picture = f'<img src="{_address(case.picture)}" alt="" loading="lazy">' if case.picture else ""
    shown = page.name(case.case_id)
    title = f'<a href="{_address(case.report)}">{shown}</a>' if case.report else shown
    return f'<tr><td class="slice">{picture}</td><th scope="row">{title}</th>{cells}<td>{_said(case)}</td></tr>'


def _address(name: str) -> str:
    """A file beside the page, whose name may be in another encoding than UTF-8."""
    return quote(os.fsencode(name))


def _number(value: float | None, digits: int) -> str:
    """Small sizes have one digit more; no size is plainly 0."""
    if value is None:
        return NOTHING
    if digits < 2 and value == 0:
        return "0"
    return f"{value:.{2 if digits and value < 0.995 else digits}f}"


def _said(case: CohortCase) -> str:
    failed = f'<li class="failed">No mask: {page.text(case.failed)}</li>' if case.failed else ""
    told = "".join(
        f'<li data-code="{page.text(code)}">{page.sentence(said)}</li>' for code, said in case.warnings.items()
    )
    return f"<ul>{failed}{told}</ul>" if failed or told else ""


def _filter(cohort: Cohort) -> str:
    """What the script needs to filter; it shows it, because without a script it would do nothing."""
    kinds = "".join(
        f'<option value="{page.text(code)}">{page.sentence(WARNINGS[code].title if code in WARNINGS else code)} '
        f"({count:,})</option>"
        for code, count in cohort.warned.items()
    )
    return f"""<div id="filter" role="search" aria-label="Filter cases" hidden>
<label>Case <input id="words" type="search" placeholder="part of its name" autocomplete="off"></label>
<label>Warning <select id="warning"><option value="">all cases</option><option value="*">any warning</option>
<option value="-">no warning</option>{kinds}</select></label>
<span class="range"><label>Figure <select id="figure"><option value="">all values</option></select></label>
<label>from <input id="low" type="number" step="any" disabled></label>
<label>to <input id="high" type="number" step="any" disabled></label></span>
<button id="reset" type="button">Show all, worst first</button>
<output id="shown" aria-live="polite"></output>
</div>"""
