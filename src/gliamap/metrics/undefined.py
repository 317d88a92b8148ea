"""THE rule for empty masks: what a score is where its formula has no value. Every metric asks here, none decides.

The rule is that of the BraTS challenges (``legacy`` figures of the 2023 evaluation script, and the pages of the years
before it); surface Dice and boundary Dice follow Dice, HD and ASSD follow HD95, whichever way surfaces are measured:

=================================== ===================================== ==============
masks                               Dice, IoU, sensitivity, precision,    HD95, HD, ASSD
                                    surface Dice, boundary Dice
=================================== ===================================== ==============
both empty (rightly nothing found)  1                                     0
only one of them empty              0                                     worst
=================================== ===================================== ==============

The worst HD95 is 374 mm in BraTS 2023: the diagonal of its 240 x 240 x 155 mm grid, rounded up. For an image without
spacing no such number exists; there the worst is the image's own diagonal in pixels, by analogy.

Specificity without any negative voxel is 1 (no negative was called positive). A volume difference in percent of an
empty reference is 0 where the prediction is empty as well, and has no value (``None``) otherwise: no finite number is
the worst there, and means leave such a case out. Calibration without a voxel to judge has no value either. Nor have,
lesion by lesion, recall where no lesion counts and precision with neither a lesion found nor a false positive: whether
lesions were made up where there are none is said by the other figures of lesions, which follow the table.

A case without a prediction is not an empty prediction: it takes the worst of every figure that has one, even where
the reference is empty; see :func:`gliamap.scoring.score.score_missing`.
"""

from __future__ import annotations

import math

from gliamap.volume import Grid

WORST_HD95_MM = 374.0
"""HD95 of a region that only one of the two masks has, in mm (BraTS 2023)."""


def overlap_when_undefined(*, prediction_empty: bool, reference_empty: bool) -> float:
    """Dice, IoU, sensitivity, precision, surface or boundary Dice where at least one mask is empty."""
    return 1.0 if prediction_empty and reference_empty else 0.0


def hd95_when_undefined(*, prediction_empty: bool, reference_empty: bool, worst: float) -> float:
    """HD95, HD or ASSD where at least one mask is empty; ``worst`` as :func:`worst_hd95` says, in its unit."""
    return 0.0 if prediction_empty and reference_empty else worst


def worst_hd95(grid: Grid, worst_mm: float = WORST_HD95_MM) -> float:
    """The HD95 of a complete miss on ``grid``: ``worst_mm``, or the diagonal in pixels for an image without spacing."""
    return worst_mm if grid.unit == "mm" else math.hypot(*grid.shape[:2])


def specificity_without_negatives() -> float:
    """Specificity where the reference leaves no background."""
    return 1.0


def volume_percent_of_nothing(*, prediction_empty: bool) -> float | None:
    """Volume difference in percent of an empty reference."""
    return 0.0 if prediction_empty else None
