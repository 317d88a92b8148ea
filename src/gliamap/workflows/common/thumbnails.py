"""Small pictures of cases, for the page of the preflight."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from gliamap.case import CaseFiles
from gliamap.errors import GliamapError
from gliamap.io.cases import read_image_file, read_mask_file
from gliamap.io.nifti import replace_nonfinite
from gliamap.report.thumbnail import draw_thumbnail
from gliamap.volume import Grid
from gliamap.workflows.common.parallel import in_parallel

MOST = 50
"""Pictures on a page, which then stays below a megabyte."""

_WORTH_A_PROCESS = 4  # pictures; a process takes about as long to start
_TO_SHOW = ("flair", "t1c")  # where these are, they show the tumour best

logger = logging.getLogger(__name__)


def thumbnails(
    cases: Mapping[int, CaseFiles], *, workers: int = 1, progress: Callable[[int, int, str], None] | None = None
) -> dict[int, bytes]:
    """A JPEG of each case, see :mod:`gliamap.report.thumbnail`; none of those whose images cannot be read."""
    numbers, files = list(cases), list(cases.values())
    pictures: dict[int, bytes] = {}
    drawn = in_parallel(_draw, files, workers=min(workers, len(files) // _WORTH_A_PROCESS))
    for done, (number, picture) in enumerate(drawn):
        if picture is not None:
            pictures[numbers[number]] = picture
        if progress:
            progress(done + 1, len(files), f"picture of {files[number].case_id}")
    return pictures


def _draw(files: CaseFiles) -> bytes | None:
    for name in (*(name for name in _TO_SHOW if name in files.modalities), *files.modalities):
        try:
            volume, grid = read_image_file(files.modalities[name], files.channels.get(name))
            replace_nonfinite(volume)
            return draw_thumbnail(volume, grid, _mask(files, grid))
        except GliamapError:
            continue
        except Exception as error:  # the findings stand, with or without a picture
            logger.error("a picture could not be drawn: %s", type(error).__name__)
    return None


def _mask(files: CaseFiles, grid: Grid) -> NDArray[np.bool_] | None:
    """The mask, where there is one on the image's grid."""
    if files.labels is None:
        return None
    try:
        values, own = read_mask_file(files.labels)
    except GliamapError:
        return None
    return values != 0 if own.same_as(grid) else None
