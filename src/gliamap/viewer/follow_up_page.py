"""A patient's visits as one page: how sizes changed, and the scans beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from gliamap.labels import REGION_NAMES, Region
from gliamap.metrics.change import Change, changes_of
from gliamap.metrics.measures import Measures, RegionMeasure
from gliamap.report import page
from gliamap.report.follow_up_figure import draw_course, shown_size
from gliamap.scoring.text_table import NOTHING, TextTable
from gliamap.viewer.document import VIEWER, embed, read_scripts, read_static, write_document
from gliamap.viewer.payload import Payload

NOTICE = "Size-only change, not a RANO assessment."
"""What nobody may take the page for."""

_DATA = "follow-up"

_DEFINITIONS = (
    "Volume: all voxels of the region. Diameters: of its connected part in which their product is largest, the longest "
    "line in an axial slice and the longest one perpendicular to it; product: the two multiplied. Change in percent: "
    "against the first visit, the previous one, and the smallest of all before; 'new' where there was nothing. "
    "Response criteria such as RANO also ask for measurable lesions, new lesions, steroids and the patient's state: "
    "this page knows nothing of them."
)


@dataclass(frozen=True, eq=False)
class Visit:
    """One visit. ``warnings`` are texts of what is to be known of its mask.

    ``space``: visits with the same number lie on one voxel grid.
    """

    case_id: str
    measures: Measures
    payload: Payload
    space: int = 0
    when: date | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Course:
    """A region from visit to visit: volumes (mL or pixels) and diameter products (mm² or px²), with their changes."""

    region: Region
    volumes: tuple[float, ...]
    products: tuple[float, ...]

    @property
    def volume_changes(self) -> list[Change]:
        """At each visit."""
        return changes_of(self.volumes)

    @property
    def product_changes(self) -> list[Change]:
        """At each visit."""
        return changes_of(self.products)


@dataclass(frozen=True, eq=False)
class FollowUp:
    """A patient's visits in order, with sizes in one unit; either all are dated or none is."""

    visits: tuple[Visit, ...]

    @property
    def courses(self) -> list[Course]:
        """One for each region that every visit tells; an empty region has volume and product 0."""
        found = []
        for region in Region:
            if not all(visit.measures.region(region) for visit in self.visits):
                continue
            seen = [_of(visit, region) for visit in self.visits]
            products = tuple(one.diameters.product if one.diameters else 0.0 for one in seen)
            found.append(Course(region, tuple(one.volume for one in seen), products))
        return found

    def days(self, number: int) -> int | None:
        """From the first visit to that of ``number`` (from 0); ``None`` without dates."""
        first, this = self.visits[0].when, self.visits[number].when
        return None if first is None or this is None else (this - first).days

    def title(self, number: int) -> str:
        """'Visit 1', with its date where it is known."""
        visit = self.visits[number]
        return f"Visit {number + 1}" + (f", {visit.when.isoformat()}" if visit.when else "")

    def as_json(self) -> dict[str, Any]:
        """Sizes and changes of every visit as plain JSON."""
        unit = self.visits[0].measures
        visits = [
            {
                "case_id": visit.case_id,
                "date": visit.when.isoformat() if visit.when else None,
                "days": self.days(number),
                "grid": visit.space + 1,
                "regions": {course.region.value: _sizes(visit, course, number) for course in self.courses},
                "warnings": list(visit.warnings),
            }
            for number, visit in enumerate(self.visits)
        ]
        return {"notice": NOTICE, "volume_unit": unit.volume_unit, "length_unit": unit.unit, "visits": visits}


def _sizes(visit: Visit, course: Course, number: int) -> dict[str, Any]:
    """A region at a visit; changes are in percent."""
    one = _of(visit, course.region)
    return {
        "volume": one.volume,
        "volume_change": asdict(course.volume_changes[number]),
        "lesions": one.lesions,
        "longest_diameter": one.diameters.longest if one.diameters else None,
        "perpendicular_diameter": one.diameters.perpendicular if one.diameters else None,
        "diameter_product": course.products[number],
        "diameter_product_change": asdict(course.product_changes[number]),
    }


