"""Phantoms: procedural four-modality brains with gliomas, for demonstrations, tests and benchmarks.

A phantom's contrasts are plausible and its anatomy reads as a brain, but it is drawn, not scanned: nothing measured on
it says anything about patients. So that a model trained on phantoms can be refused on anything else, every phantom
carries a mark in its voxels, see :func:`is_phantom`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from gliamap.boxes import Shape
from gliamap.case import Case
from gliamap.errors import ConfigError, OutputError
from gliamap.io.atomic import write_json
from gliamap.io.nifti import write_new
from gliamap.labels import CONVENTIONS, from_tissue
from gliamap.sources.phantom_anatomy import Anatomy, Field, Space, build_anatomy, make_space, smooth_noise
from gliamap.sources.phantom_tumour import Lesion, Tumour, draw_lesions, grow_tumour, mass_effect
from gliamap.volume import Grid

PHANTOM_PREFIX = "Phantom_"
PHANTOM_VERSION = 1
"""Raised whenever the same seed would give another phantom."""

PHANTOM_MODALITIES = ("t1", "t1c", "t2", "flair")
PHANTOM_SHAPES: tuple[Shape, ...] = ((80, 96, 72), (96, 88, 80), (72, 104, 88))
PHANTOM_CONVENTION = "brats2021"

MARK_STEP, MARK_REST = 8, 5

_FILE_NAMES = {"t1": "t1", "t1c": "t1ce", "t2": "t2", "flair": "flair"}
_SMALLEST_AXIS = 16
_STREAM = 12  # any number would do; with this one the first four default phantoms already show great variety

_SIGNAL: dict[str, tuple[float, float, float, float]] = {
    "white": (1.00, 1.00, 0.32, 0.54),
    "grey": (0.74, 0.76, 0.45, 0.68),
    "csf": (0.32, 0.32, 1.00, 0.20),
    "vessel": (0.45, 1.50, 0.45, 0.30),
    "edema": (0.77, 0.78, 0.70, 1.02),
    "core": (0.60, 0.60, 0.78, 0.86),
    "necrosis": (0.46, 0.43, 0.92, 0.70),
    "enhancing": (0.74, 1.60, 0.60, 0.88),
}
"""Signal of each tissue in t1, t1c, t2, flair; 1 is white matter on T1 and fluid on T2."""


def make_phantom(seed: int, shape: Shape) -> Case:
    """The phantom of ``seed`` on a grid of ``shape`` voxels.

    Returns a native case as BraTS 2021 would hold it: LPS orientation, spacing in mm such that the brain fills the
    grid, background 0, integer intensities of a few hundred to about 2000, tissues as labels. The same seed gives the
    same brain and lesions at every shape; only the voxels and their noise differ. ``ConfigError`` for fewer than 16
    voxels an axis.
    """
    if min(shape) < _SMALLEST_AXIS:
        raise ConfigError(
            "a phantom cannot be drawn on so few voxels",
            found="x".join(str(n) for n in shape),
            expected=f"at least {_SMALLEST_AXIS} along each axis",
        )
    body, disease, scanner = np.random.default_rng((_STREAM, seed)).spawn(3)
    space = make_space(shape)
    p = _individual(space, body)
    lesions = draw_lesions(disease)
    anatomy = build_anatomy(space, p, mass_effect(p, lesions), body)
    tumour = grow_tumour(space, p, anatomy, lesions, disease)
    shares = _shares(anatomy, tumour, lesions)
    image = np.stack(
        [_scan(space, shares, channel, anatomy.brain, scanner) for channel in range(len(PHANTOM_MODALITIES))]
    )
    case_id = f"{PHANTOM_PREFIX}{seed:05d}"
    return Case(
        case_id=case_id,
        patient_id=case_id,
        modalities=PHANTOM_MODALITIES,
        image=np.ascontiguousarray(image[:, ::-1, ::-1]),
        grid=_grid(space),
        labels=np.ascontiguousarray(tumour.labels[::-1, ::-1]),
        convention=PHANTOM_CONVENTION,
    )


def is_phantom(case: Case) -> bool:
    """Whether every voxel of ``case`` carries the phantoms' mark.

    The mark: each intensity that is not 0 leaves the rest 5 when divided by 8. It survives integer NIfTI files,
    cropping, flipping, and the choice of single slices or modalities, and is lost by any change of intensity or
    resampling, which then counts as 'not a phantom'. A scan does not have it by accident: of its many thousand
    intensities about one in eight would fit. An image that is 0 throughout has no mark.
    """
    for channel in case.image:
        values = channel[channel != 0]
        if values.size == 0 or not bool(np.all(np.mod(values, MARK_STEP) == MARK_REST)):
            return False
    return True


def write_phantoms(
    out: Path,
    count: int,
    *,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Path]:
    """Write ``count`` phantoms as a BraTS 2021 data set and return their case folders.

    ``OUT/Phantom_00001/Phantom_00001_{t1,t1ce,t2,flair,seg}.nii.gz`` and so on, int16, labels 1, 2, 4, in three unequal
    shapes by turns; ``OUT/phantom.json`` says what the folder is. The first phantoms of a seed do not depend on
    ``count``; different seeds share none. ``ConfigError`` where ``count`` is below 1. ``OutputError`` where ``out`` is
    not an empty folder; ``overwrite`` allows a folder of phantoms, whose cases are then removed first. ``progress`` is
    called with the cases done, the cases in all, and the case id.
    """
    if count < 1:
        raise ConfigError("no phantoms were asked for", found=f"count {count}", expected="a count of at least 1")
    _clear(out, overwrite=overwrite)
    out.mkdir(parents=True, exist_ok=True)
    write_json(
        out / "phantom.json", {"generator": "gliamap phantom", "version": PHANTOM_VERSION, "seed": seed, "count": count}
    )
    folders = []
    for number in range(count):
        own_seed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
        case = make_phantom(own_seed, PHANTOM_SHAPES[number % len(PHANTOM_SHAPES)])
        folders.append(_write_case(out / f"{PHANTOM_PREFIX}{number + 1:05d}", case))
        if progress is not None:
            progress(number + 1, count, folders[-1].name)
    return folders


def _write_case(folder: Path, case: Case) -> Path:
    folder.mkdir()
    for modality, channel in zip(case.modalities, case.image, strict=True):
        write_new(folder / f"{folder.name}_{_FILE_NAMES[modality]}.nii.gz", channel.astype(np.int16), case.grid)
    if case.labels is not None:
        values = from_tissue(case.labels, CONVENTIONS[PHANTOM_CONVENTION])
        write_new(folder / f"{folder.name}_seg.nii.gz", values, case.grid)
    return folder


def _clear(out: Path, *, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite or not (out / "phantom.json").is_file():
        raise OutputError(
            f"the target {out} already exists",
            found="a folder that is not empty" if out.is_dir() else "a file",
            expected="a new or empty folder" + (", or one of phantoms to overwrite" if overwrite else ""),
            remedy="choose another folder" + ("" if overwrite else ", or allow replacing phantoms with --overwrite"),
        )
    for folder in sorted(out.glob(PHANTOM_PREFIX + "[0-9]" * 5)):
        shutil.rmtree(folder)


def _individual(space: Space, rng: np.random.Generator) -> Field:
    """Atlas positions of the voxels for one person: sizes and smooth asymmetries differ by a few per cent."""
    sizes = rng.uniform(1.0, 1.06, 3).astype(np.float32)
    bend = np.stack([smooth_noise(space, 35.0, rng) for _ in range(3)])
    return space.positions() * sizes[:, None, None, None] + 1.8 * bend


def _shares(anatomy: Anatomy, tumour: Tumour, lesions: Sequence[Lesion]) -> dict[str, Field]:
    """The share of each tissue in each voxel; they sum to 1."""
    healthy = 1 - np.maximum(tumour.edema, tumour.core)
    dead = tumour.core - tumour.enhancing
    necrotic = any(lesion.enhancement != "none" for lesion in lesions)
    csf = anatomy.csf - anatomy.vessels
    return {
        "white": healthy * (1 - anatomy.csf - anatomy.grey),
        "grey": healthy * anatomy.grey,
        "csf": healthy * csf,
        "vessel": healthy * anatomy.vessels,
        "edema": 1 - healthy - tumour.core,
        "necrosis" if necrotic else "core": dead,
        "enhancing": tumour.enhancing,
    }


def _scan(
    space: Space, shares: dict[str, Field], channel: int, brain: NDArray[np.bool_], rng: np.random.Generator
) -> Field:
    """One modality: signals that vary a little, partial volume, bias field, Rician noise, own scale, mark."""
    texture = 1 + 0.02 * smooth_noise(space, 6.0, rng)
    patches = 1 + 0.07 * smooth_noise(space, 5.0, rng)
    signal = np.zeros(space.shape, np.float32)
    for name, share in shares.items():
        level = _SIGNAL[name][channel] * rng.uniform(0.95, 1.05)
        signal += level * share * (patches if name in ("edema", "core", "necrosis", "enhancing") else texture)
    signal = gaussian_filter(signal, 0.4)
    signal *= np.exp(0.06 * smooth_noise(space, 50.0, rng))
    sigma = rng.uniform(0.012, 0.028)
    a, b = sigma * rng.standard_normal((2, *space.shape), np.float32)
    signal = np.hypot(signal + a, b) * np.exp(rng.uniform(np.log(500), np.log(1200)))
    marked = MARK_REST + MARK_STEP * np.maximum(np.round((signal - MARK_REST) / MARK_STEP), 0)
    return np.where(brain, marked, 0).astype(np.float32)


def _grid(space: Space) -> Grid:
    """The LPS grid: first axis to the left, second to posterior, third to superior."""
    affine = np.diag([-space.spacing[0], -space.spacing[1], space.spacing[2], 1.0])
    affine[:3, 3] = space.axes[0][-1], space.axes[1][-1], space.axes[2][0]
    return Grid(space.shape, affine)
