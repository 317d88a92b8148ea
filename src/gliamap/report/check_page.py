"""The preflight's findings as one page of HTML, see :mod:`gliamap.report.page`."""

from __future__ import annotations

from collections.abc import Mapping

from gliamap.checks.cohort import CheckedRow, CohortReport
from gliamap.checks.findings import Finding, Level, Rule
from gliamap.report import page

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
    parts = (_head(report), _bar(report), _rules(report), _cases(report, pictures), _passed(report))
    return page.write_page(title, (*parts, page.notes(report.notes)), version)


def _head(report: CohortReport) -> str:
    sets = "\n".join(page.data_set(one) for one in report.data_sets)
    return f"<header>\n<p>gliamap check</p>\n{sets}\n</header>"


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
    found = f"{page.sentence(rule.title)}<br><code>{page.text(rule.code)}</code>"
    return (
        f'<tr><td>{_badge(rule.level)}</td><td>{found}</td><td class="quiet">{page.sentence(rule.remedy)}</td>'
        f'<td class="number">{count}</td></tr>'
    )


def _cases(report: CohortReport, pictures: Mapping[int, bytes]) -> str:
    if not report.to_look_at:
        return ""
    numbers = {id(row): number for number, row in enumerate(report.cases)}
    several = len(report.data_sets) > 1
    shown = (_case(row, pictures.get(numbers[id(row)]), several=several) for row in report.to_look_at)
    return "<h2>Cases to look at</h2>\n" + "\n".join(shown)


def _case(row: CheckedRow, picture: bytes | None, *, several: bool) -> str:
    data_set = f' <span class="quiet">in {page.name(row.data_set)}</span>' if several else ""
    findings = "\n".join(_finding(finding) for finding in row.report.findings)
    return f"""<article>
{_picture(picture)}
<div>
<h3>{_badge(row.report.level)} {page.name(row.report.case_id)}{data_set}</h3>
<ul>
{findings}
</ul>
</div>
</article>"""


def _finding(finding: Finding) -> str:
    found = f'<br><span class="quiet">{page.text(finding.found)}</span>' if finding.found else ""
    return f'<li><span class="dot {finding.rule.level.value}">{_MARKS[finding.rule.level]}</span>' + (
        f"{page.sentence(finding.rule.title)}{found}</li>"
    )


def _picture(picture: bytes | None) -> str:
    if picture is None:
        return '<div class="picture"></div>'
    return f'<div class="picture">{page.image(picture, "the slice with most of the mask, which is outlined")}</div>'


def _passed(report: CohortReport) -> str:
    passed = [row for row in report.cases if row.report.level == Level.PASS]
    if not passed:
        return ""
    several = len(report.data_sets) > 1
    names = "".join(
        f"<li>{page.name(row.report.case_id)}{f' <small>{page.name(row.data_set)}</small>' if several else ''}</li>"
        for row in passed
    )
    title = f"{page.count(len(passed), 'case')} without findings"
    return f'<details><summary>{title}</summary>\n<ul class="ids">{names}</ul></details>'
