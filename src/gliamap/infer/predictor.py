"""A loaded model that predicts cases: the object that holds something expensive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gliamap.case import Case, Prediction
from gliamap.config import ModelSpec
from gliamap.infer.decode import decode
from gliamap.infer.engine import Engine, Precision, TorchEngine, best_device
from gliamap.infer.window import predict_windows
from gliamap.inputs import NetworkInput
from gliamap.io.checkpoint import read_spec, resolve_model
from gliamap.nets.zoo import load_network
from gliamap.prep.pipeline import prepare, restore


class Predictor:
    """A model's spec and the engine that runs it."""

    def __init__(self, spec: ModelSpec, engine: Engine) -> None:
        self.spec = spec
        self.engine = engine

    def predict(
        self, case: Case, *, keep_probabilities: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> Prediction:
        """Prepare, slide, restore the probabilities to the native grid, decode there.

        Modalities that the model can do without may be missing, as long as one is there.
        """
        spec = self.spec
        prepared = prepare(case, spec.prep, may_be_missing=spec.may_be_missing)
        shown = NetworkInput(prepared.image, spec.inputs, prepared.present)
        on_prepared = predict_windows(shown, self.engine, spec.window, progress)
        probabilities = restore(on_prepared, prepared.record)
        labels = decode(probabilities, spec.output, spec.clean_up, case.grid.voxel_size)
        assert prepared.present is not None  # prepare says it
        missing = tuple(m for m, there in zip(spec.prep.modalities, prepared.present, strict=True) if not there)
        warnings = list(case.warnings)
        if missing:
            warnings.append(f"without {', '.join(missing)}")
        if not labels.any():
            warnings.append("no tumour found")
        if not prepared.image.any():
            warnings.append("the image is blank")
        return Prediction(
            case_id=case.case_id,
            labels=labels,
            grid=case.grid,
            probabilities=probabilities if keep_probabilities else None,
            channels=spec.output.channels,
            warnings=tuple(warnings),
            missing=missing,
        )


def load_predictor(path: Path, precision: Precision | None = None) -> Predictor:
    """Load a model folder or a run folder. It runs on the GPU where there is one.

    ``precision`` defaults to bf16 where the processor is fast at it.
    """
    folder = resolve_model(path)
    spec = read_spec(folder)
    model = load_network(folder, spec)
    device, fast = best_device()
    return Predictor(spec, TorchEngine(model.to(device), spec, precision or fast))
