"""A loaded model that predicts cases: the object that holds something expensive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliamap.case import Case, Prediction, PreparedCase
from gliamap.config import CleanUpConfig, ModelSpec
from gliamap.infer.average import AveragedEngine, joint_spec
from gliamap.infer.confidence import predict_dice
from gliamap.infer.decode import clean_up_for, decode
from gliamap.infer.engine import Engine, EngineChoice
from gliamap.infer.engines import build_engine
from gliamap.infer.memory import Room, Way, resident_bytes
from gliamap.infer.one_pass import check_one_pass
from gliamap.infer.uncertainty import disagreement_map, entropy_map, measure
from gliamap.infer.window import predict_windows
from gliamap.inputs import NetworkInput
from gliamap.io.checkpoint import read_spec
from gliamap.labels import region_mask
from gliamap.models.shipped import resolve_model
from gliamap.prep.pipeline import prepare, restore, to_crop, to_native
from gliamap.volume import Grid


@dataclass(frozen=True, eq=False)
class Ready:
    """A case that waits for the network, without its native voxels, and the ``way`` it will go through it."""

    prepared: PreparedCase
    way: Way

    @property
    def grid(self) -> Grid:
        """The case's own grid."""
        return self.prepared.record.native


class Predictor:
    """A model's spec and the engine that runs it.

    A case goes through three stages, which need each other's results and nothing else, so that they can run in
    different threads: :meth:`prepare`, :meth:`run`, :meth:`finish`. :meth:`predict` is the three in a row.

    ``max_memory``: bytes that the process may hold in all, the caller's own arrays not counted; ``None`` sets no limit.
    Where the spec wants one pass and memory is short, a case goes in windows; with ``fixed_mode`` it is refused.
    ``reporting``: the memory of a report of each case counts, too.
    ``ConfigError`` where the network cannot do one pass and the spec wants it.
    """

    def __init__(
        self,
        spec: ModelSpec,
        engine: Engine,
        *,
        max_memory: int | None = None,
        fixed_mode: bool = False,
        reporting: bool = False,
    ) -> None:
        check_one_pass(spec)
        self.spec = spec
        self.engine = engine
        self.room = Room(spec, engine, resident_bytes(), max_memory, reporting)
        self._fixed_mode = fixed_mode

    def predict(
        self,
        case: Case,
        *,
        keep_probabilities: bool = False,
        keep_uncertainty: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Prediction:
        """Prepare, run the network, restore the probabilities to the native grid, decode there.

        Modalities that the model can do without may be missing, as long as one is there. ``ConfigError`` where the case
        takes more memory than is allowed.
        """
        ready = self.prepare(case)
        raw = self.run(ready, progress)
        return self.finish(ready, raw, keep_probabilities=keep_probabilities, keep_uncertainty=keep_uncertainty)

    def prepare(self, case: Case) -> Ready:
        """The case as the network sees it; it does not hold the case's own voxels."""
        prepared = prepare(case, self.spec.prep, may_be_missing=self.spec.may_be_missing)
        return Ready(prepared, self.room.way(case.grid, prepared.record.shape, fixed_mode=self._fixed_mode))

    def run(self, ready: Ready, progress: Callable[[int, int], None] | None = None) -> NDArray[np.floating]:
        """Probabilities ``(R, X, Y, Z)`` on the prepared grid, float32, or float16 where memory is short.

        Where the engine also tells how far its members are apart, ``(2R, X, Y, Z)``: their standard deviations follow.
        """
        shown = NetworkInput(ready.prepared.image, self.spec.inputs, ready.prepared.present)
        return predict_windows(shown, self.engine, ready.way.window, progress, half=ready.way.half)

    def finish(
        self,
        ready: Ready,
        raw: NDArray[np.floating],
        *,
        keep_probabilities: bool = False,
        keep_uncertainty: bool = False,
        clean_up: CleanUpConfig | None = None,
    ) -> Prediction:
        """What ``raw``, the answer of :meth:`run`, says on the case's own grid.

        One channel is restored at a time, and labels, not probabilities, go back from the crop to the whole grid; with
        ``keep_probabilities`` all are. ``clean_up``: how, if not as the model does (:func:`clean_up_for`).
        """
        spec, prepared, record = self.spec, ready.prepared, ready.prepared.record
        channels = spec.output.channels
        own = raw[: len(channels)]
        on_crop = to_crop(own, record) if keep_probabilities else (to_crop(one[None], record)[0] for one in own)
        clean_up = clean_up or clean_up_for(spec, ready.grid.unit)
        labels = to_native(decode(on_crop, spec.output, clean_up, ready.grid.voxel_size), record)
        assert prepared.present is not None  # prepare says it
        missing = tuple(m for m, there in zip(spec.prep.modalities, prepared.present, strict=True) if not there)
        prediction = Prediction(
            case_id=prepared.case_id,
            labels=labels,
            grid=ready.grid,
            probabilities=to_native(on_crop, record) if isinstance(on_crop, np.ndarray) else None,
            channels=channels,
            missing=missing,
        )
        return _with_doubts(prediction, ready, raw, spec, keep=keep_uncertainty)


def _with_doubts(
    prediction: Prediction, ready: Ready, raw: NDArray[np.floating], spec: ModelSpec, *, keep: bool
) -> Prediction:
    """With the uncertainty and its maps, where they are to be kept, and the predicted Dice, where one was learned.

    It was learned from sizes in mL or in pixels: nothing is predicted of scans of the other unit.
    """
    if not keep and spec.dice_predictor is None:
        return prediction
    uncertainty = measure(raw, spec.output)
    size = prediction.grid.voxel_size
    volumes = {r: float(region_mask(prediction.labels, r).sum()) * size for r in spec.output.regions}
    used = spec.model_copy(update={"window": ready.way.window})
    if spec.seen is None or spec.seen.unit == prediction.grid.unit:
        prediction = replace(prediction, predicted_dice=predict_dice(used, uncertainty, volumes))
    if not keep:
        return prediction
    maps = (entropy_map(raw, spec.output), disagreement_map(raw, spec.output))
    entropy, apart = (None if one is None else restore(one[None], ready.prepared.record)[0] for one in maps)
    return replace(prediction, uncertainty=uncertainty, entropy_map=entropy, disagreement_map=apart)


def load_predictor(models: Path | Sequence[Path], choice: EngineChoice | None = None) -> Predictor:
    """Load a model folder or a run folder; of several, the mean of their probabilities is the answer.

    ``ConfigError`` where several do not go together, or the machine cannot run them as ``choice`` says.
    """
    folders = [resolve_model(path) for path in ([models] if isinstance(models, Path) else models)]
    specs = [read_spec(folder) for folder in folders]
    spec = joint_spec(specs)
    engines = [build_engine(folder, own, choice or EngineChoice()) for folder, own in zip(folders, specs, strict=True)]
    return Predictor(spec, engines[0] if len(engines) == 1 else AveragedEngine(engines))
