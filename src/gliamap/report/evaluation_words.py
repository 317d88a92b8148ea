"""What each figure of an evaluation means, in a line; ``docs/scores.md`` says more."""

from __future__ import annotations

from collections.abc import Mapping

EMPTY = (
    "Empty masks, by the rule of BraTS: where both are empty, shares are 1 and distances 0; where only one is, shares "
    "are 0 and distances the worst. A case without a prediction takes the worst of every figure that has one."
)

DEFINITIONS: Mapping[str, str] = {
    "dice": "2 TP / (2 TP + FP + FN), in voxels",
    "iou": "TP / (TP + FP + FN)",
    "boundary_dice": "Dice of the parts of both masks that lie within 1 mm (images: 1 pixel) of their outside",
    "sensitivity": "TP / (TP + FN): how much of the reference was found",
    "specificity": "TN / (TN + FP): near 1 for any small tumour",
    "precision": "TP / (TP + FP): how much of the prediction is right",
    "accuracy": "(TP + TN) / all voxels: near 1 for any small tumour",
    "hd95": "95th percentile of the distance between the surfaces, weighted by area; the larger of both directions",
    "hd": "the largest distance between the surfaces",
    "assd": "mean distance between the surfaces, weighted by area, of both directions together",
    "surface_dice": "share of both surfaces within 1 mm (images: 1 pixel) of the other, also called NSD",
    "hd95_voxels": "HD95 over border voxels, each counted once, as MONAI takes it",
    "hd_voxels": "the largest distance between border voxels",
    "assd_voxels": "mean distance between border voxels",
    "surface_dice_voxels": "share of the border voxels within 1 mm (images: 1 pixel) of the other border",
    "volume_difference": "predicted minus reference",
    "volume_difference_percent": "of the reference; no value where only that is empty",
    "brier": "mean squared difference between probability and truth near the region, 0 at best",
    "ece": "expected calibration error: how far probabilities are from the share of voxels inside, in 15 bins",
    "lesion_dice": "mean Dice of the lesions, a missed one and a false positive counting 0",
    "lesion_hd95": "mean HD95 of the lesions, a missed one and a false positive counting the worst",
    "lesion_recall": "lesions found, of those that count; no value where none does",
    "lesion_precision": "lesions found, of these and the false positives; no value without either",
    "lesion_f1": "2 found / (2 found + missed + false positives)",
    "false_positive_volume": "volume of all predicted components that match no lesion",
}
"""By the name of the figure, those that need saying. TP, FP, FN, TN: voxels in both masks, in the prediction only, in
the reference only, in neither."""
