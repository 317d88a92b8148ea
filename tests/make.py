"""Tiny cases for all tests: unequal sizes, unequal spacings, oblique and flipped affines, made from a seed."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gliamap.boxes import Shape
from gliamap.case import Case
from gliamap.labels import LabelMap, Tissue, from_tissue, get_convention
from gliamap.volume import Grid, image_grid

MODALITIES = ("t1", "t1c", "t2", "flair")

# Three kinds of grid. No size and no spacing equals another of the same grid, so that a swapped axis shows.
SHAPES: dict[str, Shape] = {"plain": (18, 15, 12), "flipped": (14, 19, 11), "oblique": (16, 13, 20)}
SPACINGS = {"plain": (1.0, 1.5, 2.0), "flipped": (2.0, 0.9, 1.2), "oblique": (1.1, 2.2, 0.8)}
KINDS = tuple(SHAPES)

# Suffix of each modality's file in the BraTS layouts, and the convention of their masks.
SUFFIXES = {
    "brats2021": ("_", {"t1": "t1", "t1c": "t1ce", "t2": "t2", "flair": "flair"}),
    "brats2023": ("-", {"t1": "t1n", "t1c": "t1c", "t2": "t2w", "flair": "t2f"}),
}


def rotation(degrees: float, axis: int) -> NDArray[np.float64]:
    """The 3x3 rotation by ``degrees`` about world axis 0, 1 or 2."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out = np.eye(3)
    out[i, i], out[i, j], out[j, i], out[j, j] = c, -s, s, c
    return out


def affine(kind: str) -> NDArray[np.float64]:
    """``plain`` is RAS, ``flipped`` is LPS with X and Z swapped, ``oblique`` is tilted by 20 and 10 degrees."""
    turn = {
        "plain": np.eye(3),
        "flipped": np.array([[0.0, 0.0, -1.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]),
        "oblique": rotation(20, 2) @ rotation(10, 0) @ np.diag([-1.0, 1.0, 1.0]),
    }[kind]
    out = np.eye(4)
    out[:3, :3] = turn @ np.diag(SPACINGS[kind])
    out[:3, 3] = (-11.0, 7.5, 30.25)
    return out


def grid(kind: str = "plain") -> Grid:
    """The grid of ``kind``."""
    return Grid(SHAPES[kind], affine(kind))


def ball(shape: Shape, centre: tuple[float, float, float], radius: float) -> NDArray[np.bool_]:
    """The voxels within ``radius`` voxels of ``centre``, both as a share of each axis."""
    axes = np.meshgrid(*[(np.arange(n) + 0.5) / n for n in shape], indexing="ij")
    return np.asarray(sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) <= radius**2)


def labels(shape: Shape, *, enhancing: bool = True) -> LabelMap:
    """Edema around a rim around a necrotic core, off centre; without ``enhancing`` the rim is core too."""
    centre = (0.6, 0.45, 0.5)
    out = np.zeros(shape, np.uint8)
    out[ball(shape, centre, 0.28)] = Tissue.ED
    out[ball(shape, centre, 0.2)] = Tissue.ET if enhancing else Tissue.NCR
    out[ball(shape, centre, 0.11)] = Tissue.NCR
    return out


def case(kind: str = "plain", *, seed: int = 0, enhancing: bool = True, case_id: str | None = None) -> Case:
    """A skull-stripped brain (zero outside) whose tumour shows in every modality, on the grid of ``kind``."""
    rng = np.random.default_rng(seed)
    at = grid(kind)
    truth = labels(at.shape, enhancing=enhancing)
    brain = ball(at.shape, (0.5, 0.5, 0.5), 0.45)
    contrast = {  # brightness added per tissue
        "t1": {Tissue.ED: -20, Tissue.NCR: -40, Tissue.ET: -20},
        "t1c": {Tissue.ED: -20, Tissue.NCR: -40, Tissue.ET: 80},
        "t2": {Tissue.ED: 60, Tissue.NCR: 70, Tissue.ET: 30},
        "flair": {Tissue.ED: 80, Tissue.NCR: -20, Tissue.ET: 40},
    }
    image = np.zeros((len(MODALITIES), *at.shape), np.float32)
    for channel, name in zip(image, MODALITIES, strict=True):
        channel[...] = rng.normal(100, 5, at.shape)
        for tissue, extra in contrast[name].items():
            channel[truth == tissue] += extra
        channel[~brain] = 0
    name = case_id or f"Case_{KINDS.index(kind):03d}"
    return Case(name, name, MODALITIES, image, at, truth * brain, "brats2021")


def cases() -> list[Case]:
    """One case of each kind."""
    return [case(kind, seed=seed) for seed, kind in enumerate(KINDS)]


def write_brats(root: Path, one: Case, *, convention: str = "brats2021") -> Path:
    """Write ``one`` as a BraTS case folder under ``root``, 16-bit; returns the folder."""
    joint, suffixes = SUFFIXES[convention]
    folder = root / one.case_id
    folder.mkdir(parents=True)
    for channel, name in zip(one.image, one.modalities, strict=True):
        data = np.rint(channel).astype(np.int16)
        nib.Nifti1Image(data, one.grid.affine).to_filename(folder / f"{one.case_id}{joint}{suffixes[name]}.nii.gz")
    if one.labels is not None:
        values = from_tissue(one.labels, get_convention(convention))
        nib.Nifti1Image(values, one.grid.affine).to_filename(folder / f"{one.case_id}{joint}seg.nii.gz")
    return folder


def write_brats_set(root: Path, *, convention: str = "brats2021") -> list[Path]:
    """Write one case of each kind under ``root``, named as that year's are; returns the folders."""
    pattern = {"brats2021": "BraTS2021_{:05d}", "brats2023": "BraTS-GLI-{:05d}-000"}[convention]
    return [
        write_brats(
            root, case(kind, seed=number, case_id=pattern.format(number), enhancing=number > 0), convention=convention
        )
        for number, kind in enumerate(KINDS)
    ]


def slice_case(seed: int = 0, *, columns: int = 33, rows: int = 26) -> Case:
    """A photograph of one slice, ``(columns, rows, 1)`` in pixels, with a bright tumour."""
    rng = np.random.default_rng(seed)
    shape: Shape = (columns, rows, 1)
    truth = np.where(ball(shape, (0.6, 0.4, 0.5), 0.2), np.uint8(Tissue.TUMOUR), np.uint8(0))
    image = np.where(ball(shape, (0.5, 0.5, 0.5), 0.45), rng.normal(90, 5, shape), 0)
    image = np.clip(np.rint(image + 100 * (truth > 0)), 0, 255).astype(np.float32)
    name = str(seed + 1)
    return Case(name, name, ("t1c",), image[None], image_grid(shape), truth, "binary")


def write_pairs(root: Path, count: int = 3) -> Path:
    """Write ``count`` slices as ``images/N.png`` and ``masks/N.png`` (values 0 and 255) under ``root``."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for seed in range(count):
        one = slice_case(seed)
        assert one.labels is not None
        Image.fromarray(one.image[0, :, :, 0].T.astype(np.uint8)).save(root / "images" / f"{one.case_id}.png")
        mask = np.where(one.labels[:, :, 0].T > 0, 255, 0).astype(np.uint8)
        Image.fromarray(mask).save(root / "masks" / f"{one.case_id}.png")
    return root
