"""How much memory a case takes on its way, known before its network starts; and the way that fits.

The tensors of a forward pass are counted with shapes alone (:func:`gliamap.nets.cost.forward_bytes`). What an engine
makes of that was measured on a CPU as peak resident memory, one process each: dynunet and unet, 64 to 128 voxels a
side, and slices. Everything else is arrays of known size.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

from gliamap.boxes import Shape
from gliamap.config import ModelSpec, WindowConfig
from gliamap.errors import ConfigError
from gliamap.infer.engine import Engine
from gliamap.infer.one_pass import one_pass_patch
from gliamap.nets.cost import count_parameters, forward_bytes
from gliamap.prep.steps import resampled_shape
from gliamap.volume import Grid, ras_order

FACTOR = 1.6
"""The estimate of a network was within this factor of what was measured, above or below."""

_OF_TENSORS = {
    ("torch", "fp32"): 1.4,
    ("torch", "bf16"): 0.9,
    ("openvino", "fp32"): 0.8,
    ("openvino", "bf16"): 0.5,
}
_AT_MOST = 1.5  # of an engine that was not measured
_ENGINE_BYTES = 120_000_000  # what an engine takes once, for any size
_PROGRAM_BYTES = 650_000_000  # Python and torch, where the system does not tell
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True)
class Way:
    """How a case goes through the network: ``window`` says mode and batch; ``half``, that sums are in float16."""

    window: WindowConfig
    half: bool = False


@dataclass(frozen=True)
class Memory:
    """Bytes: of the ``program`` with its models, and what each stage of a case holds beside it at most."""

    program: int
    preparing: int
    network: int
    finishing: int

    @property
    def alone(self) -> int:
        """The peak where one stage is at work at a time."""
        return self.program + max(self.preparing, self.network, self.finishing)

    @property
    def together(self) -> int:
        """The peak where all three are, on cases of the same size."""
        return self.program + self.preparing + self.network + self.finishing


def resident_bytes() -> int:
    """What this process holds of the machine's memory now."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return _PROGRAM_BYTES


@dataclass(frozen=True)
class Room:
    """What the memory of a model's cases is reckoned from.

    ``program``: bytes of the process with the model loaded. ``most``: bytes that the process may hold; ``None`` sets no
    limit. ``reporting``: a report of each case is drawn, for which its images are read again.
    """

    spec: ModelSpec
    engine: Engine
    program: int
    most: int | None = None
    reporting: bool = False

    def way(self, grid: Grid, shape: Shape, *, fixed_mode: bool) -> Way:
        """The quickest way for a case on ``grid`` that keeps under the limit; the network sees ``shape`` voxels.

        As the spec says, else with fewer windows at once, else in windows instead of one pass (unless ``fixed_mode``),
        else with sums in half precision. ``ConfigError`` where nothing helps.
        """
        ways = list(_ways(self.spec.window, fixed_mode=fixed_mode))
        if self.most is None:
            return ways[0]
        for way in ways:
            if self.memory(way, grid, shape).alone <= self.most:
                return way
        raise self._too_little(grid, min(self.memory(way, grid, shape).alone for way in ways))

    def check(self, grid: Grid) -> None:
        """``ConfigError`` where a case on ``grid`` cannot be read within the limit, whatever the network sees of it."""
        least = self.program + self.memory(Way(self.spec.window), grid, (0, 0, 0)).preparing
        if self.most is not None and least > self.most:
            raise self._too_little(grid, least)

    def fits_together(self, grid: Grid) -> bool:
        """Whether one such case can be read, and another one written, while the network is at work on a third.

        Reckoned as if the network saw all of the grid: how much of it is brain is known once it is read.
        """
        turned = tuple(grid.shape[axis] for axis in ras_order(grid.affine)[0])
        a, b, c = (grid.spacing[axis] for axis in ras_order(grid.affine)[0])
        x, y, z = turned
        shape = resampled_shape((x, y, z), (a, b, c), self.spec.prep.spacing_of((a, b, c), grid.unit))
        return self.most is None or self.memory(Way(self.spec.window), grid, shape).together <= self.most

    def memory(self, way: Way, grid: Grid, shape: Shape) -> Memory:
        """What a case on ``grid`` takes, of which the network sees ``shape`` voxels."""
        modalities = len(self.spec.prep.modalities)
        native, prepared = prod(grid.shape), prod(shape)
        sums = self.engine.channels * prepared * (2 if way.half else 4)
        return Memory(
            self.program,
            # The files' voxels; another volume as stored and as read, or all of them once more, normalised.
            preparing=4 * modalities * native + max(8 * native, 8 * modalities * prepared),
            network=4 * modalities * prepared + sums + 4 * prepared + self._forward(way, shape),
            # One region's probabilities and mask, labels, what is packed for the mask's file and drawn for the picture.
            # A report: its images, and 16 bytes a voxel (measured with one, two and four modalities) for all it draws.
            finishing=sums + (20 + 4 * modalities * self.reporting) * native,
        )

    def _forward(self, way: Way, shape: Shape) -> int:
        """The network at work on a batch of windows."""
        patch = way.window.patch
        if way.window.mode == "one-pass":
            patch = one_pass_patch(shape, patch, self.engine.divisor)
        factor = _OF_TENSORS.get((self.engine.name, self.engine.precision), _AT_MOST)
        tensors = forward_bytes(self.spec.network, patch) * way.window.batch
        return _ENGINE_BYTES + 4 * count_parameters(self.spec.network) + int(tensors * factor)

    def _too_little(self, grid: Grid, needed: int) -> ConfigError:
        return ConfigError(
            f"a case of {'x'.join(map(str, grid.shape))} voxels with {len(self.spec.prep.modalities)} modalities takes"
            " more memory than is allowed",
            found=f"{needed / 1e9:.1f} GB at least",
            expected=f"at most {(self.most or 0) / 1e9:.1f} GB",
            remedy="allow more with --max-memory, or free memory on this machine",
        )


def _ways(window: WindowConfig, *, fixed_mode: bool) -> Iterator[Way]:
    """From the quickest to the thriftiest."""
    modes: list[Literal["windows", "one-pass"]] = [window.mode]
    if window.mode == "one-pass" and not fixed_mode:
        modes.append("windows")
    for mode in modes:
        batch = window.batch
        while batch:
            yield Way(window.model_copy(update={"mode": mode, "batch": batch}))
            batch //= 2
    yield Way(window.model_copy(update={"mode": modes[-1], "batch": 1}), half=True)
