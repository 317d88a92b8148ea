"""What the pages of HTML share: one file that needs nothing else, no script, no outside link, no date.

File names and case ids come from outside: everything but this program's own words is escaped, and control characters,
which could turn the direction of the text, are spelt out.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Literal

from gliamap.checks.cohort import SetSummary
from gliamap.labels import CONVENTIONS
from gliamap.report.page_style import STYLE
from gliamap.scoring.text_table import NOT_RUN, TextTable

_PIECES = re.compile(r"\[[^\]]*\](?= \(|$)|\([\d,]+ of [\d,]+\)$")
"""Where the room is short, the interval of a mean and its cases stand below it, but each in one piece."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def write_page(title: str, parts: Iterable[str], version: str) -> str:
    """The whole page, from its title as plain text and its parts as HTML; parts that are empty are left out."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{chr(10).join(part for part in parts if part)}
<footer>gliamap {text(version)}. Research use only; not a medical device.</footer>
</main>
</body>
</html>
"""


def text(words: str) -> str:
    """``words`` as text of the page; what cannot be printed is spelt out."""
    return escape("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words))


def name(words: str) -> str:
    """A name from outside, whose writing direction stays its own affair."""
    return f"<bdi>{text(words)}</bdi>"


def sentence(words: str) -> str:
    """This program's own words, as a sentence begins; options in them stay in one piece."""
    return re.sub(r"--[a-z-]+", r'<span class="whole">\g<0></span>', text(words[:1].upper() + words[1:]))


def count(number: int, noun: str) -> str:
    """How many, in words: '1 case', '2 cases'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def image(data: bytes, alt: str, kind: Literal["jpeg", "png"] = "jpeg") -> str:
    """A picture inside the page."""
    return f'<img alt="{text(alt)}" src="data:image/{kind};base64,{base64.b64encode(data).decode("ascii")}">'


def figures(drawn: Mapping[str, bytes], captions: Mapping[str, str], *, three: bool = False) -> str:
    """Those PNG that a caption names, beside each other as far as the screen is wide: two, or ``three`` smaller ones.

    Captions are HTML and may be empty.
    """
    shown = [
        f"<figure>{image(drawn[title], title.replace('-', ' '), 'png')}"
        f"{f'<figcaption>{words}</figcaption>' if words else ''}</figure>"
        for title, words in captions.items()
        if title in drawn
    ]
    return f'<div class="figures{" three" if three else ""}">\n{chr(10).join(shown)}\n</div>'


def table(one: TextTable, badges: Mapping[str, str] | None = None) -> str:
    """A table as HTML; what rows have in common at their beginning is shown once, cells in ``badges`` stand out."""
    head = "".join(f"<th{_kind(one, n)}>{text(title)}</th>" for n, title in enumerate(one.head))
    rows = "\n".join(
        f"<tr>{''.join(f'<td{_kind(one, n)}>{_cell(cell, badges or {})}</td>' for n, cell in enumerate(cells))}</tr>"
        for cells in (_shown(row, before, one.texts) for row, before in zip(one.rows, [None, *one.rows], strict=False))
    )
    return f"""<h3>{text(one.title)}</h3>
<div class="wide"><table>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>"""


def data_set(one: SetSummary) -> str:
    """The heading of a data set, and what it is."""
    patients = "patients not known" if one.patients is None else count(one.patients, "patient")
    masks = "all with a mask" if one.labelled == one.cases else f"{one.labelled or 'none'} with a mask"
    facts = " · ".join((f"layout {text(one.layout)}", f"{count(one.cases, 'case')}, {masks}", patients))
    labels = "; ".join(f"<b>{text(label)}</b> ({_meaning(label)})" for label in one.labels) or "not told"
    why = f'<br>\nlabels: {labels} <span class="quiet">({text(one.labels_why)})</span>' if one.labelled else ""
    return f"<h1>{name(one.name)}</h1>\n<p>{facts}{why}</p>"


def notes(lines: Iterable[str]) -> str:
    """Remarks, one a line; nothing without any."""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f'<h2>Notes</h2>\n<ul class="notes">{items}</ul>' if items else ""


def _meaning(label: str) -> str:
    values = CONVENTIONS[label].values
    return text(", ".join(f"{value} {tissue.name}" for value, tissue in sorted(values.items())))


def _kind(one: TextTable, column: int) -> str:
    return "" if column < one.texts else ' class="number"'


def _shown(row: Sequence[str], before: Sequence[str] | None, texts: int) -> list[str]:
    """The cells of a row; empty those words at its beginning that the row ``before`` has as well."""
    same = 0
    while before is not None and same < texts and row[same] == before[same]:
        same += 1
    return ["" if n < same else cell for n, cell in enumerate(row)]


def _cell(cell: str, badges: Mapping[str, str]) -> str:
    if cell in badges:
        return f'<span class="badge {badges[cell]}">{text(cell)}</span>'
    if cell == NOT_RUN:
        return f'<span class="quiet">{cell}</span>'
    return _PIECES.sub(r'<span class="whole">\g<0></span>', text(cell))
