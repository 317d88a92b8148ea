"""Sizes of a training, proposed from a store and the memory at hand."""

from __future__ import annotations

import shlex
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliamap.case import PreparedCase
from gliamap.config import Settings
from gliamap.errors import OutputError
from gliamap.io.store import StoreInfo, read_case, read_store
from gliamap.recipes.facts import CaseFacts, DataFacts, Tails
from gliamap.recipes.named import write_recipe
from gliamap.recipes.propose import Proposal, propose
from gliamap.recipes.recipe import Recipe, network_output
from gliamap.workflows.common.memory import memory_at_hand, parse_memory
from gliamap.workflows.training.train_settings import TrainOptions, full_settings

LOOKED_AT = 30
"""Cases whose voxels are looked at, spread evenly over the store."""

STRETCHES, STRETCH = 64, 64
"""Of each modality, so many stretches of so many neighbouring voxels are read; neighbours cost one disk access."""


class PlanOptions(Settings):
    """What the user may set.

    ``memory``: what a training may take, such as ``8GB`` (``None``: what is free here). ``recipe``: what the proposal
    starts from; dimensions are kept where it says them, patch, batch and widths are proposed anew. ``overwrite``:
    replace the file of an earlier proposal.
    """

    memory: str | None = None
    recipe: Recipe = Recipe()
    overwrite: bool = False


@dataclass(frozen=True)
class Planned:
    """A proposal, the facts that it rests on, the memory planned for, and where that figure is from.

    ``prepare`` is the command that would prepare the data as proposed, ``None`` where the store is as it should be.
    ``times_the_work`` is what a step computes, over what it would without the proposal.
    """

    facts: DataFacts
    proposal: Proposal
    memory_bytes: int
    memory_from: str
    prepare: str | None
    times_the_work: float


def plan(
    store: Path,
    *,
    out: Path | None = None,
    options: PlanOptions | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Planned:
    """Propose patch, batch, depth, spacing and normalisation for a training on ``store``, each with its reason.

    What a training can take is written to ``out`` as a recipe, where a file is named; ``gliamap train --recipe`` starts
    from it. The records of all cases are read, voxels of a few. ``ConfigError`` where the memory is no amount, cannot
    be found out or is too small; ``OutputError`` where ``out`` exists (unless ``overwrite``).
    """
    options = options or PlanOptions()
    if out is not None and out.exists() and not (options.overwrite and out.is_file()):
        raise OutputError(f"{out} exists already", remedy="choose another --out, or say --overwrite")
    memory, source = memory_at_hand() if options.memory is None else (parse_memory(options.memory), "as asked")
    info = read_store(store)
    facts = gather_facts(store, info, options.recipe, progress=progress)
    proposal = propose(facts, memory, base=options.recipe)
    if out is not None:
        write_recipe(out, proposal.recipe)
    work = _voxels_a_step(info, proposal.recipe) / _voxels_a_step(info, Recipe(dims=proposal.recipe.dims))
    return Planned(facts, proposal, memory, source, prepare_command(store, info, proposal), work)


def gather_facts(
    store: Path, info: StoreInfo, recipe: Recipe, *, progress: Callable[[int, int, str], None] | None = None
) -> DataFacts:
    """What the records of all cases say, and a few thousand voxels of some. ``FileError`` where a case is damaged."""
    total = len(info.cases)
    looked_at = {round(float(at)) for at in np.linspace(0, total - 1, min(total, LOOKED_AT))}
    cases = []
    units = set()
    for number, entry in enumerate(info.cases):
        if progress:
            progress(number, total, entry.case_id)
        case = read_case(store, entry.case_id)
        units.add(case.record.native.unit)
        tails = look_at(case, brain=info.prep.foreground == "brain") if number in looked_at else None
        largest = max(case.index.lesions, key=lambda lesion: lesion.voxels, default=None) if case.index else None
        cases.append(
            CaseFacts(
                shape=case.record.shape,
                spacing=case.record.spacing,
                lesion=largest.box.shape if largest else None,
                lesion_size=largest.size if largest else 0.0,
                tails=tails,
            )
        )
    outputs = len(network_output(recipe, info.convention).channels)
    return DataFacts(tuple(cases), info.prep, outputs, "px" if units == {"px"} else "mm")


def look_at(case: PreparedCase, *, brain: bool) -> Tails | None:
    """The tails of some voxels of a case, drawn by a generator seeded by its name; ``None`` where it has no contrast.

    Of a skull-stripped ``brain`` the voxels that are not zero count, of a whole head all.
    """
    rng = np.random.default_rng(zlib.crc32(case.case_id.encode()))
    voxels = int(np.prod(case.image.shape[1:]))
    starts = rng.integers(0, max(1, voxels - STRETCH + 1), STRETCHES)
    found = []
    for channel in case.image:
        flat = channel.reshape(-1)  # a view: the file is read where it is sliced
        values = np.concatenate([flat[start : start + STRETCH] for start in starts]).astype(np.float32)
        tails = _tails(values[values != 0] if brain else values)
        if tails:
            found.append(tails)
    if not found:
        return None
    return Tails(max(one.farthest for one in found), min(one.spread for one in found))


def _tails(values: NDArray[np.float32]) -> Tails | None:
    """``None`` where the values are all equal, or too few to speak of percentiles."""
    if len(values) < 100 or values.min() == values.max():
        return None
    low, high = np.percentile(values, (16, 84))
    return Tails(float(np.abs(values).max()), float(high - low) / 2)


def prepare_command(store: Path, info: StoreInfo, proposal: Proposal) -> str | None:
    """The command that prepares the same sources as proposed into a new folder; ``None`` where nothing is to change."""
    if proposal.spacing is None and proposal.normalise is None:
        return None
    prep = info.prep
    spacing = proposal.spacing or prep.spacing
    words = ["gliamap", "prepare", *(info.sources or ("DATA",)), "-o", f"{store.resolve().name}-planned"]
    for modality in prep.modalities:
        words += ["--modality", modality]
    words += ["--foreground", prep.foreground]
    if proposal.normalise or prep.normalise == "robust":
        words += ["--normalise", "robust"]
    if spacing:
        words += ["--spacing", *(f"{value:g}" for value in spacing)]
    return shlex.join(words)


def _voxels_a_step(info: StoreInfo, recipe: Recipe) -> int:
    _, config = full_settings(info, TrainOptions.model_validate(recipe.model_dump()), "planned")
    return int(np.prod(config.patch)) * config.batch
