"""What a comparison does: its arms, its data sets, and the trainings of each arm on each fold with each seed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from gliamap.comparison.nouns import Budget
from gliamap.config import Settings, TrainConfig
from gliamap.errors import ConfigError, LayoutError
from gliamap.io.store import StoreInfo, read_store
from gliamap.nets.zoo import network_of
from gliamap.recipes.recipe import DEFAULT_NETWORK, Recipe
from gliamap.sources.detect import scan
from gliamap.sources.masks import scan_with_masks
from gliamap.sources.same_patient import met_elsewhere
from gliamap.sources.splits import SplitOptions, without
from gliamap.workflows.common.failures import plain_settings
from gliamap.workflows.common.folds import Division, Fold, divide
from gliamap.workflows.common.parallel import default_workers
from gliamap.workflows.studies.elsewhere import OtherSet
from gliamap.workflows.studies.fold_work import FoldTask


@dataclass(frozen=True)
class Prepared:
    """A prepared data set, and the scans with masks that it was made from."""

    store: Path
    scans: Path


class CompareOptions(Settings):
    """What the user may set.

    Each of ``recipes`` is an arm, or with ``networks`` and ``losses`` one for each network and each loss. ``folds``:
    those to test on (default: all), ``closed_folds`` those of the data sets' own, and of those in ``test_on``, to use
    for nothing at all.
    ``budget``: what each training may use (default: the steps that its recipe names). ``seeds``: so many trainings of
    each arm on each fold. ``baseline``: the arm that others are compared with (default: the first). ``split``: by
    ``patient``, or by ``record``, which tears patients apart on purpose. ``jobs``: trainings side by side. ``test_on``:
    scans with masks of other data sets that each trained network is tested on, too. ``pattern``: how the files of data
    sets are named that no layout fits, see :mod:`gliamap.sources.pattern`.
    """

    recipes: tuple[Recipe, ...] = Field(min_length=1)
    networks: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    folds: tuple[int, ...] = ()
    closed_folds: tuple[int, ...] = ()
    budget: Budget | None = None
    seeds: int = Field(default=1, ge=1)
    baseline: str | None = None
    split: Literal["patient", "record"] = "patient"
    jobs: int = Field(default=1, ge=1)
    test_on: tuple[Path, ...] = ()
    pattern: str | None = None


@dataclass(frozen=True)
class Data:
    """A data set of a comparison, in the folder ``out``, how its cases are divided, and which ``others`` to test on."""

    name: str
    source: Prepared
    info: StoreInfo
    how: SplitOptions
    division: Division
    pattern: str | None
    others: tuple[OtherSet, ...]
    out: Path


@dataclass(frozen=True)
class RunTask(FoldTask):
    """A fold to train, predict and score; the network is then tested on ``others``, too."""

    others: tuple[OtherSet, ...] = ()


@dataclass(frozen=True)
class Place:
    """One training of a comparison: of which arm, on which data set."""

    arm: str
    data: Data
    task: RunTask

    @property
    def folder(self) -> Path:
        """Where all trainings of its arm on its data set lie."""
        return self.data.out / slug(self.arm)


def arms_of(options: CompareOptions) -> dict[str, Recipe]:
    """The recipe of each arm, by the arm's name: that of its recipe, and what varies.

    ``ConfigError`` where two arms have the same name, or one names what there is not.
    """
    arms: dict[str, Recipe] = {}
    for recipe, network, loss in product(options.recipes, options.networks or (None,), options.losses or (None,)):
        name = ", ".join(filter(None, (recipe.name, network, loss)))
        if slug(name) in map(slug, arms):
            raise ConfigError(
                f"two arms are called '{name}'",
                expected="another name for each",
                remedy="name each recipe, network and loss once; a recipe's file says its 'name'",
            )
        arms[name] = _varied(recipe, network, loss)
    return arms


def _varied(recipe: Recipe, network: str | None, loss: str | None) -> Recipe:
    """``recipe``, its base included, with another network and loss. Widths stay where the network can have them."""
    changes: dict[str, Any] = {}
    if network is not None and network != (recipe.network or DEFAULT_NETWORK):
        known = network_of(network)
        keeps = recipe.widths is not None and not known.fixed and len(recipe.widths) >= known.least
        changes = {"network": network, "widths": recipe.widths if keeps else None, "deep_supervision": None}
    if loss is not None:
        with plain_settings():
            TrainConfig(loss=loss)  # type: ignore[arg-type]
        changes["config"] = recipe.config | {"loss": loss}
        if recipe.base is not None:
            changes["base"] = recipe.base.model_copy(update={"config": recipe.base.config | {"loss": loss}})
    return recipe.model_copy(update=changes)


def baseline_of(options: CompareOptions, arms: Iterable[str]) -> str:
    """The name of the arm that others are compared with; ``ConfigError`` where no arm is called so."""
    known = list(arms)
    if options.baseline is None:
        return known[0]
    if options.baseline not in known:
        raise ConfigError(
            f"no arm is called '{options.baseline}'",
            expected="; ".join(known),
            remedy="name one of these as --baseline",
        )
    return options.baseline


def plan_data(sources: Sequence[Prepared], out: Path, options: CompareOptions) -> tuple[Data, ...]:
    """The data sets with their folds; ``ConfigError`` where two share a name, or one lacks a fold asked for."""
    found: dict[str, Data] = {}
    infos = [read_store(source.store) for source in sources]
    known = {fold for info in infos for fold in _own_folds(info)}
    for source, info in zip(sources, infos, strict=True):
        name = source.scans.resolve().name
        if slug(name) in map(slug, found):
            raise ConfigError(
                f"two data sets are called '{name}'", remedy="give the folder of one's scans another name"
            )
        # A fold that another of the sets has is closed there; one that none has is refused below.
        closed = tuple(fold for fold in options.closed_folds if fold in _own_folds(info) or fold not in known)
        how = SplitOptions(closed_folds=closed, unit="case" if options.split == "record" else "patient")
        division = divide(info, how)
        lacking = [fold for fold in options.folds if fold not in division.splits]
        if lacking:
            raise ConfigError(
                f"{name} does not have the folds asked for",
                found="folds " + ", ".join(map(str, division.splits)),
                expected="folds " + ", ".join(map(str, options.folds)),
                remedy="name other folds with --folds",
            )
        pattern = pattern_for(source.scans, options.pattern)
        others = tuple(other for other in _others(options) if other.name != name)
        division = _kept_from(division, info, others)
        found[name] = Data(name, source, info, how, division, pattern, others, out / slug(name))
    return tuple(found.values())


def _own_folds(info: StoreInfo) -> set[int]:
    return {entry.identity.fold for entry in info.cases if entry.identity.fold is not None}


def _others(options: CompareOptions) -> tuple[OtherSet, ...]:
    """The other data sets to test on; ``ConfigError`` where two share a name."""
    found = [
        OtherSet(scans, pattern_for(scans, options.pattern), closed_folds=options.closed_folds)
        for scans in options.test_on
    ]
    names = [slug(other.name) for other in found]
    if len(set(names)) < len(names):
        raise ConfigError("two data sets to test on have the same name", remedy="give one of the folders another name")
    return tuple(found)


def _kept_from(division: Division, info: StoreInfo, others: Sequence[OtherSet]) -> Division:
    """``division`` without the patients of other data sets in training and validation; its words say how many cases.

    ``ConfigError`` where that leaves nobody to train on.
    """
    identities = [entry.identity for entry in info.cases]
    splits, words = division.splits, division.words
    for other in others:
        there = [case.identity for case in scan_with_masks(other.scans, other.pattern).cases if case.labels]
        met = set(met_elsewhere(identities, there, same_set=other.name in info.sources))
        if met:
            why = f"same patient as a case of {other.name}, which is tested on"
            splits = {number: without(split, met, why) for number, split in splits.items()}
            if not all(split.train for split in splits.values()):
                raise ConfigError(
                    f"nobody is left to train on without the patients of {other.name}, which is tested on",
                    found=f"{len(met)} of {len(identities)} cases are of patients who are in both data sets",
                    remedy=f"leave {other.name} out of --test-on: it is not another data set",
                )
            words += f"; {len(met)} of the cases are not trained on, as patients of {other.name}"
    return Division(splits, words)


def pattern_for(scans: Path, pattern: str | None) -> str | None:
    """``pattern`` where the data set needs one because no layout fits, else ``None``."""
    if pattern is None:
        return None
    try:
        scan(scans)
    except LayoutError:
        return pattern
    return None


def plan_runs(arms: dict[str, Recipe], data: Sequence[Data], options: CompareOptions) -> tuple[Place, ...]:
    """Every training: all arms of a seed and fold before the next, so that what is done early can be compared.

    All arms and seeds divide the cases alike.
    """
    numbers = sorted({number for one in data for number in options.folds or one.division.splits})
    return tuple(
        Place(arm, one, _task(one, arm, recipe, seed=seed, number=number, jobs=options.jobs))
        for seed, number, one in product(range(options.seeds), numbers, data)
        if number in one.division.splits
        for arm, recipe in arms.items()
    )


def _task(data: Data, arm: str, recipe: Recipe, *, seed: int, number: int, jobs: int) -> RunTask:
    folder = data.out / slug(arm) / f"seed{seed}" / f"fold{number}"
    name = f"{arm}, seed {seed}, fold {number}" + f" of {data.name}"
    fold = Fold(name, folder, folder / "masks", number, seed, data.division.splits[number])
    source = data.source
    threads = max(1, default_workers() // jobs)
    return RunTask(fold, source.store, source.scans, recipe, data.how, data.pattern, threads, data.others)


def data_of(places: Sequence[Place]) -> tuple[Data, ...]:
    """The data sets of these trainings, each once."""
    return tuple({place.data.name: place.data for place in places}.values())


def first_of_each(places: Sequence[Place]) -> tuple[Place, ...]:
    """The first training of each arm on each data set."""
    first: dict[Path, Place] = {}
    for place in places:
        first.setdefault(place.folder, place)
    return tuple(first.values())


def slug(name: str) -> str:
    """``name`` as a folder's: ``msd-t1gd, unet++`` becomes ``msd-t1gd-unet-plus-plus``."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower().replace("+", "-plus-")).strip("-.") or "arm"
