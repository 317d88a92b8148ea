"""Sizes of a training, proposed from facts about the data and the memory at hand; every rule says why.

The rules follow nnU-Net (Isensee et al. 2021), but for thick slices: the networks here pool all axes alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from gliamap.boxes import Shape
from gliamap.config import NetConfig, TrainConfig
from gliamap.errors import ConfigError
from gliamap.nets.zoo import network_of, size_divisor, widths_of
from gliamap.recipes.facts import FAR, NARROW, DataFacts, Spacing
from gliamap.recipes.memory import TrainingMemory, training_memory
from gliamap.recipes.recipe import DEFAULT_NETWORK, Recipe, network_inputs

Dims = Literal[2, 3]

USABLE = 0.85
"""The share of the memory that is planned for; the rest is for loaders, validation and what the estimate misses."""

LARGEST_SIDE = {2: 512, 3: 128}
"""Of a patch. nnU-Net takes 128 for BraTS; beyond it a step's time grows faster than what it shows."""

SMALLEST_SIDE = 16
COARSEST_SIDE = 4
"""So many voxels remain at the coarsest level along the patch's shortest axis, at least."""

LEVELS = (6, 5, 4, 3)
"""What is tried, as far as the network can have so many."""

BATCH = {2: 16, 3: 2}
THICK = 3.0
"""A voxel longer than so many times its shortest side is of a thick slice."""

HEAVY_SHARE = 0.1
"""Robust normalisation is proposed where more than this share of the cases have heavy tails."""


@dataclass(frozen=True)
class Proposal:
    """A recipe with its reasons, what it takes, and what to prepare anew (``None``: stay with what is there)."""

    recipe: Recipe
    memory: TrainingMemory
    spacing: Spacing | None
    normalise: Literal["robust"] | None


def propose(facts: DataFacts, memory_bytes: int, *, base: Recipe | None = None) -> Proposal:
    """Dimensions, depth, patch and batch for ``facts`` within ``memory_bytes``; spacing and normalisation beside them.

    ``base`` gives all other settings, and the dimensions where it says them. A patch must fit by itself; patches of a
    batch that do not fit together go through the network one after another (``micro_batch``). ``ConfigError`` where
    not even the smallest patch fits.
    """
    base = base or Recipe()
    config = TrainConfig.model_validate(base.config)
    dims, why_dims = _dims(facts, base)
    network, patch = _sizes(facts, dims, memory_bytes, base)
    batch, together, why_batch = _batch(network, patch, memory_bytes, config)
    spacing, why_spacing = _spacing(facts)
    normalise, why_normalise = _normalise(facts)
    sizes = {"patch": patch, "batch": batch} | ({"micro_batch": together} if together < batch else {})
    reasons = {
        "network": why_dims,
        "levels": _why_levels(network, patch),
        "patch": _why_patch(facts, network, patch),
        "batch": why_batch,
        "spacing": why_spacing,
        "normalisation": why_normalise,
    }
    name = "planned" if base.name == "default" else f"{base.name}-planned"
    said = {"name": name, "reasons": reasons, "config": base.config | sizes}
    changes = said | {"dims": dims, "network": network.name, "widths": network.widths}
    memory = training_memory(network, patch, together, precision=config.precision)
    return Proposal(base.model_copy(update=changes), memory, spacing, normalise)


def _dims(facts: DataFacts, base: Recipe) -> tuple[Dims, str]:
    """A network for slices or for volumes. The slices of a volume are those across Z."""
    if facts.slices:
        return 2, "every case is a single slice"
    if base.dims:
        return base.dims, f"as the recipe {base.name} says"
    name = base.network or DEFAULT_NETWORK
    if 3 not in network_of(name).widths:
        return 2, f"the network {name} is for slices"
    x, y, z = facts.spacing
    thickness = z / min(x, y)
    if thickness > THICK:
        return 2, (
            f"slices are {thickness:.1f} times as thick as their pixels; a 3D network here pools all axes alike, so "
            "few voxels would be left across the slices"
        )
    across, within = _deepest(facts.shape[2]), _deepest(min(facts.shape[:2]))
    if across == LEVELS[-1] < within:
        return 2, (
            f"the median case has {facts.shape[2]} slices, enough for {across} levels at most; {_by(facts.shape[:2])} "
            f"pixels are enough for {within}"
        )
    return 3, "the cases are volumes" + (
        "" if max(x, y, z) <= THICK * min(x, y, z) else "; their thick axis is not Z, so slices across Z would not help"
    )


def _deepest(side: int) -> int:
    """The most levels that leave enough of ``side`` voxels at the coarsest; the least, where none does."""
    return next((levels for levels in LEVELS if side >= COARSEST_SIDE * 2 ** (levels - 1)), LEVELS[-1])


def _sizes(facts: DataFacts, dims: Dims, memory_bytes: int, base: Recipe) -> tuple[NetConfig, Shape]:
    """The deepest network, and the largest patch for it, that fit the median case and the memory."""
    config = TrainConfig.model_validate(base.config)
    name = base.network or DEFAULT_NETWORK
    known, widths = network_of(name), widths_of(name, dims)
    modalities = facts.prep.modalities
    depths = [levels for levels in LEVELS if known.least <= levels <= len(widths)]
    smallest = 0
    for levels in depths:
        last = levels == depths[-1]
        network = NetConfig(
            name=name,
            dims=dims,
            in_channels=network_inputs(base, config, modalities).channels(len(modalities)),
            out_channels=facts.outputs,
            widths=widths[:levels],
            deep_supervision=known.deep_supervision if base.deep_supervision is None else base.deep_supervision,
        )
        patch = _patch(facts.shape, network, last=last)
        while patch is not None:
            network = network.model_copy(update={"input_size": patch if known.sized else None})
            smallest = training_memory(network, patch, 1, precision=config.precision).total
            if smallest <= USABLE * memory_bytes:
                return network, patch
            patch = _smaller(patch, facts.shape, network, last=last)
    raise ConfigError(
        "the memory is too small for any training",
        found=f"{memory_bytes / 1e9:.1f} GB",
        expected=f"at least {smallest / USABLE / 1e9:.1f} GB, for the smallest network and patch considered",
        remedy="free some memory, or train on another machine",
    )


