"""What a data set is, told in seconds: the verb ``gliamap inspect`` as a function.

All headers are read, but the voxels of a few cases only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gliamap.boxes import Shape
from gliamap.case import CaseFiles, DataSet
from gliamap.checks.anatomy import Foreground
from gliamap.errors import GliamapError
from gliamap.io.archive import is_archive
from gliamap.io.cases import read_mask_file
from gliamap.io.facts import FileFacts, read_facts
from gliamap.labels import values_in
from gliamap.sources.detect import scan
from gliamap.volume import Unit
from gliamap.workflows.common.conventions import Settled, evenly, settle_convention
from gliamap.workflows.common.foreground import settle_foreground

SAMPLE = 3
"""Cases whose voxels are read."""

MASKS = 6
"""Masks that are read, which takes less, where the layout does not tell the label convention."""

OBLIQUE_DEGREES = 0.5
"""Grids tilted by this much are called oblique."""

_DIGITS = 3


@dataclass(frozen=True)
class GridKind:
    """Grids of one shape, spacing (mm, or px) and orientation, and in how many cases they occur.

    ``orientation`` says where the voxel axes point, ``None`` for slices; ``oblique_degrees`` is 0 for grids along the
    scanner's axes.
    """

    shape: Shape
    spacing: tuple[float, float, float]
    unit: Unit
    orientation: str | None
    oblique_degrees: float
    cases: int = 0

    def describe(self) -> str:
        """In one line."""
        shape = "x".join(map(str, self.shape))
        if self.unit == "px":
            return f"{shape[: shape.rindex('x')]} px"
        tilt = f", oblique by {self.oblique_degrees:.1f} degrees" if self.oblique_degrees else ""
        return f"{shape} voxels of {'x'.join(f'{edge:g}' for edge in self.spacing)} mm, {self.orientation}{tilt}"


@dataclass(frozen=True)
class LabelsSeen:
    """What the masks mean.

    ``conventions`` is one name where it is told, none without masks, several where cases differ; where it cannot be
    told, ``told`` is false and they are the candidates. ``values`` are those in ``masks_read`` masks, background
    excluded.
    """

    told: bool
    conventions: tuple[str, ...]
    why: str
    values: tuple[int, ...]
    masks_read: int


@dataclass(frozen=True)
class Inspection:
    """What a data set is.

    ``patients`` is ``None`` where they are not known, ``revisited`` counts those with several cases. ``modalities``
    counts the cases that have each; ``incomplete`` names what cases lack of the ``usual`` ones. ``differing`` are the
    cases whose files do not share a grid. ``planes`` counts cases by the plane of their slices, ``unknown`` for
    pictures. ``foreground`` is ``None`` where neither layout nor sampled voxels tell. ``folds`` counts cases by the
    fold that the data set gives them. ``unreadable`` says by file what is wrong with its header.
    """

    name: str
    layout: str
    cases: int
    labelled: int
    patients: int | None
    revisited: int
    usual: tuple[str, ...]
    modalities: Mapping[str, int]
    incomplete: Mapping[str, tuple[str, ...]]
    labels: LabelsSeen
    grids: tuple[GridKind, ...]
    differing: tuple[str, ...]
    planes: Mapping[str, int]
    kinds: Mapping[str, int]
    foreground: Foreground | None
    foreground_why: str
    folds: Mapping[int, int]
    in_archive: bool
    unreadable: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The fields by name, for programs."""
        return {"format": 1, **asdict(self)}


@dataclass
class _Headers:
    """What all headers say together, gathered case by case."""

    grids: Counter[GridKind] = field(default_factory=Counter)
    planes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    differing: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


