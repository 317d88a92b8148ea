"""The experiments of ``docs/study.md``, as data: what is prepared, and which trainings are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

UNET = "--network unet --widths 16,32,64,128,256"
_PATCHES = "--output binary"


@dataclass(frozen=True)
class Experiment:
    """Trainings on one data set that differ in one thing.

    ``data`` are folders of the data, ``prepare`` and ``common`` options of ``gliamap prepare`` and of every training;
    ``prepare_arm`` are further ones of ``prepare`` for the arms that it names.
    ``arms`` maps a name to the options of its trainings, one after the other; ``{before}`` stands for the run before,
    ``{bench}`` for the folder of this file.
    The first arm is what the others are compared with. Each arm is trained with each seed and test fold.
    """

    title: str
    data: Sequence[str]
    prepare: str
    common: str
    arms: Mapping[str, Sequence[str]]
    seeds: Sequence[int] = (0,)
    folds: Sequence[int] = (0,)
    prepare_arm: Mapping[str, str] = field(default_factory=dict)


def _figshare(title: str, arms: Mapping[str, Sequence[str]], seeds: Sequence[int] = (0,)) -> Experiment:
    """Slices of whole heads at half their resolution, 128 x 128 at most."""
    return Experiment(title, ("figshare-t1c",), "--spacing 2 2 1", f"--closed-fold 3 {UNET}", arms, seeds)


def _msd(title: str, arms: Mapping[str, Sequence[str]], seeds: Sequence[int] = (0,)) -> Experiment:
    """Slices of stripped brains, 83 x 97 at most when cropped."""
    return Experiment(title, ("msd-t1gd-2d",), "", f"--closed-fold 4 {UNET}", arms, seeds)


EXPERIMENTS: Mapping[str, Experiment] = MappingProxyType(
    {
        "transfer-figshare": _figshare(
            "base task and transfer, figshare-t1c",
            {
                "from scratch": ["--patch 128 128 1 --steps 1000"],
                "base task and transfer": [
                    "--output binary --patch 64 64 1 --stride 32 --ratio 1:1 --steps 1300",
                    "--init-from {before} --freeze-encoder 100 --transferred-rate 0.3 --patch 128 128 1 --steps 600",
                ],
            },
            seeds=(0, 1, 2),
        ),
        "transfer-msd": _msd(
            "base task and transfer, msd-t1gd-2d",
            {
                "from scratch": ["--patch 80 96 1 --steps 2000"],
                "base task and transfer": [
                    "--output binary --patch 48 48 1 --stride 24 --ratio 1:1 --steps 1800",
                    "--init-from {before} --freeze-encoder 200 --transferred-rate 0.3 --patch 80 96 1 --steps 1300",
                ],
            },
            seeds=(0, 1, 2),
        ),
        "ratios-figshare": _figshare(
            "ratio and size of patches, figshare-t1c",
            {
                "whole slices": ["--output binary --patch 128 128 1 --steps 500"],
                "64, natural": [f"{_PATCHES} --patch 64 64 1 --stride 32 --ratio natural --steps 1500"],
                "64, 1:1": [f"{_PATCHES} --patch 64 64 1 --stride 32 --ratio 1:1 --steps 1500"],
                "64, tumour only": [f"{_PATCHES} --patch 64 64 1 --stride 32 --ratio tumour --steps 1500"],
                "96, natural": [f"{_PATCHES} --patch 96 96 1 --stride 48 --ratio natural --steps 850"],
                "96, 1:1": [f"{_PATCHES} --patch 96 96 1 --stride 48 --ratio 1:1 --steps 850"],
                "96, tumour only": [f"{_PATCHES} --patch 96 96 1 --stride 48 --ratio tumour --steps 850"],
            },
        ),
        "outputs-msd": _msd(
            "regions or classes, msd-t1gd-2d",
            {
                "regions": ["--output regions --patch 80 96 1 --steps 2000"],
                "classes": ["--output classes --patch 80 96 1 --steps 2000"],
            },
        ),
        "augment-figshare": _figshare(
            "variation of patches, figshare-t1c",
            {
                "default": ["--patch 128 128 1 --steps 1000"],
                "none": ["--recipe {bench}/plain.json --patch 128 128 1 --steps 1000"],
                "strong": ["--recipe strong --patch 128 128 1 --steps 1000"],
            },
        ),
        "recipes-brats": Experiment(
            "recipes, brats21 and brats23",
            ("brats21", "brats23"),
            "--spacing 1.5 1.5 1.5",
            "",
            {
                "brats-3d": ["--recipe brats-3d --steps 750"],
                "unet-classic": ["--recipe unet-classic --steps 700"],
                "brats-slices": ["--recipe brats-slices"],
            },
            folds=(3,),
        ),
        "recipes-figshare": Experiment(
            "recipes, figshare-t1c",
            ("figshare-t1c",),
            "--spacing 2 2 1",
            "--closed-fold 3",
            {"t1c-binary": ["--recipe t1c-binary"]},
        ),
        "recipes-msd": Experiment(
            "recipes, msd-t1gd-2d",
            ("msd-t1gd-2d",),
            "",
            "--closed-fold 4",
            {
                "patches-transfer": ["--recipe patches-transfer"],
                "unet-classic": ["--recipe unet-classic"],
                "msd-t1gd": ["--recipe msd-t1gd"],
            },
        ),
        "slices-brats": Experiment(
            "one modality or four, axial slices of BraTS",
            ("brats21", "brats23"),
            "--spacing 1.5 1.5 1.5",
            f"{UNET} --dims 2 --patch 96 128 1 --steps 500",
            {"t1, t1c, t2, flair": [""], "t1c": [""]},
            folds=(0, 1, 2, 3),
            prepare_arm={"t1c": "--modality t1c"},
        ),
    }
)
