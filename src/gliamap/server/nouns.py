"""The nouns of the web app: a case, its files, its job; as the interface shows them and as the disk keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from gliamap.boxes import Shape
from gliamap.volume import Grid, Unit

State = Literal["new", "queued", "running", "done", "failed", "cancelled", "interrupted"]
BUSY: tuple[State, ...] = ("queued", "running")
"""States in which nothing of a case may change."""

ToldBy = Literal["name", "hand", "mask-name", "unknown"]


@dataclass(frozen=True)
class GridRecord:
    """What the page shows of a grid, and the affine that tells whether two are the same."""

    shape: Shape
    spacing: tuple[float, float, float]
    unit: Unit
    affine: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, grid: Grid) -> GridRecord:
        """That of ``grid``."""
        x, y, z = (round(value, 4) for value in grid.spacing)
        return cls(grid.shape, (x, y, z), grid.unit, tuple(tuple(map(float, row)) for row in grid.affine))


@dataclass(frozen=True)
class FileRecord:
    """A file of a case, stored as ``NUMBER`` and ``suffix``. ``name`` is the client's; it is never written to disk."""

    number: int
    suffix: str
    size: int
    grid: GridRecord
    modality: str | None = None
    told_by: ToldBy = "unknown"
    name: str | None = None

    @property
    def stored(self) -> str:
        """Its name on the disk."""
        return f"{self.number}{self.suffix}"

    def as_json(self) -> dict[str, Any]:
        """As the interface shows it."""
        grid = {"shape": self.grid.shape, "spacing": self.grid.spacing, "unit": self.grid.unit}
        own = {"number": self.number, "name": self.name, "bytes": self.size}
        return own | {"modality": self.modality, "told_by": self.told_by, "grid": grid}


@dataclass(frozen=True)
class Options:
    """What the user may set of ``gliamap segment``."""

    flips: bool = False
    uncertainty: bool = False
    force: bool = False
    resample_to: str | None = None


@dataclass(frozen=True)
class Job:
    """How far the work on a case is; ``share`` in 0..1, ``position`` counts the jobs before it."""

    position: int = 0
    stage: str = "waiting"
    share: float = 0.0
    seconds_left: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class CaseRecord:
    """A case as the app knows it. Replaced as a whole with each change, so that readers see whole states."""

    id: str
    created: str
    title: str = ""
    version: int = 1
    state: State = "new"
    files: tuple[FileRecord, ...] = ()
    model: str | None = None
    options: Options = field(default_factory=Options)
    job: Job | None = None
    error: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None

    @property
    def short(self) -> str:
        """What its outputs are called."""
        return f"case-{self.id[:8]}"

    def file(self, number: int) -> FileRecord | None:
        """The file of that number."""
        return next((one for one in self.files if one.number == number), None)

    def with_files(self, *more: FileRecord) -> CaseRecord:
        """With these files, in the place of those of the same numbers."""
        others = [one for one in self.files if one.number not in {new.number for new in more}]
        return self.renewed(tuple(sorted((*others, *more), key=lambda one: one.number)))

    def without_file(self, number: int) -> CaseRecord:
        """Without the file of that number."""
        return self.renewed(tuple(one for one in self.files if one.number != number))

    def renewed(self, files: tuple[FileRecord, ...]) -> CaseRecord:
        """The same case with other ``files``. What was made of it stays until it is started again."""
        state: State = "done" if self.state == "done" else "new"
        return replace(self, files=files, state=state, error=None)

    def to_disk(self) -> dict[str, Any]:
        """What is kept; without names of files."""
        kept = asdict(self) | {"job": None}
        for one in kept["files"]:
            del one["name"]
        return kept

    @classmethod
    def from_disk(cls, kept: Mapping[str, Any]) -> CaseRecord:
        """What :meth:`to_disk` gave; ``KeyError``, ``TypeError`` or ``ValueError`` on anything else."""
        files = tuple(_file(one) for one in kept["files"])
        return cls(**dict(kept) | {"files": files, "options": Options(**kept["options"])})


def _file(kept: Mapping[str, Any]) -> FileRecord:
    grid = kept["grid"]
    affine = tuple(tuple(row) for row in grid["affine"])
    x, y, z = grid["shape"]
    a, b, c = grid["spacing"]
    return FileRecord(**dict(kept) | {"grid": GridRecord((x, y, z), (a, b, c), grid["unit"], affine)})


def now() -> str:
    """The time in UTC, so fine that two cases differ and sort as text."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
