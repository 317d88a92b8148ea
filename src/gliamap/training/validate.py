"""Validation: the inference that users run, on prepared cases, scored a patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gliamap.case import PreparedCase
from gliamap.config import ModelSpec
from gliamap.infer.decode import decode
from gliamap.infer.engine import Engine
from gliamap.infer.window import predict_windows
from gliamap.inputs import NetworkInput
from gliamap.io.store import StoreEntry, read_case
from gliamap.labels import REGION_TISSUES, LabelMap, Region, Tissue, get_convention
from gliamap.metrics.overlap import confusion, counts_of, dice
from gliamap.training.devices import Devices
from gliamap.training.progress import Example


@dataclass(frozen=True, eq=False)
class Validation:
    """Mean Dice over patients for each region that the model's convention can tell, and a case to look at."""

    dice: dict[Region, float]
    example: Example | None


def validate(
    store: Path, entries: Sequence[StoreEntry], engine: Engine, spec: ModelSpec, devices: Devices
) -> Validation:
    """Predict and score the cases, each process its share of them; every process gets the same Dice.

    A patient's Dice is that of all its voxels together: for slices the mean over slices would be ruled by those
    without tumour. The patient is the one of the entry: the case's own file may be older. Scored on the prepared
    grid; final scores are taken on the native one by ``evaluate``. The example is from a case with a tumour of middle
    size, in the process that writes.
    """
    entries = _typical_first(entries)
    row_of = {patient: row for row, patient in enumerate(dict.fromkeys(entry.patient_id for entry in entries))}
    tables = np.zeros((len(row_of), len(Tissue), len(Tissue)), np.int64)
    example = None
    for number, entry in enumerate(entries):
        if number % devices.processes != devices.rank:
            continue
        case = read_case(store, entry.case_id)
        assert case.labels is not None
        labels = _predict(case, engine, spec)
        tables[row_of[entry.patient_id]] += confusion(labels, np.asarray(case.labels))
        if number == 0:
            example = _example(case, labels, spec)
    regions = get_convention(spec.output.convention).regions
    summed = devices.total(tables)
    scores = {
        region: float(np.mean([dice(counts_of(table, REGION_TISSUES[region])) for table in summed]))
        for region in regions
    }
    return Validation(scores, example)


def _typical_first(entries: Sequence[StoreEntry]) -> list[StoreEntry]:
    """The entries, that with the median tumour before all others: some slices hold none, and nothing is to see."""
    ranked = sorted((e for e in entries if e.voxels.get(Region.WT, 0) > 0), key=lambda e: e.voxels[Region.WT])
    first = ranked[len(ranked) // 2] if ranked else entries[0]
    return [first, *(entry for entry in entries if entry is not first)]


def _predict(case: PreparedCase, engine: Engine, spec: ModelSpec) -> LabelMap:
    probabilities = predict_windows(NetworkInput(case.image, spec.inputs), engine, spec.window)
    voxel_size = case.record.native.voxel_size * np.prod(case.record.crop.shape) / np.prod(case.record.shape)
    return decode(probabilities, spec.output, spec.clean_up, float(voxel_size))


def _example(case: PreparedCase, predicted: LabelMap, spec: ModelSpec) -> Example:
    assert case.labels is not None
    z = int(np.argmax(np.count_nonzero(case.labels, axis=(0, 1))))
    return Example(
        case_id=case.case_id,
        modalities=spec.prep.modalities,
        image=np.array(case.image[..., z]),
        reference=np.array(case.labels[..., z]),
        predicted=predicted[..., z].copy(),
        spacing=(case.record.spacing[0], case.record.spacing[1]),
        unit=case.record.native.unit,
    )
