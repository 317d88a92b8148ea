"""Which of the models that come along is for the scans given: told by what their specs say, by no name.

A model is for scans that have the modalities that it needs, and are what it was trained on: slices or volumes (a model
for slices takes volumes, slice by slice), skull-stripped brains or whole heads, phantoms alone. Of several the one with
the highest validated Dice for the modalities that are there is taken, those first that were validated on scans measured
alike (in mm or in pixels): a Dice of slices says little of volumes. For phantoms one of phantoms.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from gliamap.case import CaseFiles, DataSet
from gliamap.checks.anatomy import Foreground, stripped_or_head
from gliamap.config import ModelSpec, modality_subset
from gliamap.errors import FitError, GliamapError
from gliamap.io.cases import read_case
from gliamap.labels import Region
from gliamap.models.shipped import shipped_specs
from gliamap.sources.modalities import canonical_modality
from gliamap.sources.phantom import is_phantom
from gliamap.volume import Unit
from gliamap.workflows.common.conventions import evenly
from gliamap.workflows.common.foreground import telling_modality
from gliamap.workflows.data.inspect import usual_modalities

SAMPLE = 3
"""So many cases are looked at."""

_KINDS = {"brain": "skull-stripped brains", "head": "whole heads", None: "brains or heads"}


@dataclass(frozen=True)
class Scans:
    """What decides which models are for a data set.

    ``modalities``: those that most cases have, of those asked for if any were. ``asked``: these. ``slices``: some are
    single slices. ``foreground``: ``None`` where it cannot be told. ``phantoms``: all are. ``unit``: ``None`` where
    they differ.
    """

    modalities: tuple[str, ...]
    slices: bool
    foreground: Foreground | None
    phantoms: bool
    unit: Unit | None = None
    asked: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What they are, for people."""
        kind = "phantoms" if self.phantoms else _KINDS[self.foreground]
        there = ", ".join(self.modalities) or ("none of " + ", ".join(self.asked) if self.asked else "no modality")
        return f"{'slices' if self.slices else 'volumes'} of {kind} with {there}"


@dataclass(frozen=True)
class Choice:
    """The name of the model taken, the reason in words, and of each other model what is against it."""

    model: str
    reason: str
    others: Mapping[str, str]


def choose_model(data: DataSet, cases: Sequence[CaseFiles], asked: Sequence[str] | None = None) -> Choice:
    """The shipped model for ``cases`` of ``data``, used with no other modalities than those ``asked`` for.

    ``FitError`` where none is for them, with what each model lacks; the error of a case where none can be read.
    """
    return choose(shipped_specs(), look_at(data, cases, asked))


def look_at(data: DataSet, cases: Sequence[CaseFiles], asked: Sequence[str] | None = None) -> Scans:
    """What the ``cases`` are, from their names and one modality of :data:`SAMPLE` of them.

    What the voxels show counts, because it is what a model is refused for later; the layout where they do not tell.
    """
    names = tuple(canonical_modality(name) or name for name in asked or ())
    usual = tuple(name for name in usual_modalities(cases) if not names or name in names)
    looked: list[tuple[bool, Foreground | None, bool, Unit]] = []
    error: GliamapError | None = None
    for files in evenly(cases, SAMPLE):
        shown = telling_modality(files)
        try:
            case = read_case(files, modalities=None if shown is None else (shown,), with_labels=False)
        except GliamapError as unreadable:
            error = unreadable
            continue
        looked.append((case.grid.is_2d, stripped_or_head(case.image), is_phantom(case), case.grid.unit))
    if error and not looked:
        raise error
    flat, seen, drawn, units = zip(*looked, strict=True)
    kinds = {kind for kind in seen if kind} or {data.foreground}
    unit = units[0] if len(set(units)) == 1 else None
    return Scans(usual, any(flat), kinds.pop() if len(kinds) == 1 else None, all(drawn), unit, names)


def choose(models: Mapping[str, ModelSpec], scans: Scans) -> Choice:
    """The one of ``models`` for ``scans``; ``FitError`` where there is none."""
    against = {name: reason for name, spec in models.items() if (reason := why_not(spec, scans))}
    fitting = {name: spec for name, spec in models.items() if name not in against}
    if not fitting:
        raise FitError(
            f"no model that comes along is for these scans: {scans.words}",
            found="; ".join(f"{name}: {reason}" for name, reason in against.items()),
            remedy="name the model to use, your own say (--model); gliamap models shows those that come along",
        )
    drawn = {name: spec for name, spec in fitting.items() if spec.phantom_only}
    if drawn:
        against |= {name: "for real scans" for name in fitting if name not in drawn}
    ranked = _by_dice(drawn or fitting, scans)
    best, *others = ranked
    if not others:
        return Choice(best, f"the only one for {scans.words}", against)
    told = ", ".join([ranked[best], *(f"{name} {ranked[name]}" for name in others)])
    return Choice(best, f"for {scans.words}: {told}", against | {name: ranked[name] for name in others})


def why_not(spec: ModelSpec, scans: Scans) -> str:
    """Why a model is not for ``scans``; nothing where it is."""
    own = spec.prep.foreground
    needed = [name for name in spec.prep.modalities if name not in spec.may_be_missing]
    lacking = [name for name in needed if name not in scans.modalities]
    foreign = [name for name in scans.asked if name not in spec.prep.modalities]
    if spec.phantom_only and not scans.phantoms:
        return "for phantoms alone"
    if scans.slices and spec.network.dims == 3:
        return "for volumes"
    if own != scans.foreground:
        return f"for {_KINDS[own]}" + ("" if scans.foreground else ", and it cannot be told whether these are")
    if lacking or not set(spec.prep.modalities) & set(scans.modalities):
        return f"needs {', '.join(lacking) or 'one of ' + ', '.join(spec.prep.modalities)}"
    return f"knows no {', '.join(foreign)}" if foreign else ""


def _by_dice(fitting: Mapping[str, ModelSpec], scans: Scans) -> dict[str, str]:
    """The models, the best first, each with its mean Dice over the regions that all were measured in, in words.

    What one model tells and another does not cannot be compared. What was measured in another unit comes later, what
    was not measured last.
    """
    dice = {name: _dice(spec, scans.modalities) for name, spec in fitting.items()}
    measured = {name: found for name, found in dice.items() if found}
    common = [region for region in Region if all(region in found for found in measured.values())]
    mean = {name: fmean(found[region] for region in common) for name, found in measured.items() if common}
    units = {name: spec.seen.unit for name, spec in fitting.items() if spec.seen}
    other = {name for name, unit in units.items() if scans.unit and unit != scans.unit}
    ranked = sorted(fitting, key=lambda name: (name not in mean, name in other, -mean.get(name, 0)))

    def told(name: str) -> str:
        if name not in mean:
            return "not validated"
        on = f", on scans in {units[name]}" if name in other else ""
        return f"Dice {mean[name]:.2f} ({', '.join(common)}{on})"

    return {name: told(name) for name in ranked}


def _dice(spec: ModelSpec, modalities: Collection[str]) -> Mapping[Region, float]:
    """The validated Dice of a model that is shown these modalities; empty where it was not measured."""
    used = modality_subset(modalities, spec.prep.modalities)
    if used == modality_subset(spec.prep.modalities, spec.prep.modalities) and spec.validated:
        return {region: found.dice for region, found in spec.validated.items()}
    return spec.dice_per_modality_subset.get(used, {})
