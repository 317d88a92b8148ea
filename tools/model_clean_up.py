"""The smallest part of a tumour to keep, chosen from a few sizes on held-out predictions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from gliamap.config import CleanUpConfig
from gliamap.infer.decode import clean
from gliamap.io.checkpoint import read_spec, write_spec
from gliamap.labels import get_convention, region_mask
from gliamap.metrics.overlap import count, dice
from gliamap.scoring.estimate import patient_means
from gliamap.scoring.pairs import find_predictions, pairs_of, read_prediction, read_reference
from gliamap.sources.masks import scan_with_masks
from gliamap.workflows.common.folds import Fold
from model_making import Making, Row, tell_cases


@dataclass(frozen=True)
class Tried:
    """A held-out prediction, and the Dice of each of its regions for each size that was tried."""

    case_id: str
    patient_id: str
    dice: Mapping[float, Sequence[float]]


def choose_sizes(making: Making, folds: Sequence[Fold]) -> Row:
    """The size that is best on all held-out predictions; and for each fold that which is best on those of the others.

    ``size``, ``of_fold`` by the fold's name, and ``dice``: the mean Dice of each size over all cases.
    """
    tried = try_sizes(making, folds)
    return {
        "size": best_size(tried, making.plan.sizes),
        "of_fold": {fold.name: best_size(others(tried, fold.split.test), making.plan.sizes) for fold in folds},
        "dice": {f"{size:g}": round(mean_dice(tried, size), 5) for size in making.plan.sizes},
    }


def others(tried: Sequence[Tried], held_out: Collection[str]) -> list[Tried]:
    """The predictions of cases that a fold does not hold out, whichever repeat they are of."""
    return [one for one in tried if one.case_id not in held_out]


def best_size(tried: Sequence[Tried], sizes: Sequence[float]) -> float:
    """The size with the highest mean Dice; of equals the smallest, which changes least."""
    return max(sorted(sizes), key=lambda size: mean_dice(tried, size))


def mean_dice(tried: Sequence[Tried], size: float) -> float:
    """The mean over regions of the mean over patients."""
    regions = range(len(tried[0].dice[size]))
    return fmean(
        fmean(patient_means((one.patient_id, one.dice[size][region]) for one in tried).values()) for region in regions
    )


def try_sizes(making: Making, folds: Sequence[Fold]) -> list[Tried]:
    """Every held-out prediction of the study, cleaned up with each size."""
    tell, tried = tell_cases("clean-up"), list[Tried]()
    total = sum(len(fold.split.test) for fold in folds)
    every, _ = pairs_of(scan_with_masks(making.scans))
    for repeat in sorted({fold.repeat for fold in folds}):
        own = [fold for fold in folds if fold.repeat == repeat]
        held_out = {case_id for fold in own for case_id in fold.split.test}
        pairs, _ = find_predictions([pair for pair in every if pair.case_id in held_out], own[0].masks, None)
        regions = read_spec(own[0].run / "best").output.regions
        for pair in pairs:
            assert pair.prediction is not None  # the study is complete
            convention = get_convention(making.conventions[pair.case_id])
            reference, grid = read_reference(pair, convention)
            predicted, _ = read_prediction(pair, pair.prediction, grid, convention)
            of_size: dict[float, Sequence[float]] = {}
            for size in making.plan.sizes:
                cleaned = predicted.copy()
                clean(cleaned, CleanUpConfig(min_size=size), grid.voxel_size)
                of_size[size] = [dice(count(region_mask(cleaned, r), region_mask(reference, r))) for r in regions]
            tried.append(Tried(pair.case_id, pair.patient_id, of_size))
            tell(len(tried), total, pair.case_id)
    return tried


def apply_sizes(folds: Sequence[Fold], of_fold: Mapping[str, float]) -> None:
    """Write each fold's size into its model, unless it is there."""
    for fold in folds:
        spec = read_spec(fold.run / "best")
        wanted = CleanUpConfig(min_size=of_fold[fold.name])
        if spec.clean_up != wanted:
            write_spec(fold.run / "best", spec.model_copy(update={"clean_up": wanted}))
