"""What is found of data sets when they are explored: the noun that the page and ``explore.json`` are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gliamap.checks.cohort import SetSummary
from gliamap.checks.findings import Finding
from gliamap.survey.cohort import Survey


@dataclass(frozen=True)
class Alike:
    """A case that is also another one, or its patient another's: a finding of :mod:`gliamap.checks.duplicates`."""

    data_set: str
    case_id: str
    finding: Finding


@dataclass(frozen=True, eq=False)
class Exploration:
    """All that was found.

    ``surveys``: one for each data set, two where a set mixes volumes and pictures without a scale. ``failed`` says by
    case why it could not be read; ``notes`` are remarks on the whole.
    """

    data_sets: tuple[SetSummary, ...]
    surveys: tuple[Survey, ...]
    alike: tuple[Alike, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """What ``explore.json`` holds, see :func:`gliamap.workflows.data.explore.explore`."""
        return {
            "format": 1,
            "data_sets": [asdict(one) for one in self.data_sets],
            "surveys": [one.as_json() for one in self.surveys],
            "alike": [{"data_set": one.data_set, "case_id": one.case_id, **asdict(one.finding)} for one in self.alike],
            "failed": dict(self.failed),
            "notes": list(self.notes),
        }
