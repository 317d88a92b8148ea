"""Where the voxels of a patch come from: turned, scaled and bent in one grid, so that interpolation happens once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from gliamap.boxes import Shape

_Floats = NDArray[np.float64]
_Three = Sequence[float] | _Floats
BEND_LIMIT = 0.3
"""Largest displacement of a control point, in distances between two of them. Below 1 / 2.48 = 0.40 a cubic B-spline in
3D never folds, below 0.48 in 2D (Choi and Lee, Injectivity conditions of 2D and 3D uniform cubic B-spline functions,
Graphical Models 62, 2000). More than 0.3 makes heads that nobody has."""
_BEND_DISTANCE = (16.0, 40.0)  # voxels between control points: from a gyrus to a lobe


def affine_matrix(angles: _Three, patch: Shape, *, scale: float = 1.0, shift: _Three = (0, 0, 0)) -> _Floats:
    """A 3x4 sampling matrix in units of half the patch, as ``grid_sample`` takes it. ``shift`` is in voxels.

    The angles (radians) turn the planes XY, XZ and YZ; where Z = 1 only the first is used. Coordinates are normalised
    by each axis' size, so the rotation is wrapped in the patch's proportions.
    """
    matrix = np.eye(3)
    planes = [(0, 1)] if patch[2] == 1 else [(0, 1), (0, 2), (1, 2)]
    for (a, b), angle in zip(planes, angles, strict=False):
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    size = np.array(patch, np.float64)
    matrix = matrix * scale * size[None, :] / size[:, None]
    if patch[2] == 1:
        matrix[2] = matrix[:, 2] = (0, 0, 0)
        matrix[2, 2] = 1
    return np.concatenate([matrix, (2 * np.asarray(shift) / size)[:, None]], axis=1)


def draw_bend(rng: np.random.Generator, patch: Shape) -> _Floats:
    """Displacements ``(3, nx, ny, nz)`` in voxels of control points that span the patch evenly.

    An axis has three points more than it has intervals, as cubic B-splines need. An axis of one voxel has one point
    and no displacement.
    """
    distance, strength = rng.uniform(*_BEND_DISTANCE), rng.uniform(0.05, BEND_LIMIT)
    intervals = [max(1, round(n / distance)) for n in patch]
    counts = [1 if n == 1 else i + 3 for n, i in zip(patch, intervals, strict=True)]
    limits = [0.0 if n == 1 else strength * n / i for n, i in zip(patch, intervals, strict=True)]
    reach: _Floats = np.array(limits)[:, None, None, None]
    return reach * rng.uniform(-1, 1, (3, *counts))


def displacement(points: _Floats, patch: Shape) -> Tensor:
    """The cubic B-spline of ``draw_bend``'s control points: ``(3, X, Y, Z)`` float32, in voxels."""
    field = torch.from_numpy(points).float()
    for size, count in zip(patch, points.shape[1:], strict=True):
        field = torch.tensordot(field, _spline(size, count), dims=([1], [1]))
    return field


def _spline(size: int, count: int) -> Tensor:
    """How much each of ``count`` control points weighs at each of ``size`` voxels; rows add up to 1."""
    if count == 1:
        return torch.ones(size, 1)
    place = (np.arange(size) + 0.5) / size * (count - 3)
    distance = np.abs(place[:, None] - (np.arange(count) - 1))
    weights = (np.clip(2 - distance, 0, None) ** 3 - 4 * np.clip(1 - distance, 0, None) ** 3) / 6
    return torch.from_numpy(weights).float()


def sampling_grid(patch: Shape, matrix: _Floats | None, points: _Floats | None = None) -> Tensor:
    """The grid that ``sample`` takes: output voxel x shows input voxel ``matrix`` (x + displacement(x)).

    ``matrix`` is 3x4 in units of half the patch. ``grid_sample`` counts axes from the last, hence the reversals.
    """
    matrix = np.eye(3, 4) if matrix is None else matrix
    flat = patch[2] == 1
    if flat:
        theta = torch.from_numpy(matrix[:2][:, [0, 1, 3]][::-1][:, [1, 0, 2]].copy()).float()
    else:
        theta = torch.from_numpy(matrix[::-1][:, [2, 1, 0, 3]].copy()).float()
    grid = functional.affine_grid(theta[None], [1, 1, *patch[: 2 if flat else 3]], align_corners=False)
    if points is None:
        return grid
    moved = displacement(points, patch) * (2 / torch.tensor(patch, dtype=torch.float32))[:, None, None, None]
    moved = moved[:2, ..., 0] if flat else moved
    return grid + moved.flip(0).movedim(0, -1) @ theta[:, :-1].T


def sample(image: Tensor, grid: Tensor, mode: str, outside: Literal["zeros", "border"] = "zeros") -> Tensor:
    """``image`` ``(C, X, Y, Z)`` at the places of ``sampling_grid``; beyond the patch lies zero or its border."""
    flat = image.shape[-1] == 1
    batch = image[None, ..., 0] if flat else image[None]
    out = functional.grid_sample(batch, grid, mode=mode, padding_mode=outside, align_corners=False)[0]
    return out[..., None] if flat else out
