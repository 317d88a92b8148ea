"""How often a damaged case is told beside its mask, and how often a sound one is: JSON on standard output.

Every case of ``brats21`` and ``brats23`` in the folder named by ``GLIAMAP_DATA`` is damaged in each of the ways of
``DAMAGES``; its reference mask stands for a perfect prediction, the eleven other cases for the training. Whole heads of
``btp-t1post`` are given to a model of brains. For false alarms the undamaged cases are looked at, and slices of fold 0
of ``msd-t1gd-2d`` and ``figshare-t1c``, with open ones of the other folds for the training. For the tables:

    python bench/told.py > told.json && mv told.json docs/results/warnings.json
    make tables
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from detection import CLOSED_FIGSHARE_FOLD, CLOSED_MSD_FOLD, cut_off, figure
from numpy.typing import NDArray
from run import commit, machine

from gliamap.case import Case, CaseFiles, Prediction
from gliamap.checks.findings import WARNINGS
from gliamap.checks.likeness import Look, Tumour, look_of, seen_in, tumour_of
from gliamap.checks.prediction import look_at, look_at_images
from gliamap.config import ModelSpec, NetConfig, OutputConfig, PrepConfig, Seen, WindowConfig
from gliamap.io.cases import read_case
from gliamap.labels import Region, Tissue, region_mask
from gliamap.prep.pipeline import prepare
from gliamap.sources.detect import scan
from gliamap.workflows.prediction.fit import check_fit

MODALITIES = ("t1", "t1c", "t2", "flair")
SLICES = 200
"""So many slices of a set are looked at, and so many others stand for the training."""

Change = Callable[[Case], Case]


@dataclass(frozen=True)
class Damage:
    """What is done to a case, and the warning that should follow; ``needs``: only cases with some of this region."""

    title: str
    code: str
    change: Change
    needs: Region = Region.WT


def on_image(name: str, act: Callable[[NDArray[Any]], NDArray[Any]]) -> Change:
    """Change the voxels of a modality."""

    def change(case: Case) -> Case:
        image = case.image.copy()
        image[case.modalities.index(name)] = act(image[case.modalities.index(name)])
        return replace(case, image=image)

    return change


def on_mask(act: Callable[[Case], NDArray[np.uint8]]) -> Change:
    """Another mask."""
    return lambda case: replace(case, labels=act(case))


def swapped(one: str, other: str) -> Change:
    """Two modalities under each other's names."""

    def change(case: Case) -> Case:
        names = {one: other, other: one}
        return replace(case, modalities=tuple(names.get(name, name) for name in case.modalities))

    return change


def copied(case: Case) -> Case:
    """T1c is a copy of T1."""
    original = case.image[case.modalities.index("t1")]
    return on_image("t1c", lambda _: original)(case)


def without(name: str) -> Change:
    """A modality is not there."""

    def change(case: Case) -> Case:
        kept = [number for number, own in enumerate(case.modalities) if own != name]
        return replace(case, image=case.image[kept], modalities=tuple(case.modalities[n] for n in kept))

    return change


def cut(case: Case, axis: int, stop: int, step: int = 1) -> Case:
    """The grid up to ``stop`` along an axis, every ``step``-th plane, with a header that says so."""
    part = tuple(slice(None, stop, step) if axis == a else slice(None) for a in range(3))
    image, labels = case.image[(slice(None), *part)], labels_of(case)[part]
    spread = np.diag([step if axis == a else 1.0 for a in range(3)] + [1.0])
    x, y, z = labels.shape
    return replace(
        case, image=image, labels=labels, grid=replace(case.grid, shape=(x, y, z), affine=case.grid.affine @ spread)
    )


def through_the_tumour(case: Case) -> Case:
    """The scan ends in the middle of the tumour."""
    return cut(case, 0, int(np.median(np.nonzero(region_mask(labels_of(case), Region.WT))[0])) + 1)


