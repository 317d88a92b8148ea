"""Engines that run a network as a graph of their own, made of a checkpoint once and kept in the user's cache."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gliamap.boxes import Shape
from gliamap.config import ModelSpec
from gliamap.infer.engine import NetworkEngine, Precision
from gliamap.io.checkpoint import check_weights
from gliamap.io.model_cache import kept_files
from gliamap.nets.exported import fixes_sizes
from gliamap.nets.zoo import load_network

_KEPT = 4
"""Sizes of input that an engine stays ready for: one takes some megabytes while it rests, and a second to get ready."""

_TOLERANCE = 1e-3
"""Of the largest logit: rounding alone stays far below, a wrong graph far above."""


@dataclass(frozen=True)
class Runner:
    """A graph that is ready for one shape of input: logits of it, and how to free what it needs only while it runs."""

    run: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    release: Callable[[], None]


class ConvertedEngine(NetworkEngine):
    """The network of the checkpoint ``folder``, converted.

    One graph serves all sizes of input, and is compared with PyTorch before it is kept; a network that fixes its sizes
    (:func:`gliamap.nets.exported.fixes_sizes`) has a graph for each, and is shown one patch at a time.
    """

    file: str
    """What the graph's file is called."""

    def __init__(self, folder: Path, spec: ModelSpec, precision: Precision) -> None:
        super().__init__(spec, precision)
        self._folder = folder
        self._fixed = fixes_sizes(spec.network)
        self._ready: dict[tuple[int, ...], Runner] = {}
        with self._graph(spec.window.patch):
            pass  # what cannot be converted shows now, not at the first case

    @abstractmethod
    def _write(self, model: torch.nn.Module, path: Path, sizes: Shape) -> None:
        """Write the network as a graph: for ``sizes`` (Z = 1 in 2D) where it fixes them, else for all."""

    @abstractmethod
    def _compile(self, path: Path, shape: tuple[int, ...], precision: Precision) -> Runner:
        """Make a graph ready for inputs ``(N, C, *space)`` of one shape."""

    def _logits(self, x: NDArray[np.float32]) -> torch.Tensor:
        parts = np.split(x, len(x)) if self._fixed else [x]
        return torch.cat([torch.from_numpy(self._runner(part.shape).run(np.ascontiguousarray(part))) for part in parts])

    def _runner(self, shape: tuple[int, ...]) -> Runner:
        """The graph, ready for inputs of ``shape``; what was used last is the last that is kept."""
        if shape == next(reversed(self._ready), None):
            return self._ready[shape]
        for resting in self._ready.values():
            resting.release()
        runner = self._ready.pop(shape, None)
        if runner is None:
            if len(self._ready) == _KEPT:
                del self._ready[next(iter(self._ready))]
            with self._graph(_sizes(shape)) as path:
                runner = self._compile(path, shape, self.precision)
        self._ready[shape] = runner
        return runner

    @contextmanager
    def _graph(self, sizes: Shape) -> Iterator[Path]:
        """The file of the graph, made where it is not kept from an earlier time."""
        made_of = {
            self.name: self.version,
            "weights": check_weights(self._folder, self._spec),
            "network": self._spec.network.model_dump_json(),
            "sizes": "x".join(map(str, sizes)) if self._fixed else "any",
            **{package: version(package) for package in ("gliamap", "monai", "torch")},
        }
        with kept_files(made_of, lambda folder: self._make(folder, sizes)) as kept:
            yield kept / self.file

    def _make(self, folder: Path, sizes: Shape) -> None:
        model = load_network(self._folder, self._spec).eval()
        self._write(model, folder / self.file, sizes)
        if not self._fixed:
            self._compare(model, folder / self.file)

    def _compare(self, model: torch.nn.Module, path: Path) -> None:
        """``ValueError`` where the graph says something else than the network, for sizes it was not made with."""
        config, unit = self._spec.network, self.divisor
        shape = (1, config.in_channels, unit, 2 * unit, 3 * unit)[: 2 + config.dims]
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            expected = model(x)
        found = torch.from_numpy(self._compile(path, shape, "fp32").run(x.numpy()))
        apart, largest = float((found - expected).abs().max()), float(expected.abs().max())
        if not apart <= _TOLERANCE * max(largest, 1):
            raise ValueError(f"its logits are {apart:.2g} apart from PyTorch's, of up to {largest:.2g}")


def _sizes(shape: tuple[int, ...]) -> Shape:
    x, y, z = (*shape[2:], 1)[:3]
    return (x, y, z)
