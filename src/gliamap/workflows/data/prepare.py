"""From data sets on disk to a store that training reads by patch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gliamap.case import CaseFiles, DataSet
from gliamap.checks.anatomy import Foreground
from gliamap.config import PrepConfig, Settings
from gliamap.errors import ConfigError, FileError, LayoutError
from gliamap.io.cases import read_case
from gliamap.io.store import (
    StoreEntry,
    StoreInfo,
    case_origin,
    entry_of,
    has_distances,
    is_complete,
    read_store,
    write_case,
    write_distances,
    write_store,
)
from gliamap.io.store import read_case as read_stored_case
from gliamap.labels import CONVENTIONS, Convention, get_convention, region_mask
from gliamap.prep.distances import signed_distances
from gliamap.prep.pipeline import prepare as prepare_case
from gliamap.sources.detect import scan
from gliamap.sources.layout import summarise
from gliamap.workflows.common.conventions import settle_convention
from gliamap.workflows.common.failures import all_failed, check_folder, plain_settings, reason_of
from gliamap.workflows.common.foreground import settle_foreground


class PrepareOptions(Settings):
    """What the user may set; ``None`` takes what the data set says.

    ``modalities``: which to use, in this order (default: those that most cases have). ``labels``: the label convention.
    ``foreground``, ``normalise``, ``spacing``, ``pixel_mm``: see :class:`gliamap.config.PrepConfig`. ``pattern``: how
    files are named where no layout fits, see :mod:`gliamap.sources.pattern`. ``overwrite``: prepare again with other
    settings or from other sources. ``distances``: make the distances to the surfaces of the convention's regions, too,
    which the boundary loss needs.
    """

    modalities: tuple[str, ...] | None = None
    labels: str | None = None
    foreground: Literal["brain", "head"] | None = None
    normalise: Literal["zscore", "robust"] = "zscore"
    spacing: tuple[float, float, float] | None = None
    pixel_mm: float | None = None
    pattern: str | None = None
    overwrite: bool = False
    distances: bool = False


@dataclass(frozen=True)
class Prepared:
    """What was made: the store's contents, how many cases were done before, and what failed and why.

    ``notes`` are remarks for the user, such as cases left out for want of a mask.
    """

    info: StoreInfo
    reused: int
    failed: dict[str, str]
    notes: tuple[str, ...] = ()


def prepare(
    sources: Sequence[Path],
    store: Path,
    *,
    options: PrepareOptions | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Prepared:
    """Prepare every labelled case of the data sets in ``sources`` into the folder ``store``.

    Cases that are already there, complete and from unchanged files, are kept, so an interrupted call goes on where
    it stopped. A case that cannot be prepared does not stop the others; it is listed in ``failed``. A single case
    that fails raises its error. ``ConfigError`` where the store was made with other settings, from other sources or
    from cases that these lack (unless ``overwrite``), ``LayoutError`` where a source is not recognised or no case can
    be prepared.
    """
    options = options or PrepareOptions()
    data_sets = [_settled(scan(source, options.pattern), options.labels, progress) for source in sources]
    cases, notes = _labelled(data_sets)
    config = _config(options, data_sets, cases)
    names = tuple(source.resolve().name for source in sources)
    _check_existing(store, config, options, names=names, case_ids={files.case_id for files in cases})
    entries: list[StoreEntry] = []
    failed: dict[str, str] = {}
    reused = 0
    for number, files in enumerate(cases):
        if progress:
            progress(number, len(cases), files.case_id)
        try:
            reused += _written(files, store, config, distances=options.distances)
            entries.append(entry_of(store, files))
        except Exception as error:
            if len(cases) == 1:
                raise
            failed[files.case_id] = reason_of(error)
    if progress:
        progress(len(cases), len(cases), "")
    if not entries:
        raise all_failed(failed, "prepared", "--modality, --labels and --foreground say what the files do not tell")
    info = StoreInfo(
        prep=config,
        convention=_shared_convention(Counter(entry.convention for entry in entries)).name,
        layouts=tuple(data.layout for data in data_sets),
        sources=names,
        patients_known=all(data.patients_known for data in data_sets),
        cases=tuple(entries),
    )
    return Prepared(write_store(store, info), reused, failed, notes)


def _written(files: CaseFiles, store: Path, config: PrepConfig, *, distances: bool) -> bool:
    """Write what the store lacks of a case; true where it lacked nothing.

    Distances come from the stored labels. A case that has some is not left without when it is prepared again.
    """
    (convention,) = files.conventions
    origin = case_origin(files, config, convention)
    regions = get_convention(convention).regions
    distances = distances or has_distances(store, files.case_id, regions)
    there = is_complete(store, files.case_id, origin)
    if not there:
        case = read_case(files, modalities=config.modalities)
        write_case(store, prepare_case(case, config), origin=origin, convention=convention)
    if not distances or has_distances(store, files.case_id, regions):
        return there
    stored = read_stored_case(store, files.case_id)
    assert stored.labels is not None
    labels, spacing = np.asarray(stored.labels), stored.record.spacing
    maps = {region: signed_distances(region_mask(labels, region), spacing) for region in regions}
    write_distances(store, files.case_id, maps)
    return False


def _settled(data: DataSet, labels: str | None, progress: Callable[[int, int, str], None] | None) -> DataSet:
    """``data`` with one label convention for each case that has a mask; ``LabelError`` where it cannot be told."""
    return settle_convention(data, labels, progress=progress).apply(data)


def _labelled(data_sets: Sequence[DataSet]) -> tuple[list[CaseFiles], tuple[str, ...]]:
    """The cases with masks, and remarks on what was passed over."""
    every = [files for data in data_sets for files in data.cases]
    cases = [files for files in every if files.labels is not None]
    if not cases:
        raise LayoutError(
            f"{', '.join(str(data.root) for data in data_sets)} holds no case with labels",
            found="; ".join([f"{len(every)} cases without", *(note for data in data_sets for note in data.notes)]),
            remedy="training needs masks; to segment scans use gliamap segment",
        )
    twice = [case_id for case_id, count in Counter(f.case_id for f in cases).items() if count > 1]
    if twice:
        raise LayoutError(f"the case {twice[0]} occurs in more than one source", remedy="name each source once")
    notes = [note for data in data_sets for note in data.notes]
    bare = [files.case_id for files in every if files.labels is None]
    if bare:
        notes.append(f"{len(bare)} cases without labels were left out: {summarise(bare)}")
    return cases, tuple(notes)


def _config(options: PrepareOptions, data_sets: Sequence[DataSet], cases: Sequence[CaseFiles]) -> PrepConfig:
    # One odd case must not rule the others, so not simply the first case's.
    ((usual, _),) = Counter(tuple(files.modalities) for files in cases).most_common(1)
    with plain_settings():
        return PrepConfig(
            modalities=options.modalities or usual,
            foreground=options.foreground or _foreground(data_sets),
            normalise=options.normalise,
            spacing=options.spacing,
            pixel_mm=options.pixel_mm,
        )


def _foreground(data_sets: Sequence[DataSet]) -> Foreground:
    found = {}
    for data in data_sets:
        foreground, why = settle_foreground(data)
        if foreground is None:
            raise ConfigError(
                f"nothing says whether {data.root} holds skull-stripped brains or whole heads",
                found=why,
                remedy="say --foreground brain or head",
            )
        found[foreground] = data.root
    if len(found) > 1:
        raise ConfigError(
            "the sources mix skull-stripped images and whole heads",
            remedy="prepare them apart, or say --foreground brain or head for all",
        )
    return next(iter(found))


def _check_existing(
    store: Path, config: PrepConfig, options: PrepareOptions, *, names: Sequence[str], case_ids: Set[str]
) -> None:
    """Notice other sources or other settings before any work.

    An interrupted store has no ``store.json`` yet; its cases tell by themselves.
    """
    check_folder(store)
    if options.overwrite:  # an interruption must not leave the old list beside new arrays
        (store / "store.json").unlink(missing_ok=True)
    if not (store / "store.json").is_file():
        return
    try:
        info = read_store(store)
    except FileError:
        return  # damaged: it is written anew, and the cases tell by themselves
    _check_same_sources(store, info, names, case_ids)
    before, now = (prep.model_dump(mode="json") for prep in (info.prep, config))
    used = {entry.convention for entry in info.cases}
    if options.labels is not None and used != {options.labels}:
        before["labels"], now["labels"] = ", ".join(sorted(used)), options.labels
    differing = [name for name in now if before.get(name) != now[name]]
    if differing:
        raise ConfigError(
            f"{store} was prepared with other settings",
            found=", ".join(f"{name} {before.get(name)}" for name in differing),
            expected=", ".join(f"{name} {now[name]}" for name in differing),
            remedy="choose another output folder, or say --overwrite to prepare again",
        )


def _check_same_sources(store: Path, info: StoreInfo, names: Sequence[str], case_ids: Set[str]) -> None:
    """``ConfigError`` where cases of the store would be lost or replaced. More cases and more sources may come."""
    remedy = "choose another output folder, or say --overwrite to replace what it lists"
    if not set(info.sources) <= set(names):
        raise ConfigError(
            f"{store} was prepared from other sources",
            found=", ".join(info.sources),
            expected=", ".join(names),
            remedy=remedy,
        )
    lost = [entry.case_id for entry in info.cases if entry.case_id not in case_ids]
    if lost:
        raise ConfigError(f"{store} holds cases that the sources now lack", found=summarise(lost), remedy=remedy)


def _shared_convention(used: Counter[str]) -> Convention:
    """The convention, among those that the cases came with, that has a label for every tissue of all of them."""
    tissues = {tissue for name in used for tissue in get_convention(name).tissues}
    for name, _ in used.most_common():
        if tissues <= set(get_convention(name).tissues):
            return CONVENTIONS[name]
    raise ConfigError(
        "the sources' label conventions do not share their labels",
        found=", ".join(used),
        remedy="prepare them apart, or convert the masks first",
    )
