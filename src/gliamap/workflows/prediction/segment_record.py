"""What gliamap segment says of what it made: from which files, by which models, in which way, at what cost."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gliamap.case import CaseFiles
from gliamap.config import ModelSpec
from gliamap.errors import GliamapError
from gliamap.infer.predictor import Predictor
from gliamap.io.atomic import read_json
from gliamap.workflows.common.hashes import sha256_of
from gliamap.workflows.common.machine import machine
from gliamap.workflows.common.run_record import command_line, commit, versions
from gliamap.workflows.prediction.segment_plan import Outputs
from gliamap.workflows.prediction.segment_settings import SegmentOptions

STAGES = ("read", "network", "write")
"""What is timed of a case: reading and preparing it, the network, going back to its grid and writing."""


@dataclass(frozen=True)
class Provenance:
    """What the outputs of a run depend on beside a case's own files.

    ``models``: the hashes of their weights. ``settings``: a hash of all that decides how they are used.
    """

    models: tuple[str, ...]
    settings: str

    @classmethod
    def of(cls, members: Sequence[ModelSpec], predictor: Predictor, options: SegmentOptions) -> Provenance:
        """That of models used together as ``predictor``."""
        engine = predictor.engine
        how = {
            "spec": predictor.spec.model_dump(mode="json"),
            "members": [spec.model_dump(mode="json") for spec in members],
            "options": options.deciding() | {"engine": engine.name, "precision": engine.precision},
        }
        said = json.dumps(how, sort_keys=True)
        return cls(tuple(str(spec.weights_sha256) for spec in members), hashlib.sha256(said.encode()).hexdigest())

    def made_from(self, files: CaseFiles, modalities: Sequence[str]) -> dict[str, Any]:
        """What ``CASE.json`` holds of where the case's mask comes from; the files are read once more for it."""
        read = [name for name in modalities if name in files.modalities]
        hashes = {path: sha256_of(path) for path in dict.fromkeys(files.modalities[name] for name in read)}
        channels = {name: f"[{files.channels[name]}]" for name in read if name in files.channels}
        inputs = {name: hashes[files.modalities[name]] + channels.get(name, "") for name in read}
        return {"inputs": inputs, "models": list(self.models), "settings": self.settings}


def kept(files: CaseFiles, out: Path, made_from: Callable[[CaseFiles], Mapping[str, Any]]) -> dict[str, Any] | None:
    """The content of a case's ``CASE.json``, where ``out`` holds all its files whole, made from what is given now."""
    if not files.modalities:
        return None
    outputs = Outputs.of(files, out)
    try:
        content: dict[str, Any] = read_json(outputs.numbers)
        wholly = all(sha256_of(out / name) == sha256 for name, sha256 in content["files"].items())
        return content if wholly and content["made_from"] == made_from(files) else None
    except (GliamapError, OSError, LookupError, TypeError, AttributeError):
        return None  # of another version, damaged, or lacking: it is made anew, which says what is wrong if it still is


def hashes_of(paths: Sequence[Path]) -> dict[str, str]:
    """The SHA-256 of each file by its name."""
    return {path.name: sha256_of(path) for path in paths}


@dataclass
class Record:
    """How far a run is, and what ``segment.json`` says of its cases; filled while it goes on.

    ``summaries`` are those of ``CASE.json``, ``kept`` the cases among them that an earlier run has made. ``stages`` are
    the seconds that each stage took, of this run's own cases together.
    """

    started: float = field(default_factory=time.perf_counter)
    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    def keep(self, summary: dict[str, Any]) -> None:
        """Note a case of an earlier run."""
        self.summaries[summary["case_id"]] = summary
        self.kept.append(summary["case_id"])

    def add(self, summary: dict[str, Any]) -> None:
        """Note a case that this run has made."""
        self.summaries[summary["case_id"]] = summary
        self.stages = {stage: seconds + summary["stages"][stage] for stage, seconds in self.stages.items()}

    def pace(self) -> dict[str, float]:
        """The seconds that each stage takes a case; empty before the first is done."""
        cases = len(self.summaries) - len(self.kept)
        return {stage: seconds / cases for stage, seconds in self.stages.items()} if cases else {}

    def content(self, *, finished: bool) -> dict[str, Any]:
        """All of it as JSON; ``finished`` where the run came to its end."""
        cases = {
            case_id: {
                **{name: summary[name] for name in ("made_from", "files", "window", "stages")},
                "warnings": [warning["code"] for warning in summary["warnings"]],
            }
            for case_id, summary in sorted(self.summaries.items())
        }
        return {
            "finished": finished,
            "seconds": round(time.perf_counter() - self.started, 3),
            "stages": {stage: round(seconds, 3) for stage, seconds in self.stages.items()},
            "peak_memory_bytes": peak_memory(),
            "cases": cases,
            "kept": self.kept,
            "failed": self.failed,
        }


def describe_run(members: Sequence[ModelSpec], predictor: Predictor, options: SegmentOptions) -> dict[str, Any]:
    """What can be said of a run before its first case."""
    engine = predictor.engine
    return {
        "format": 1,
        "command": command_line(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "models": [{"name": spec.name, "weights_sha256": spec.weights_sha256} for spec in members],
        "engine": {"name": engine.name, "precision": engine.precision, "version": engine.version},
        "options": options.model_dump(mode="json"),
        "versions": versions(),
        "commit": commit(),
        "machine": machine(),
    }


def peak_memory() -> int:
    """The most bytes that this process had in memory at a time since it began."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
