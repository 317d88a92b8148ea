"""A trained network on the labelled cases of another data set: what fits, whom it may have seen, how well it does.

OUT/CASE.nii.gz, OUT/CASE.json, ...   what gliamap segment makes of each case
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gliamap.boxes import Shape
from gliamap.case import CaseFiles, CaseIdentity, GridRecord
from gliamap.comparison.nouns import CaseFigures, Elsewhere, Verdict
from gliamap.comparison.rows import case_figures, figures_of, gain_of, over_runs, verdict_of
from gliamap.config import ModelSpec
from gliamap.errors import GliamapError
from gliamap.io.cases import read_case
from gliamap.io.checkpoint import read_spec
from gliamap.io.store import StoreInfo
from gliamap.labels import Region
from gliamap.models.shipped import resolve_model
from gliamap.prep.pipeline import prepare
from gliamap.sources.masks import scan_with_masks
from gliamap.sources.same_patient import met_elsewhere
from gliamap.workflows.common.conventions import evenly
from gliamap.workflows.common.failures import reason_of
from gliamap.workflows.common.folds import is_predicted
from gliamap.workflows.common.foreground import settle_foreground
from gliamap.workflows.prediction.segment import segment
from gliamap.workflows.prediction.segment_settings import SegmentOptions
from gliamap.workflows.scores.evaluate import EvaluateOptions, evaluate
from gliamap.workflows.training.transfer import seen_cases

NOTHING = "nothing"
"""What a network is shown in place of a modality that it can do without."""

UNKNOWN = "unknown"
"""The foreground of scans that tell neither brains nor heads."""

ALIKE = (0.8, 1.25)
"""Heads are taken as they are where they are so many times as large as in training: augmentation covers that."""

_SAMPLE = 20
_LARGEST = 90
"""The percentile of sizes that counts: slices through the top of a head say nothing of how large it is."""


@dataclass(frozen=True)
class OtherSet:
    """The data set to test on: ``pattern`` and ``labels`` as for gliamap evaluate, where it does not tell itself.

    Patients of its own ``closed_folds`` are not tested.
    """

    scans: Path
    pattern: str | None = None
    labels: str | None = None
    closed_folds: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """What it is called: the name of its folder."""
        return self.scans.resolve().name


@dataclass(frozen=True)
class Match:
    """How a model and another data set go together.

    ``cases`` are to be tested, those ``excluded`` are of patients whom training may have seen. ``modalities``: what the
    model is shown as each of its own. ``scale``: how many times as large heads are there, in voxels, as the model has
    learnt; ``spacing``: what the scans are resampled to because of that. ``lacking``: why nothing can be tested.
    """

    cases: tuple[str, ...]
    excluded: tuple[str, ...]
    trained_foreground: str
    tested_foreground: str
    modalities: Mapping[str, str]
    scale: float = 1.0
    spacing: tuple[float, float, float] | None = None
    lacking: str = ""


@dataclass(frozen=True)
class Attempt:
    """One model on another data set: the regions that both can tell, and the figures of each case."""

    match: Match
    regions: tuple[Region, ...] = ()
    cases: tuple[CaseFigures, ...] = ()


def try_elsewhere(
    run: Path,
    other: OtherSet,
    out: Path,
    *,
    info: StoreInfo,
    progress: Callable[[float, int, str], None] | None = None,
) -> Attempt:
    """Segment the labelled cases of ``other`` with the trained ``run`` into ``out``, and score them on their own grids.

    ``info`` is the store that the run learned from. Patients whom the run, or a network that it started from, learned
    from or was validated on are left out (:func:`gliamap.sources.same_patient.met_elsewhere`); where nobody knows who
    these are, because the model lies without its run, all patients of the store. Cases that are segmented by this very
    model are not segmented again. A network for slices segments volumes slice by slice. A case that cannot be segmented
    counts as one without a prediction. The errors are those of :func:`~gliamap.workflows.scores.evaluate.evaluate`.
    """
    found = match(run, other, info)
    if found.lacking:
        return Attempt(found)
    weights = read_spec(resolve_model(run)).weights_sha256
    left = tuple(case_id for case_id in found.cases if not is_predicted(out, case_id, weights))
    if left:
        options = SegmentOptions(
            cases=left, pattern=other.pattern, spacing=found.spacing, pictures=False, force=True, overwrite=True
        )
        segment(other.scans, out, model=run, options=options, progress=progress)
    scored = evaluate(
        out,
        other.scans,
        options=EvaluateOptions(cases=found.cases, reference_labels=other.labels, pattern=other.pattern),
    )
    return Attempt(found, tuple(scored.summary.regions), tuple(case_figures(case) for case in scored.cases))


Attempts = Mapping[tuple[int, int], Attempt]
"""Those of an arm's runs on one other data set, by seed and fold."""