def half(case: Case) -> Case:
    """The upper half of the head is missing (slices lie along the third axis)."""
    used = np.flatnonzero(case.image.any(axis=(0, 1, 2)))
    return cut(case, 2, int(used[len(used) // 2]))


def scaled(factor: float) -> Change:
    """The header says voxels ``factor`` times as large."""

    def change(case: Case) -> Case:
        affine = case.grid.affine @ np.diag([factor, factor, factor, 1.0])
        return replace(case, grid=replace(case.grid, affine=affine))

    return change


def labels_of(case: Case) -> NDArray[np.uint8]:
    """The reference mask, as tissues."""
    assert case.labels is not None
    return case.labels


def all_brain(case: Case) -> NDArray[np.uint8]:
    """The whole brain is called edema."""
    return np.where(case.image.any(axis=0), np.uint8(Tissue.ED), np.uint8(0))


def crumb(case: Case) -> NDArray[np.uint8]:
    """Of the tumour a cube of 5 mm is left."""
    labels = labels_of(case)
    points = np.argwhere(region_mask(labels, Region.WT))
    x, y, z = points[len(points) // 2]
    out = np.zeros_like(labels)
    out[x - 2 : x + 3, y - 2 : y + 3, z - 2 : z + 3] = Tissue.ED
    return out


def scattered(case: Case) -> NDArray[np.uint8]:
    """Cubes of 5 mm all over the brain."""
    out = labels_of(case).copy()
    brain = case.image.any(axis=0)
    x, y, z = (np.arange(n) % 24 < 5 for n in brain.shape)
    out[(x[:, None, None] & y[:, None] & z) & brain & (out == 0)] = Tissue.ED
    return out


def bright_spot(data: NDArray[Any]) -> NDArray[Any]:
    """A hundredth of the brain, in one place, is twenty times as bright."""
    out = data.copy()
    inside = np.flatnonzero(data)
    out.ravel()[inside[: len(inside) // 100]] *= 20
    return out


def inverted(data: NDArray[Any]) -> NDArray[Any]:
    """Dark is bright."""
    return np.where(data != 0, data.max() + 1 - data, 0)


DAMAGES = (
    Damage("mask empty", "empty-mask", on_mask(lambda case: np.zeros_like(labels_of(case)))),
    Damage("scan ends in the middle of the tumour", "tumour-at-border", through_the_tumour),
    Damage("all but a cube of 5 mm of the tumour missed", "volume-unlike-training", on_mask(crumb)),
    Damage("whole brain called tumour", "volume-unlike-training", on_mask(all_brain)),
    Damage("cubes of 5 mm all over the brain", "lesions-unlike-training", on_mask(scattered)),
    Damage("T1c missing, enhancing tumour told", "enhancing-without-t1c", without("t1c"), Region.ET),
    Damage("T2 missing", "without-modality", without("t2")),
    *(
        Damage(f"{one} and {other} swapped", "modalities-swapped", swapped(one, other))
        for one, other in combinations(MODALITIES, 2)
    ),
    Damage("T1c is a copy of T1", "copied-channel", copied),
    Damage("T2 all zero", "empty-image", on_image("t2", np.zeros_like)),
    Damage("FLAIR all one value", "constant-image", on_image("flair", lambda data: np.full_like(data, 100))),
    Damage("T2 inverted", "intensities-unlike-training", on_image("t2", inverted)),
    Damage(
        "brightest tenth of T1c cut off", "intensities-unlike-training",
        on_image("t1c", lambda data: cut_off(data, np.random.default_rng())),
    ),
    Damage("FLAIR squared", "intensities-unlike-training", on_image("flair", np.square)),
    Damage("a bright artefact in T1", "intensities-unlike-training", on_image("t1", bright_spot)),
    Damage("every third slice only", "spacing-unlike-training", lambda case: cut(case, 2, case.grid.shape[2], 3)),
    Damage("voxels said to be 1.5 times as large", "spacing-unlike-training", scaled(1.5)),
    Damage("voxels said to be 1.5 times as large", "size-unlike-training", scaled(1.5)),
    Damage("upper half of the head missing", "size-unlike-training", half),
)  # fmt: skip


def spec_of(modalities: tuple[str, ...], foreground: Any, seen: Seen | None) -> ModelSpec:
    """A model that was trained on such cases; there is no network behind it."""
    return ModelSpec(
        name="model",
        network=NetConfig(dims=2, in_channels=len(modalities), out_channels=3),
        output=OutputConfig(kind="regions", convention="brats2021"),
        prep=PrepConfig(modalities=modalities, foreground=foreground),
        window=WindowConfig(patch=(64, 64, 1)),
        seen=seen,
    )


def told(case: Case, spec: ModelSpec) -> frozenset[str]:
    """The codes that are told of a case whose mask is the prediction."""
    own = spec.prep.modalities
    prepared = prepare(replace(case, labels=None), spec.prep, may_be_missing=own)
    missing = tuple(name for name in own if name not in case.modalities)
    prediction = Prediction(case.case_id, labels_of(case), case.grid, missing=missing)
    return frozenset(one.code for one in look_at(look_at_images(case), prepared, prediction, spec))


def figures_of(job: tuple[CaseFiles, PrepConfig]) -> tuple[Look, Tumour]:
    """What is remembered of a training case."""
    files, prep = job
    case = read_case(files, modalities=prep.modalities)
    prepared = prepare(replace(case, labels=None), prep)
    return look_of(prepared, prep.modalities), tumour_of(labels_of(case), case.grid)


def told_of_damages(job: tuple[CaseFiles, ModelSpec]) -> list[frozenset[str] | None]:
    """The codes of a sound case, then of each damage; ``None`` where it does not apply."""
    files, spec = job
    case = read_case(files, modalities=MODALITIES)
    changes = [damage.change if region_mask(labels_of(case), damage.needs).any() else None for damage in DAMAGES]
    return [told(case, spec), *(None if change is None else told(change(case), spec) for change in changes)]


def told_of_sound(job: tuple[CaseFiles, ModelSpec]) -> frozenset[str]:
    """The codes of a sound case, with whether it fits the model."""
    files, spec = job
    case = read_case(files, modalities=spec.prep.modalities)
    return told(case, spec) | {one.code for one in check_fit(case, files, spec, force=True)}


def fits_not(files: CaseFiles) -> bool:
    """Whether a case is told to be no brain."""
    case = read_case(files, modalities=("t1c",), with_labels=False)
    return bool(check_fit(case, files, spec_of(("t1c",), "brain", None), force=True))


def alarms(title: str, sound: Sequence[frozenset[str]]) -> dict[str, Any]:
    """What is told of undamaged cases."""
    return {"set": title, "cases": len(sound), "alarms": dict(Counter(code for codes in sound for code in codes))}


def of_volumes(cases: Sequence[CaseFiles], pool: ProcessPoolExecutor) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The figures of ``DAMAGES`` and the false alarms, each case against all others."""
    prep = PrepConfig(modalities=MODALITIES)
    known = list(pool.map(figures_of, [(files, prep) for files in cases]))
    jobs = [
        (files, spec_of(MODALITIES, "brain", seen_in([*known[:number], *known[number + 1 :]])))
        for number, files in enumerate(cases)
    ]
    sound, *damaged = zip(*pool.map(told_of_damages, jobs), strict=True)
    figures = [
        figure(
            damage.title,
            damage.code,
            [damage.code in codes for codes in found if codes is not None],
            [damage.code in codes for codes in sound],
        )
        for damage, found in zip(DAMAGES, damaged, strict=True)
    ]
    return figures, alarms("BraTS 2021 and 2023, volumes", sound)


def of_slices(root: Path, foreground: str, closed: int, *, title: str, pool: ProcessPoolExecutor) -> dict[str, Any]:
    """The false alarms on slices of fold 0; others, not those of the ``closed`` fold, stand for the training."""
    files = scan(root).cases
    held = [one for one in files if one.identity.fold == 0]
    others = [
        one for one in files
        if one.identity.fold not in (0, closed) and 0 not in one.identity.exclude_when_test_fold
    ]  # fmt: skip
    spec = spec_of(("t1c",), foreground, None)
    seen = seen_in(list(pool.map(figures_of, [(one, spec.prep) for one in evenly(others)], chunksize=8)))
    jobs = [(one, spec.model_copy(update={"seen": seen})) for one in evenly(held)]
    return alarms(title, list(pool.map(told_of_sound, jobs, chunksize=8)))


def evenly(files: Sequence[CaseFiles]) -> list[CaseFiles]:
    """At most ``SLICES`` of them."""
    return [files[int(n)] for n in np.linspace(0, len(files) - 1, min(len(files), SLICES)).round()]


def main() -> None:
    """Print the figures."""
    data = Path(os.environ["GLIAMAP_DATA"])
    brains = [files for name in ("brats21", "brats23") for files in scan(data / name).cases]
    heads = scan(data / "btp-t1post", "{case}/{case}_{modality}.nii.gz").cases
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        figures, volumes = of_volumes(brains, pool)
        title, code = "whole head for a model of brains", "foreground-unlike-training"
        figures.append(figure(title, code, list(pool.map(fits_not, heads)), list(pool.map(fits_not, brains))))
        undamaged = [
            volumes,
            of_slices(data / "msd-t1gd-2d", "brain", CLOSED_MSD_FOLD, title="MSD, slices", pool=pool),
            of_slices(data / "figshare-t1c", "head", CLOSED_FIGSHARE_FOLD, title="figshare, slices", pool=pool),
        ]
    content = {
        "commit": commit(),
        "machine": machine(),
        "codes": list(WARNINGS),
        "figures": figures,
        "undamaged": undamaged,
    }
    print(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
