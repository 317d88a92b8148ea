"""From native voxels to a network's voxels and back: the one way, for training and inference alike."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import bounding_box, whole
from gliamap.case import Case, GridRecord, PreparedCase
from gliamap.config import PrepConfig
from gliamap.errors import LayoutError
from gliamap.prep.steps import (
    clip_tails,
    foreground_mask,
    reorient,
    resample,
    resample_labels,
    resampled_shape,
    undo_crop,
    undo_reorient,
    zscore,
)
from gliamap.prep.tumour_index import build_tumour_index
from gliamap.volume import ras_order

T = TypeVar("T", bound=np.generic)


def prepare(case: Case, config: PrepConfig, *, may_be_missing: Collection[str] = ()) -> PreparedCase:
    """Reorient to RAS+, crop to the foreground, resample where asked, normalise inside the foreground.

    A modality of ``may_be_missing`` that the case lacks, or of which its image is blank, becomes a channel of zeros and
    is not ``present``; where all are blank, those that have an image count as present. ``LayoutError`` where the case
    lacks another one of the configured modalities, or all of them. The tumour index is built where the case
    has labels, with a generator seeded by the case id, so that it does not depend on the order of cases.
    """
    _check_modalities(case, config, may_be_missing)
    channels, record = _onto_grid(case, config)
    mask = foreground_mask(list(channels.values()), config.foreground)
    if record.resampled:
        mask = resample(mask[None].astype(np.float32), record.shape)[0] >= 0.5
    # C order, whatever the order in memory of the files
    image = np.zeros((len(config.modalities), *record.shape), np.float32)
    for target, modality in zip(image, config.modalities, strict=True):
        if modality in channels:
            target[...] = resample(channels[modality][None], record.shape)[0]
    if config.normalise == "robust":
        image = clip_tails(image, mask)
    image = zscore(image, mask, zero_outside=config.foreground == "brain")
    labels, index = None, None
    if case.labels is not None:
        cropped = reorient(case.labels, record.axes, record.flips)[record.crop.slices]
        labels = np.ascontiguousarray(resample_labels(cropped, record.shape))
        rng = np.random.default_rng(zlib.crc32(case.case_id.encode()))
        index = build_tumour_index(labels, record.voxel_size, rng)
    present = _present(case, config, image, may_be_missing)
    return PreparedCase(case.case_id, case.patient_id, image, record, labels, index, present)


def restore(probabilities: NDArray[np.floating], record: GridRecord) -> NDArray[np.float32]:
    """Bring ``(R, *prepared shape)`` probabilities back to ``(R, *native shape)``: zero outside the crop."""
    return to_native(to_crop(probabilities, record), record)


def to_crop(probabilities: NDArray[np.floating], record: GridRecord) -> NDArray[np.float32]:
    """The first half of :func:`restore`: ``(R, *prepared shape)`` at the native spacing, ``(R, *crop shape)`` in RAS+.

    The array itself where nothing was resampled (and it is float32).
    """
    return resample(probabilities.astype(np.float32, copy=False), record.crop.shape)


def to_native(array: NDArray[T], record: GridRecord) -> NDArray[T]:
    """The second half: ``(..., *crop shape)`` of any kind put back into the native grid, zero outside the crop.

    No value changes, so that labels can go this way as well as probabilities. Where the crop is the whole grid, a view.
    """
    x, y, z = (record.native.shape[a] for a in record.axes)
    return undo_reorient(undo_crop(array, record.crop, (x, y, z)), record.axes, record.flips)


def _check_modalities(case: Case, config: PrepConfig, may_be_missing: Collection[str]) -> None:
    missing = [m for m in config.modalities if m not in case.modalities]
    needed = [m for m in missing if m not in may_be_missing]
    if needed or len(missing) == len(config.modalities):
        raise LayoutError(
            f"case {case.case_id} lacks {', '.join(needed or missing)}",
            found=", ".join(case.modalities),
            expected=("" if needed else "at least one of ") + ", ".join(config.modalities),
            remedy="add the missing files, or use a model that does not need them",
        )


def _present(
    case: Case, config: PrepConfig, image: NDArray[np.float32], may_be_missing: Collection[str]
) -> tuple[bool, ...]:
    """Which channels of the prepared ``image`` show a modality."""
    there = tuple(m in case.modalities for m in config.modalities)
    seen = tuple(
        has and (m not in may_be_missing or bool(channel.any()))
        for m, has, channel in zip(config.modalities, there, image, strict=True)
    )
    return seen if any(seen) else there


def _onto_grid(case: Case, config: PrepConfig) -> tuple[dict[str, NDArray[np.float32]], GridRecord]:
    """The wanted modalities that the case has, in RAS+ and cropped (views), and how they get to the prepared grid."""
    axes, flips = ras_order(case.grid.affine)
    turned = reorient(case.image, axes, flips)
    shape = (turned.shape[1], turned.shape[2], turned.shape[3])
    there = {m: turned[case.modalities.index(m)] for m in config.modalities if m in case.modalities}
    foreground = bounding_box(foreground_mask(list(there.values()), config.foreground))
    crop = foreground.grow(config.crop_margin, shape) if foreground else whole(shape)
    channels = {m: channel[crop.slices] for m, channel in there.items()}
    native = case.grid.spacing
    spacing = (native[axes[0]], native[axes[1]], native[axes[2]])
    wanted = config.spacing_of(spacing, case.grid.unit)
    if wanted == spacing:
        return channels, GridRecord(case.grid, axes, flips, crop, crop.shape, spacing)
    new_shape = resampled_shape(crop.shape, spacing, wanted)
    x, y, z = (s * n / m for s, n, m in zip(spacing, crop.shape, new_shape, strict=True))
    return channels, GridRecord(case.grid, axes, flips, crop, new_shape, (x, y, z))
