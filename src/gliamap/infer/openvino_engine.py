"""Networks run by OpenVINO, on the processor."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gliamap.boxes import Shape
from gliamap.config import ModelSpec
from gliamap.infer.converted import ConvertedEngine, Runner
from gliamap.infer.engine import Precision
from gliamap.infer.signal_stack import signal_stack_kept
from gliamap.nets.exported import program


class OpenVINOEngine(ConvertedEngine):
    """The network as OpenVINO's graph, made ready anew for each shape of input, in half a second.

    OpenVINO's own cache of graphs made ready is not used: it saves a tenth of a second. ``ImportError`` where OpenVINO
    cannot be loaded.
    """

    name = "openvino"
    file = "network.xml"

    def __init__(self, folder: Path, spec: ModelSpec, precision: Precision) -> None:
        self.version: str = openvino().__version__.partition("-")[0]
        self._core = openvino().Core()
        super().__init__(folder, spec, precision)

    def _write(self, model: torch.nn.Module, path: Path, sizes: Shape) -> None:
        config, unit = self._spec.network, self.divisor
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about its own future
            if self._fixed:
                graph = openvino().convert_model(program(model, config, patch=sizes))
            else:
                # Traced: for a graph of all sizes that takes a second, where torch.export takes ten.
                example = torch.zeros(2, config.in_channels, *(2 * unit, unit, unit)[: config.dims])
                graph = openvino().convert_model(model, example_input=example)
        openvino().save_model(graph, path, compress_to_fp16=False)

    def _compile(self, path: Path, shape: tuple[int, ...], precision: Precision) -> Runner:
        graph = self._core.read_model(path)
        graph.reshape(list(shape))
        settings = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],  # its default is bf16
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),  # which heeds OMP_NUM_THREADS and the cores allowed
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # two processes would choose the same cores
        }
        with signal_stack_kept():
            compiled = self._core.compile_model(graph, "CPU", settings)

        def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
            answer: NDArray[np.float32] = compiled(x, share_inputs=True)[0]
            return answer

        return Runner(run, compiled.release_memory)


@cache
def openvino() -> Any:
    """The module, imported when it is used first. Else it would report its use to its makers."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return import_module("openvino")
