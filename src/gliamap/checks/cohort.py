"""What the preflight says of all cases together. Knows no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from gliamap.checks.findings import RULES, CaseReport, Finding, Level, Rule

_WORST_FIRST = tuple(reversed(Level))
_ORDER = list(RULES)


@dataclass(frozen=True)
class SetSummary:
    """One data set that was checked.

    ``labelled`` counts the cases with a mask; ``patients`` is ``None`` where they are not known. ``labels`` names the
    label convention, several where cases differ, none where no case has a mask or where it is not told; ``labels_why``
    says why.
    """

    name: str
    layout: str
    cases: int
    labelled: int
    patients: int | None
    labels: tuple[str, ...]
    labels_why: str


@dataclass(frozen=True)
class CheckedRow:
    """What is said of one case, and of which data set it is."""

    data_set: str
    report: CaseReport

    def adding(self, findings: Iterable[Finding]) -> CheckedRow:
        """The row with more findings, the worst first, and those of a level in the order of ``RULES``."""
        every = sorted((*self.report.findings, *findings), key=_badness)
        return replace(self, report=replace(self.report, findings=tuple(every)))


@dataclass(frozen=True)
class CohortReport:
    """What is said of all cases, in the order of their data sets; ``notes`` are remarks on the whole."""

    data_sets: tuple[SetSummary, ...]
    cases: tuple[CheckedRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[Level, int]:
        """Cases of each level, the best first."""
        counted = Counter(row.report.level for row in self.cases)
        return {level: counted[level] for level in Level}

    @property
    def rules(self) -> tuple[tuple[Rule, int], ...]:
        """The rules that were broken and in how many cases, the worst first."""
        counted = Counter(code for row in self.cases for code in {finding.code for finding in row.report.findings})
        broken = sorted((RULES[code] for code in counted), key=lambda rule: _ORDER.index(rule.code))
        return tuple((rule, counted[rule.code]) for level in _WORST_FIRST for rule in broken if rule.level == level)

    @property
    def to_look_at(self) -> tuple[CheckedRow, ...]:
        """The cases that are not PASS, the worst first."""
        return tuple(row for level in _WORST_FIRST[:-1] for row in self.cases if row.report.level == level)

    def as_json(self) -> dict[str, Any]:
        """What ``check.json`` holds, see :func:`gliamap.workflows.data.check.check`."""
        return {
            "format": 1,
            "data_sets": [_set_json(one) for one in self.data_sets],
            "counts": {level.value: count for level, count in self.counts.items()},
            "rules": [_rule_json(rule) | {"cases": count} for rule, count in self.rules],
            "cases": [_case_json(row) for row in self.cases],
            "notes": [_sound(note) for note in self.notes],
        }


def _badness(finding: Finding) -> tuple[int, int]:
    return _WORST_FIRST.index(finding.rule.level), _ORDER.index(finding.code)


def _set_json(one: SetSummary) -> dict[str, Any]:
    return {
        "name": _sound(one.name),
        "layout": one.layout,
        "cases": one.cases,
        "labelled": one.labelled,
        "patients": one.patients,
        "labels": list(one.labels),
        "labels_why": one.labels_why,
    }


def _rule_json(rule: Rule) -> dict[str, Any]:
    return {"code": rule.code, "level": rule.level.value, "title": rule.title, "remedy": rule.remedy}


def _case_json(row: CheckedRow) -> dict[str, Any]:
    return {
        "data_set": _sound(row.data_set),
        "case_id": _sound(row.report.case_id),
        "level": row.report.level.value,
        "findings": [
            {"code": finding.code, "level": finding.rule.level.value, "found": _sound(finding.found)}
            for finding in row.report.findings
        ],
    }


def _sound(text: str) -> str:
    """``text`` without the halves of characters that Python makes of file names that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
