"""What a data set looks like before anybody trains on it: the verb ``gliamap explore`` as a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from gliamap import __version__
from gliamap.case import CaseFiles, DataSet
from gliamap.checks.duplicates import Entry, across_cases, find_duplicates
from gliamap.config import Settings
from gliamap.errors import ConfigError
from gliamap.io.atomic import atomic_files, write_json, write_text
from gliamap.report.exploration import Alike, Exploration
from gliamap.report.explore_figures import draw_figures
from gliamap.report.explore_page import draw_page
from gliamap.report.plot import write_figures
from gliamap.survey.case import CaseFacts
from gliamap.survey.cohort import Survey
from gliamap.survey.counts import Counts
from gliamap.volume import Unit
from gliamap.workflows.common.conventions import settle_convention
from gliamap.workflows.common.failures import all_failed, check_free
from gliamap.workflows.common.foreground import settle_foreground
from gliamap.workflows.common.parallel import KILLED, in_parallel
from gliamap.workflows.common.thumbnails import thumbnails
from gliamap.workflows.data.check import scan_all, summarise_set
from gliamap.workflows.data.explore_case import Job, Look, look

OUTPUTS = ("explore.html", "explore.json")
"""The files that :func:`explore` writes, beside the folder ``figures``."""

Progress = Callable[[int, int, str], None]


class ExploreOptions(Settings):
    """How to explore.

    ``pattern``: how files are named where no layout fits, see :mod:`gliamap.sources.pattern`. ``labels``: the label
    convention of all masks, where the data sets do not tell it. ``foreground``: whether the images show a
    skull-stripped ``brain`` or a whole ``head``, where neither layout nor voxels tell. ``workers``: processes, 1 for
    this one. ``overwrite``: replace a report that is there.
    """

    pattern: str | None = None
    labels: str | None = None
    foreground: Literal["brain", "head"] | None = None
    workers: int = Field(default=1, ge=1)
    overwrite: bool = False


class _Sums:
    """What is kept while cases come in, in any order: sums, and a few figures of each case."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, Unit], Counts] = {}
        self.facts: dict[int, CaseFacts] = {}
        self.entries: dict[int, Entry] = {}
        self.failed: dict[int, str] = {}

    def add(self, number: int, job: Job, found: Look) -> None:
        """Take in the case ``number``."""
        if found.survey is None or found.fingerprint is None:
            self.failed[number] = found.why
            return
        facts, identity = found.survey.facts, job.files.identity
        key = (job.data_set, facts.unit)
        self.counts[key] = self.counts.get(key, Counts()).plus(found.survey.counts)
        self.facts[number] = facts
        self.entries[number] = Entry(
            job.data_set, identity.case_id, identity.patient_id, found.fingerprint, job.patients_known
        )


def explore(
    sources: Sequence[Path],
    out: Path,
    *,
    options: ExploreOptions | None = None,
    progress: Progress | None = None,
) -> Exploration:
    """Show what the data sets in ``sources`` hold: tissues, lesions, places, intensities, looks, what is there twice.

    Writes ``explore.html`` (a page for people), ``explore.json`` and the page's ``figures`` as PNG into ``out``. Cases
    without masks count where no mask is needed. Of a case no more is kept than a few figures and a fingerprint of some
    kB; all else is added up, so memory hardly grows with the data set. A case that cannot be read does not stop the
    others; it is listed in ``failed``. ``progress`` is called with the cases done, the cases in all, and a case id.

    ``explore.json``, ``"format": 1``: ``data_sets`` as in ``check.json``; ``surveys``, one a data set, with
    ``size_unit`` (mL or pixels), ``tissues`` (``tissue``, ``voxels``, ``size``, ``share_of_marked``,
    ``share_of_foreground``, ``cases``), ``lesion_sizes`` and ``intensities`` (``edges`` of bins, counts; the outer bins
    hold all beyond), ``places`` (by plane ``cases_with_tumour``, columns by rows of RAS+), ``cases`` (each with its
    voxels, lesions, slices, ``quality`` and ``quality_index``); ``alike`` (``data_set``, ``case_id``, ``code``,
    ``found``); ``failed``; ``notes``.

    ``LayoutError`` where a source is not recognised or no case can be read, ``LabelError`` where a label convention is
    not told, ``ConfigError`` where the foreground is not, ``OutputError`` where a report is there (unless
    ``overwrite``).
    """
    options = options or ExploreOptions()
    check_free(out, OUTPUTS, holding="a report", overwrite=options.overwrite)
    data_sets, notes = scan_all(sources, options.pattern)
    settled = {name: settle_convention(data, options.labels, progress=progress) for name, data in data_sets.items()}
    jobs = [job for name, data in data_sets.items() for job in _jobs(name, settled[name].apply(data), options)]
    sums = _Sums()
    for done, (number, found) in enumerate(in_parallel(look, jobs, workers=options.workers)):
        sums.add(number, jobs[number], found or Look(why=KILLED))
        if progress:
            progress(done + 1, len(jobs), jobs[number].files.case_id)
    failed = {_called(jobs[number], data_sets): why for number, why in sorted(sums.failed.items())}
    if not sums.facts:
        raise all_failed(failed, "read", "gliamap check says of each file what is wrong with it")
    surveys = list(_surveys(jobs, sums))
    alike, said = _alike(sums)
    report = Exploration(
        tuple(summarise_set(name, data_sets[name], one) for name, one in settled.items()),
        tuple(survey for _, survey in surveys), alike, failed, (*notes, *said),
    )  # fmt: skip
    _write(report, out, [_pictures(survey, numbers, jobs) for numbers, survey in surveys])
    return report