def _patch(shape: Shape, network: NetConfig, *, last: bool) -> Shape | None:
    """The median case rounded up, cut to the largest side; ``None`` where the network is too deep for the case."""
    divisor = size_divisor(network)
    if min(shape[: network.dims]) < COARSEST_SIDE * divisor and not last:
        return None
    x, y, z = (min(LARGEST_SIDE[network.dims], -(-n // divisor) * divisor) for n in shape)
    x = max(x, y, 2 * divisor) if max(x, y) <= divisor else x  # one voxel alone cannot be normalised
    return (x, y, 1 if network.dims == 2 else z)


def _smaller(patch: Shape, shape: Shape, network: NetConfig, *, last: bool) -> Shape | None:
    """One step less along the axis that covers most of the median case; ``None`` where no axis can give."""
    divisor = size_divisor(network)
    least = max(SMALLEST_SIDE, (2 if last else COARSEST_SIDE) * divisor)
    able = [axis for axis in range(network.dims) if patch[axis] - divisor >= least]
    if not able:
        return None
    widest = max(able, key=lambda axis: (patch[axis] / shape[axis], patch[axis]))
    x, y, z = (n - divisor if axis == widest else n for axis, n in enumerate(patch))
    return (x, y, z)


def _batch(network: NetConfig, patch: Shape, memory_bytes: int, config: TrainConfig) -> tuple[int, int, str]:
    """Patches a step, how many of them at once, and why."""
    batch = together = BATCH[network.dims]
    all_at_once = training_memory(network, patch, batch, precision=config.precision).total
    while together > 1 and training_memory(network, patch, together, precision=config.precision).total > (
        USABLE * memory_bytes
    ):
        together //= 2
    if together == batch:
        return batch, together, f"{batch} patches of this size fit at once"
    at_once = "one at a time" if together == 1 else f"{together} at a time"
    every = "both" if batch == 2 else f"all {batch}"
    return batch, together, f"{at_once}: {every} at once would take about {all_at_once / 1e9:.1f} GB"


def _spacing(facts: DataFacts) -> tuple[Spacing | None, str]:
    """What to resample to, if anything; thick slices are kept thick, not invented between."""
    if facts.unit == "px":
        return None, "images have no spacing"
    if facts.prep.spacing is not None:
        return None, f"resampled to {_by(facts.prep.spacing)} mm already"
    thick = max(facts.spacing) > THICK * min(facts.spacing)
    advice = (
        "; thick slices are left thick: interpolating between them adds voxels, not knowledge. For a 3D network on "
        "them, prepare with a spacing of at most 3 times the pixels"
        if thick
        else ""
    )
    if not facts.spacings_differ:
        return None, f"{_by(facts.spacing)} mm in all cases" + advice
    finest, coarsest = (
        tuple(round(pick(case.spacing[axis] for case in facts.cases), 2) for axis in range(3)) for pick in (min, max)
    )
    return facts.spacing, f"cases differ, {_by(finest)} to {_by(coarsest)} mm; this is their median" + advice


def _normalise(facts: DataFacts) -> tuple[Literal["robust"] | None, str]:
    """Whether the tails should be cut."""
    if facts.prep.normalise == "robust":
        return None, "tails are cut already"
    tails = facts.looked_at
    heavy = [one for one in tails if one.heavy]
    if not tails:
        return None, "no case has contrast to look at"
    said = (
        f"heavy tails in {len(heavy)} of {len(tails)} cases looked at (voxels beyond {FAR:g} standard deviations, or "
        f"two thirds of all within {NARROW:g})"
    )
    return ("robust" if len(heavy) > HEAVY_SHARE * len(tails) else None), said


def _why_levels(network: NetConfig, patch: Shape) -> str:
    shortest = min(patch[: network.dims])
    left = shortest // size_divisor(network)
    return f"the patch's shortest side, {shortest}, becomes {left} at the coarsest"


def _why_patch(facts: DataFacts, network: NetConfig, patch: Shape) -> str:
    shape = facts.shape[: network.dims]
    pairs = list(zip(patch, shape, strict=False))
    share = min(p / n for p, n in pairs)
    if share >= 1:
        said = f"holds the whole median case, {_by(shape)}"
    else:
        said = f"covers {_and(f'{min(1.0, p / n):.0%}' for p, n in pairs)} of the median case, {_by(shape)}; "
        most = LARGEST_SIDE[network.dims]
        said += "more does not fit the memory" if any(p < min(n, most) for p, n in pairs) else f"{most} is the most"
    if facts.tumours:
        fit = facts.share_within(patch)
        said += f"; the largest lesion of {'every case' if fit == 1 else f'{fit:.0%} of the cases'} fits into it"
    return said


def _and(words: Iterable[str]) -> str:
    """``a, b and c``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _by(values: tuple[float, ...]) -> str:
    return "x".join(f"{value:g}" for value in values)
