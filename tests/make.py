"""Tiny cases for all tests: unequal sizes, unequal spacings, oblique and flipped affines, made from a seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import h5py
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
    """A photograph of one slice, ``(columns, rows, 1)`` in pixels, with a bright tumour and noise around the head."""
    rng = np.random.default_rng(seed)
    shape: Shape = (columns, rows, 1)
    truth = np.where(ball(shape, (0.6, 0.4, 0.5), 0.2), np.uint8(Tissue.TUMOUR), np.uint8(0))
    image = np.where(ball(shape, (0.5, 0.5, 0.5), 0.45), rng.normal(90, 5, shape), rng.uniform(0, 8, shape))
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


def write_matlab_slice(
    path: Path, image: NDArray[np.generic], mask: NDArray[np.generic], *, patient: str = "100360", kind: int = 1
) -> Path:
    """Write rows and columns of an image and its mask as MATLAB v7.3 does; returns ``path``.

    MATLAB stores columns first: what it calls 4 x 3 lies in the file as 3 x 4. Text is numbers, one a row.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        data = file.create_group("cjdata")
        data["PID"] = np.array([[ord(letter)] for letter in patient], np.uint16)
        data["label"] = np.array([[float(kind)]])
        data["tumorBorder"] = np.zeros((1, 8))
        for name, rows in (("image", image), ("tumorMask", mask)):
            chunks = tuple(min(n, 8) for n in rows.T.shape)
            data.create_dataset(name, data=rows.T, chunks=chunks, compression=3)
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: PCWIN64")
    return path


def write_cheng(root: Path, patients: Sequence[str] = ("100360", "MR024220F", "100360")) -> Path:
    """Write a slice for each of ``patients`` as ``root/brainTumorDataPublic_1-N/1.mat`` and so on, kinds 1, 2, 3."""
    for seed, patient in enumerate(patients):
        one = slice_case(seed)
        assert one.labels is not None
        path = root / f"brainTumorDataPublic_1-{len(patients)}" / f"{seed + 1}.mat"
        rows, mask = one.image[0, :, :, 0].T.astype(np.int16), (one.labels[:, :, 0].T > 0).astype(np.uint8)
        write_matlab_slice(path, rows, mask, patient=patient, kind=seed % 3 + 1)
    return root


