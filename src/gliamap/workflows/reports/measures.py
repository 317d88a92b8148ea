"""The measures of a case and its mask: what is head and where its midline lies is told from the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gliamap.case import Case
from gliamap.checks.anatomy import stripped_or_head
from gliamap.labels import LabelMap, Region, region_mask
from gliamap.metrics.measures import Head, Measures, measure_tumour
from gliamap.metrics.midline import find_midline
from gliamap.prep.steps import foreground_mask

_BEST_TO_TELL = ("t1", "t2", "t1c", "flair")
"""The modality from which the midline is told: tumours and vessels are least bright in T1."""


def measure_case(case: Case, labels: LabelMap, *, regions: Sequence[Region] = tuple(Region)) -> Measures:
    """The measures of the tissues of ``labels``, ``(X, Y, Z)`` on the grid of ``case``.

    ``regions`` are those that the labels' convention can tell. Where the images do not say whether they show a brain or
    a whole head, there are no shares and no sides; see :func:`gliamap.metrics.measures.measure_tumour`.
    """
    head = find_head(case, region_mask(labels, Region.WT))
    return measure_tumour(labels, case.grid, regions=regions, head=head)


def find_head(case: Case, tumour: NDArray[np.bool_]) -> Head | None:
    """The brain or head in the images of ``case``, and its midline, which does not look at the ``tumour``.

    ``None`` where the images do not say which of the two they show. To compare several masks of one case, find its
    head once.
    """
    name = next((name for name in _BEST_TO_TELL if name in case.modalities), case.modalities[0])
    image = case.image[case.modalities.index(name)]
    shows = stripped_or_head(image[None])
    if shows is None:
        return None
    mask = foreground_mask(image[None], shows)
    return Head(mask, shows, find_midline(image, mask, tumour, case.grid))