def _of(visit: Visit, region: Region) -> RegionMeasure:
    found = visit.measures.region(region)
    assert found is not None  # a course has those regions that every visit tells
    return found


def draw_page(found: FollowUp, version: str) -> str:
    """The page; it holds a viewer for every visit."""
    parts = [
        _header(found),
        _figures(found),
        *(page.table(course_table(found, course)) for course in found.courses),
        f"<details><summary>What the figures mean</summary>\n<p>{_DEFINITIONS}</p></details>",
        _views(found),
        page.notes(_notes(found)),
        embed(_DATA, {"visits": [_place(visit, number) for number, visit in enumerate(found.visits)]}, {}),
        *(embed(_name(number), visit.payload.about, visit.payload.blobs) for number, visit in enumerate(found.visits)),
    ]
    return write_document(
        f"gliamap report: {page.count(len(found.visits), 'visit')}",
        parts,
        version=version,
        styles=[read_static(f"{VIEWER}.css"), read_static("follow_up.css")],
        scripts=[*read_scripts(VIEWER), read_static("follow_up.js")],
    )


def course_table(found: FollowUp, course: Course) -> TextTable:
    """The sizes of a region at every visit, and how they changed."""
    unit = found.visits[0].measures
    against = ("vs first", "vs previous", "vs smallest")
    head = ("Visit", "Volume", *against, "Diameters", "Product", *against)
    rows = tuple(
        (
            f"{number + 1}: {visit.when.isoformat() if visit.when else visit.case_id}",
            f"{shown_size(course.volumes[number])} {unit.volume_unit}",
            *_percents(course.volumes, number),
            _diameters(_of(visit, course.region), unit.unit),
            f"{shown_size(course.products[number])} {unit.unit}²",
            *_percents(course.products, number),
        )
        for number, visit in enumerate(found.visits)
    )
    return TextTable(f"{REGION_NAMES[course.region].capitalize()} ({course.region})", head, rows)


def sizes_table(found: FollowUp) -> TextTable:
    """All regions in a narrow table: sizes, and how they changed against the first visit and the smallest before."""
    unit = found.visits[0].measures
    changes = ("vs first", "vs smallest")
    head = ("Visit", f"Volume {unit.volume_unit}", *changes, f"Product {unit.unit}²", *changes)
    rows = tuple(
        (
            f"{course.region} {number + 1}",
            shown_size(course.volumes[number]),
            *_percents(course.volumes, number)[::2],
            shown_size(course.products[number]),
            *_percents(course.products, number)[::2],
        )
        for course in found.courses
        for number in range(len(found.visits))
    )
    return TextTable("Sizes", head, rows)


def _percents(sizes: Sequence[float], number: int) -> tuple[str, str, str]:
    """The three changes at a visit in words; 'new' where something came from nothing."""
    change = changes_of(sizes)[number]
    first, previous, smallest = (
        ("new" if number else NOTHING) if value is None else signed_percent(value)
        for value in (change.first, change.previous, change.smallest)
    )
    return first, previous, smallest


def signed_percent(value: float) -> str:
    """A change with its sign, such as '+12 %'; below ten percent with a digit after the point."""
    shown = f"{value:+.1f}" if abs(value) < 9.95 else f"{value:+,.0f}"
    return ("0" if float(shown.replace(",", "")) == 0 else shown.replace("-", "−")) + " %"


def _diameters(one: RegionMeasure, unit: str) -> str:
    if one.diameters is None:
        return NOTHING
    return f"{one.diameters.longest:.1f} × {one.diameters.perpendicular:.1f} {unit}"


def _header(found: FollowUp) -> str:
    last = found.days(len(found.visits) - 1)
    facts = [page.count(len(found.visits), "visit"), *([page.count(last, "day")] if last is not None else [])]
    names = ", ".join(page.name(case_id) for case_id in dict.fromkeys(visit.case_id for visit in found.visits))
    warned = "".join(
        f"<li><b>{page.text(found.title(number))}</b>: {page.sentence(text)}</li>"
        for number, visit in enumerate(found.visits)
        for text in visit.warnings
    )
    warnings = f'<ul class="notes warned">{warned}</ul>' if warned else ""
    return f"""<header>
<p>gliamap report · research use only</p>
<h1>Follow-up</h1>
<p>{" · ".join(facts)}: {names}<br><span class="badge WARN">! {NOTICE}</span></p>
{warnings}
</header>"""


