"""TensorBoard and MLflow, each as a backend that takes figures and pictures of a training. Both are extras."""

from __future__ import annotations

import logging
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import unquote, urlparse

import numpy as np
from PIL import Image

from gliamap.errors import ConfigError
from gliamap.io.atomic import read_json, write_json

logger = logging.getLogger(__name__)

EXPERIMENT = "gliamap"

RETRY_SECONDS = 60.0
"""After a failure MLflow is left alone for so long: a server that hangs must not slow the training down."""

_MLFLOW_ENVIRONMENT = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",  # the one store that works without a server and without the full package
}
_MLFLOW_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_VALUE_LENGTH = 500  # of a parameter: what every version of MLflow takes
_PARAMS_AT_ONCE = 100
_METRICS_AT_ONCE = 1000


class Backend(Protocol):
    """Where figures go. Entered before the training, left after it, with its error where it ended with one."""

    name: str

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, step: int, values: Mapping[str, float], picture: Path | None) -> None:
        """Take the figures of a step and a PNG. Any exception means that they were not taken."""


class TensorBoardBackend:
    """Event files in ``run/tensorboard``. What they hold of the first step written and later ones is purged."""

    name = "TensorBoard"

    def __init__(self, run: Path, settings: Mapping[str, Any]) -> None:
        with _quiet():
            _import("tensorboard", "TensorBoard")
            self._make_writer = import_module("torch.utils.tensorboard").SummaryWriter
        self._folder = run / "tensorboard"
        self._settings = settings
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, step: int, values: Mapping[str, float], picture: Path | None) -> None:
        """Add and flush, so that a killed training has all that its log has."""
        if self._writer is None:
            self._writer = self._open(step)
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)
        if picture is not None:
            with Image.open(picture) as image:
                self._writer.add_image("example", np.asarray(image.convert("RGB")), step, dataformats="HWC")
        self._writer.flush()

    def _open(self, step: int) -> Any:
        again = any(self._folder.glob("events.*"))
        writer = self._make_writer(str(self._folder), purge_step=step)
        if not again:
            rows = (f"| {key} | {value} |" for key, value in self._settings.items())
            writer.add_text("settings", "\n".join(("| setting | value |", "| --- | --- |", *rows)), 0)
        return writer


class MlflowBackend:
    """A run in MLflow: on the server of ``MLFLOW_TRACKING_URI`` where that is set, else in ``run/mlruns``.

    Its id is kept in ``run/mlflow.json``. MLflow cannot take figures back: a resumed training, which repeats steps
    exactly, sends none again that are there. ``ConfigError`` on entering where MLflow does not answer.
    """

    name = "MLflow"

    def __init__(self, run: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        os.environ.update(_MLFLOW_ENVIRONMENT)
        for key, value in _MLFLOW_PATIENCE.items():
            os.environ.setdefault(key, value)
        with _quiet():
            self._mlflow: Any = _import("mlflow", "MLflow")
            self._entities: Any = import_module("mlflow.entities")
        self._run = run.resolve()
        self._store = self._run / "mlruns"
        self._uri = os.environ.get("MLFLOW_TRACKING_URI")
        self._settings = settings
        self._resume = resume
        self._client: Any = None
        self._run_id = ""
        self._known: dict[str, int] = {}
        self._pending: list[Any] = []
        self._takes_pictures = True
        self._retry_at = 0.0

    def __enter__(self) -> Self:
        try:
            with _quiet():
                self._client = self._mlflow.MlflowClient(self._uri or str(self._store))
                self._run_id = self._taken_up() or self._begun()
            artifacts = self._client.get_run(self._run_id).info.artifact_uri
        except (self._mlflow.MlflowException, OSError) as error:
            raise ConfigError(
                "MLflow does not work " + ("at MLFLOW_TRACKING_URI" if self._uri else f"in {self._store}"),
                found=plain(error),
                remedy="correct MLFLOW_TRACKING_URI, unset it to write into the run's folder, or train without MLflow",
            ) from error
        if not self._uri and not Path(unquote(urlparse(artifacts).path)).is_relative_to(self._store):
            self._takes_pictures = False
            logger.warning("%s was moved: MLflow gets no more pictures; they are in examples/", self._run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._send()
        ended = "FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED"
        self._client.set_terminated(self._run_id, ended)

    def write(self, step: int, values: Mapping[str, float], picture: Path | None) -> None:
        """Send; what cannot be sent now goes with a later call, but for the picture."""
        now = round(1000 * time.time())
        fresh = [(key, value) for key, value in values.items() if step > self._known.get(key, -1)]
        self._pending += [self._entities.Metric(key, value, now, step) for key, value in fresh]
        if time.monotonic() < self._retry_at:
            return
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self._send()
        if picture is not None and self._takes_pictures:
            self._client.log_artifact(self._run_id, str(picture), "examples")
        self._retry_at = 0.0

    def _send(self) -> None:
        while self._pending:
            self._client.log_batch(self._run_id, metrics=self._pending[:_METRICS_AT_ONCE])
            del self._pending[:_METRICS_AT_ONCE]

    def _taken_up(self) -> str | None:
        """The run to go on with; ``None`` where there is none, or MLflow does not have it any more."""
        if not self._resume or not (self._run / "mlflow.json").is_file():
            return None
        run_id = str(read_json(self._run / "mlflow.json")["run_id"])
        try:
            found = self._client.get_run(run_id)
        except self._mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            found = None
        if found is None or found.info.lifecycle_stage != "active":
            logger.warning("MLflow does not have the run %s any more: a new one begins", run_id)
            return None
        for key in found.data.metrics:
            self._known[key] = max(metric.step for metric in self._client.get_metric_history(run_id, key))
        self._client.update_run(run_id, status="RUNNING")
        return run_id

    def _begun(self) -> str:
        """A new run with the settings as its parameters."""
        run_id = str(self._client.create_run(self._experiment(), run_name=self._run.name).info.run_id)
        params = [self._entities.Param(key, str(value)[:_VALUE_LENGTH]) for key, value in self._settings.items()]
        for first in range(0, len(params), _PARAMS_AT_ONCE):
            self._client.log_batch(run_id, params=params[first : first + _PARAMS_AT_ONCE])
        write_json(self._run / "mlflow.json", {"experiment": EXPERIMENT, "run_id": run_id})
        return run_id

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            try:
                return str(self._client.create_experiment(EXPERIMENT))
            except self._mlflow.MlflowException:  # another training may have made it at this moment
                found = self._client.get_experiment_by_name(EXPERIMENT)
                if found is None:
                    raise
        return str(found.experiment_id)


def _import(package: str, title: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        remedy = f"pip install 'gliamap[{package}]'"
        raise ConfigError(f"{title} is not installed", found=str(error), remedy=remedy) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """What other packages are going to change is no concern of the user."""
    with warnings.catch_warnings():
        for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", kind)
        yield


def plain(error: Exception) -> str:
    """The first line of an error's message, without a password that an address in it may hold."""
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return re.sub(r"//[^/\s]*@", "//", first)
