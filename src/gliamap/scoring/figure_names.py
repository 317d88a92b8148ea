"""What the figures of a region are called where people read them, and with how many digits they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gliamap.scoring.estimate import Estimate, estimate_cell
from gliamap.volume import Unit, volume_unit


@dataclass(frozen=True)
class FigureName:
    """A figure in words, what it is, and the digits behind its point; ``signed`` is what may be on both sides of 0."""

    words: str
    quantity: Literal["share", "distance", "volume", "percent", "count"] = "share"
    digits: int = 3
    signed: bool = False

    def title(self, unit: Unit) -> str:
        """The words with the unit of the figure; ``unit`` is that of distances."""
        units = {"distance": f", {unit}", "volume": f", {volume_unit(unit)}", "percent": ", %"}
        return self.words + units.get(self.quantity, "")

    def cell(self, found: Estimate, *, of: int) -> str:
        """``mean [low, high]`` of one out of ``of`` cases, see :func:`~gliamap.scoring.estimate.estimate_cell`."""
        return estimate_cell(found, self.digits, signed=self.signed, of=of)


NAMES: Mapping[str, FigureName] = {
    "dice": FigureName("Dice"),
    "iou": FigureName("IoU"),
    "boundary_dice": FigureName("Boundary Dice"),
    "sensitivity": FigureName("Sensitivity"),
    "specificity": FigureName("Specificity", digits=4),
    "precision": FigureName("Precision"),
    "accuracy": FigureName("Accuracy", digits=4),
    "hd95": FigureName("HD95", "distance", 1),
    "hd": FigureName("HD", "distance", 1),
    "assd": FigureName("ASSD", "distance", 2),
    "surface_dice": FigureName("Surface Dice"),
    "hd95_voxels": FigureName("HD95 of voxels", "distance", 1),
    "hd_voxels": FigureName("HD of voxels", "distance", 1),
    "assd_voxels": FigureName("ASSD of voxels", "distance", 2),
    "surface_dice_voxels": FigureName("Surface Dice of voxels"),
    "reference_volume": FigureName("Reference volume", "volume", 1),
    "predicted_volume": FigureName("Predicted volume", "volume", 1),
    "volume_difference": FigureName("Volume diff.", "volume", 1, signed=True),
    "volume_difference_percent": FigureName("Volume diff.", "percent", 1, signed=True),
    "brier": FigureName("Brier score", digits=4),
    "ece": FigureName("ECE", digits=4),
    "lesion_dice": FigureName("Lesion Dice"),
    "lesion_hd95": FigureName("Lesion HD95", "distance", 1),
    "lesion_tp": FigureName("Lesions found", "count", 2),
    "lesion_fp": FigureName("False positives", "count", 2),
    "lesion_fn": FigureName("Lesions missed", "count", 2),
    "lesion_recall": FigureName("Lesion recall"),
    "lesion_precision": FigureName("Lesion precision"),
    "lesion_f1": FigureName("Lesion F1"),
    "false_positive_volume": FigureName("False-positive volume", "volume", 2),
}
"""Every one of :data:`~gliamap.scoring.summary.FIGURES`."""
