"""What watches a training: curves, pictures of a validation example, TensorBoard and MLflow where asked for."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from gliamap.case import Case
from gliamap.report.curves import draw_curves
from gliamap.report.example import draw_example
from gliamap.training.progress import Example, StepReport
from gliamap.training.track import LOG_EVERY
from gliamap.volume import Grid
from gliamap.workflows.common.unchanged import flatten
from gliamap.workflows.training.trackers import Backend, MlflowBackend, TensorBoardBackend, plain

logger = logging.getLogger(__name__)

TrackerName = Literal["tensorboard", "mlflow"]
Observer = Callable[[StepReport], None]

PICTURES_KEPT = 20
"""So many of the latest pictures stay in the run's folder, beside the first."""


class Tracker:
    """Passes the figures of a training on, every ``LOG_EVERY`` steps and after a validation. A context manager.

    Figures are named ``loss``, ``learning_rate``, ``gradient_norm``, ``seconds/STAGE`` (summed since the figures
    before, as in ``log.csv``) and ``dice/REGION``; those that are not finite are left out. The picture of an example
    goes with them where :func:`save_example` has drawn it.
    """

    def __init__(self, run: Path, backends: Sequence[Backend]) -> None:
        self._run = run
        self._backends = backends
        self._failing: set[str] = set()
        self._stages: dict[str, float] = {}

    def __enter__(self) -> Self:
        """``ConfigError`` where MLflow does not answer."""
        with ExitStack() as stack:
            for backend in self._backends:
                stack.enter_context(backend)
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for backend in self._backends:
            self._attempt(backend, partial(backend.__exit__, kind, error, trace))

    def __call__(self, report: StepReport) -> None:
        """Take a report. A tracker that fails is warned of, and does not stop the training."""
        for stage, seconds in report.stages.items():
            self._stages[stage] = self._stages.get(stage, 0.0) + seconds
        if report.step % LOG_EVERY and report.dice is None:
            return
        values = _figures(report, self._stages)
        self._stages = {}
        path = _picture(self._run, report.step)
        picture = path if report.example is not None and path.is_file() else None
        for backend in self._backends:
            self._attempt(backend, partial(backend.write, report.step, values, picture))

    def _attempt(self, backend: Backend, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # whatever those libraries raise, the training is worth more
            if backend.name not in self._failing:
                logger.warning("%s takes nothing at present: %s; log.csv has all figures", backend.name, plain(error))
            self._failing.add(backend.name)
        else:
            self._failing.discard(backend.name)


def open_trackers(names: Sequence[TrackerName], run: Path, *, resume: bool, settings: Mapping[str, Any]) -> Tracker:
    """The trackers of ``names`` for the training in ``run``, to be entered; none of them is a tracker, too.

    ``settings`` (nested as they are) go along as a table with dotted names. Nothing is written before the tracker is
    entered. ``ConfigError`` where a package is not installed.
    """
    flat = flatten(settings)
    makers: Mapping[TrackerName, Callable[[], Backend]] = {
        "tensorboard": lambda: TensorBoardBackend(run, flat),
        "mlflow": lambda: MlflowBackend(run, flat, resume=resume),
    }
    return Tracker(run, [makers[name]() for name in dict.fromkeys(names)])


def observers(run: Path, tracker: Observer, observe: Observer | None) -> Observer:
    """After a validation redraw the curves and save the example; then tell ``tracker`` and ``observe``."""

    def watch(report: StepReport) -> None:
        if report.dice is not None:
            draw_curves(run / "log.csv", run / "curves.png")
        if report.example is not None:
            save_example(run, report, report.example)
        tracker(report)
        if observe:
            observe(report)

    return watch


def save_example(run: Path, report: StepReport, example: Example) -> None:
    """Draw ``run/examples/step_000500.png``. The first picture and the latest ``PICTURES_KEPT`` are kept.

    Pictures do not name the case.
    """
    x, y = example.reference.shape
    grid = Grid((x, y, 1), np.diag([*example.spacing, 1.0, 1.0]), example.unit)
    image = np.asarray(example.image, np.float32)[:, :, :, None]
    case = Case("example", "example", example.modalities, image, grid, example.reference[:, :, None])
    scores = " · ".join(f"{region} {score:.2f}" for region, score in (report.dice or {}).items())
    about = f"validation Dice {scores}" if scores else ""
    out = _picture(run, report.step)
    draw_example(case, example.predicted[:, :, None], out, title=f"step {report.step}", about=about)
    found = re.compile(r"step_(\d+)\.png")
    steps = sorted(int(match[1]) for path in out.parent.iterdir() if (match := found.fullmatch(path.name)))
    for step in steps[1:-PICTURES_KEPT]:
        _picture(run, step).unlink(missing_ok=True)


def _picture(run: Path, step: int) -> Path:
    return run / "examples" / f"step_{step:06d}.png"


def _figures(report: StepReport, stages: Mapping[str, float]) -> dict[str, float]:
    values = {"loss": report.loss, "learning_rate": report.learning_rate, "gradient_norm": report.gradient_norm}
    values |= {f"seconds/{stage}": seconds for stage, seconds in stages.items()}
    values |= {f"dice/{region}": score for region, score in (report.dice or {}).items()}
    return {key: value for key, value in values.items() if math.isfinite(value)}
