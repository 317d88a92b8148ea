"""Scores that count voxels: Dice, IoU, sensitivity, specificity, precision, accuracy, volumes.

The voxels are counted once (:func:`count` for two masks, :func:`confusion` for two label maps and all their regions
and classes at a time); every figure is then arithmetic on :class:`Counts`. What a figure is where its formula is 0/0
stands in :mod:`gliamap.metrics.undefined`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gliamap.labels import LabelMap, Tissue
from gliamap.metrics import undefined

_KINDS = len(Tissue)


@dataclass(frozen=True)
class Counts:
    """Voxels in both masks, in the prediction only, in the reference only, in neither."""

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def predicted(self) -> int:
        """Voxels of the prediction."""
        return self.tp + self.fp

    @property
    def reference(self) -> int:
        """Voxels of the reference."""
        return self.tp + self.fn

    @property
    def total(self) -> int:
        """Voxels of the grid."""
        return self.tp + self.fp + self.fn + self.tn


def count(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> Counts:
    """Count two boolean masks of one shape."""
    _check_shapes(prediction.shape, reference.shape)
    tp = int(np.count_nonzero(prediction & reference))
    fp = int(np.count_nonzero(prediction)) - tp
    fn = int(np.count_nonzero(reference)) - tp
    return Counts(tp, fp, fn, prediction.size - tp - fp - fn)


def confusion(prediction: LabelMap, reference: LabelMap) -> NDArray[np.int64]:
    """How often each tissue (row) was predicted where the reference holds each tissue (column).

    Both maps hold :class:`~gliamap.labels.Tissue` values on one shape; the result is square, one row a tissue.
    """
    _check_shapes(prediction.shape, reference.shape)
    pairs = prediction.ravel() * np.uint8(_KINDS) + reference.ravel()
    return np.bincount(pairs, minlength=_KINDS**2).reshape(_KINDS, _KINDS)


def counts_of(table: NDArray[np.int64], tissues: Collection[Tissue]) -> Counts:
    """The counts of the mask that ``tissues`` make up together, from :func:`confusion`."""
    inside = np.zeros(_KINDS, np.bool_)
    inside[list(tissues)] = True
    tp = int(table[np.ix_(inside, inside)].sum())
    fp = int(table[inside].sum()) - tp
    fn = int(table[:, inside].sum()) - tp
    return Counts(tp, fp, fn, int(table.sum()) - tp - fp - fn)


def dice(counts: Counts) -> float:
    """``2 TP / (2 TP + FP + FN)``, in 0..1. Both masks empty: 1."""
    if counts.predicted == 0 or counts.reference == 0:
        return _undefined(counts)
    return 2 * counts.tp / (counts.predicted + counts.reference)


def iou(counts: Counts) -> float:
    """Intersection over union (Jaccard), ``TP / (TP + FP + FN)``, in 0..1. Both masks empty: 1."""
    if counts.predicted == 0 or counts.reference == 0:
        return _undefined(counts)
    return counts.tp / (counts.tp + counts.fp + counts.fn)


def sensitivity(counts: Counts) -> float:
    """Recall, ``TP / (TP + FN)``, in 0..1. Reference empty: 1 where the prediction is empty as well, else 0."""
    return counts.tp / counts.reference if counts.reference else _undefined(counts)


def precision(counts: Counts) -> float:
    """``TP / (TP + FP)``, in 0..1. Prediction empty: 1 where the reference is empty as well, else 0."""
    return counts.tp / counts.predicted if counts.predicted else _undefined(counts)


def specificity(counts: Counts) -> float:
    """``TN / (TN + FP)``, in 0..1, over the whole grid. No background in the reference: 1."""
    negatives = counts.tn + counts.fp
    return counts.tn / negatives if negatives else undefined.specificity_without_negatives()


def accuracy(counts: Counts) -> float:
    """``(TP + TN) / all``, in 0..1, over the whole grid: near 1 for any small tumour, whatever was predicted."""
    return (counts.tp + counts.tn) / counts.total


def volume_difference(counts: Counts, voxel_size: float) -> float:
    """Predicted minus reference volume, signed, in the unit of ``voxel_size`` (mL, or pixels)."""
    return (counts.predicted - counts.reference) * voxel_size


def volume_difference_percent(counts: Counts) -> float | None:
    """Predicted minus reference volume in percent of the reference, signed.

    Reference empty: 0 where the prediction is empty as well, else ``None``.
    """
    if counts.reference == 0:
        return undefined.volume_percent_of_nothing(prediction_empty=counts.predicted == 0)
    return 100 * (counts.predicted - counts.reference) / counts.reference


def mean_iou(table: NDArray[np.int64], tissues: Collection[Tissue]) -> float:
    """Mean IoU over the classes of ``tissues`` that the prediction or the reference holds, from :func:`confusion`.

    Name the background among them where it shall count, as is usual. None of them present: 1.
    """
    each = [counts_of(table, (tissue,)) for tissue in tissues]
    present = [iou(counts) for counts in each if counts.predicted or counts.reference]
    return float(np.mean(present)) if present else 1.0


def _undefined(counts: Counts) -> float:
    return undefined.overlap_when_undefined(
        prediction_empty=counts.predicted == 0, reference_empty=counts.reference == 0
    )


def _check_shapes(prediction: tuple[int, ...], reference: tuple[int, ...]) -> None:
    if prediction != reference:
        raise ValueError(f"prediction {prediction} and reference {reference} must have one shape")
