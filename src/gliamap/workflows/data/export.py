"""A data set in another people's layout: the verb ``gliamap export-dataset`` as a function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from gliamap.case import Case, CaseFiles, DataSet
from gliamap.errors import GridError, OutputError
from gliamap.io.archive import origin_of
from gliamap.io.atomic import atomic_files, read_json, write_json
from gliamap.io.cases import read_case, write_mask
from gliamap.io.verbatim import copy_volumes, stack_volumes, write_slice
from gliamap.labels import Tissue, from_tissue, get_convention, merges, values_in
from gliamap.sources.description import DESCRIPTION
from gliamap.sources.detect import scan
from gliamap.sources.layout import summarise
from gliamap.sources.manifest import MANIFEST, write_manifest
from gliamap.workflows.common.conventions import settle_convention
from gliamap.workflows.common.failures import all_failed, check_folder, reason_of
from gliamap.workflows.data.convert import Merged
from gliamap.workflows.data.export_layouts import Contents, Place
from gliamap.workflows.data.export_plan import ExportOptions, Plan, plan_export

RECORD = "export.json"
SPLITS = "splits_final.json"


@dataclass(frozen=True)
class Exported:
    """What was made: its folder, its cases by part, how many of them were done before, what was merged, what failed."""

    root: Path
    contents: Contents
    reused: int
    merged: tuple[Merged, ...]
    failed: dict[str, str]
    notes: tuple[str, ...] = ()


def export_dataset(
    source: Path,
    out: Path,
    *,
    to: str,
    options: ExportOptions | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Exported:
    """Write the cases of ``source`` into ``out`` in the layout ``to``: ``nnunet``, ``msd``, ``brats21`` or ``brats23``.

    nnU-Net's goes into ``out/Dataset500_Name``, the others into ``out`` itself. Voxels, grids and patients
    (``manifest.csv``) are those of the source; masks get the labels of the layout. Cases without a mask, and those of
    the test part of ``options.split``, go to the layout's own test part. Complete cases are kept, so an interrupted
    call goes on where it stopped. A case that cannot be exported does not stop the others: it is listed in ``failed``.
    One alone raises its error.

    ``ConfigError`` where the layout has no place for what is asked, ``OutputError`` where ``out`` holds anything else
    or an export with other settings (unless ``overwrite``), ``LabelError`` where the labels are not told,
    ``LayoutError`` where ``source`` is not recognised or none of it can be exported.
    """
    options = options or ExportOptions()
    data = scan(source, options.pattern)
    data = settle_convention(data, options.labels, progress=progress).apply(data)
    plan, notes = plan_export(data, out, to, options)
    settings = _settings(plan, source, options)
    _check_output(plan, settings, overwrite=options.overwrite)
    made = [folder for folder in (plan.root, *plan.root.parents) if not folder.exists()]
    if not (plan.root / RECORD).is_file():
        write_json(plan.root / RECORD, settings)
    done: list[str] = []
    failed: dict[str, str] = {}
    reused, lost = 0, Counter[tuple[Tissue, Tissue]]()
    for number, (files, place) in enumerate(plan.cases):
        if progress:
            progress(number, len(plan.cases), files.case_id)
        try:
            if _is_complete(plan, files, place):
                reused += 1
            else:
                lost.update(_export_case(plan, files, place, lossy=options.lossy))
            done.append(files.case_id)
        except Exception as error:
            if len(plan.cases) == 1:
                _forget(plan, made)
                raise
            failed[files.case_id] = reason_of(error)
    if progress:
        progress(len(plan.cases), len(plan.cases), "")
    if not done:
        _forget(plan, made)
        raise all_failed(failed, "exported", "choose another layout, or say --lossy where labels do not fit")
    contents = _write_tables(plan, data, set(done))
    merged = tuple(Merged(*pair, count) for pair, count in lost.items())
    return Exported(plan.root, contents, reused, merged, failed, (*data.notes, *notes))


def _settings(plan: Plan, source: Path, options: ExportOptions) -> dict[str, Any]:
    """What must be the same for an export to go on."""
    return {
        "format": 1,
        "gliamap": version("gliamap"),
        "to": plan.layout.name,
        "source": source.resolve().name,
        "name": plan.name,
        "labels": options.labels,
        "label_convention": plan.convention.name,
        "modalities": list(plan.cases[0][1].modalities),
        "lossy": options.lossy,
        "test": [place.case_id for _, place in plan.cases if place.part == "Ts"] if plan.split else None,
    }


def _check_output(plan: Plan, settings: Mapping[str, Any], *, overwrite: bool) -> None:
    """``OutputError`` where something else is there. With ``overwrite``, what this export made before is forgotten."""
    check_folder(plan.root)
    planned = {path: files for files, place in plan.cases for path in plan.files(files, place)}
    sources = {path.resolve() for files, _ in plan.cases for path in (*files.modalities.values(), files.labels) if path}
    if sources & {path.resolve() for path in planned}:
        raise OutputError(f"{plan.root} holds the data set itself", remedy="choose a folder apart from it")
    if plan.layout.name == "nnunet":
        _check_number(plan.root)
    foreign = [path for path in _visible(plan.root) if path.parent != plan.root and path not in planned]
    if foreign:
        raise OutputError(
            f"{plan.root} holds {len(foreign)} files that do not belong to this export",
            found=summarise(str(path.relative_to(plan.root)) for path in sorted(foreign)),
            remedy="choose another folder, or remove them",
        )
    if overwrite:
        for name in (RECORD, DESCRIPTION, SPLITS, MANIFEST):
            (plan.root / name).unlink(missing_ok=True)
    elif (plan.root / RECORD).is_file():
        _check_same(plan.root, settings)
    elif _visible(plan.root):
        raise OutputError(f"{plan.root} is not empty", remedy="choose another folder, or say --overwrite")


def _visible(root: Path) -> list[Path]:
    """All files below ``root`` but hidden ones, such as those of an export that was killed."""
    files = [path for path in root.rglob("*") if path.is_file()] if root.is_dir() else []
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(root).parts)]


def _check_number(root: Path) -> None:
    number = root.name.split("_")[0]
    others = [path.name for path in root.parent.glob(f"{number}_*") if path.name != root.name]
    if others:
        raise OutputError(
            f"{root.parent} has a data set of this number already",
            found=others[0],
            remedy="choose another --id or --name",
        )


def _check_same(root: Path, settings: Mapping[str, Any]) -> None:
    before = read_json(root / RECORD)
    known = before if isinstance(before, dict) else {}
    differing = [name for name in settings if name != "gliamap" and known.get(name) != settings[name]]
    if differing:
        raise OutputError(
            f"{root} was exported with other settings",
            found=", ".join(f"{name} {known.get(name)}" for name in differing),
            expected=", ".join(f"{name} {settings[name]}" for name in differing),
            remedy="choose another folder, or say --overwrite to export again",
        )


def _forget(plan: Plan, made: Sequence[Path]) -> None:
    """Leave nothing behind where nothing could be exported; ``made`` are the folders that were not there before."""
    (plan.root / RECORD).unlink(missing_ok=True)
    for folder in made:
        with suppress(OSError):  # not empty: somebody else uses it
            folder.rmdir()


def _is_complete(plan: Plan, files: CaseFiles, place: Place) -> bool:
    """All files of the case are there, made by this export, and none is older than what it comes from.

    The record is written when an export begins, so that what is older than it is of an earlier one.
    """
    written = plan.files(files, place)
    if not all(path.is_file() for path in written):
        return False
    before = [path for path in (*files.modalities.values(), files.labels, plan.root / RECORD) if path is not None]
    return max(origin_of(path)[1] for path in before) <= min(path.stat().st_mtime_ns for path in written)


def _export_case(plan: Plan, files: CaseFiles, place: Place, *, lossy: bool) -> list[tuple[Tissue, Tissue]]:
    """Write one case, all of it or nothing; the merges that it took."""
    for path in plan.files(files, place):  # what an earlier export left of it must not outlive a failure
        path.unlink(missing_ok=True)
    case = read_case(files, modalities=place.modalities)  # also finds damage, other grids, unknown labels
    if (case.grid.unit == "px") != (place.ending == ".png"):
        raise GridError(f"case {case.case_id} is not like the others", found="volumes and 2D images in one data set")
    with atomic_files(plan.root) as folder:
        _write_images(plan.layout.images(place), case, files, folder)
        if case.labels is None or files.labels is None or case.convention is None:
            return []
        values = from_tissue(case.labels, plan.convention, lossy=lossy)
        write_mask(folder / plan.layout.mask(place), values, files.labels)
    present = set(values_in(case.labels))
    return [pair for pair in merges(get_convention(case.convention), plan.convention) if pair[0] in present]


def _write_images(names: Mapping[str, PurePosixPath], case: Case, files: CaseFiles, folder: Path) -> None:
    sources = {name: (files.modalities[name], files.channels.get(name)) for name in names}
    if case.grid.unit == "px":
        for image, name in zip(case.image, names, strict=True):
            write_slice(folder / names[name], image)
    elif len(set(names.values())) < len(names):
        stack_volumes(folder / next(iter(names.values())), list(sources.values()))
    else:
        copy_volumes({folder / names[name]: source for name, source in sources.items()})


def _write_tables(plan: Plan, data: DataSet, done: set[str]) -> Contents:
    """Write what describes the set as a whole: the cases that are there, their patients, their parts."""
    places = [place for _, place in plan.cases if place.case_id in done]
    train, test = (tuple(place.case_id for place in places if place.part == part) for part in ("Tr", "Ts"))
    first = plan.cases[0][1]
    contents = Contents(plan.name, first.modalities, plan.convention, first.ending, train, test)
    if plan.layout.describe:
        write_json(plan.root / DESCRIPTION, plan.layout.describe(contents))
    if plan.split and plan.layout.name == "nnunet":
        fold = {name: [c for c in getattr(plan.split, name) if c in done] for name in ("train", "val")}
        write_json(plan.root / SPLITS, [fold])
    kept = [files.identity for files in data.cases if files.case_id in done]
    write_manifest(plan.root, kept, patients_known=data.patients_known)
    return contents
