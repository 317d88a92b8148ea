"""The experiments of ``docs/study.md``, as data: what is prepared, and which trainings are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

UNET = "--network unet --widths 16,32,64,128,256"


@dataclass(frozen=True)
class Experiment:
    """Trainings on one data set that differ in one thing.

    ``data`` are folders of the data, ``prepare`` and ``common`` options of ``gliamap prepare`` and of every training.
    ``arms`` maps a name to the options of its trainings, one after the other; ``{before}`` stands for the run before.
    The first arm is what the others are compared with. Each arm is trained with each seed and test fold.
    """

    title: str
    data: Sequence[str]
    prepare: str
    common: str
    arms: Mapping[str, Sequence[str]]
    seeds: Sequence[int] = (0,)
    folds: Sequence[int] = (0,)


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
    }
)
