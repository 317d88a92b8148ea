"""From scans to masks, numbers and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gliamap.case import CaseFiles, DataSet
from gliamap.errors import ConfigError
from gliamap.io.atomic import remove_leftovers, write_json
from gliamap.io.label_tables import write_label_tables
from gliamap.labels import get_convention
from gliamap.models.shipped import shipped_model
from gliamap.training.devices import Devices
from gliamap.training.stop import stoppable
from gliamap.workflows.common.failures import all_failed, reason_of
from gliamap.workflows.prediction.choose_model import Choice, choose_model
from gliamap.workflows.prediction.overlap import Stages, Stop, overlapped
from gliamap.workflows.prediction.segment_case import CaseWork, Ran
from gliamap.workflows.prediction.segment_model import load_models
from gliamap.workflows.prediction.segment_plan import (
    MANIFEST,
    check_convention,
    check_outputs,
    chosen_cases,
    chosen_modalities,
    scan_source,
    with_known_modality,
)
from gliamap.workflows.prediction.segment_record import Provenance, Record, describe_run, kept
from gliamap.workflows.prediction.segment_settings import SegmentOptions

__all__ = ["SegmentOptions", "Segmented", "segment"]

Progress = Callable[[float, int, str], None]
"""Hears the cases done, with the share of the running one, those in all, and the case id with the seconds that a case
takes in each stage."""


@dataclass(frozen=True)
class Segmented:
    """What was made: one summary a case, what failed and why, and remarks for the user.

    A summary is the content of ``CASE.json``. ``manifest`` is that of ``segment.json``. ``choice`` is the model taken
    and why, where none was named.
    """

    cases: list[dict[str, Any]]
    failed: dict[str, str]
    notes: tuple[str, ...] = ()
    manifest: Mapping[str, Any] = field(default_factory=dict)
    choice: Choice | None = None


def segment(
    source: Path,
    out: Path,
    *,
    model: Path | Sequence[Path] | None = None,
    options: SegmentOptions | None = None,
    progress: Progress | None = None,
    tell_choice: Callable[[Choice], None] | None = None,
) -> Segmented:
    """Segment a case folder, a folder of cases, an image or a folder of images into the folder ``out``.

    ``model``: a run or model folder, or the name of a shipped model; of several, and of all folds where the folder of a
    cross-validation is named, the probabilities are averaged. ``None``: the shipped model for such scans is chosen,
    one for all of them (:mod:`gliamap.workflows.prediction.choose_model`).

    Each case gives ``CASE.nii.gz`` or ``.png`` (shape, affine, qform, sform and units of the input), ``CASE.json``
    (volumes, model, warnings), ``CASE_mosaic.png``, and on request ``CASE_probabilities.nii.gz``,
    ``CASE_entropy.nii.gz``, ``CASE_disagreement.nii.gz`` and ``CASE_report.html``: all, or none where the case fails:
    the others go on, it is listed in ``failed``. A single case that fails raises its error. ``segment.json`` says how
    all was made; beside masks of volumes lie ``labels.ctbl`` and ``labels.label``, for 3D Slicer and ITK-SNAP.

    The next case is read and the last one written while the network works on one. Ctrl-C and SIGTERM end the run after
    the windows that the network is at; what is there then is whole, and ``resume`` goes on.

    A case may lack modalities that the model can do without; its ``CASE.json`` and picture say so. ``OutputError``
    where an output is there already (unless ``overwrite`` or ``resume``), ``ConfigError`` where models do not fit each
    other or the scans, cannot do with the ``modalities`` alone, or no case has the modality ``resample_to``,
    ``FitError`` where no shipped model is for the scans, or a single case is a whole head and the model of brains, or
    the reverse (unless ``force``), ``LabelError`` where ``labels`` cannot hold what the model says, ``LayoutError``
    where ``source`` is not recognised or no case of it can be segmented. ``tell_choice`` hears at the start which model
    was chosen, ``progress`` how far it is.
    """
    options, record = options or SegmentOptions(), Record()
    if options.resume and options.overwrite:
        raise ConfigError("--resume keeps what is there and --overwrite replaces it", remedy="say one of them")
    data = scan_source(source, options.pattern)
    named, choice = _named_or_chosen(model, data, options, tell_choice or (lambda _: None))
    models = load_models(named, options)
    options = options.model_copy(update={"modalities": chosen_modalities(models.predictor.spec, options)})
    merged = check_convention(models.predictor.spec.output, options)
    cases = chosen_cases(data.cases, models.paths, options)
    options = with_known_modality(options, cases)
    check_outputs(cases, out, options)
    provenance = Provenance.of(models.specs, models.predictor, options)
    work = CaseWork(out, models.predictor, options, provenance, choice.reason if choice else None)
    _keep_whole(cases, work, record)
    about = describe_run(models.specs, models.predictor, options) | {"choice": asdict(choice) if choice else None}
    try:
        with stoppable(Devices()):
            _segment_all(cases, work, record, progress or (lambda *_: None))
    except KeyboardInterrupt:
        _write_manifest(out, about | record.content(finished=False), options)
        raise
    if not record.summaries:
        raise all_failed(record.failed, "segmented", "name another folder of scans, or another model")
    summaries = [record.summaries[files.case_id] for files in cases if files.case_id in record.summaries]
    _write_tables(out, summaries)
    manifest = about | record.content(finished=True)
    _write_manifest(out, manifest, options)
    return Segmented(summaries, record.failed, (*data.notes, *merged), manifest, choice)


def _named_or_chosen(
    model: Path | Sequence[Path] | None, data: DataSet, options: SegmentOptions, tell: Callable[[Choice], None]
) -> tuple[Sequence[Path], Choice | None]:
    """The models to use; the choice, where the user named none, which ``tell`` hears."""
    if model is not None:
        return [model] if isinstance(model, Path) else model, None
    choice = choose_model(data, chosen_cases(data.cases, (), options), options.modalities)
    tell(choice)
    return [shipped_model(choice.model)], choice


def _keep_whole(cases: Sequence[CaseFiles], work: CaseWork, record: Record) -> None:
    """To resume: note the cases that an earlier run made in this very way; remove what it did not bring to its end."""
    if not work.options.resume:
        return
    remove_leftovers(work.out)
    for files in cases:
        summary = kept(files, work.out, work.made_from)
        if summary is not None:
            record.keep(summary)


def _segment_all(cases: Sequence[CaseFiles], work: CaseWork, record: Record, progress: Progress) -> None:
    """Segment the cases that ``record`` lacks; it is told how each ended."""
    left = [files for files in cases if files.case_id not in record.summaries]
    place = {files.case_id: number for number, files in enumerate(left, len(cases) - len(left))}

    def tell(files: CaseFiles, done: int, windows: int) -> None:
        note = ", ".join([files.case_id, *(f"{stage} {seconds:.1f} s" for stage, seconds in record.pace().items())])
        progress(place[files.case_id] + done / windows, len(cases), note)

    stop, together = Stop(), all(map(work.fits_beside_others, left))
    own = work.stages(tell, stop)

    def after(ran: Ran) -> None:
        """Note at once what is written: an interruption may come before its turn below."""
        record.add(own.after(ran))

    stages = Stages(own.before, own.between, after)
    ended = overlapped(left, stages, stop=stop, together=together)
    with closing(ended):
        for files, result in ended:
            if isinstance(result, Exception):
                if len(cases) == 1:
                    raise result
                record.failed[files.case_id] = reason_of(result)
    progress(len(cases), len(cases), "")


def _write_manifest(out: Path, content: Mapping[str, Any], options: SegmentOptions) -> None:
    """Where it is wanted, and there is something that it could tell of."""
    if options.manifest and content["cases"]:
        write_json(out / MANIFEST, content)


def _write_tables(out: Path, summaries: Sequence[dict[str, Any]]) -> None:
    """Names and colours of the labels for viewers of volumes, where all masks have the same labels."""
    used = {summary["label_convention"] for summary in summaries if summary["mask"].endswith(".nii.gz")}
    if len(used) == 1:
        write_label_tables(out, get_convention(used.pop()))
