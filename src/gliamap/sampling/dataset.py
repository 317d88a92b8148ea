"""Training patches read from the store on demand, and batches of them.

Patch number i is a pure function of (seed, i): resuming a run needs the number of the next patch and no other state,
and any number of workers gives the same patches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gliamap.boxes import read_padded
from gliamap.config import AugmentConfig, OutputConfig, TrainConfig
from gliamap.io.store import StoreEntry, read_case
from gliamap.labels import LabelMap, encode_classes, encode_regions
from gliamap.sampling.augment import apply_augmentation, draw_augmentation
from gliamap.sampling.choose import choose_box, choose_case, group_by_region


@dataclass(frozen=True, eq=False)
class Batch:
    """``image`` ``(B, C, *space)`` float32 and ``target`` ``(B, R, *space)`` uint8 masks; space is X, Y in 2D."""

    image: Tensor
    target: Tensor


class PatchDataset(Dataset[tuple[Tensor, Tensor]]):
    """Endless training patches of the given cases; holds names and counts, never voxels."""

    def __init__(self, store: Path, entries: Sequence[StoreEntry], config: TrainConfig, output: OutputConfig) -> None:
        self._store = store
        self._groups = group_by_region({e.case_id: e.voxels for e in entries})
        self._config = config
        self._output = output

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Patch number ``index``: image ``(C, X, Y, Z)`` float32, target ``(R, X, Y, Z)`` uint8."""
        config = self._config
        rng = np.random.default_rng((config.seed, index))
        case_id, region = choose_case(rng, self._groups, config.foreground_share)
        case = read_case(self._store, case_id)
        assert case.labels is not None
        box = choose_box(rng, case.record.shape, config.patch, case.index, region)
        image = torch.from_numpy(read_padded(case.image, box).astype(np.float32))
        labels = torch.from_numpy(read_padded(case.labels, box))
        image, labels = _augmented(rng, image, labels, config.augment)
        return image, torch.from_numpy(encode_target(labels.numpy(), self._output))


def encode_target(labels: LabelMap, output: OutputConfig) -> LabelMap:
    """The masks ``(R, *space)`` uint8 that a network with this output should give for ``labels``."""
    if output.kind == "regions":
        return encode_regions(labels, output.regions).view(np.uint8)
    return encode_classes(labels, output.tissues).view(np.uint8)


def _augmented(rng: np.random.Generator, image: Tensor, labels: Tensor, config: AugmentConfig) -> tuple[Tensor, Tensor]:
    x, y, z = image.shape[1:]
    return apply_augmentation(image, labels, draw_augmentation(rng, config, image.shape[0], (x, y, z)))


def batches(dataset: PatchDataset, config: TrainConfig, *, first_step: int, dims: int) -> Iterator[Batch]:
    """The batches of steps ``first_step`` to the end of training, loaded ahead by ``config.workers`` processes."""
    loader = DataLoader(
        dataset,
        batch_size=config.batch,
        sampler=range(first_step * config.batch, config.steps * config.batch),
        num_workers=config.workers,
        collate_fn=partial(_collate, flat=dims == 2),
        prefetch_factor=4 if config.workers else None,
    )
    yield from loader


def _collate(items: list[tuple[Tensor, Tensor]], *, flat: bool) -> Batch:
    image = torch.stack([item[0] for item in items])
    target = torch.stack([item[1] for item in items])
    return Batch(image[..., 0], target[..., 0]) if flat else Batch(image, target)