def _jobs(name: str, data: DataSet, options: ExploreOptions) -> Iterator[Job]:
    foreground, why = (options.foreground, "") if options.foreground else settle_foreground(data)
    if foreground is None:
        raise ConfigError(
            f"nothing says whether {data.root} holds skull-stripped brains or whole heads",
            found=why,
            remedy="say --foreground brain or head",
        )
    for files in data.cases:
        yield Job(name, files, foreground, data.patients_known)


def _called(job: Job, data_sets: Mapping[str, DataSet]) -> str:
    """A case's name, with its data set's where there are several."""
    return job.files.case_id if len(data_sets) == 1 else f"{job.data_set}: {job.files.case_id}"


def _surveys(jobs: Sequence[Job], sums: _Sums) -> Iterator[tuple[list[int], Survey]]:
    """The surveys in the order of their data sets, and the numbers of their cases."""
    members: dict[tuple[str, Unit], list[int]] = {}
    for number, facts in sorted(sums.facts.items()):
        members.setdefault((jobs[number].data_set, facts.unit), []).append(number)
    for key, numbers in members.items():
        cases, first = tuple(sums.facts[number] for number in numbers), jobs[numbers[0]]
        yield numbers, Survey(*key, first.foreground, cases, sums.counts[key], first.patients_known)


def _alike(sums: _Sums) -> tuple[tuple[Alike, ...], tuple[str, ...]]:
    """Cases and patients that occur twice, as :func:`gliamap.workflows.data.check.check` finds them; and remarks."""
    entries = [entry for _, entry in sorted(sums.entries.items())]
    found, notes = across_cases(entries, find_duplicates(entries))
    alike = [
        Alike(entries[n].data_set, entries[n].case_id, one) for n, all_of in sorted(found.items()) for one in all_of
    ]
    return tuple(alike), notes


def _pictures(survey: Survey, numbers: Sequence[int], jobs: Sequence[Job]) -> dict[int, bytes]:
    """Thumbnails of the best and the worst cases, by their number in the survey, of the modality that tells why."""
    chosen: dict[int, CaseFiles] = {}
    for at in (*survey.worst(), *survey.best()):
        files, score = jobs[numbers[at]].files, survey.scores[at]
        told = score.weakest.modality if score else ""
        chosen[at] = replace(files, modalities={told: files.modalities[told]}) if told else files
    return thumbnails(chosen)


def _write(report: Exploration, out: Path, pictures: Sequence[Mapping[int, bytes]]) -> None:
    figures = [draw_figures(survey) for survey in report.surveys]
    with atomic_files(out) as folder:
        write_figures(folder / "figures", figures)
        write_text(folder / "explore.html", draw_page(report, figures, pictures, __version__))
        write_json(folder / "explore.json", report.as_json())
