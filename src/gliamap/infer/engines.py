"""Which engine runs a model, and in which precision: as the user says, or as the machine is good at."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from gliamap.config import ModelSpec
from gliamap.errors import ConfigError, GliamapError
from gliamap.infer.converted import ConvertedEngine
from gliamap.infer.engine import Device, Engine, EngineChoice, Precision, TorchEngine, best_device, precisions_of
from gliamap.infer.onnx_engine import ONNXEngine
from gliamap.infer.openvino_engine import OpenVINOEngine
from gliamap.nets.zoo import load_network

logger = logging.getLogger(__name__)

_CONVERTED: Mapping[str, type[ConvertedEngine]] = MappingProxyType(
    {"openvino": OpenVINOEngine, "onnxruntime": ONNXEngine}
)


def build_engine(folder: Path, spec: ModelSpec, choice: EngineChoice) -> Engine:
    """The engine that runs the model of the checkpoint ``folder``; ``spec`` is what its ``model.json`` says.

    ``ConfigError`` where the precision asked for does not pay with the engine on this machine, or the engine asked for
    is not installed or cannot run the network; ``FileError`` where the weights are missing, altered or do not fit.
    """
    device, _ = best_device()
    name = choice.engine
    if name == "auto":
        name = "openvino" if device == "cpu" else "torch"
    precision = _precision(name, device, choice.precision)
    if name in _CONVERTED:
        try:
            return _CONVERTED[name](folder, spec, precision)
        except GliamapError:
            raise
        except Exception as error:  # whatever a foreign program throws
            if choice.engine != "auto":
                raise _unable(name, spec, error) from error
            logger.warning("PyTorch runs the network: %s", _unable(name, spec, error))
    return TorchEngine(load_network(folder, spec).to(device), spec, precision)


def _precision(name: str, device: Device, asked: Precision | None) -> Precision:
    """The precision asked for, else the usual one; ``ConfigError`` where it does not pay."""
    where = device if name == "torch" else "cpu"
    able: tuple[Precision, ...] = ("fp32",) if name == "onnxruntime" else precisions_of(where)
    if asked is not None and asked not in able:
        raise ConfigError(
            f"{asked} does not pay with {name} on {'this processor' if where == 'cpu' else 'this GPU'}",
            expected=" or ".join(able),
            remedy=f"say --precision {able[0]}, or leave --precision out",
        )
    return asked or able[0]


def _unable(name: str, spec: ModelSpec, error: Exception) -> ConfigError:
    package = "'gliamap[onnx]'" if name == "onnxruntime" else name
    return ConfigError(
        f"{name} cannot run the network '{spec.network.name}'",
        found=(str(error).strip() or type(error).__name__).splitlines()[0],
        remedy=(f"pip install {package}, or " if isinstance(error, ImportError) else "") + "say --engine torch",
    )
