"""The preflight before anybody trains for a day: the verb ``gliamap check`` as a function."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from pydantic import Field

from gliamap import __version__
from gliamap.case import CaseFiles, DataSet
from gliamap.checks.anatomy import Foreground
from gliamap.checks.case import CheckedCase, Expected, check_case
from gliamap.checks.cohort import CheckedRow, CohortReport, SetSummary
from gliamap.checks.duplicates import Entry, across_cases, find_duplicates
from gliamap.checks.findings import CaseReport, Finding
from gliamap.checks.leaks import find_leaks
from gliamap.config import Settings
from gliamap.errors import ConfigError
from gliamap.io.atomic import atomic_files, write_json, write_text
from gliamap.report.check_page import draw_page
from gliamap.sources.detect import scan
from gliamap.sources.layout import summarise
from gliamap.sources.splits import Split, read_split
from gliamap.workflows.common.conventions import Settled, settle_convention
from gliamap.workflows.common.failures import check_free, reason_of
from gliamap.workflows.common.parallel import KILLED, in_parallel
from gliamap.workflows.common.thumbnails import MOST, thumbnails
from gliamap.workflows.data.inspect import usual_modalities

OUTPUTS = ("check.html", "check.json")
"""The files that :func:`check` writes."""

_ENOUGH = 5  # cases that tell brain from head, before the others are odd
_USUAL_SHARE = 0.8
_SHOWS = {"brain": "a skull-stripped brain", "head": "a whole head"}

Progress = Callable[[int, int, str], None]


class CheckOptions(Settings):
    """How to check.

    ``pattern``: how files are named where no layout fits, see :mod:`gliamap.sources.pattern`. ``labels``: the label
    convention of all masks, where the data sets do not tell it. ``split``: a split file, to be searched for patients
    on both sides. ``workers``: processes, 1 for this one. ``overwrite``: replace a report that is there.
    """

    pattern: str | None = None
    labels: str | None = None
    split: Path | None = None
    workers: int = Field(default=1, ge=1)
    overwrite: bool = False


@dataclass(frozen=True)
class _Job:
    """One case to check, so that another process can."""

    data_set: str
    files: CaseFiles
    expected: Expected
    patients_known: bool


def check(
    sources: Sequence[Path],
    *,
    out: Path | None = None,
    options: CheckOptions | None = None,
    progress: Progress | None = None,
) -> CohortReport:
    """Look for whatever is wrong with the cases of the data sets in ``sources``, one by one and side by side.

    Several data sets are searched together for cases and patients that occur twice; what is expected of a case
    (modalities, label convention) is told by its own. Nothing that a file holds stops the others. Of a case, no more is
    kept than its findings and a few kB to compare it by. With ``out``, ``check.html`` (a page for people) and
    ``check.json`` are written there. ``progress`` is called with the cases done, the cases in all, and a case id.

    ``check.json``, ``"format": 1``, is ``CohortReport.as_json`` and ``versions``: ``data_sets`` (``name``, ``layout``,
    ``cases``, ``labelled``, ``patients`` or null, ``labels``, ``labels_why``); ``counts`` by level; ``rules`` that
    were broken (``code``, ``level``, ``title``, ``remedy``, ``cases``), the worst first; ``cases``, all of them in
    order (``data_set``, ``case_id``, ``level``, ``findings`` of ``code``, ``level``, ``found``); ``notes``. The codes
    are those of :data:`gliamap.checks.findings.RULES`.

    ``LayoutError`` where a source is not recognised, ``LabelError`` where there is no convention ``labels``,
    ``ConfigError`` where the split is about other cases, ``OutputError`` where a report is there (unless
    ``overwrite``).
    """
    options = options or CheckOptions()
    if out is not None:
        check_free(out, OUTPUTS, holding="a report", overwrite=options.overwrite)
    split = None if options.split is None else read_split(options.split)
    data_sets, notes = scan_all(sources, options.pattern)
    settled = {name: settle_convention(data, options.labels, progress=progress) for name, data in data_sets.items()}
    jobs = [job for name, data in data_sets.items() for job in _jobs(name, settled[name].narrow(data), data.foreground)]
    parts = {} if split is None else _parts(split, jobs)
    looked: list[CheckedCase] = [CheckedCase(CaseReport("", ""))] * len(jobs)
    for done, (number, found) in enumerate(in_parallel(_look, jobs, workers=options.workers)):
        looked[number] = found or _failed(jobs[number], KILLED)
        if progress:
            progress(done + 1, len(jobs), jobs[number].files.case_id)
    more, said = _side_by_side(jobs, looked, parts)
    rows = [CheckedRow(job.data_set, one.report) for job, one in zip(jobs, looked, strict=True)]
    doubts = [f"{name}: label convention not told: {one.why}" for name, one in settled.items() if not one.told]
    report = CohortReport(
        tuple(summarise_set(name, data_sets[name], one) for name, one in settled.items()),
        tuple(row.adding(more.get(number, ())) for number, row in enumerate(rows)),
        (*notes, *doubts, *_missing_from(split, jobs), *said),
    )
    if out is not None:
        chosen = {id(row): number for number, row in enumerate(report.cases)}
        pictured = {(number := chosen[id(row)]): jobs[number].files for row in report.to_look_at[:MOST]}
        _write(report, out, thumbnails(pictured, workers=options.workers, progress=progress))
    return report


def scan_all(sources: Sequence[Path], pattern: str | None) -> tuple[dict[str, DataSet], tuple[str, ...]]:
    """The data sets in ``sources`` by name, every file once; and remarks. ``LayoutError`` as :func:`scan`."""
    found: dict[str, DataSet] = {}
    notes: list[str] = []
    seen: set[tuple[tuple[Path, int | None], ...]] = set()
    for source in sources:
        data = scan(source, pattern)
        new = []
        for case in data.cases:
            files = tuple((path.resolve(), case.channels.get(name)) for name, path in sorted(case.modalities.items()))
            new += [] if files in seen else [case]
            seen.add(files)
        if len(new) < len(data.cases):
            again = "all" if not new else str(len(data.cases) - len(new))
            notes.append(f"{source} names {again} of its cases again: they are checked once")
        if new:
            name = _free_name(source.resolve().name, found)
            found[name] = replace(data, cases=tuple(new))
            notes += [f"{name}: {note}" if len(sources) > 1 else note for note in data.notes]
    return found, tuple(notes)


def _free_name(name: str, taken: Mapping[str, DataSet]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def _jobs(name: str, data: DataSet, foreground: Foreground | None) -> Iterator[_Job]:
    expected = Expected(usual_modalities(data.cases), foreground=foreground)
    for files in data.cases:
        yield _Job(name, files, expected, data.patients_known)


def _look(job: _Job) -> CheckedCase:
    try:
        return replace(check_case(job.files, job.expected), facts={})  # they are not needed any more
    except Exception as error:  # one odd case must not stop the others
        return _failed(job, reason_of(error))


def _failed(job: _Job, why: str) -> CheckedCase:
    identity = job.files.identity
    return CheckedCase(CaseReport(identity.case_id, identity.patient_id, (Finding("unreadable", why),)))


def _parts(split: Split, jobs: Sequence[_Job]) -> dict[int, str]:
    """The part of each case that is in one, by its number."""
    part_of = {case_id: name for name in ("train", "val", "test") for case_id in getattr(split, name)}
    parts = {n: part_of[job.files.case_id] for n, job in enumerate(jobs) if job.files.case_id in part_of}
    if not parts:
        raise ConfigError(
            "the split is about other cases",
            found=f"{len(part_of)} cases, such as {next(iter(part_of), 'none')}",
            expected=f"cases such as {jobs[0].files.case_id}",
            remedy="name the data set that the split was made for",
        )
    return parts


def _missing_from(split: Split | None, jobs: Sequence[_Job]) -> list[str]:
    known = {job.files.case_id for job in jobs}
    lost = [] if split is None else [name for name in (*split.train, *split.val, *split.test) if name not in known]
    return [f"{len(lost)} cases of the split are not here: {summarise(lost)}"] if lost else []


def _side_by_side(
    jobs: Sequence[_Job], looked: Sequence[CheckedCase], parts: Mapping[int, str]
) -> tuple[dict[int, list[Finding]], tuple[str, ...]]:
    """What shows only where cases stand beside each other: findings by the number of the case, and remarks."""
    numbers = [number for number, one in enumerate(looked) if one.fingerprint is not None]
    entries = [_entry(jobs[number], looked[number]) for number in numbers]
    pairs = find_duplicates(entries)
    found, notes = across_cases(entries, pairs)
    more = {numbers[entry]: list(findings) for entry, findings in found.items()}
    renumbered = [replace(pair, first=numbers[pair.first], second=numbers[pair.second]) for pair in pairs]
    names = [job.files.case_id for job in jobs]
    patients = [(job.data_set, job.files.identity.patient_id) for job in jobs]
    for number, leak in find_leaks(parts, names, patients, renumbered).items():
        more.setdefault(number, []).append(leak)
    for number, odd in _odd_ones(jobs, looked):
        more.setdefault(number, []).append(odd)
    return more, notes


def _entry(job: _Job, looked: CheckedCase) -> Entry:
    assert looked.fingerprint is not None
    identity = job.files.identity
    return Entry(job.data_set, identity.case_id, identity.patient_id, looked.fingerprint, job.patients_known)


def _odd_ones(jobs: Sequence[_Job], looked: Sequence[CheckedCase]) -> Iterator[tuple[int, Finding]]:
    """Brains among whole heads or the reverse, where the layout does not say what to expect but most cases do."""
    shows: dict[str, dict[int, Foreground]] = {}
    for number, (job, one) in enumerate(zip(jobs, looked, strict=True)):
        if job.expected.foreground is None and one.foreground is not None:
            shows.setdefault(job.data_set, {})[number] = one.foreground
    for seen in shows.values():
        ((usual, count),) = Counter(seen.values()).most_common(1)
        if len(seen) >= _ENOUGH and count >= _USUAL_SHARE * len(seen):
            for number, foreground in seen.items():
                if foreground != usual:
                    yield (
                        number,
                        Finding("foreground-unexpected", f"looks like {_SHOWS[foreground]}, unlike most cases"),
                    )


def summarise_set(name: str, data: DataSet, settled: Settled) -> SetSummary:
    """What is said of a data set as a whole."""
    patients = len({case.identity.patient_id for case in data.cases})
    return SetSummary(
        name=name,
        layout=data.layout,
        cases=len(data.cases),
        labelled=sum(case.labels is not None for case in data.cases),
        patients=patients if data.patients_known else None,
        labels=tuple(dict.fromkeys(group.convention.name for group in settled.groups if group.convention)),
        labels_why=settled.why,
    )


def _write(report: CohortReport, out: Path, pictures: Mapping[int, bytes]) -> None:
    versions = {"gliamap": __version__, "python": platform.python_version()}
    versions |= {name: version(name) for name in ("numpy", "scipy", "nibabel")}
    with atomic_files(out) as folder:
        write_text(folder / "check.html", draw_page(report, pictures, __version__))
        write_json(folder / "check.json", report.as_json() | {"versions": versions})
