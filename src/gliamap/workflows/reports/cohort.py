"""The page of a whole run of gliamap segment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import Field

from gliamap import __version__
from gliamap.case import CaseFiles
from gliamap.config import Settings
from gliamap.errors import LayoutError
from gliamap.io.atomic import atomic_path, write_text
from gliamap.report.mosaic_slice import cut_mosaic
from gliamap.sources.detect import scan
from gliamap.viewer.cohort_page import PICTURES, Cohort, CohortCase, draw_page
from gliamap.workflows.common.conventions import settle_convention
from gliamap.workflows.common.failures import reason_of
from gliamap.workflows.common.parallel import KILLED, in_parallel
from gliamap.workflows.common.thumbnails import thumbnails
from gliamap.workflows.reports.cohort_files import Run, ScoredCase, Scores, read_run, read_scores
from gliamap.workflows.reports.outputs import HTML, check_output
from gliamap.workflows.reports.report import ReportOptions, write_report

PAGE = "cohort.html"
"""The page's name, where no other is asked for."""

Progress = Callable[[int, int, str], None]


class CohortOptions(Settings):
    """What the page shows beside what the run says.

    ``scores``: the folder of an evaluation of the run. ``scans``: the data set that was segmented, for a report of
    each case that has none yet (with ``scores``, against the case's own mask), and for pictures where the run drew
    none; ``pattern``: how its files are named where no layout fits. ``workers``: processes, 1 for this one.
    ``overwrite``: replace the page and the reports that are there.
    """

    scores: Path | None = None
    scans: Path | None = None
    pattern: str | None = None
    workers: int = Field(default=1, ge=1)
    overwrite: bool = False


@dataclass(frozen=True)
class CohortReport:
    """What was written: the ``page``, the cohort that it shows, the reports that ``failed`` by case, and remarks."""

    page: Path
    cohort: Cohort
    failed: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def cohort(
    run: Path, out: Path | None = None, *, options: CohortOptions | None = None, progress: Progress | None = None
) -> CohortReport:
    """Show the cases of ``run``, the output folder of ``gliamap segment``, as the page ``out`` (default: in ``run``).

    A table to sort and filter, the worst cases first: a small picture, volumes, predicted Dice, scores, warnings, a
    link to the case's report where ``CASE_report.html`` lies beside the page. Pictures lie in ``thumbnails`` beside
    the page. A report that cannot be made does not stop the others; it is listed in ``failed``.

    ``FileError`` where ``run``, or the scores, are not what gliamap writes, ``LayoutError`` where the scans are not
    those of the run, ``OutputError`` where the page is there (unless ``overwrite``). ``progress`` is called with what
    is done, what is to do, and a case id.
    """
    options = options or CohortOptions()
    out = out or run / PAGE
    check_output(out, HTML, overwrite=options.overwrite)
    made = read_run(run)
    scores = None if options.scores is None else read_scores(options.scores)
    files, notes = _scans(made, options)
    failed = _write_reports(made, files, out.parent, options, progress)
    pictures = _draw_pictures(made, files, out.parent, options, progress)
    cases = [_case(case_id, made, scores, pictures, out.parent) for case_id in made.case_ids]
    lost = [] if scores is None else _unsegmented(made, scores)
    shown = Cohort(run.resolve().name, (*cases, *lost), made.unit, made.about | (scores.about if scores else {}))
    write_text(out, draw_page(shown, __version__))
    return CohortReport(out, shown, failed, tuple(notes))


def _case(case_id: str, made: Run, scores: Scores | None, pictures: Mapping[str, str], folder: Path) -> CohortCase:
    scored = scores.cases.get(case_id) if scores else None
    case = CohortCase(case_id, case_id) if scored is None else _scored(scored)
    report = report_of(case_id)
    case = replace(
        case,
        failed=made.failed.get(case_id, ""),
        picture=pictures.get(case_id, ""),
        report=report if (folder / report).is_file() else "",
    )
    record = made.records.get(case_id)
    if record is None:
        return case
    warnings: dict[str, str] = {}
    for warned in record.warnings:
        warnings[warned.code] = "; ".join(filter(None, (warnings.get(warned.code), warned.text)))
    dice = {region: said.estimate for region, said in record.predicted_dice.items()}
    return replace(case, volumes=record.regions, predicted_dice=dice, warnings=warnings)


def _scored(one: ScoredCase) -> CohortCase:
    return CohortCase(one.case_id, one.patient_id, dice=one.figure("dice"), hd95=one.figure("hd95"))


