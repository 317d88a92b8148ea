"""The whole of a prepared image in one forward pass: a single window, as large as it takes."""

from __future__ import annotations

from gliamap.boxes import Shape
from gliamap.config import ModelSpec
from gliamap.errors import ConfigError

STEP = 16
"""Sizes are rounded up to multiples of this, or of the network's divisor. An engine gets ready for each size anew, and
brains differ by some 30 voxels along an axis: few sizes occur."""


def one_pass_patch(shape: Shape, patch: Shape, divisor: int) -> Shape:
    """The window that shows a network all of a grid of ``shape`` at once; for slices, all of a slice.

    ``patch``, that of its windows, tells by Z = 1 that a network is one for slices. Twice the divisor is the least
    size: one voxel alone at the coarsest level could not be normalised.
    """
    step = -(-STEP // divisor) * divisor
    x, y, z = (1 if p == 1 else max(2 * divisor, -(-n // step) * step) for n, p in zip(shape, patch, strict=True))
    return (x, y, z)


def check_one_pass(spec: ModelSpec) -> None:
    """``ConfigError`` where the spec wants one pass of a network that takes inputs of one size alone."""
    size = spec.network.input_size
    if spec.window.mode == "one-pass" and size is not None:
        raise ConfigError(
            f"the network '{spec.network.name}' cannot be shown a whole case in one pass",
            found=f"it takes inputs of {'x'.join(map(str, size))} voxels alone",
            remedy="say --window windows",
        )