def write_folds(path: Path, folds: Sequence[int]) -> Path:
    """Write ``cvind.mat``."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["cvind"] = np.array([folds], np.float64)
    return path


def write_lgg(root: Path, folders: Sequence[str] = ("TCGA_CS_4941_19960909", "TCGA_DU_5849_19950405")) -> Path:
    """Write three slices (1, 2, 10) a folder as ``root/FOLDER/FOLDER_1.tif`` and ``..._1_mask.tif``."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for number in (1, 2, 10):
            one = slice_case(number)
            assert one.labels is not None
            rows = one.image[0, :, :, 0].T.astype(np.uint8)
            colours = np.stack([rows // 2, rows, rows[:, ::-1]], axis=-1)  # pre-contrast, FLAIR, post-contrast
            Image.fromarray(colours).save(root / folder / f"{folder}_{number}.tif")
            mask = np.where(one.labels[:, :, 0].T > 0, 255, 0).astype(np.uint8)
            Image.fromarray(mask).save(root / folder / f"{folder}_{number}_mask.tif")
    return root


MSD_DESCRIPTION = {  # as in the dataset.json of Task01, without the lists of cases
    "name": "BRATS",
    "description": "Gliomas segmentation tumour and oedema in on brain images",
    "reference": "https://www.med.upenn.edu/sbia/brats2017.html",
    "licence": "CC-BY-SA 4.0",
    "release": "2.0 04/05/2018",
    "tensorImageSize": "4D",
    "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
    "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
}


def write_msd(root: Path) -> Path:
    """Write a set in the form of MSD Task01: two training cases, oblique and flipped, and a plain test case."""
    lists: dict[str, list[object]] = {"training": [], "test": []}
    for number, kind in enumerate(("oblique", "flipped", "plain"), 1):
        one = case(kind, seed=number, case_id=f"BRATS_{number:03d}")
        part = "Ts" if kind == "plain" else "Tr"
        order = [MODALITIES.index(name) for name in ("flair", "t1", "t1c", "t2")]
        data = np.rint(np.moveaxis(one.image[order], 0, -1)).astype(np.float32)
        name = f"{one.case_id}.nii.gz"
        (root / f"images{part}").mkdir(parents=True, exist_ok=True)
        nib.Nifti1Image(data, one.grid.affine).to_filename(root / f"images{part}" / name)
        if part == "Ts" or one.labels is None:
            lists["test"].append(f"./imagesTs/{name}")
            continue
        (root / "labelsTr").mkdir(exist_ok=True)
        values = from_tissue(one.labels, get_convention("msd"))
        nib.Nifti1Image(values, one.grid.affine).to_filename(root / "labelsTr" / name)
        lists["training"].append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    counts = {"numTraining": len(lists["training"]), "numTest": len(lists["test"])}
    (root / "dataset.json").write_text(json.dumps({**MSD_DESCRIPTION, **counts, **lists}))
    return root


NNUNET_CHANNELS = {"0": "FLAIR", "1": "T1w", "2": "T1gd", "3": "T2w"}
NNUNET_REGIONS = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": 3}


def write_nnunet(root: Path, *, version: int = 2, ending: str = ".nii.gz") -> Path:
    """Write an nnU-Net raw data set as ``root``: training cases 1 and 2, case 10 for testing, which has no mask."""
    order = [MODALITIES.index(name) for name in ("flair", "t1", "t1c", "t2")]
    for number, kind in zip((1, 2, 10), ("oblique", "flipped", "plain"), strict=True):
        one = case(kind, seed=number, case_id=f"BRATS_{number:03d}")
        part = "Ts" if kind == "plain" else "Tr"
        (root / f"images{part}").mkdir(parents=True, exist_ok=True)
        for channel, index in enumerate(order):
            data = np.rint(one.image[index]).astype(np.int16)
            path = root / f"images{part}" / f"{one.case_id}_{channel:04d}{ending}"
            nib.Nifti1Image(data, one.grid.affine).to_filename(path)
        if part == "Tr" and one.labels is not None:
            (root / "labelsTr").mkdir(exist_ok=True)
            values = from_tissue(one.labels, get_convention("msd"))
            nib.Nifti1Image(values, one.grid.affine).to_filename(root / "labelsTr" / f"{one.case_id}{ending}")
    first = {"name": "BRATS", "tensorImageSize": "4D", "modality": NNUNET_CHANNELS, "labels": MSD_DESCRIPTION["labels"]}
    second = {
        "channel_names": NNUNET_CHANNELS,
        "labels": NNUNET_REGIONS,
        "regions_class_order": [1, 2, 3],
        "file_ending": ending,
    }
    (root / "dataset.json").write_text(json.dumps({**(first if version == 1 else second), "numTraining": 2}))
    return root


BIDS_SUFFIXES = {"t1": "T1w", "t1c": "ce-gadolinium_T1w", "t2": "T2w", "flair": "FLAIR"}
BIDS_TABLE = "index\tname\tabbreviation\n0\tBackground\tBG\n1\tnecrosis\tNCR\n2\toedema\tED\n3\tenhancing tumour\tET\n"


def write_bids(root: Path) -> Path:
    """Write a raw BIDS data set as ``root`` with masks in ``derivatives/manual``: sub-9, and sub-10 in two sessions."""
    places = (("sub-9", ""), ("sub-10", "ses-1"), ("sub-10", "ses-2"))
    for seed, (kind, (subject, session)) in enumerate(zip(KINDS, places, strict=True)):
        one = case(kind, seed=seed)
        stem = f"{subject}_{session}" if session else subject
        anat = root / subject / session / "anat"
        masks = root / "derivatives" / "manual" / subject / session / "anat"
        anat.mkdir(parents=True)
        masks.mkdir(parents=True)
        for name, volume in zip(one.modalities, one.image, strict=True):
            data = np.rint(volume).astype(np.int16)
            nib.Nifti1Image(data, one.grid.affine).to_filename(anat / f"{stem}_{BIDS_SUFFIXES[name]}.nii.gz")
        assert one.labels is not None
        values = from_tissue(one.labels, get_convention("brats2023"))
        nib.Nifti1Image(values, one.grid.affine).to_filename(masks / f"{stem}_space-orig_desc-tumor_dseg.nii.gz")
    for folder, kind in ((root, "raw"), (root / "derivatives" / "manual", "derivative")):
        described = {"Name": "heads", "BIDSVersion": "1.10.0", "DatasetType": kind}
        (folder / "dataset_description.json").write_text(json.dumps(described))
    (root / "derivatives" / "manual" / "dseg.tsv").write_text(BIDS_TABLE)
    return root


def write_named(root: Path, pattern: str = "{patient}/{modality} {case}.nii.gz") -> Path:
    """Write two visits of patient P 1 and one of Ä2, in files named by ``pattern``; masks in MSD's numbers."""
    for seed, (kind, patient, name) in enumerate(
        (("plain", "P 1", "P 1_v2"), ("flipped", "P 1", "P 1_v10"), ("oblique", "Ä2", "Ä2_v1"))
    ):
        one = case(kind, seed=seed)
        files = dict(zip(("T1", "t1_Gd", "T2w", "t2-flair"), one.image, strict=True))
        for modality, volume in files.items():
            path = root / pattern.format(patient=patient, case=name, modality=modality)
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.Nifti1Image(np.rint(volume).astype(np.int16), one.grid.affine).to_filename(path)
        assert one.labels is not None
        values = from_tissue(one.labels, get_convention("msd"))
        path = root / pattern.format(patient=patient, case=name, modality="seg")
        nib.Nifti1Image(values, one.grid.affine).to_filename(path)
    return root


def touch(path: Path) -> Path:
    """An empty file, with the folders that it needs: names are all that a scan looks at."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path
