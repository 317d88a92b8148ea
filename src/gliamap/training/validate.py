"""Validation: the inference that users run, on prepared cases, scored a patient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliamap.config import ModelSpec
from gliamap.infer.decode import decode
from gliamap.infer.engine import Engine
from gliamap.infer.window import predict_windows
from gliamap.io.store import StoreEntry, read_case
from gliamap.labels import REGION_TISSUES, Region, get_convention
from gliamap.metrics.overlap import confusion, counts_of, dice


def validate(store: Path, entries: Sequence[StoreEntry], engine: Engine, spec: ModelSpec) -> dict[Region, float]:
    """Mean Dice over patients for each region that the model's convention can tell.

    A patient's Dice is that of all its voxels together: for slices the mean over slices would be ruled by those
    without tumour. The patient is the one of the entry: the case's own file may be older. Scored on the prepared
    grid; final scores are taken on the native one by ``evaluate``.
    """
    regions = get_convention(spec.output.convention).regions
    tables: dict[str, NDArray[np.int64]] = {}
    for entry in entries:
        case = read_case(store, entry.case_id)
        assert case.labels is not None
        probabilities = predict_windows(case.image, engine, spec.window)
        voxel_size = case.record.native.voxel_size * np.prod(case.record.crop.shape) / np.prod(case.record.shape)
        labels = decode(probabilities, spec.output, spec.clean_up, float(voxel_size))
        table = confusion(labels, np.asarray(case.labels))
        tables[entry.patient_id] = tables.get(entry.patient_id, np.zeros_like(table)) + table
    return {
        region: float(np.mean([dice(counts_of(table, REGION_TISSUES[region])) for table in tables.values()]))
        for region in regions
    }
