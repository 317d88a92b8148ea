"""The preflight's findings as one page of HTML that needs nothing else: no script, no outside link, no date.

File names and case ids come from outside: everything but this module's own words is escaped, and control characters,
which could turn the direction of the text, are spelt out.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from html import escape

from gliamap.checks.cohort import CheckedRow, CohortReport, SetSummary
from gliamap.checks.findings import Finding, Level, Rule
from gliamap.labels import CONVENTIONS
from gliamap.report.check_style import STYLE

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_MARKS = {Level.PASS: "✓", Level.WARN: "!", Level.FAIL: "✕"}
_MEANS = {
    Level.PASS: "nothing found",
    Level.WARN: "worth a look",
    Level.FAIL: "not fit for training or scoring",
}
_NARROW = 0.06  # of the bar, below which its own number does not fit


def draw_page(report: CohortReport, pictures: Mapping[int, bytes], version: str) -> str:
    """The page. ``pictures`` are JPEG thumbnails by the number of the case in ``report.cases``."""
    title = f"gliamap check: {', '.join(one.name for one in report.data_sets)}"
    parts = (
        _head(report),
        _bar(report),
        _rules(report),
        _cases(report, pictures),
        _passed(report),
        _notes(report.notes),
        f"<footer>gliamap {_text(version)}. Research use only; not a medical device.</footer>",
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{chr(10).join(part for part in parts if part)}
</main>
</body>
</html>
"""


def _text(words: str) -> str:
    """``words`` as text of the page; what cannot be printed is spelt out."""
    return escape("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words))


def _name(words: str) -> str:
    """A name from outside, whose writing direction stays its own affair."""
    return f"<bdi>{_text(words)}</bdi>"


def _head(report: CohortReport) -> str:
    sets = "\n".join(_data_set(one) for one in report.data_sets)
    return f"<header>\n<p>gliamap check</p>\n{sets}\n</header>"


def _data_set(one: SetSummary) -> str:
    patients = "patients not known" if one.patients is None else _count(one.patients, "patient")
    masks = "all with a mask" if one.labelled == one.cases else f"{one.labelled or 'none'} with a mask"
    facts = " · ".join((f"layout {_text(one.layout)}", f"{_count(one.cases, 'case')}, {masks}", patients))
    labels = "; ".join(f"<b>{_text(name)}</b> ({_meaning(name)})" for name in one.labels) or "not told"
    why = f'<br>\nlabels: {labels} <span class="quiet">({_text(one.labels_why)})</span>' if one.labelled else ""
    return f"<h1>{_name(one.name)}</h1>\n<p>{facts}{why}</p>"


def _meaning(name: str) -> str:
    values = CONVENTIONS[name].values
    return _text(", ".join(f"{value} {tissue.name}" for value, tissue in sorted(values.items())))


def _bar(report: CohortReport) -> str:
    """The cases of each level as parts of a bar, and in words below it."""
    total = max(1, len(report.cases))
    parts, words = [], []
    for level, count in report.counts.items():
        share = count / total
        if count:
            inside = str(count) if share >= _NARROW else ""
            parts.append(f'<span class="{level.value}" style="flex-grow:{count}">{inside}</span>')
        words.append(f"<li>{_badge(level)} <b>{count}</b> {_MEANS[level]}</li>")
    return f'<div class="bar" aria-hidden="true">{"".join(parts)}</div>\n<ul class="key">{"".join(words)}</ul>'


def _badge(level: Level) -> str:
    return f'<span class="badge {level.value}">{_MARKS[level]} {level.value}</span>'


def _rules(report: CohortReport) -> str:
    if not report.rules:
        return ""
    rows = "\n".join(_rule(rule, count) for rule, count in report.rules)
    return f"""<h2>What was found</h2>
<div class="wide"><table>
<thead><tr><th></th><th>Found</th><th>What to do</th><th class="number">Cases</th></tr></thead>
<tbody>
{rows}
</tbody>
</table></div>"""


def _rule(rule: Rule, count: int) -> str:
    found = f"{_sentence(rule.title)}<br><code>{_text(rule.code)}</code>"
    return (
        f'<tr><td>{_badge(rule.level)}</td><td>{found}</td><td class="quiet">{_sentence(rule.remedy)}</td>'
        f'<td class="number">{count}</td></tr>'
    )


def _sentence(words: str) -> str:
    """This program's own words, as a sentence begins; options in them stay in one piece."""
    return re.sub(r"--[a-z-]+", r'<span class="whole">\g<0></span>', _text(words[:1].upper() + words[1:]))


def _cases(report: CohortReport, pictures: Mapping[int, bytes]) -> str:
    if not report.to_look_at:
        return ""
    numbers = {id(row): number for number, row in enumerate(report.cases)}
    several = len(report.data_sets) > 1
    shown = (_case(row, pictures.get(numbers[id(row)]), several=several) for row in report.to_look_at)
    return "<h2>Cases to look at</h2>\n" + "\n".join(shown)


def _case(row: CheckedRow, picture: bytes | None, *, several: bool) -> str:
    data_set = f' <span class="quiet">in {_name(row.data_set)}</span>' if several else ""
    findings = "\n".join(_finding(finding) for finding in row.report.findings)
    return f"""<article>
{_picture(picture)}
<div>
<h3>{_badge(row.report.level)} {_name(row.report.case_id)}{data_set}</h3>
<ul>
{findings}
</ul>
</div>
</article>"""


def _finding(finding: Finding) -> str:
    found = f'<br><span class="quiet">{_text(finding.found)}</span>' if finding.found else ""
    return f'<li><span class="dot {finding.rule.level.value}">{_MARKS[finding.rule.level]}</span>' + (
        f"{_sentence(finding.rule.title)}{found}</li>"
    )


def _picture(picture: bytes | None) -> str:
    if picture is None:
        return '<div class="picture"></div>'
    data = base64.b64encode(picture).decode("ascii")
    alt = "the slice with most of the mask, which is outlined"
    return f'<div class="picture"><img alt="{alt}" src="data:image/jpeg;base64,{data}"></div>'


def _passed(report: CohortReport) -> str:
    passed = [row for row in report.cases if row.report.level == Level.PASS]
    if not passed:
        return ""
    several = len(report.data_sets) > 1
    names = "".join(
        f"<li>{_name(row.report.case_id)}{f' <small>{_name(row.data_set)}</small>' if several else ''}</li>"
        for row in passed
    )
    title = f"{_count(len(passed), 'case')} without findings"
    return f'<details><summary>{title}</summary>\n<ul class="ids">{names}</ul></details>'


def _notes(notes: Iterable[str]) -> str:
    lines = "".join(f"<li>{_text(note)}</li>" for note in notes)
    return f'<h2>Notes</h2>\n<ul class="notes">{lines}</ul>' if lines else ""


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
