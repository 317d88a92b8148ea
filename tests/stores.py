"""Tiny stores to load patches from, made without reading scans."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from gliamap.case import Case, CaseFiles, CaseIdentity
from gliamap.config import OutputConfig, PrepConfig
from gliamap.io.soft import write_soft
from gliamap.io.store import StoreEntry, entry_of, read_case, write_case, write_distances
from gliamap.labels import Region, region_mask
from gliamap.prep.distances import signed_distances
from gliamap.prep.pipeline import prepare
from gliamap.sampling.dataset import encode_target
from make import KINDS, MODALITIES, case, grid

Store = tuple[Path, list[StoreEntry]]
"""A store's folder and its cases, as a :class:`gliamap.sampling.dataset.PatchDataset` takes them."""


def write_cases(root: Path, cases: Iterable[Case]) -> Store:
    """Prepare ``cases`` into ``root``."""
    entries = []
    for one in cases:
        prepared = prepare(one, PrepConfig(modalities=MODALITIES))
        write_case(root, prepared, origin={}, convention="brats2021")
        entries.append(entry_of(root, CaseFiles(CaseIdentity(one.case_id, one.patient_id), {})))
    return root, entries


def write_tiny_store(root: Path) -> Store:
    """Three cases: 0 with all regions, 1 without enhancement, 2 without tumour."""
    cases = [case(kind, seed=n, enhancing=n != 1, case_id=str(n)) for n, kind in enumerate(KINDS)]
    cases[2] = replace(cases[2], labels=np.zeros(grid(KINDS[2]).shape, np.uint8))
    return write_cases(root, cases)


def open_store(root: Path) -> Store:
    """The store that :func:`write_tiny_store` wrote into ``root``."""
    names = sorted(path.name for path in (root / "cases").iterdir())
    return root, [entry_of(root, CaseFiles(CaseIdentity(name, name), {})) for name in names]


def write_certain_teachers(folder: Path, store: Store) -> Path:
    """The probabilities of teachers who say what the labels say; returns ``folder``."""
    for entry in store[1]:
        labels = read_case(store[0], entry.case_id).labels
        assert labels is not None
        masks = encode_target(labels, OutputConfig(kind="regions", convention="brats2021"))
        write_soft(folder, entry.case_id, masks.astype(np.float32))
    return folder


def add_distances(store: Store) -> Store:
    """Write the signed distances of every case and region; returns ``store``."""
    for entry in store[1]:
        case = read_case(store[0], entry.case_id)
        labels = np.asarray(case.labels)
        maps = {region: signed_distances(region_mask(labels, region), case.record.spacing) for region in Region}
        write_distances(store[0], entry.case_id, maps)
    return store
