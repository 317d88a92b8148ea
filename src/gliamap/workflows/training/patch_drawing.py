"""A training that draws its patches from a patch table.

RUN/patches.npy       the patches of the training cases, sorted, written whenever the training begins or goes on
   /patches.parquet   the table, where the training made it by itself
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from gliamap.config import TrainConfig
from gliamap.errors import ConfigError, GliamapError
from gliamap.io.atomic import atomic_path
from gliamap.io.patch_list import Rows, write_rows
from gliamap.io.store import StoreInfo
from gliamap.sampling.drawing import COLUMNS, Sides, count_sides, plan_epoch, sort_rows
from gliamap.sources.layout import summarise
from gliamap.training.loop import Job
from gliamap.workflows.training.train_settings import TrainOptions

if TYPE_CHECKING:
    from gliamap.io.patch_table import PatchTableInfo

ROWS = "patches.npy"
_TABLE = "patches.parquet"


@dataclass(frozen=True)
class Epoch:
    """How many patches of the training cases the table has, how many of them an epoch draws, in how many steps."""

    there: Sides
    drawn: Sides
    steps: float


@dataclass(frozen=True, eq=False)
class Patches:
    """The patches that a training draws from. ``table`` is the file's content, where it was made for this training."""

    rows: Rows
    epoch: Epoch
    table: bytes | None = None

    def record(self) -> dict[str, Any]:
        """What ``run.json`` says of them: what a training that goes on must find again."""
        return {
            "fingerprint": hashlib.sha256(self.rows.tobytes()).hexdigest()[:16],
            "tumour": self.epoch.there.tumour,
            "healthy": self.epoch.there.healthy,
            "epoch": sum(self.epoch.drawn),
        }

    def write(self, run: Path) -> Epoch:
        """Put them into the run's folder; returns what an epoch is."""
        write_rows(run / ROWS, self.rows)
        if self.table is not None:
            with atomic_path(run / _TABLE) as part:
                part.write_bytes(self.table)
        return self.epoch


def with_table(options: TrainOptions, info: StoreInfo) -> TrainOptions:
    """The options with patch size, stride and dimensions of the table, where ``options.patches`` names one.

    ``ConfigError`` where the table is of another store, or its size or stride is not what was asked for.
    """
    if options.patches is None:
        return options
    from gliamap.io.patch_table import read_info

    path, table = options.patches, read_info(options.patches)
    if table.fingerprint != info.fingerprint:
        raise ConfigError(
            f"the patch table {path} is of another store, or the store was prepared again since",
            found=table.fingerprint,
            expected=info.fingerprint,
            remedy="make it from this store, with gliamap patches",
        )
    if options.stride not in (None, table.stride):
        raise _disagreement(path, "stride", table.stride, options.stride)
    patch = options.config.get("patch", table.size)
    if patch not in (table.size, list(table.size)):
        raise _disagreement(path, "patch", table.size, patch)
    dims = options.dims or (2 if table.size[2] == 1 else None)
    config = options.config | {"patch": table.size}
    return options.model_copy(update={"stride": table.stride, "dims": dims, "config": config})


def _disagreement(path: Path, name: str, found: object, asked: object) -> ConfigError:
    return ConfigError(
        f"the patch table {path} has another {name}",
        found=str(found),
        expected=str(asked),
        remedy=f"leave out --{name}, or make a table with this one",
    )


def find_patches(job: Job, info: StoreInfo, stride: int, file: Path | None) -> Patches:
    """The patches of the job's training cases: from the table ``file``, else from the run's own, else from a new one.

    Writes nothing. ``ConfigError`` where ``file`` lacks training cases, or there are no patches for the ratio.
    """
    from gliamap.io.patch_table import PatchTableInfo
    from gliamap.workflows.data.patches import make_patch_table

    wanted = PatchTableInfo(
        fingerprint=info.fingerprint, size=job.config.patch, stride=stride, convention=info.convention
    )
    patients = {entry.case_id: entry.patient_id for entry in info.cases}
    patients = {case_id: patients[case_id] for case_id in job.train_ids}
    if file is not None:
        return _read(file, wanted, patients, job.config)
    if (job.run / _TABLE).is_file():
        with suppress(GliamapError):  # damaged, or of other cases: it is made again
            return _read(job.run / _TABLE, wanted, patients, job.config)
    with TemporaryDirectory() as folder:
        made = Path(folder) / _TABLE
        make_patch_table(job.store, made, size=wanted.size, stride=stride, cases=job.train_ids)
        return replace(_read(made, wanted, patients, job.config), table=made.read_bytes())


def _read(path: Path, wanted: PatchTableInfo, patients: Mapping[str, str], config: TrainConfig) -> Patches:
    from gliamap.io.patch_table import read_columns, read_info

    if read_info(path) != wanted:
        raise ConfigError(f"the patch table {path} is of other patches", remedy="make it again with gliamap patches")
    rows = sort_rows(read_columns(path, COLUMNS), patients)
    found = set(np.unique(rows["case"]).tolist())
    lacking = [case_id for number, case_id in enumerate(patients) if number not in found]
    if lacking:
        raise ConfigError(
            f"the patch table {path} lacks cases that are to be trained on",
            found=f"{len(lacking)} of {len(patients)} missing: {summarise(lacking)}",
            remedy="make a table of all cases, with gliamap patches",
        )
    there = count_sides(rows)
    drawn = plan_epoch(config.ratio, there)
    return Patches(rows, Epoch(there, drawn, sum(drawn) / config.batch))
