"""Knowledge distillation: what an ensemble of trained networks says of a store's cases, for a new one to learn from.

LESSONS/lessons.json   which teachers, which store, and which cases the teachers themselves have learned from
       /CASE_ID.npy    the mean of their probabilities (:mod:`gliamap.io.soft`)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from gliamap.config import OutputConfig, Settings
from gliamap.errors import ConfigError, FileError
from gliamap.infer.predictor import Predictor, load_predictor
from gliamap.infer.window import predict_windows
from gliamap.inputs import NetworkInput
from gliamap.io.atomic import read_json, write_json
from gliamap.io.soft import write_soft
from gliamap.io.store import StoreInfo, read_case, read_store
from gliamap.sources.splits import Split
from gliamap.workflows.common.failures import check_folder
from gliamap.workflows.common.folds import runs_of
from gliamap.workflows.common.unchanged import check_unchanged
from gliamap.workflows.training.transfer import seen_cases
from gliamap.workflows.training.unseen import check_unseen

_FILE = "lessons.json"


class Lessons(Settings):
    """``lessons.json``. ``teachers`` are the hashes of their weights, ``seen`` the cases that they learned from."""

    format: int = 1
    store: str
    output: OutputConfig
    teachers: tuple[str, ...]
    seen: tuple[str, ...]


@dataclass(frozen=True)
class Taught:
    """The folder of the lessons, how many teachers gave them, and of how many cases."""

    folder: Path
    teachers: int
    cases: int


def teach(
    store: Path,
    teachers: Sequence[Path],
    out: Path,
    *,
    progress: Callable[[int, int, str], None] | None = None,
) -> Taught:
    """Write what the ``teachers`` say of every case of the store, on its prepared grid, into the folder ``out``.

    A teacher is a run or model folder, or the folder of a cross-validation, which stands for all its folds. Their
    probabilities are averaged. Cases that are there already are kept, so an interrupted call goes on where it stopped.
    ``ConfigError`` where the teachers do not fit the store or each other, or ``out`` holds other lessons.
    """
    info = read_store(store)
    runs = runs_of(teachers)
    ensemble = [load_predictor(run) for run in runs]
    _check_alike(runs, ensemble, info)
    lessons = Lessons(
        store=info.fingerprint,
        output=ensemble[0].spec.output,
        teachers=tuple(str(teacher.spec.weights_sha256) for teacher in ensemble),
        seen=_seen(runs),
    )
    check_folder(out)
    if (out / _FILE).is_file():
        before, now = (each.model_dump(mode="json") for each in (_read(out), lessons))
        check_unchanged(f"{out} holds other lessons", before, now, remedy="choose another --out")
    write_json(out / _FILE, lessons.model_dump(mode="json"))
    for number, entry in enumerate(info.cases):
        if progress:
            progress(number, len(info.cases), entry.case_id)
        if not (out / f"{entry.case_id}.npy").is_file():
            write_soft(out, entry.case_id, _mean(store, entry.case_id, ensemble))
    return Taught(out, len(ensemble), len(info.cases))


def check_lessons(folder: Path, info: StoreInfo, output: OutputConfig, split: Split, *, leaky: bool) -> Lessons:
    """The lessons in ``folder``, for a training on this store with this output.

    ``ConfigError`` where they are of another store or output, or where their teachers have learned from patients that
    the new network is to be tested on (unless ``leaky``): its scores would not hold for new patients.
    """
    lessons = _read(folder)
    for what, theirs, ours in (("store", lessons.store, info.fingerprint), ("output", lessons.output, output)):
        if theirs != ours:
            raise ConfigError(
                f"the lessons in {folder} are of another {what}",
                found=str(theirs),
                expected=str(ours),
                remedy="make them from this store with gliamap teach, or leave --lessons out",
            )
    if not leaky:
        remedy = "say --test-share 0 and test on other data, take other teachers, or say --leaky"
        who = f"the teachers of {folder} have learned from"
        check_unseen(who, lessons.seen, info.cases, part="test", held_out=split.test, remedy=remedy)
    return lessons


def _check_alike(runs: Sequence[Path], ensemble: Sequence[Predictor], info: StoreInfo) -> None:
    if not ensemble:
        raise ConfigError("no teacher is named", remedy="name runs, or the folder of a cross-validation")
    for run, teacher in zip(runs, ensemble, strict=True):
        pairs = (
            ("output", teacher.spec.output, ensemble[0].spec.output),
            ("preparation", teacher.spec.prep, info.prep),
        )
        for what, theirs, wanted in pairs:
            if theirs != wanted:
                raise ConfigError(
                    f"the teacher {run} has another {what}",
                    found=str(theirs),
                    expected=str(wanted),
                    remedy="name teachers that were trained on a store prepared alike, with the same --output",
                )


def _seen(runs: Sequence[Path]) -> tuple[str, ...]:
    """The cases that the teachers, and the networks that they started from, were trained and chosen on."""
    return tuple(sorted({case_id for run in runs for part in seen_cases(run) for case_id in part}))


def _mean(store: Path, case_id: str, ensemble: Sequence[Predictor]) -> NDArray[np.float32]:
    image = read_case(store, case_id).image
    first, *others = (
        predict_windows(NetworkInput(image, teacher.spec.inputs), teacher.engine, teacher.spec.window)
        for teacher in ensemble
    )
    for other in others:
        first += other
    first /= len(ensemble)
    return first


def _read(folder: Path) -> Lessons:
    path = folder / _FILE
    if not path.is_file():
        raise FileError(f"{folder} holds no lessons", expected=f"{_FILE} in it", remedy="make them with gliamap teach")
    try:
        return Lessons.model_validate(read_json(path))
    except ValidationError as error:
        raise FileError(f"{path} does not describe lessons of this version", remedy="make them again") from error
