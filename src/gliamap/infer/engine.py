"""What turns a batch of patches into probabilities. Knows a network and its settings, no cases and no files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from gliamap.config import ModelSpec, Settings
from gliamap.nets.zoo import size_divisor

EngineName = Literal["auto", "torch", "openvino", "onnxruntime"]
Precision = Literal["fp32", "bf16", "fp16"]
Device = Literal["cuda", "mps", "cpu"]


class EngineChoice(Settings):
    """What runs a network, and in which precision; ``None`` is the fastest that the machine is good at.

    ``auto``: PyTorch on a GPU; on a processor OpenVINO, or PyTorch where OpenVINO cannot run the network.
    """

    engine: EngineName = "auto"
    precision: Precision | None = None


class Engine(Protocol):
    """Anything that maps patches ``(N, C, X, Y, Z)`` float32 to probabilities ``(N, R, X, Y, Z)`` float32."""

    @property
    def name(self) -> str:
        """What runs the network, such as ``openvino``."""
        ...

    @property
    def precision(self) -> Precision:
        """In which it computes."""
        ...

    @property
    def version(self) -> str:
        """Of what runs the network."""
        ...

    @property
    def channels(self) -> int:
        """R, the number of output channels."""
        ...

    @property
    def divisor(self) -> int:
        """Every spatial size of a patch must be a multiple of this (Z is exempt for a 2D network)."""
        ...

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities in 0..1: sigmoid of regions, softmax over classes."""
        ...


class NetworkEngine(ABC):
    """An engine that runs the network of a spec. What runs it says only what the logits are."""

    name: str
    version: str

    def __init__(self, spec: ModelSpec, precision: Precision) -> None:
        self.precision = precision
        self.channels = len(spec.output.channels)
        self.divisor = size_divisor(spec.network)
        self._spec = spec

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of a batch; a 2D network takes patches with Z = 1 (``ValueError`` for others)."""
        flat = self._spec.network.dims == 2
        with torch.inference_mode():
            logits = self._logits(patches.squeeze(-1) if flat else patches).float()
            if self._spec.temperature != 1:
                logits = logits / self._spec.temperature
            probabilities = logits.sigmoid() if self._spec.output.kind == "regions" else logits.softmax(dim=1)
        array: NDArray[np.float32] = probabilities.cpu().numpy()
        return array[..., None] if flat else array

    @abstractmethod
    def _logits(self, x: NDArray[np.float32]) -> torch.Tensor:
        """Logits ``(N, R, *space)`` of ``(N, C, *space)``, two spatial axes for a 2D network."""


class TorchEngine(NetworkEngine):
    """The network itself, run by PyTorch where it lies: on the processor or a GPU."""

    name = "torch"
    version = str(torch.__version__)

    def __init__(self, model: torch.nn.Module, spec: ModelSpec, precision: Precision = "fp32") -> None:
        super().__init__(spec, precision)
        self._model = model.eval()
        self._device = next(model.parameters()).device

    def _logits(self, x: NDArray[np.float32]) -> torch.Tensor:
        half = torch.float16 if self.precision == "fp16" else torch.bfloat16
        with torch.autocast(self._device.type, half, enabled=self.precision != "fp32"):
            logits: torch.Tensor = self._model(torch.from_numpy(x).to(self._device))
        return logits


def best_device() -> tuple[Device, Precision]:
    """Where networks run, a GPU if there is one, and in which precision unless the user says so."""
    device: Device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return device, precisions_of(device)[0]


def precisions_of(device: Device) -> tuple[Precision, ...]:
    """The precisions that pay on this machine's processor or GPU, the usual one first."""
    if device == "cpu":
        return ("bf16", "fp32") if cpu_has_fast_bf16() else ("fp32",)
    return ("bf16", "fp32", "fp16") if device == "cuda" else ("fp32", "fp16")


def cpu_has_fast_bf16() -> bool:
    """The processor multiplies bfloat16 matrices in hardware, so that bf16 is faster than fp32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
