"""Which case of a data set goes where in another people's layout, and with which labels. Writes nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from gliamap.case import CaseFiles, DataSet
from gliamap.config import Settings
from gliamap.errors import ConfigError, GliamapError
from gliamap.io.cases import read_grid
from gliamap.labels import Convention, get_convention
from gliamap.sources.layout import summarise
from gliamap.sources.modalities import in_canonical_order
from gliamap.sources.splits import Split, read_split
from gliamap.workflows.data.export_layouts import EXPORT_LAYOUTS, ExportLayout, Part, Place

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class ExportOptions(Settings):
    """How to export.

    ``pattern`` and ``labels`` say what the folder does not tell. ``lossy``: a tissue that the layout's convention lacks
    becomes the next wider one. ``split``: a split file; its test part becomes that of the layout. ``name`` and ``id``:
    of the data set, for nnU-Net's folder ``Dataset500_Name``. ``overwrite``: export again with other settings.
    """

    pattern: str | None = None
    labels: str | None = None
    lossy: bool = False
    split: Path | None = None
    name: str | None = None
    id: int = Field(default=500, ge=1, le=999)
    overwrite: bool = False


@dataclass(frozen=True)
class Plan:
    """The whole export: where it goes, and each case with its place."""

    root: Path
    layout: ExportLayout
    convention: Convention
    cases: tuple[tuple[CaseFiles, Place], ...]
    name: str
    split: Split | None

    def files(self, files: CaseFiles, place: Place) -> tuple[Path, ...]:
        """All files of a case."""
        images = tuple(dict.fromkeys(self.layout.images(place).values()))
        mask = (self.layout.mask(place),) if files.labels is not None else ()
        return tuple(self.root / path for path in (*images, *mask))


def plan_export(data: DataSet, out: Path, to: str, options: ExportOptions) -> tuple[Plan, tuple[str, ...]]:
    """What goes where, and remarks on cases that are left out.

    ``ConfigError`` where there is no layout ``to``, or it has no place for 2D images or the parts of a split, or the
    split does not fit the cases.
    """
    layout = _layout(to)
    slices = _are_slices(data)
    if slices and not layout.slices:
        takes = ", ".join(other.name for other in EXPORT_LAYOUTS.values() if other.slices)
        raise ConfigError(f"the layout {to} has no place for 2D images", remedy=f"export them --to {takes}")
    if options.split is not None and layout.describe is None:
        raise ConfigError(f"the layout {to} has no parts", remedy="leave --split out")
    split = read_split(options.split) if options.split else None
    part_of = _parts(data, split)
    chosen = [files for files in data.cases if files.case_id in part_of]
    if not chosen:
        raise ConfigError("no case is left to export", remedy="check the parts of the split")
    modalities = layout.modalities or _usual(chosen)
    ending = ".png" if slices else ".nii.gz"
    cases = tuple((files, Place(files.case_id, part_of[files.case_id], modalities, ending)) for files in chosen)
    name = _name(data, options)
    left = len(data.cases) - len(chosen)
    notes = (f"{left} cases are in no part of the split and were left out",) if left else ()
    root = out if to != "nnunet" else out / f"Dataset{options.id:03d}_{name}"
    return Plan(root, layout, _target(chosen, layout), cases, name, split), notes


def _layout(name: str) -> ExportLayout:
    if name not in EXPORT_LAYOUTS:
        raise ConfigError(f"there is no layout called '{name}'", expected="one of " + ", ".join(EXPORT_LAYOUTS))
    return EXPORT_LAYOUTS[name]


def _are_slices(data: DataSet) -> bool:
    """Whether the first case whose image can be read is a 2D image; the others are checked one by one."""
    for files in data.cases:
        try:
            return read_grid(next(iter(files.modalities.values()))).unit == "px"
        except (GliamapError, StopIteration):
            continue
    return False


def _parts(data: DataSet, split: Split | None) -> dict[str, Part]:
    """Case id to part; cases without a mask are for testing. Cases in no part of the split are missing."""
    if split is None:
        return {files.case_id: "Ts" if files.labels is None else "Tr" for files in data.cases}
    training: Part = "Tr"
    testing: Part = "Ts"
    parts = dict.fromkeys((*split.train, *split.val), training) | dict.fromkeys(split.test, testing)
    present = {files.case_id: files for files in data.cases}
    missing = [case_id for case_id in parts if case_id not in present]
    if missing:
        raise ConfigError(
            f"{data.root} lacks {len(missing)} cases of the split",
            found=summarise(missing),
            remedy="name the data set that was split",
        )
    bare = [case_id for case_id, part in parts.items() if part == "Tr" and present[case_id].labels is None]
    if bare:
        raise ConfigError(f"{len(bare)} cases of the split are for training and have no mask", found=summarise(bare))
    return parts


def _usual(cases: Sequence[CaseFiles]) -> tuple[str, ...]:
    """The modalities that most cases have, in the canonical order: one odd case must not rule the others."""
    ((usual, _),) = Counter(tuple(in_canonical_order(files.modalities)) for files in cases).most_common(1)
    return usual


def _target(cases: Sequence[CaseFiles], layout: ExportLayout) -> Convention:
    """The layout's first convention that holds every tissue; its first where none does, and then cases may fail."""
    names = {files.conventions[0] for files in cases if files.labels is not None and files.conventions}
    tissues = {tissue for name in names for tissue in get_convention(name).tissues}
    fitting = (name for name in layout.conventions if tissues <= set(get_convention(name).tissues))
    return get_convention(next(fitting, layout.conventions[0]))


def _name(data: DataSet, options: ExportOptions) -> str:
    if options.name is not None:
        if not _NAME.fullmatch(options.name):
            raise ConfigError(
                f"'{options.name}' is no name for a data set",
                expected="letters, digits, - and _",
                remedy="change --name",
            )
        return options.name
    words = re.findall(r"[A-Za-z0-9]+", data.root.resolve().name.split(".")[0])
    return "".join(words) or "gliamap"