def _unsegmented(made: Run, scores: Scores) -> list[CohortCase]:
    """The cases that the evaluation missed and the run never knew."""
    known = set(made.case_ids)
    return [
        replace(_scored(one), failed="not in the run")
        for case_id, one in scores.cases.items()
        if one.missing and case_id not in known
    ]


def report_of(case_id: str) -> str:
    """The name of the file that holds a case's report."""
    return f"{case_id}_report.html"


def _scans(made: Run, options: CohortOptions) -> tuple[dict[str, CaseFiles], list[str]]:
    """The files of the run's cases, their masks' convention told where it can be; and remarks."""
    if options.scans is None:
        return {}, []
    data = scan(options.scans, options.pattern)
    if options.scores is not None:
        data = settle_convention(data).narrow(data)
    found = {files.case_id: files for files in data.cases if files.case_id in made.records}
    if not found:
        raise LayoutError(
            f"{options.scans} holds none of the cases of {made.folder}",
            remedy="name the data set that was segmented with --scans",
        )
    lacking = len(made.records) - len(found)
    notes = [*data.notes, *([f"{lacking} cases of the run are not in {options.scans}"] if lacking else [])]
    return found, notes


@dataclass(frozen=True)
class _Job:
    """A report to write, so that another process can; ``scored``: beside the case's own mask, as the reference."""

    files: CaseFiles
    mask: Path
    out: Path
    scored: bool


def _write_reports(
    made: Run, files: Mapping[str, CaseFiles], folder: Path, options: CohortOptions, progress: Progress | None
) -> dict[str, str]:
    """Write the reports that are not there yet; why some could not be."""
    jobs = [
        _Job(one, made.mask(case_id), folder / report_of(case_id), scored=options.scores is not None)
        for case_id, one in files.items()
        if options.overwrite or not (folder / report_of(case_id)).is_file()
    ]
    failed = {}
    for done, (number, why) in enumerate(in_parallel(_write_report, jobs, workers=options.workers)):
        case_id = jobs[number].files.case_id
        if why != "":
            failed[case_id] = why or KILLED
        if progress:
            progress(done + 1, len(jobs), f"report of {case_id}")
    return failed


def _write_report(job: _Job) -> str:
    """Why the report could not be written; empty where it was."""
    options = ReportOptions(overwrite=True)
    if job.scored and len(job.files.conventions) == 1:
        (convention,) = job.files.conventions
        options = ReportOptions(overwrite=True, reference=job.files.labels, reference_labels=convention)
    try:
        write_report(job.files, job.mask, job.out, options=options)
        return ""
    except Exception as error:
        return reason_of(error)


def _draw_pictures(
    made: Run, files: Mapping[str, CaseFiles], folder: Path, options: CohortOptions, progress: Progress | None
) -> dict[str, str]:
    """A small picture of each case into a folder beside the page; their names by case, as the page calls them."""
    drawn: dict[str, str] = {}
    mosaics = [case_id for case_id in made.records if made.mosaic(case_id).is_file()]
    cut = in_parallel(cut_mosaic, [made.mosaic(case_id) for case_id in mosaics], workers=options.workers)
    for done, (number, jpeg) in enumerate(cut):
        if jpeg is not None:
            drawn[mosaics[number]] = _write_picture(folder, mosaics[number], jpeg)
        if progress:
            progress(done + 1, len(mosaics), f"picture of {mosaics[number]}")
    left = [replace(one, labels=made.mask(case_id)) for case_id, one in files.items() if case_id not in drawn]
    others = thumbnails(dict(enumerate(left)), workers=options.workers, progress=progress)
    return drawn | {left[number].case_id: _write_picture(folder, left[number].case_id, jpeg)
                    for number, jpeg in others.items()}  # fmt: skip


def _write_picture(folder: Path, case_id: str, jpeg: bytes) -> str:
    name = f"{PICTURES}/{case_id}.jpg"
    with atomic_path(folder / name) as part:
        part.write_bytes(jpeg)
    return name


def as_json(report: CohortReport) -> dict[str, object]:
    """What the page shows, as JSON: its cases, the worst first."""
    return {
        "page": str(report.page),
        "unit": report.cohort.unit,
        "about": dict(report.cohort.about),
        "cases": [_case_as_json(case) for case in report.cohort.worst_first],
        "failed": dict(report.failed),
        "notes": list(report.notes),
    }


def _case_as_json(case: CohortCase) -> dict[str, object]:
    figures = ("volumes", "predicted_dice", "dice", "hd95")
    return {
        "case_id": case.case_id,
        **{name: {str(region): value for region, value in getattr(case, name).items()} for name in figures},
        "warnings": dict(case.warnings),
        "failed": case.failed or None,
        "report": case.report or None,
    }
