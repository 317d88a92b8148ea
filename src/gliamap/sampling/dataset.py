"""Training patches read from the store on demand.

Patch number i is a pure function of (seed, i): resuming a run needs the number of the next patch and no other state,
and any number of workers and processes gives the same patches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from gliamap.boxes import Box, read_padded
from gliamap.case import PreparedCase
from gliamap.config import ModelSpec, OutputConfig, TrainConfig
from gliamap.inputs import cut_channels, mirrored, with_presence
from gliamap.io.pages import announce
from gliamap.io.store import StoreEntry, read_case
from gliamap.labels import LabelMap, encode_classes, encode_regions
from gliamap.sampling.augment import Augmentation, apply_augmentation, draw_augmentation, move_distances
from gliamap.sampling.choose import Want, choose_box, choose_case, group_cases
from gliamap.sampling.drawing import PatchOrder
from gliamap.sampling.extras import Extras, lesion_weights, read_distances, read_soft


@dataclass(frozen=True, eq=False)
class Patch:
    """One training patch: ``image`` ``(C, X, Y, Z)`` float32 and ``target`` ``(R, X, Y, Z)`` uint8 masks.

    Shaped like the masks, float32, where asked for (:mod:`gliamap.sampling.extras`): ``soft``, the teachers'
    probabilities; ``distances``, signed, to each region's surface; ``weights`` of voxels.
    """

    image: Tensor
    target: Tensor
    soft: Tensor | None = None
    distances: Tensor | None = None
    weights: Tensor | None = None


class PatchDataset(Dataset[Patch]):
    """Endless training patches of the given cases; holds names and counts, never voxels.

    Case and box are chosen freely (:mod:`gliamap.sampling.choose`), or drawn from a patch table in the ``order`` given.
    ``extras`` says what they come with beside their masks, distances only where the output is of regions; and of which
    other cases there are patches, too.
    """

    def __init__(
        self,
        store: Path,
        entries: Sequence[StoreEntry],
        config: TrainConfig,
        spec: ModelSpec,
        extras: Extras = Extras(),  # noqa: B008 (frozen)
        order: PatchOrder | None = None,
    ) -> None:
        self._store = store
        self._groups = _groups(entries, config)
        self._auxiliary_groups = _groups(extras.auxiliary.entries, config) if extras.auxiliary else {}
        self._config = config
        self._inputs = spec.inputs
        self._modalities = len(spec.prep.modalities)
        self._output = spec.output
        self._extras = extras
        self._order = order

    def __getitem__(self, index: int) -> Patch:
        """Patch number ``index``."""
        config = self._config
        rng = np.random.default_rng((config.seed, index))
        other = self._extras.auxiliary
        if other and rng.random() >= other.share:
            other = None
        case, box = self._cut_freely(rng, other.store, self._auxiliary_groups) if other else self._cut(rng, index)
        assert case.labels is not None
        self._announce(case.image, box)
        announce(case.labels, box)
        channels = cut_channels(case.image, box, self._inputs)
        image = torch.from_numpy(other.lay_out(channels, len(case.image)) if other else channels)
        labels = torch.from_numpy(read_padded(case.labels, box))
        drawn = draw_augmentation(rng, config.augment, self._modalities, config.patch)
        soft = read_soft(self._extras.soft, case.case_id, box) if self._extras.soft else None
        image, labels, soft = apply_augmentation(image, labels, drawn, soft)
        there = other.there if other else (True,) * self._modalities
        present = draw_present(rng, there, config.modality_dropout)
        shown = torch.from_numpy(with_presence(image.numpy(), present, self._inputs))
        target = encode_target(labels.numpy(), self._output)
        store = other.store if other else self._store
        distances = self._distances(store, case.case_id, box, drawn) if self._extras.distances else None
        return Patch(shown, torch.from_numpy(target), soft, distances, self._weights(target))

    def _cut(self, rng: np.random.Generator, number: int) -> tuple[PreparedCase, Box]:
        """The case and the box that a patch is cut from."""
        if self._order is not None:
            case_id, box = self._order.draw(rng, number)
            return read_case(self._store, case_id), box
        return self._cut_freely(rng, self._store, self._groups)

    def _cut_freely(
        self, rng: np.random.Generator, store: Path, groups: Mapping[Want, Sequence[str]]
    ) -> tuple[PreparedCase, Box]:
        case_id, want = choose_case(rng, groups, self._config.foreground_share)
        case = read_case(store, case_id)
        return case, choose_box(rng, case.record.shape, self._config.patch, case.index, want)

    def _announce(self, image: NDArray[np.floating], box: Box) -> None:
        announce(image, box)
        if self._inputs.mirror:
            announce(image, mirrored(box, image.shape[1]))

    def _distances(self, store: Path, case_id: str, box: Box, drawn: Augmentation) -> Tensor:
        return move_distances(read_distances(store, case_id, self._output.regions, box), drawn)

    def _weights(self, target: LabelMap) -> Tensor | None:
        if not self._extras.weights:
            return None
        return torch.from_numpy(lesion_weights(target, first=int(self._output.kind == "classes")))


def _groups(entries: Sequence[StoreEntry], config: TrainConfig) -> dict[Want, list[str]]:
    return group_cases({entry.case_id: entry.voxels for entry in entries}, config.balance)


def draw_present(rng: np.random.Generator, there: Sequence[bool], dropout: float) -> tuple[bool, ...] | None:
    """Which modalities a patch keeps of those that are ``there``.

    With probability ``dropout`` some but not all are lost, each subset as likely. ``None`` where all that a network is
    shown are kept.
    """
    count = sum(there)
    if dropout == 0 or count == 1 or rng.random() >= dropout:
        return None if all(there) else tuple(there)
    kept = int(rng.integers(1, 2**count - 1))
    bits = iter(range(count))
    return tuple(has and bool(kept >> next(bits) & 1) for has in there)


def encode_target(labels: LabelMap, output: OutputConfig) -> LabelMap:
    """The masks ``(R, *space)`` uint8 that a network with this output should give for ``labels``."""
    if output.kind == "regions":
        return encode_regions(labels, output.regions).view(np.uint8)
    return encode_classes(labels, output.tissues).view(np.uint8)