def summed_up(
    arm: str, trained_on: str, tested_on: str, attempts: Attempts, *, baseline: Attempts | None = None
) -> Elsewhere:
    """The attempts of an arm's runs on one data set: figures are averaged over the runs first, then by patient.

    ``baseline``: the attempts of the arm to compare with; ``None`` where this is it.
    """
    done = {run: attempt.cases for run, attempt in attempts.items() if attempt.cases}
    first = next((attempts[run] for run in done), next(iter(attempts.values())))
    cases = over_runs(done.values())
    found = first.match
    gain = {}
    if baseline is not None:
        both = [run for run in done if run in baseline]
        gain = gain_of(over_runs(done[run] for run in both), over_runs(baseline[run].cases for run in both))
    verdict: dict[Region, Verdict] = {
        region: "baseline" if baseline is None else verdict_of(gain.get(region)) for region in first.regions
    }
    return Elsewhere(
        arm=arm,
        trained_on=trained_on,
        tested_on=tested_on,
        runs=len(done),
        cases=len(cases),
        patients=len({case.patient_id for case in cases}),
        excluded=len(found.excluded),
        trained_foreground=found.trained_foreground,
        tested_foreground=found.tested_foreground,
        modalities=found.modalities,
        regions=first.regions,
        figures=figures_of(cases),
        lacking=found.lacking,
        scale=found.scale,
        resampled=found.spacing is not None,
        gain=gain,
        verdict=verdict,
    )


def untested(arm: str, trained_on: str, tested_on: str, foreground: str, why: str) -> Elsewhere:
    """The row of an arm that was not tested on a data set, and ``why``; ``foreground`` is that of its training."""
    return Elsewhere(
        arm=arm,
        trained_on=trained_on,
        tested_on=tested_on,
        runs=0,
        cases=0,
        patients=0,
        excluded=0,
        trained_foreground=foreground,
        tested_foreground=UNKNOWN,
        modalities={},
        regions=(),
        figures={},
        lacking=why,
    )


def match(run: Path, other: OtherSet, info: StoreInfo) -> Match:
    """How the model of ``run``, trained on cases of ``info``, and the data set ``other`` go together.

    A case that lacks a modality which the model needs, or of a closed fold, is neither tested nor excluded.
    """
    spec = read_spec(resolve_model(run))
    data = scan_with_masks(other.scans, other.pattern)
    closed = {case.identity.patient_id for case in data.cases if case.identity.fold in other.closed_folds}
    open_cases = [case for case in data.cases if case.identity.patient_id not in closed]
    labelled = [case for case in open_cases if case.labels and case.modalities]
    excluded = _seen(run, labelled, info, same_set=other.name in info.sources)
    unseen = [case for case in labelled if case.case_id not in excluded]
    fitting = [case for case in unseen if _fits(spec, case)]
    there = {name for case in fitting for name in case.modalities}
    found = Match(
        cases=tuple(case.case_id for case in fitting),
        excluded=excluded,
        trained_foreground=spec.prep.foreground,
        tested_foreground=settle_foreground(data)[0] or UNKNOWN,
        modalities={name: name if name in there else NOTHING for name in spec.prep.modalities},
    )
    if not unseen:
        why = "all of its patients are those of training" if labelled else "it has no labelled case with images"
        return replace(found, lacking=why)
    if not fitting:
        needed = ", ".join(name for name in spec.prep.modalities if name not in spec.may_be_missing)
        return replace(found, lacking=f"its cases lack some of {needed or ', '.join(spec.prep.modalities)}")
    return _sized(found, spec, fitting, info)


def _seen(run: Path, cases: Sequence[CaseFiles], info: StoreInfo, *, same_set: bool) -> tuple[str, ...]:
    """The cases of patients whom the run, or the networks that it started from, have seen."""
    own = {entry.case_id: entry.identity for entry in info.cases}
    known = {case_id for ids in seen_cases(run) for case_id in ids}
    others = [own.get(case_id, CaseIdentity(case_id, case_id)) for case_id in sorted(known or own)]
    return met_elsewhere([case.identity for case in cases], others, same_set=same_set)


def _fits(spec: ModelSpec, case: CaseFiles) -> bool:
    """The case has all modalities that the model cannot do without, and one that it knows."""
    missing = {name for name in spec.prep.modalities if name not in case.modalities}
    return missing <= set(spec.may_be_missing) and len(missing) < len(spec.prep.modalities)


def _sized(found: Match, spec: ModelSpec, cases: Sequence[CaseFiles], info: StoreInfo) -> Match:
    """How large heads are beside those of training, and the spacing that makes them alike.

    Voxels of the foreground's box are compared along X and Y, whatever headers say: an image without spacing can be of
    any, and headers lie. A network for slices is shown all slices that there are.
    """
    records: list[GridRecord] = []
    why = ""
    for files in evenly(cases, _SAMPLE):
        try:
            case = read_case(
                files, modalities=spec.prep.modalities, may_be_missing=spec.may_be_missing, with_labels=False
            )
        except GliamapError as error:  # segmenting says it of each case
            why = reason_of(error)
            continue
        if case.grid.is_2d and spec.network.dims == 3:
            return replace(found, lacking="the network takes volumes, and its cases are slices")
        records.append(prepare(case, spec.prep, may_be_missing=spec.may_be_missing).record)
    if not records:
        return replace(found, lacking=f"its cases cannot be read: {why}")
    scale = round(_size([r.shape for r in records]) / _size([entry.shape for entry in info.cases]), 2)
    if ALIKE[0] <= scale <= ALIKE[1]:
        return replace(found, scale=scale)
    x, y, z = (float(n) for n in np.median([r.spacing for r in records], axis=0))
    spacing = (x * scale, y * scale, z if spec.network.dims == 2 else z * scale)
    return replace(found, scale=scale, spacing=spacing)


def _size(shapes: Sequence[Shape]) -> float:
    """How large heads are within slices, in voxels: side of a square as large as the box."""
    return float(np.percentile([(x * y) ** 0.5 for x, y, _ in shapes], _LARGEST))
