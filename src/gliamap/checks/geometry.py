"""Whether headers make sense: one grid for all files of a case, a head of possible size, affines that agree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import bounding_box
from gliamap.checks.findings import Finding, gather
from gliamap.io.facts import FileFacts
from gliamap.volume import Grid, corners_apart

# What scans of heads, and of brains cut out of them, can be. Wide: a child's, a field of view down to the neck.
_EDGE_MM = (0.1, 12.0)
_EXTENT_MM = (80.0, 400.0)
_THICK_MM = 2.0  # from here on a few slices may be a slab of the head
_BRAIN_MM = (80.0, 220.0)
_BRAIN_ML = (350.0, 2500.0)

_AFFINES_APART_MM = 0.1  # a quaternion in single precision is off by a hundredth


def check_geometry(facts: Mapping[str, FileFacts]) -> list[Finding]:
    """``grids-differ``, ``spacing-implausible``, ``qform-sform-differ`` and ``no-affine`` of the files of one case.

    ``facts`` by what each file is, in order: modalities by name, the mask as ``mask``. At most one finding a rule; it
    names the files that it concerns.
    """
    sizes = {name: _implausible(one.grid) for name, one in facts.items()}
    apart = {name: _forms_apart(one) for name, one in facts.items()}
    nowhere = [name for name, one in facts.items() if one.kind.startswith("nifti") and not _has_affine(one)]
    return [
        *_differing(facts),
        *gather("spacing-implausible", {name: text for name, text in sizes.items() if text}),
        *gather("qform-sform-differ", {name: text for name, text in apart.items() if text}),
        *gather("no-affine", dict.fromkeys(nowhere, "qform and sform are both unset")),
    ]


def check_brain_size(brain: NDArray[np.bool_], grid: Grid) -> list[Finding]:
    """``spacing-implausible`` where a skull-stripped ``brain`` (X, Y, Z) is larger or smaller than brains are.

    Sees what the header hides in its margins. Slabs, which hold a part of the brain, may be small.
    """
    box = bounding_box(brain)
    if grid.unit == "px" or grid.is_2d or box is None:
        return []
    sides = sorted(n * edge for n, edge in zip(box.shape, grid.spacing, strict=True))
    volume = float(np.count_nonzero(brain)) * grid.voxel_size
    slab = min(n * edge for n, edge in zip(grid.shape, grid.spacing, strict=True)) < _EXTENT_MM[0]
    small = not slab and (sides[0] < _BRAIN_MM[0] or volume < _BRAIN_ML[0])
    if not small and sides[-1] <= _BRAIN_MM[1] and volume <= _BRAIN_ML[1]:
        return []
    found = f"the brain measures {'x'.join(f'{side:.0f}' for side in sides)} mm and {volume:.0f} mL"
    return [Finding("spacing-implausible", found)]


def _differing(facts: Mapping[str, FileFacts]) -> list[Finding]:
    grids: list[Grid] = []
    said: dict[str, str] = {}
    for name, one in facts.items():
        same = next((grid for grid in grids if grid.same_as(one.grid)), None)
        if same is None:
            grids.append(same := one.grid)
        said[name] = same.describe()
    return gather("grids-differ", said) if len(grids) > 1 else []


def _implausible(grid: Grid) -> str | None:
    """What is wrong with the size that the header gives; nothing is known of pictures and of the depth of a slice."""
    if grid.unit == "px":
        return None
    axes = [axis for axis, n in enumerate(grid.shape) if n > 1]
    edges = np.array([grid.spacing[axis] for axis in axes])
    extents = edges * [grid.shape[axis] for axis in axes]
    short = extents < _EXTENT_MM[0]
    slab = short.sum() == 1 and edges[short].min() >= _THICK_MM
    wrong_edge = (edges < _EDGE_MM[0]).any() or (edges > _EDGE_MM[1]).any()
    if not wrong_edge and (extents <= _EXTENT_MM[1]).all() and (slab or not short.any()):
        return None
    size = "x".join(f"{n * edge:.4g}" for n, edge in zip(grid.shape, grid.spacing, strict=True))
    voxels = "x".join(str(n) for n in grid.shape)
    return f"{voxels} voxels of {'x'.join(f'{edge:.4g}' for edge in grid.spacing)} mm, in all {size} mm"


def _forms_apart(facts: FileFacts) -> str | None:
    if facts.qform is None or facts.sform is None:
        return None
    apart = corners_apart(Grid(facts.shape, facts.qform), Grid(facts.shape, facts.sform))
    return f"the corners lie {apart:.3g} mm apart" if apart > _AFFINES_APART_MM else None


def _has_affine(facts: FileFacts) -> bool:
    return facts.qform_code > 0 or facts.sform_code > 0
