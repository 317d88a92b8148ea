"""Divide the cases of a data set or a store: hold-out or cross-validation, by patient, alike in tumours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gliamap.case import CaseIdentity
from gliamap.config import Settings
from gliamap.errors import ConfigError, LayoutError, OutputError
from gliamap.io.cases import read_mask_file
from gliamap.io.store import read_store
from gliamap.labels import Region, get_convention, region_mask, to_tissue
from gliamap.sources.detect import scan
from gliamap.sources.splits import Split, SplitOptions, divided_patients, make_folds, make_split, write_split
from gliamap.sources.strata import TumourSize, sizes_in_store
from gliamap.workflows.common.conventions import settle_convention


class DivideOptions(Settings):
    """How to divide. ``folds``: cross-validation with so many; else one hold-out split.

    ``labels`` and ``pattern`` say what the folder does not tell; a store knows both.
    """

    split: SplitOptions = SplitOptions()
    folds: int | None = None
    labels: str | None = None
    pattern: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class PartSummary:
    """One part of a split: cases, patients, the median tumour size and the share of cases with enhancing tumour."""

    cases: int
    patients: int
    median_size: float | None
    enhancing_share: float | None


@dataclass(frozen=True)
class Divided:
    """The files written and, for each, its split and a summary a part. ``notes`` are remarks for the user."""

    files: tuple[Path, ...]
    splits: tuple[Split, ...]
    parts: tuple[dict[str, PartSummary], ...]
    size_unit: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    identities: tuple[CaseIdentity, ...]
    sizes: dict[str, TumourSize]
    size_unit: str
    patients_known: bool
    notes: tuple[str, ...]


def divide(
    source: Path,
    out: Path,
    *,
    options: DivideOptions | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Divided:
    """Divide the labelled cases of ``source`` (a store, or a data set) and write the split, or one a fold, as JSON.

    A hold-out split is written to the file ``out``, folds to ``out/fold0.json`` and so on; ``gliamap train --split``
    takes either. Parts are by patient and alike in tumour size and enhancement, for which the masks of a data set are
    read once. With ``options.split.unit`` ``case`` patients are torn apart, and notes say how many.

    ``OutputError`` where a split is there already (unless ``overwrite``), ``LayoutError`` where ``source`` has no
    labelled case, ``ConfigError`` where the folds asked for cannot be.
    """
    options = options or DivideOptions()
    files = [out] if options.folds is None else [out / f"fold{number}.json" for number in range(options.folds)]
    _check_free(files, overwrite=options.overwrite)
    found = _from_store(source) if (source / "store.json").is_file() else _from_data(source, options, progress)
    how = options.split.model_copy(update={"patients_known": found.patients_known})
    if options.folds is None:
        splits: tuple[Split, ...] = (make_split(found.identities, how, found.sizes),)
    else:
        splits = make_folds(found.identities, how, options.folds, found.sizes)
    for path, split in zip(files, splits, strict=True):
        write_split(path, split)
    torn = len(divided_patients(splits[0], found.identities))
    notes = list(found.notes)
    if torn:
        notes.append(f"{torn} patients are in more than one part: gliamap train refuses this without --leaky")
    if not found.patients_known:
        notes.append("patients are not known: neighbours in file order are kept together instead")
    parts = tuple(_summaries(split, found) for split in splits)
    return Divided(tuple(files), splits, parts, found.size_unit, tuple(notes))


def _check_free(files: Sequence[Path], *, overwrite: bool) -> None:
    there = [path for path in files if path.exists()]
    if any(path.is_dir() for path in there):
        raise OutputError(f"{there[0]} is a folder", expected="a file, new or existing", remedy="choose another --out")
    if there and not overwrite:
        raise OutputError(f"{there[0]} is there already", remedy="choose another --out, or say --overwrite")


def _from_store(store: Path) -> _Source:
    info = read_store(store)
    identities = tuple(entry.identity for entry in info.cases)
    return _Source(identities, sizes_in_store(info), "voxels", info.patients_known, ())


def _from_data(source: Path, options: DivideOptions, progress: Callable[[int, int, str], None] | None) -> _Source:
    data = scan(source, options.pattern)
    settled = settle_convention(data, options.labels, progress=progress)
    cases = [files for files in settled.apply(data).cases if files.labels is not None]
    if not cases:
        raise LayoutError(
            f"{source} holds no case with labels", found=f"{len(data.cases)} cases", expected="masks to divide by"
        )
    sizes, units = {}, set()
    for number, files in enumerate(cases):
        if progress:
            progress(number, len(cases), files.case_id)
        assert files.labels is not None
        values, grid = read_mask_file(files.labels)
        tissues = to_tissue(values, get_convention(files.conventions[0]))
        wt, et = (int(np.count_nonzero(region_mask(tissues, region))) for region in (Region.WT, Region.ET))
        sizes[files.case_id] = TumourSize(wt * grid.voxel_size, et > 0)
        units.add(grid.unit)
    if len(units) > 1:
        raise ConfigError(f"{source} mixes volumes and slices", remedy="divide them apart")
    unit = "mL" if units == {"mm"} else "pixels"
    return _Source(tuple(files.identity for files in cases), sizes, unit, data.patients_known, data.notes)


def _summaries(split: Split, found: _Source) -> dict[str, PartSummary]:
    patient_of = {identity.case_id: identity.patient_id for identity in found.identities}
    summaries = {name: _summary(getattr(split, name), patient_of, found.sizes) for name in ("train", "val", "test")}
    if not any(size.enhancing for size in found.sizes.values()):  # a convention without ET has no share of it
        return {name: replace(summary, enhancing_share=None) for name, summary in summaries.items()}
    return summaries


def _summary(case_ids: Sequence[str], patient_of: dict[str, str], sizes: dict[str, TumourSize]) -> PartSummary:
    own = [sizes[case_id] for case_id in case_ids]
    return PartSummary(
        cases=len(case_ids),
        patients=len({patient_of[case_id] for case_id in case_ids}),
        median_size=float(np.median([s.size for s in own])) if own else None,
        enhancing_share=sum(s.enhancing for s in own) / len(own) if own else None,
    )
