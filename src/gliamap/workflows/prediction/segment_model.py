"""The model that gliamap segment uses: one, or several averaged, set up as the user asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gliamap.config import CleanUpConfig, ModelSpec, PrepConfig, WindowConfig
from gliamap.errors import ConfigError
from gliamap.infer.average import AveragedEngine, flips_of
from gliamap.infer.engine import Engine, EngineChoice
from gliamap.infer.memory import resident_bytes
from gliamap.infer.predictor import Predictor, load_predictor
from gliamap.io.checkpoint import read_spec
from gliamap.models.shipped import resolve_model
from gliamap.workflows.common.failures import plain_settings
from gliamap.workflows.common.folds import runs_of
from gliamap.workflows.common.memory import memory_at_hand, parse_memory
from gliamap.workflows.prediction.segment_settings import SegmentOptions

_SHARE_OF_FREE = 0.7
"""Of the memory that is free; the rest is for other programs, and for what is not foreseen."""


@dataclass(frozen=True)
class Models:
    """The checkpoint folders of a run's models, what each says of itself, and the predictor that they are together."""

    paths: tuple[Path, ...]
    specs: tuple[ModelSpec, ...]
    predictor: Predictor


def load_models(named: Sequence[Path], options: SegmentOptions) -> Models:
    """The models at the paths ``named``; the folder of a cross-validation stands for those of all its folds.

    ``ConfigError`` where several do not go together, or an option does not fit them.
    """
    paths = tuple(map(resolve_model, runs_of(named)))
    specs = tuple(map(read_spec, paths))
    most = None if options.max_memory is None else parse_memory(options.max_memory)
    loaded = load_predictor(paths, EngineChoice(engine=options.engine, precision=options.precision))
    spec = _configured(loaded.spec, options)
    axes = range(spec.network.dims) if options.flips else ()
    spread = options.uncertainty or spec.dice_predictor is not None
    predictor = Predictor(
        spec,
        _averaged(loaded.engine, axes, spread=spread),
        max_memory=most or _usual_limit(),
        fixed_mode=options.window == "one-pass",
        reporting=options.report,
    )
    return Models(paths, specs, predictor)


def _usual_limit() -> int | None:
    """What this process may hold where the user says nothing; ``None`` where the system does not tell what is free."""
    try:
        free, _ = memory_at_hand()
    except ConfigError:
        return None
    return resident_bytes() + int(_SHARE_OF_FREE * free)


def _configured(spec: ModelSpec, options: SegmentOptions) -> ModelSpec:
    """The spec as the user asks; what Dice to expect was learned as the model says, and is not known otherwise."""
    own = spec
    with plain_settings():
        if options.min_size is not None:
            spec = spec.model_copy(update={"clean_up": CleanUpConfig(min_size=options.min_size)})
        asked: dict[str, Any] = {} if options.overlap is None else {"overlap": options.overlap}
        if options.window != "auto":
            asked |= {"mode": options.window}
        window = WindowConfig.model_validate(spec.window.model_dump() | asked)
        spec = spec.model_copy(update={"window": window})
        if options.spacing is not None:
            prep = PrepConfig.model_validate(spec.prep.model_dump() | {"spacing": options.spacing, "pixel_mm": None})
            spec = spec.model_copy(update={"prep": prep})
    if (spec.clean_up, spec.window.overlap, spec.prep) != (own.clean_up, own.window.overlap, own.prep):
        spec = spec.model_copy(update={"dice_predictor": None})
    return spec


def _averaged(engine: Engine, axes: Sequence[int], *, spread: bool) -> Engine:
    """The mean over flips of all models, taken at once, so that the spread is that of all answers."""
    models = engine.members if isinstance(engine, AveragedEngine) else (engine,)
    members = [member for model in models for member in flips_of(model, axes)]
    return AveragedEngine(members, spread=spread) if len(members) > 1 else engine
