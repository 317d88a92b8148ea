"""Patches from the store: a pure function of seed and number, whichever process reads them."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gliamap.case import CaseFiles, CaseIdentity
from gliamap.config import AugmentConfig, OutputConfig, PrepConfig, TrainConfig
from gliamap.io.store import StoreEntry, entry_of, read_case, write_case
from gliamap.labels import Region, Tissue
from gliamap.prep.pipeline import prepare
from gliamap.sampling.dataset import PatchDataset, batches, encode_target
from make import KINDS, MODALITIES, case, grid

REGIONS = OutputConfig(kind="regions", convention="brats2021")
CLASSES = OutputConfig(kind="classes", convention="brats2021")
OFF = AugmentConfig(flip=False, affine=0, intensity=0, gamma=0, noise=0, bias=0)
CONFIG = TrainConfig(patch=(8, 12, 4), batch=2, steps=6, workers=0, seed=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[StoreEntry]]:
    """A store of three cases: with all regions, without enhancement, without tumour."""
    root = tmp_path_factory.mktemp("store")
    cases = [case(kind, seed=n, enhancing=n != 1, case_id=str(n)) for n, kind in enumerate(KINDS)]
    cases[2] = replace(cases[2], labels=np.zeros(grid(KINDS[2]).shape, np.uint8))
    entries = []
    for one in cases:
        prepared = prepare(one, PrepConfig(modalities=MODALITIES))
        write_case(root, prepared, origin={}, convention="brats2021")
        entries.append(entry_of(root, CaseFiles(CaseIdentity(one.case_id, one.case_id), {})))
    return root, entries


def dataset(store: tuple[Path, list[StoreEntry]], output: OutputConfig = REGIONS, **changes: object) -> PatchDataset:
    return PatchDataset(*store, CONFIG.model_copy(update=changes), output)


def test_encode_target_by_eye() -> None:
    tissues = np.array([[[0, Tissue.ED, Tissue.NCR, Tissue.ET]]], np.uint8)
    assert encode_target(tissues, REGIONS)[:, 0, 0].tolist() == [[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]]
    assert encode_target(tissues, CLASSES)[:, 0, 0].tolist() == [
        [1, 0, 0, 0],
        [0, 0, 1, 0],
        [0, 1, 0, 0],
        [0, 0, 0, 1],
    ]
    assert encode_target(tissues, REGIONS).dtype == np.uint8


@pytest.mark.parametrize(("output", "channels"), [(REGIONS, 3), (CLASSES, 4)])
def test_shapes_and_types(store: tuple[Path, list[StoreEntry]], output: OutputConfig, channels: int) -> None:
    image, target = dataset(store, output)[0]
    assert image.shape == (4, 8, 12, 4)
    assert image.dtype == torch.float32
    assert target.shape == (channels, 8, 12, 4)
    assert target.dtype == torch.uint8
    assert set(target.unique().tolist()) <= {0, 1}


def test_a_patch_depends_on_seed_and_number_alone(store: tuple[Path, list[StoreEntry]]) -> None:
    one, fresh, other = dataset(store), dataset(store), dataset(store, seed=4)
    for number in (7, 0, 3):
        for a, b in zip(one[number], fresh[number], strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(one[0][0], one[1][0])
    assert not torch.equal(one[0][0], other[0][0])


def test_workers_and_resuming_change_no_batch(store: tuple[Path, list[StoreEntry]]) -> None:
    expected = list(batches(dataset(store), CONFIG, first_step=0, dims=3))
    assert len(expected) == CONFIG.steps
    parallel = CONFIG.model_copy(update={"workers": 2})
    for first, config in ((0, parallel), (4, CONFIG), (4, parallel)):
        found = list(batches(dataset(store), config, first_step=first, dims=3))
        assert len(found) == CONFIG.steps - first
        for a, b in zip(found, expected[first:], strict=True):
            assert torch.equal(a.image, b.image)
            assert torch.equal(a.target, b.target)


def test_a_batch_is_the_patches_in_order(store: tuple[Path, list[StoreEntry]]) -> None:
    patches = dataset(store)
    (batch,) = batches(patches, CONFIG, first_step=5, dims=3)
    assert batch.image.shape == (2, 4, 8, 12, 4)
    for k in range(2):
        assert torch.equal(batch.image[k], patches[10 + k][0])
        assert torch.equal(batch.target[k], patches[10 + k][1])


def test_slices_lose_their_third_axis(store: tuple[Path, list[StoreEntry]]) -> None:
    config = CONFIG.model_copy(update={"patch": (8, 8, 1)})
    (batch,) = batches(dataset(store, patch=(8, 8, 1)), config, first_step=5, dims=2)
    assert batch.image.shape == (2, 4, 8, 8)
    assert batch.target.shape == (2, 3, 8, 8)


@pytest.mark.parametrize("patch", [(8, 12, 4), (6, 6, 1), (2, 2, 2), (32, 32, 32)])
def test_foreground_patches_hold_a_region_of_a_case_that_has_it(
    store: tuple[Path, list[StoreEntry]], patch: tuple[int, int, int]
) -> None:
    patches = dataset(store, foreground_share=1.0, augment=OFF, patch=patch)
    enhancing = 0
    for number in range(60):
        target = patches[number][1]
        assert target[0].any()  # whole tumour, whichever region was aimed at
        enhancing += bool(target[list(Region).index(Region.ET)].any())
    assert enhancing >= 15  # a third of the patches aim at it, though one case of three has it


def test_patches_are_cut_from_the_stored_case_with_its_labels(store: tuple[Path, list[StoreEntry]]) -> None:
    patches = dataset(store, augment=OFF, patch=(32, 32, 32))  # larger than any case: each patch holds a whole one
    seen = set()
    for number in range(20):
        image, target = patches[number]
        counts = tuple(int(channel.sum()) for channel in target)
        (match,) = [e for e in store[1] if tuple(e.voxels[r] for r in Region) == counts]
        seen.add(match.case_id)
        stored = read_case(store[0], match.case_id)
        assert float(image.abs().sum()) == pytest.approx(float(np.abs(stored.image.astype(np.float64)).sum()), rel=1e-5)
        if target[0].any():  # the tumour is bright on FLAIR: labels lie where the image says
            flair = image[3]
            assert flair[target[0].bool()].mean() > flair[(flair != 0) & ~target[0].bool()].mean() + 1
    assert seen == {"0", "1", "2"}


def test_the_dataset_travels_to_worker_processes_that_start_afresh(store: tuple[Path, list[StoreEntry]]) -> None:
    copy = pickle.loads(pickle.dumps(dataset(store)))  # noqa: S301 (its own bytes)
    assert torch.equal(copy[2][0], dataset(store)[2][0])


def test_batches_work_with_worker_processes_that_start_afresh(
    store: tuple[Path, list[StoreEntry]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def loader(data: PatchDataset, **settings: object) -> list[object]:
        seen.update(settings)
        return []

    monkeypatch.setattr("gliamap.sampling.dataset.DataLoader", loader)
    assert list(batches(dataset(store), CONFIG, first_step=0, dims=2)) == []
    pickle.dumps(seen["collate_fn"])  # a function inside a function could not be sent