def inspect(
    path: Path, *, pattern: str | None = None, progress: Callable[[int, int, str], None] | None = None
) -> Inspection:
    """What the data set, archive, case folder or image ``path`` is: names, all headers, the voxels of three cases.

    ``pattern`` says how files are named where no layout fits, see :mod:`gliamap.sources.pattern`. Files that cannot be
    read are listed and stop nothing; ``LayoutError`` where ``path`` is laid out in no known way.
    """
    data = scan(path, pattern)
    headers = _read_headers(data, progress)
    labelled = [case for case in data.cases if case.labels is not None]
    foreground, why = settle_foreground(data, SAMPLE)
    usual = usual_modalities(data.cases)
    visits = Counter(case.identity.patient_id for case in data.cases)
    missing = {case.case_id: tuple(name for name in usual if name not in case.modalities) for case in data.cases}
    folds = Counter(case.identity.fold for case in data.cases if case.identity.fold is not None)
    return Inspection(
        name=path.resolve().name,
        layout=data.layout,
        cases=len(data.cases),
        labelled=len(labelled),
        patients=len(visits) if data.patients_known else None,
        revisited=sum(count > 1 for count in visits.values()),
        usual=usual,
        modalities=dict(Counter(name for case in data.cases for name in case.modalities)),
        incomplete={case_id: names for case_id, names in missing.items() if names},
        labels=_labels(labelled, settle_convention(data, sample=SAMPLE, masks=MASKS)),
        grids=tuple(replace(kind, cases=count) for kind, count in headers.grids.most_common()),
        differing=tuple(headers.differing),
        planes=dict(headers.planes.most_common()),
        kinds=dict(headers.kinds.most_common()),
        foreground=foreground,
        foreground_why=why,
        folds=dict(sorted(folds.items())),
        in_archive=is_archive(path),
        unreadable=headers.unreadable,
        notes=data.notes,
    )


def usual_modalities(cases: Sequence[CaseFiles]) -> tuple[str, ...]:
    """The modalities that most of the cases have, in the data set's order."""
    counts = Counter(name for case in cases for name in case.modalities)
    return tuple(name for name, count in counts.items() if 2 * count > len(cases))


def _read_headers(data: DataSet, progress: Callable[[int, int, str], None] | None) -> _Headers:
    headers = _Headers()
    for number, case in enumerate(data.cases):
        if progress:
            progress(number, len(data.cases), case.case_id)
        _add(headers, case, data.root)
    return headers


def _add(headers: _Headers, case: CaseFiles, root: Path) -> None:
    """One case's headers. The mask's grid counts with the others, but the planes are those of the images."""
    read: dict[Path, FileFacts] = {}
    named = [(path, case.channels.get(name)) for name, path in case.modalities.items()]
    for path, channel in [*named, *([(case.labels, None)] if case.labels else [])]:
        if path in read:
            continue
        try:
            read[path] = read_facts(path, channel)
        except GliamapError as error:
            place = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
            what = error.what if error.found is None else f"{error.what}: {error.found}"
            headers.unreadable[str(place)] = what.replace(str(path), path.name)
    headers.kinds.update(one.kind for one in read.values())
    images = [read[path] for path in dict.fromkeys(case.modalities.values()) if path in read]
    headers.planes.update(list(dict.fromkeys(one.plane or "unknown" for one in images)))
    headers.grids.update(list(dict.fromkeys(_kind(one) for one in read.values())))
    grids = [one.grid for one in read.values()]
    if any(not grid.same_as(grids[0]) for grid in grids[1:]):
        headers.differing.append(case.case_id)


def _kind(facts: FileFacts) -> GridKind:
    x, y, z = (round(edge, _DIGITS) for edge in facts.grid.spacing)
    tilt = round(facts.obliqueness_degrees, 1)
    tilt = tilt if tilt >= OBLIQUE_DEGREES else 0.0
    return GridKind(facts.shape, (x, y, z), facts.grid.unit, facts.orientation, tilt)


def _labels(labelled: Sequence[CaseFiles], settled: Settled) -> LabelsSeen:
    values: set[int] = set()
    read = 0
    for case in evenly(labelled, SAMPLE):
        assert case.labels is not None
        try:
            values.update(values_in(read_mask_file(case.labels)[0]))
        except GliamapError:
            continue
        read += 1
    names = tuple(convention.name for convention in settled.candidates)
    return LabelsSeen(settled.told, names, settled.why, tuple(sorted(values)), read)
