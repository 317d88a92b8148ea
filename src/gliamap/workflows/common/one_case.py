"""One case out of what the user names, and a mask that belongs to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gliamap.case import CaseFiles, DataSet
from gliamap.errors import LayoutError
from gliamap.sources.detect import scan
from gliamap.sources.layout import summarise
from gliamap.sources.masks import declared_convention
from gliamap.workflows.common.conventions import settle_convention


def only_case(path: Path, *, pattern: str | None = None, called: str | None = None) -> CaseFiles:
    """The one case at ``path``, or of several the one ``called`` so.

    ``LayoutError`` where there are several and none is called so, or ``path`` is not recognised.
    """
    cases = scan(path, pattern).cases
    named = cases if len(cases) == 1 else tuple(files for files in cases if files.case_id == called)
    if not named:
        raise LayoutError(
            f"{path} holds {len(cases)} cases, and one can be shown at a time",
            found=summarise(files.case_id for files in cases),
            expected="the folder of one case, or an image" + (f", or a case called '{called}'" if called else ""),
            remedy="name that; in Python, take one of gliamap.sources.detect.scan(folder).cases",
        )
    return named[0]


def with_mask(files: CaseFiles, mask: Path | None, labels: str | None) -> CaseFiles:
    """The files of the case with the mask to show and its one convention, if there is a mask at all.

    Without ``mask`` it is the case's own. What its numbers mean is told by ``labels`` (a convention's name), else by
    the ``CASE.json`` beside it, else as for the masks of data sets. ``LabelError`` where that is not told.
    """
    if mask is not None:
        declared = declared_convention(mask, files.case_id)
        files = replace(files, labels=mask, conventions=(declared,) if declared else files.conventions)
    if files.labels is None:
        return files
    alone = DataSet(files.labels, "", (files,), None)
    return settle_convention(alone, labels).apply(alone).cases[0]
