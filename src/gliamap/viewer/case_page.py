"""The report of a case as one page of HTML that opens from disk, see :mod:`gliamap.viewer.document`."""

from __future__ import annotations

from dataclasses import replace

from gliamap.labels import REGION_NAMES
from gliamap.report import page
from gliamap.report.evaluation_words import DEFINITIONS
from gliamap.report.figures import format_amount
from gliamap.report.plot import shortened
from gliamap.scoring.figure_names import NAMES
from gliamap.scoring.text_table import TextTable
from gliamap.viewer.case_facts import (
    SHOWN_SCORES,
    CaseFacts,
    Remark,
    Rows,
    expected_words,
    lesion_table,
    score_table,
    side_words,
    sureness_table,
    volume_table,
)
from gliamap.viewer.document import SURFACES, VIEWER, embed, read_scripts, read_static, write_document
from gliamap.viewer.payload import Payload

DATA = "case"
"""The name of the viewer's data in the page."""

LONGEST = 120
"""Characters of a name or a remark that are shown: names from outside may be of any length."""

_LESIONS = 6
"""So many stand in the first table: most of many are specks."""

NOTICE = "Research use only; not a medical device."

_FIGURES = """\
<li><b>Volume</b>: voxels times the volume of one. <b>Lesions</b>: parts whose voxels touch, at corners as well.</li>
<li><b>Diameters</b>: in the axial slice where their product is largest, the longest line across the lesion and the
longest perpendicular to it.</li>
<li><b>Side</b>: from the patient's view. The midline is the plane about which the head is most symmetric; where a
tumour has shifted the brain's own midline, that bends away from this plane.</li>
<li><b>Expected Dice</b>: what this model's masks of such a case score, learned from cases that it had never seen;
nine of ten lie in the brackets. <b>Entropy</b>, <b>disagreement</b>: how unsure the model is of the voxels in question,
from 0 (sure) to 1.</li>"""


def draw_case_page(facts: CaseFacts, payload: Payload, version: str) -> str:
    """The page, with the viewer of ``payload``; ``version`` is that of gliamap."""
    solid = bool(payload.about["surfaces"])
    parts = [
        _header(facts),
        _warnings(facts),
        _tiles(facts),
        _planes(facts),
        _surfaces(_measured(facts), solid=solid),
        page.table(sureness_table(facts)) if facts.sureness else "",
        _explained(facts),
        page.notes((*facts.notes, *facts.measures.notes, *payload.remarks)),
        _rows("The model", facts.card),
        _rows("How the mask was made", facts.made),
        embed(DATA, payload.about, payload.blobs),
    ]
    names = (VIEWER, SURFACES) if solid else (VIEWER,)
    scripts = [script for name in names for script in read_scripts(name)]
    return write_document(
        f"{shortened(facts.case_id, LONGEST)} · gliamap report",
        parts,
        version=version,
        styles=[read_static(f"{name}.css") for name in (*names, "case_page")],
        scripts=[*scripts, read_static("case_page.js")],
    )


def _header(facts: CaseFacts) -> str:
    labels = f"labels <b>{page.text(facts.convention.name)}</b> ({page.text(facts.convention.describe())})"
    return f"""<header>
<p>gliamap report</p>
<h1>{page.name(shortened(facts.case_id, LONGEST))}</h1>
<p>{page.text(facts.images)}<br>
{labels}</p>
<p class="research">{NOTICE}</p>
</header>"""


def _warnings(facts: CaseFacts) -> str:
    if not facts.warnings:
        words = "No warnings." if facts.told else "Nothing is known of how this mask was made."
        return f'<section class="warnings none"><p>{words}</p></section>'
    items = "\n".join(map(_warning, facts.warnings))
    title = page.count(len(facts.warnings), "warning")
    return f'<section class="warnings" aria-label="Warnings">\n<h2>{title}</h2>\n<ul>\n{items}\n</ul>\n</section>'


def _warning(one: Remark) -> str:
    remedy = f'<br><span class="quiet">{page.sentence(one.remedy)}</span>' if one.remedy else ""
    code = f"<code>{page.text(shortened(one.code, LONGEST))}</code>"
    said = page.sentence(shortened(one.text, 3 * LONGEST))
    return f'<li><span class="dot WARN" aria-hidden="true">!</span>{said} {code}{remedy}</li>'


def _tiles(facts: CaseFacts) -> str:
    """The figures that a reader looks for first."""
    measures = facts.measures
    tiles = []
    for one in measures.regions:
        sure = facts.sureness.get(one.region)
        below = f"expected Dice {expected_words(sure.dice)}" if sure and sure.dice else ""
        tiles.append(_tile(REGION_NAMES[one.region], format_amount(one.volume, measures.unit), below))
    tiles.append(_tile("lesions", f"{measures.lesion_count:,}", side_words(measures.side) if measures.side else ""))
    return f'<dl class="tiles">\n{"".join(tiles)}\n</dl>'


def _tile(title: str, value: str, below: str) -> str:
    small = f"<dd>{page.text(below)}</dd>" if below else ""
    return f'<div><dt>{page.text(title)}</dt><dd class="value">{page.text(value)}</dd>{small}</div>'


def _planes(facts: CaseFacts) -> str:
    shown = "image" if facts.measures.unit == "px" else "slices"
    return f"""<section aria-label="Viewer of the {shown}"><div id="{DATA}-view"></div>
<noscript><p>The pictures need JavaScript, which this browser does not run; the figures below do not.</p></noscript>
</section>"""


def _measured(facts: CaseFacts) -> str:
    tables = [volume_table(facts)]
    tables += [score_table(facts)] if facts.score else []
    return "\n".join((*map(page.table, tables), _lesions(lesion_table(facts.measures))))


def _lesions(table: TextTable) -> str:
    """The largest, and the others where the reader asks for them; nothing without any."""
    if not table.rows:
        return ""
    largest, others = (replace(table, rows=rows) for rows in (table.rows[:_LESIONS], table.rows[_LESIONS:]))
    if not others.rows:
        return page.table(largest)
    said = page.count(len(others.rows), "smaller lesion")
    smaller = page.table(replace(others, title="Smaller lesions"))
    return f"{page.table(largest)}\n<details><summary>{said}</summary>\n{smaller}</details>"


def _surfaces(beside: str, *, solid: bool) -> str:
    """The view in 3D with what stands beside it, where the screen is wide enough; that alone where there is none."""
    if not solid:
        return beside
    place = f'<section aria-label="Surfaces in 3D"><div id="{DATA}-surfaces"></div></section>'
    return f'<div class="pair">\n{place}\n<div>{beside}</div>\n</div>'


def _explained(facts: CaseFacts) -> str:
    unit = facts.measures.unit
    names = SHOWN_SCORES if facts.score else ()
    lines = [f"<li><b>{page.text(NAMES[name].title(unit))}</b>: {page.text(DEFINITIONS[name])}</li>" for name in names]
    said = f'<ul class="notes">{_FIGURES}{"".join(lines)}</ul>'
    return f"<details><summary>What the figures mean</summary>\n{said}</details>"


def _rows(title: str, rows: Rows) -> str:
    """Titles and what is said of each; nothing without any."""
    if not rows:
        return ""
    said = "\n".join(
        f"<div><dt>{page.text(name)}</dt><dd>{page.text(shortened(words, 3 * LONGEST))}</dd></div>"
        for name, words in rows
    )
    return f'<h2>{title}</h2>\n<dl class="facts">\n{said}\n</dl>'
