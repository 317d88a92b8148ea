"""What turns a batch of patches into probabilities. Knows a network and its settings, no cases and no files."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from gliamap.config import ModelSpec
from gliamap.nets.zoo import size_divisor

Precision = Literal["fp32", "bf16"]


class Engine(Protocol):
    """Anything that maps patches ``(N, C, X, Y, Z)`` float32 to probabilities ``(N, R, X, Y, Z)`` float32."""

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


class TorchEngine:
    """The network itself, run by PyTorch where it lies (CPU or GPU)."""

    def __init__(self, model: torch.nn.Module, spec: ModelSpec, precision: Precision = "fp32") -> None:
        self._model = model.eval()
        self._spec = spec
        self._precision = precision
        self._device = next(model.parameters()).device
        self.channels = len(spec.output.channels)
        self.divisor = size_divisor(spec.network)

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of a batch; a 2D network takes patches with Z = 1."""
        flat = self._spec.network.dims == 2
        x = torch.from_numpy(patches).to(self._device)
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16"),
        ):
            logits = self._model(x.squeeze(-1) if flat else x)
        logits = logits.float() / self._spec.temperature
        probabilities = logits.sigmoid() if self._spec.output.kind == "regions" else logits.softmax(dim=1)
        array: NDArray[np.float32] = probabilities.cpu().numpy()
        return array[..., None] if flat else array


def best_device() -> tuple[Literal["cuda", "cpu"], Precision]:
    """Where networks run, a GPU if there is one, and with what precision: bf16 unless the processor is slow at it."""
    on_gpu = torch.cuda.is_available()
    return ("cuda" if on_gpu else "cpu"), ("bf16" if on_gpu or cpu_has_fast_bf16() else "fp32")


def cpu_has_fast_bf16() -> bool:
    """The processor multiplies bfloat16 matrices in hardware, so that bf16 is faster than fp32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
