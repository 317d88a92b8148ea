"""Every error that a user can cause, as one small tree.

GliamapError
├── FileError      a file is missing, unreadable, damaged or of an unexpected kind
├── LayoutError    a folder is not a data set or case that gliamap recognises, or lacks a modality
├── GridError      files that must share a voxel grid do not
├── LabelError     label values outside their convention, ambiguous, or not convertible without loss
├── FitError       a scan is not of the kind that a model was trained on
├── ConfigError    settings that contradict each other, the store, the run or the model
├── TrainingError  a training that cannot go on, such as a loss that is not finite
├── OutputError    the target already exists, or cannot be written
└── CasesFailed    a run over many cases finished, but some of them failed (exit code 1)

All but the last end a command with exit code 2; the web app has one more, for requests (:mod:`gliamap.server.refusal`).
Every message says what was wrong, what was found, what was expected and what to do about it.
"""

from __future__ import annotations


class GliamapError(Exception):
    """Base of all errors that a user can cause.

    ``what`` says what was wrong; ``found``, ``expected`` and ``remedy`` complete the message where they are known.
    """

    exit_code = 2

    def __init__(
        self, what: str, *, found: str | None = None, expected: str | None = None, remedy: str | None = None
    ) -> None:
        self.what = what
        self.found = found
        self.expected = expected
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        parts = [self.what.rstrip(".") + "."]
        for title, text in (("Found", self.found), ("Expected", self.expected), ("To do", self.remedy)):
            if text:
                parts.append(f"{title}: {text.rstrip('.')}.")
        return " ".join(parts)


class FileError(GliamapError):
    """A file is missing, unreadable, damaged or of an unexpected kind."""


class LayoutError(GliamapError):
    """A folder is not a data set or case that gliamap recognises, or lacks a modality."""


class GridError(GliamapError):
    """Files that must share a voxel grid do not."""


class LabelError(GliamapError):
    """Label values outside their convention, ambiguous, or not convertible without loss."""


class FitError(GliamapError):
    """A scan is not of the kind that a model was trained on."""


class ConfigError(GliamapError):
    """Settings that contradict each other, the store, the run or the model."""


class TrainingError(GliamapError):
    """A training that cannot go on, such as a loss that is not finite."""


class OutputError(GliamapError):
    """The target already exists, or cannot be written."""


class CasesFailed(GliamapError):
    """A run over many cases finished, but some of them failed."""

    exit_code = 1
