"""A model being made: its folder, and its stages, each of which is done once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gliamap import __version__
from gliamap.errors import CasesFailed
from gliamap.io.atomic import read_json, write_json
from gliamap.io.checkpoint import read_spec
from gliamap.io.store import StoreInfo, read_store
from gliamap.recipes.recipe import Recipe
from gliamap.sources.splits import SplitOptions
from gliamap.workflows.common.auxiliary import AuxiliaryOptions
from gliamap.workflows.common.folds import CrossValidateOptions, Fold
from gliamap.workflows.common.unchanged import changes
from gliamap.workflows.prediction.segment_settings import SegmentOptions
from gliamap.workflows.studies.cross_validate import run_folds
from gliamap.workflows.studies.fold_work import FoldTask, StudyReport
from model_plan import Plan

Row = dict[str, Any]

SECONDS = 30.0
"""So often at most it is told how far a stage is; every validation is."""


@dataclass(frozen=True)
class Making:
    """What is made, by which recipe, from the data sets in ``data``, in ``folder``, ``jobs`` folds side by side."""

    plan: Plan
    recipe: Recipe
    data: Path
    folder: Path
    jobs: int = 1

    @cached_property
    def scans(self) -> Path:
        """The data set."""
        return self.plan.scans(self.data, self.folder)

    @property
    def store(self) -> Path:
        """The prepared data set."""
        return self.folder / "store"

    @property
    def auxiliary(self) -> AuxiliaryOptions | None:
        """The other data set that is learned from, prepared; ``None`` without one."""
        other = self.plan.beside
        return AuxiliaryOptions(store=self.folder / "auxiliary", closed_folds=other.closed) if other else None

    @cached_property
    def info(self) -> StoreInfo:
        """What the prepared data set holds."""
        return read_store(self.store)

    @cached_property
    def conventions(self) -> dict[str, str]:
        """The label convention of each case's mask."""
        return {entry.case_id: entry.convention for entry in self.info.cases}

    @property
    def study(self) -> Path:
        """The cross-validation."""
        return self.folder / "study"

    @property
    def options(self) -> CrossValidateOptions:
        """How it is cross-validated."""
        return CrossValidateOptions(
            recipe=self.recipe,
            repeats=self.plan.repeats,
            val_share=self.plan.val_share,
            closed_folds=self.plan.closed,
            auxiliary=self.auxiliary,
            jobs=self.jobs,
        )

    def once(self, stage: str, made_from: Row, work: Callable[[], Row]) -> Row:
        """What ``work`` finds, kept as JSON in ``done/STAGE.json``; done again only where ``made_from`` is another."""
        kept = self.folder / "done" / f"{stage}.json"
        made_from = json.loads(json.dumps(made_from | {"version": __version__}))
        known = read_json(kept) if kept.is_file() else {}
        if known and not changes(known["made_from"], made_from):
            say(f"{stage}: done before")
        else:
            say(f"{stage}: begins")
            known = {"made_from": made_from, "found": json.loads(json.dumps(work()))}
            write_json(kept, known)
            say(f"{stage}: done")
        found: Row = known["found"]
        return found

    def predict(self, folds: tuple[Fold, ...], place: Path, how: SegmentOptions) -> tuple[Fold, ...]:
        """Have each fold's model predict what it holds out, ``how``, into ``place``; the folds with these masks.

        In the window mode of the models, and in no other where memory is short: what is scored is said to be that.
        ``CasesFailed`` where that cannot be done.
        """
        there = tuple(replace(fold, masks=place / f"repeat{fold.repeat}") for fold in folds)
        how = how.model_copy(update={"window": read_spec(folds[0].run / "best").window.mode})
        split = SplitOptions(closed_folds=self.options.closed_folds)
        tasks = [FoldTask(fold, self.store, self.scans, self.recipe, split, segmenting=how) for fold in there]
        failed = run_folds(tasks, self.jobs, tell_study())
        if failed:
            first, why = next(iter(failed.items()))
            raise CasesFailed(f"{len(failed)} of {len(there)} folds failed", found=f"{first}: {why}")
        return there


def state_of(folds: tuple[Fold, ...]) -> Row:
    """What decides over the predictions of folds: their models as they are now, and what applies them."""
    return {"version": __version__, "models": [read_spec(fold.run / "best").model_dump(mode="json") for fold in folds]}


def key_of(state: Row) -> str:
    """A short name for a folder of what was made from ``state``."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:12]


def say(text: str) -> None:
    """Print a line with the time of day."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


def tell_cases(what: str) -> Callable[[float, int, str], None]:
    """Tells now and then how many cases are done."""
    told = time.monotonic()

    def tell(done: float, total: int, note: str) -> None:
        nonlocal told
        if time.monotonic() - told > SECONDS:
            told = time.monotonic()
            say(f"{what}: {int(done)} of {total} {note}")

    return tell


def tell_study() -> Callable[[StudyReport], None]:
    """Tells of every validation, and now and then of steps and cases."""
    told = time.monotonic()

    def tell(report: StudyReport) -> None:
        nonlocal told
        step = report.step
        if not (step and step.dice) and time.monotonic() - told < SECONDS:
            return
        told = time.monotonic()
        note = f"{report.done:.1f} of {report.total} folds, {report.note}"
        if step:
            note += f", step {step.step} of {step.steps}, loss {step.loss:.3f}"
            note += "".join(f", {region} {score:.3f}" for region, score in (step.dice or {}).items())
        say(note)

    return tell