def _figures(found: FollowUp) -> str:
    unit = found.visits[0].measures
    courses = found.courses
    drawn = {
        "volumes": _draw(found, f"Volume, {unit.volume_unit}", {one.region: one.volumes for one in courses}),
        "products": _draw(found, f"Diameter product, {unit.unit}²", {one.region: one.products for one in courses}),
    }
    return page.figures(drawn, dict.fromkeys(drawn, ""))


def _draw(found: FollowUp, title: str, sizes: Mapping[Region, Sequence[float]]) -> bytes:
    numbers = range(len(found.visits))
    days = [day for day in map(found.days, numbers) if day is not None]
    if len(set(days)) == len(numbers):
        return draw_course(title, {day: str(day) for day in days}, sizes, "days since the first visit")
    return draw_course(title, {number + 1: str(number + 1) for number in numbers}, sizes, "visit")


def _views(found: FollowUp) -> str:
    figures = "\n".join(
        f'<section aria-label="{page.text(found.title(number))}"><h3>{page.text(found.title(number))} '
        f'<span class="quiet">{page.name(visit.case_id)}</span></h3><div id="{_name(number)}-view"></div></section>'
        for number, visit in enumerate(found.visits)
    )
    return f"""<h2>Side by side</h2>
<p>{page.text(" ".join(linked_words(found)))}</p>
<noscript><p>The pictures need JavaScript, which this browser does not run; the figures above do not.</p></noscript>
<div class="visits">
{figures}
</div>"""


def linked_words(found: FollowUp) -> list[str]:
    """Which visits move together, and that nobody has registered any, in sentences."""
    spaces: dict[int, list[int]] = {}
    for number, visit in enumerate(found.visits):
        spaces.setdefault(visit.space, []).append(number + 1)
    together = [numbers for numbers in spaces.values() if len(numbers) > 1]
    alone = [numbers[0] for numbers in spaces.values() if len(numbers) == 1]
    said = [
        f"Visits {_listed(numbers)} lie on one voxel grid: their planes move together, voxel by voxel."
        for numbers in together
    ]
    if together:
        said.append("Whether the heads in them are registered was not checked.")
    if alone and together:
        its = "a grid of its own: its planes move" if len(alone) == 1 else "grids of their own: their planes move"
        said.append(f"{_lie(alone)} on {its} alone, unregistered.")
    if not together:
        said.append("The visits lie on different voxel grids and are not registered: the planes of each move alone.")
    return said


def _lie(numbers: Sequence[int]) -> str:
    """'Visit 3 lies', 'Visits 3 and 4 lie'."""
    return f"Visit {numbers[0]} lies" if len(numbers) == 1 else f"Visits {_listed(numbers)} lie"


def _listed(numbers: Sequence[int]) -> str:
    return " and ".join(filter(None, (", ".join(map(str, numbers[:-1])), str(numbers[-1]))))


def _notes(found: FollowUp) -> list[str]:
    """What viewers leave out, once for all visits of which it is true."""
    said: dict[str, list[int]] = {}
    for number, visit in enumerate(found.visits, 1):
        for words in visit.payload.remarks:
            said.setdefault(words, []).append(number)
    return [f"Visit{'s' if len(those) > 1 else ''} {_listed(those)}: {words}" for words, those in said.items()]


def _name(number: int) -> str:
    return f"visit-{number + 1}"


def _place(visit: Visit, number: int) -> dict[str, Any]:
    """What the script needs to go from a voxel of one viewer to that of another on the same grid."""
    frame = visit.payload.frame
    return {"name": _name(number), "space": visit.space, "start": list(frame.box.start), "steps": list(frame.steps)}
