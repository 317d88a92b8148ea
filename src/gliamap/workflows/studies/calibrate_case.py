"""One held-out case as its fold's model predicts it in one way, and what that is worth; kept, so that work goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from gliamap import __version__
from gliamap.case import CaseFiles, PreparedCase, Uncertainty
from gliamap.config import ModelSpec, OutputConfig
from gliamap.errors import FileError
from gliamap.infer.average import AveragedEngine, flips_of
from gliamap.infer.engine import EngineChoice
from gliamap.infer.engines import build_engine
from gliamap.infer.predictor import Predictor
from gliamap.infer.uncertainty import measure
from gliamap.io.archive import origin_of
from gliamap.io.atomic import read_json, write_json
from gliamap.io.cases import read_case
from gliamap.io.checkpoint import read_spec
from gliamap.labels import Region, encode_classes, encode_regions, region_mask
from gliamap.metrics.calibration import near_voxels
from gliamap.metrics.overlap import count, dice
from gliamap.metrics.temperature import likelihood_curve
from gliamap.models.shipped import resolve_model
from gliamap.workflows.common.folds import Fold

Mode = Literal["windows", "one-pass"]

_MEANING = 1
"""To be raised with every change of the code after which the same files would give other figures."""

_DECIDING = {
    *("network", "output", "prep", "inputs", "window", "may_be_missing", "clean_up", "temperature", "weights_sha256")
}
"""What of a spec decides over a prediction."""

_MOST = 20_000
"""Voxels of a case that its likelihood is taken from, evenly spread over those near the tumour."""


@dataclass(frozen=True)
class Way:
    """How cases are predicted: the window mode, the temperature, and whether over all flips."""

    mode: Mode
    temperature: float = 1.0
    flips: bool = False


@dataclass(frozen=True)
class Look:
    """A held-out case, predicted.

    ``dice`` and ``volumes`` (mL, or pixels) are those of the masks on the native grid. ``curve`` is the likelihood at
    each temperature on top of the way's own, over the voxels near the tumour; empty where there are none.
    """

    case_id: str
    patient_id: str
    dice: Mapping[Region, float]
    volumes: Mapping[Region, float]
    uncertainty: Uncertainty
    curve: tuple[float, ...]


_LOOK = TypeAdapter(Look)


def spec_for(spec: ModelSpec, way: Way) -> ModelSpec:
    """The spec as it is used ``way``, without what calibration writes into it."""
    window = spec.window.model_copy(update={"mode": way.mode})
    told = {"window": window, "temperature": way.temperature, "window_dice": {}, "dice_predictor": None}
    return spec.model_copy(update=told)


def look_at_fold(
    fold: Fold, cases: Sequence[CaseFiles], way: Way, *, choice: EngineChoice, kept: Path
) -> Iterator[Look]:
    """Every one of ``cases`` as the fold's model predicts it.

    What ``kept`` holds of the same files, model and settings is not done again.
    """
    folder = resolve_model(fold.run)
    spec = spec_for(read_spec(folder), way)
    predictor: Predictor | None = None
    for files in cases:
        path = kept / key_of(files, spec, way, choice)
        look = _read(path)
        if look is None:
            predictor = predictor or _predictor(folder, spec, way, choice)
            look = look_at(files, predictor)
            write_json(path, _LOOK.dump_python(look, mode="json"))
        yield look


def _predictor(folder: Path, spec: ModelSpec, way: Way, choice: EngineChoice) -> Predictor:
    engine = build_engine(folder, spec, choice)
    if way.flips:
        engine = AveragedEngine(flips_of(engine, range(spec.network.dims)), spread=True)
    return Predictor(spec, engine, fixed_mode=True)


def look_at(files: CaseFiles, predictor: Predictor) -> Look:
    """Predict a case and compare it with its reference."""
    spec = predictor.spec
    case = read_case(files, modalities=spec.prep.modalities, may_be_missing=spec.may_be_missing)
    assert case.labels is not None  # a case without a mask is refused before
    ready = predictor.prepare(case)
    raw = predictor.run(ready)
    found, reference = predictor.finish(ready, raw).labels, case.labels
    counts = {r: count(region_mask(found, r), region_mask(reference, r)) for r in spec.output.regions}
    return Look(
        case_id=case.case_id,
        patient_id=case.patient_id,
        dice={region: dice(each) for region, each in counts.items()},
        volumes={region: each.predicted * case.grid.voxel_size for region, each in counts.items()},
        uncertainty=measure(raw, spec.output),
        curve=_curve(raw[: len(spec.output.channels)], ready.prepared, spec.output),
    )


def _curve(probs: NDArray[np.floating], prepared: PreparedCase, output: OutputConfig) -> tuple[float, ...]:
    """The likelihood of the voxels near the tumour, on the prepared grid, where the network answers.

    Regions are asked one by one, inside or outside; classes all at once.
    """
    labels = np.asarray(prepared.labels)
    regions = output.kind == "regions"
    tumour = np.asarray((probs >= 0.5).any(axis=0) if regions else probs[0] < 0.5)
    around, near = near_voxels(tumour | (labels != 0), prepared.record.spacing)
    where = np.flatnonzero(near)
    where = where[:: -(-where.size // _MOST) or 1]
    if not where.size:
        return ()
    said = probs[(slice(None), *around)].reshape(len(probs), -1)[:, where]
    inside = labels[around].reshape(1, 1, -1)[..., where]
    if regions:
        said, truth = said.ravel(), encode_regions(inside, output.regions).ravel()
        return tuple(likelihood_curve(np.stack([1 - said, said]), truth.astype(np.intp)).tolist())
    truth = encode_classes(inside, output.tissues)[:, 0, 0].argmax(axis=0)
    return tuple(likelihood_curve(said, truth).tolist())


def key_of(files: CaseFiles, spec: ModelSpec, way: Way, choice: EngineChoice) -> str:
    """A file name that changes with the case's files, the model, and how it is used."""
    paths = (*(files.modalities[name] for name in sorted(files.modalities)), files.labels)
    used = spec.model_dump(mode="json", include=_DECIDING)
    content: list[Any] = [__version__, _MEANING, used, asdict(way), choice.model_dump()]
    content += [
        files.case_id,
        files.identity.patient_id,
        files.conventions,
        [(str(p), origin_of(p)) for p in paths if p],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest() + ".json"


def _read(path: Path) -> Look | None:
    """What was kept; ``None`` where it is not there, or is no such thing."""
    try:
        return _LOOK.validate_python(read_json(path)) if path.is_file() else None
    except (FileError, ValidationError):
        return None
