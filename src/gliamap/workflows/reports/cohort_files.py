"""What gliamap segment and gliamap evaluate left of a run: anybody may have made it, so it is checked as it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from gliamap.errors import FileError
from gliamap.io.atomic import read_json
from gliamap.labels import Region
from gliamap.workflows.reports.mask_record import EngineName, MaskRecord, ModelName, Part, as_mask_record, checked

RUN = "segment.json"
SCORES = "scores.json"


class _Manifest(Part):
    """``segment.json``."""

    cases: dict[str, Any]
    failed: dict[str, str] = Field(default_factory=dict)
    models: tuple[ModelName, ...] = ()
    engine: EngineName | None = None
    versions: dict[str, str] = Field(default_factory=dict)


class _Figures(Part):
    dice: float
    hd95: float


class ScoredCase(Part):
    """A case in ``scores.json``; ``missing`` where it had no prediction."""

    case_id: str
    patient_id: str
    missing: bool = False
    regions: dict[Region, _Figures] = Field(default_factory=dict)

    def figure(self, name: Literal["dice", "hd95"]) -> dict[Region, float]:
        """One figure of all regions."""
        return {region: getattr(figures, name) for region, figures in self.regions.items()}


class _Evaluation(Part):
    """``scores.json``."""

    references: str
    protocol: str
    cases: tuple[ScoredCase, ...]


@dataclass(frozen=True)
class Run:
    """The folder of a run: what is told of each mask, why others failed, and how all was made."""

    folder: Path
    records: Mapping[str, MaskRecord]
    failed: Mapping[str, str]
    about: dict[str, str]

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Every case of the run."""
        return tuple(dict.fromkeys((*self.records, *self.failed)))

    @property
    def unit(self) -> str:
        """Of volumes, as pages name it; a run has one model, and so one kind of scan."""
        return next(("mL" if record.unit == "mL" else "px" for record in self.records.values()), "mL")

    def mask(self, case_id: str) -> Path:
        """The mask of a case that did not fail."""
        return self.folder / Path(self.records[case_id].mask).name

    def mosaic(self, case_id: str) -> Path:
        """Its picture, which need not be there."""
        return self.folder / f"{case_id}_mosaic.png"


@dataclass(frozen=True)
class Scores:
    """An evaluation: its cases by id, and what was compared."""

    cases: Mapping[str, ScoredCase]
    about: dict[str, str]


def read_run(folder: Path) -> Run:
    """What ``segment.json`` and every ``CASE.json`` in ``folder`` say; ``FileError`` where they do not fit."""
    manifest = checked(_Manifest, read_json(folder / RUN), folder / RUN, remedy="segment again")
    for case_id in (*manifest.cases, *manifest.failed):
        if Path(case_id).name != case_id:
            raise FileError(f"{folder / RUN} names a case that is no file name", found=repr(case_id)[:80])
    numbers = {case_id: folder / f"{case_id}.json" for case_id in sorted(manifest.cases)}
    records = {case_id: as_mask_record(read_json(path), path) for case_id, path in numbers.items()}
    return Run(folder, records, manifest.failed, _about_run(manifest))


def read_scores(folder: Path) -> Scores:
    """What ``scores.json`` in ``folder`` says; ``FileError`` where it is not there or does not fit."""
    found = checked(_Evaluation, read_json(folder / SCORES), folder / SCORES, remedy="evaluate again")
    about = {"scored against": found.references, "protocol": found.protocol}
    return Scores({case.case_id: case for case in found.cases}, about)


def _about_run(manifest: _Manifest) -> dict[str, str]:
    models: Sequence[str] = list(dict.fromkeys(model.name for model in manifest.models))
    about = {"model" if len(models) == 1 else "models": ", ".join(models)}
    if manifest.engine is not None:
        engine = manifest.engine
        about["engine"] = f"{engine.name} {engine.version} ({engine.precision})"
    if "gliamap" in manifest.versions:
        about["segmented with gliamap"] = manifest.versions["gliamap"]
    return {name: said for name, said in about.items() if said}
