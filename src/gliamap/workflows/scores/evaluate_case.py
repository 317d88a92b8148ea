"""Score many cases, side by side, and keep what is scored, so that an interrupted evaluation goes on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gliamap import __version__
from gliamap.errors import FileError
from gliamap.io.archive import origin_of
from gliamap.io.atomic import read_json, remove_leftovers, write_json
from gliamap.labels import Region, get_convention
from gliamap.scoring.pairs import Pair, read_prediction, read_reference
from gliamap.scoring.probabilities import read_probabilities
from gliamap.scoring.protocols import PROTOCOLS
from gliamap.scoring.score import score_case, score_missing, with_calibration
from gliamap.scoring.summary import ScoredCase
from gliamap.workflows.common.parallel import KILLED, in_parallel

KEPT = ".scored"
"""Folder beside the results in which scores are kept until all are there."""

_MEANING = 1
"""To be raised with every change of the code after which the same files would be scored otherwise: what an earlier
state of it kept does not count then.
"""

_NAME = re.compile(r"[0-9a-f]{64}\.json")
"""What :func:`_key` makes."""


@dataclass(frozen=True)
class Job:
    """One case to score, so that another process can. ``convention`` is the reference's, by name, as is ``protocol``.

    ``classes`` is false where the two sides divide the tumour differently.
    """

    pair: Pair
    convention: str
    regions: tuple[Region, ...]
    classes: bool
    protocol: str


@dataclass(frozen=True)
class Scored:
    """A case's scores, and the name of its prediction's convention, if it has one."""

    case: ScoredCase
    convention: str | None


_SCORED = TypeAdapter(Scored)


def score_all(
    jobs: Sequence[Job], *, workers: int, kept: Path | None, progress: Callable[[int, int, str], None] | None
) -> list[Scored]:
    """The scores of every job, in order.

    Scores are kept in the folder ``kept``, if any, as they come in; what stands there counts where files and settings
    are those of the job. ``progress`` is called with the cases done, the cases in all, and the case id. The errors are
    those of :func:`score_job`; ``FileError`` where a case ends its process.
    """
    keys = [_key(job) for job in jobs] if kept else []
    done = {number: found for number, key in enumerate(keys) if kept and (found := _read(kept / key, jobs[number]))}
    left = [number for number in range(len(jobs)) if number not in done]
    for at, content in in_parallel(_as_json, [jobs[number] for number in left], workers=workers):
        number = left[at]
        case_id = jobs[number].pair.case_id
        if content is None:
            raise FileError(f"the case {case_id} cannot be scored", found=KILLED, remedy="check its files")
        done[number] = _SCORED.validate_python(content)
        if kept:
            write_json(kept / keys[number], content)
        if progress:
            progress(len(done), len(jobs), case_id)
    return [done[number] for number in range(len(jobs))]


def _as_json(job: Job) -> Any:
    """:func:`score_job` as JSON holds it, whether it is kept or not: scores then are the same, to the last byte."""
    return _SCORED.dump_python(score_job(job), mode="json")


def score_job(job: Job) -> Scored:
    """Score one case from its files.

    ``GridError`` where prediction or probabilities do not lie on the reference's grid, ``LabelError`` where values are
    outside their convention or ambiguous, ``FileError`` where a file cannot be read.
    """
    pair, convention = job.pair, get_convention(job.convention)
    reference, grid = read_reference(pair, convention)
    if pair.prediction is None:
        missing = score_missing(reference, grid, job.regions, classes=job.classes, protocol=PROTOCOLS[job.protocol])
        return Scored(ScoredCase(pair.case_id, pair.patient_id, missing), None)
    labels, used = read_prediction(pair, pair.prediction, grid, convention)
    score = score_case(labels, reference, grid, job.regions, classes=job.classes, protocol=PROTOCOLS[job.protocol])
    if pair.probabilities and pair.probabilities.channels:
        score = with_calibration(score, reference, grid, read_probabilities(pair.probabilities, grid, job.regions))
    return Scored(ScoredCase(pair.case_id, pair.patient_id, score), used.name)


def discard_kept(folder: Path) -> None:
    """Remove the scores that :func:`score_all` kept in ``folder``; and the folder, unless it holds something else."""
    remove_leftovers(folder)
    for path in folder.glob("*.json"):
        if _NAME.fullmatch(path.name):
            path.unlink()
    with suppress(OSError):  # not there, or not empty
        folder.rmdir()


def _key(job: Job) -> str:
    """A name that changes with the files, the settings and what gliamap makes of them."""
    pair = job.pair
    files = (pair.reference, pair.prediction, pair.probabilities.path if pair.probabilities else None)
    origins = [origin_of(path) for path in files if path is not None]
    return hashlib.sha256(f"{__version__} {_MEANING} {job} {origins}".encode()).hexdigest() + ".json"


def _read(path: Path, job: Job) -> Scored | None:
    """What was kept of ``job``; ``None`` where it is not there, or is no such thing."""
    try:
        found = _SCORED.validate_python(read_json(path)) if path.is_file() else None
    except (FileError, ValidationError):
        return None
    if found is None or found.case.case_id != job.pair.case_id or tuple(found.case.score.regions) != job.regions:
        return None
    return found
