"""Networks run by ONNX Runtime, on the processor. They need the extra ``onnx``."""

from __future__ import annotations

import os
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from gliamap.boxes import Shape
from gliamap.config import ModelSpec
from gliamap.infer.converted import ConvertedEngine, Runner
from gliamap.infer.engine import Precision
from gliamap.nets.exported import program


class ONNXEngine(ConvertedEngine):
    """The network as an ONNX graph, in single precision: ONNX Runtime has no other that pays on processors.

    ``ImportError`` where the extra is not installed.
    """

    name = "onnxruntime"
    file = "network.onnx"

    def __init__(self, folder: Path, spec: ModelSpec, precision: Precision) -> None:
        self.version: str = onnxruntime().__version__
        super().__init__(folder, spec, precision)

    def _write(self, model: torch.nn.Module, path: Path, sizes: Shape) -> None:
        write_onnx(program(model, self._spec.network, patch=sizes), path)

    def _compile(self, path: Path, shape: tuple[int, ...], precision: Precision) -> Runner:
        options = onnxruntime().SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # what a run needed is given back after it
        session = onnxruntime().InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()

        def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
            answer: NDArray[np.float32] = session.run(None, {given.name: x})[0]
            return answer

        return Runner(run, lambda: None)


def write_onnx(graph: ExportedProgram, path: Path) -> None:
    """Write a network's graph as one ONNX file; ``ImportError`` where the extra ``onnx`` is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its inner workings
        made: Any = torch.onnx.export(graph, dynamo=True, verbose=False)
    made.save(path, external_data=False)


@cache
def onnxruntime() -> Any:
    """The module, imported when it is used first. Else it would report its use to its makers."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return import_module("onnxruntime")
