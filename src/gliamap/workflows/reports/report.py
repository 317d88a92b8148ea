"""The report of a case: one page that opens from disk, and on request a sheet of paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gliamap import __version__
from gliamap.case import Case, CaseFiles
from gliamap.config import ModelSpec, Settings
from gliamap.errors import ConfigError
from gliamap.io.atomic import atomic_path, write_text
from gliamap.io.model_spec import read_spec
from gliamap.labels import Region, region_mask
from gliamap.metrics.measures import Measures, measure_tumour
from gliamap.models.shipped import resolve_model
from gliamap.report.figures import MosaicOptions, draw_mosaic
from gliamap.scoring.score import CaseScore, score_case
from gliamap.sources.masks import mask_case
from gliamap.viewer.case_facts import CaseFacts
from gliamap.viewer.case_page import draw_case_page
from gliamap.viewer.case_sheet import draw_case_sheet
from gliamap.viewer.payload import make_payload
from gliamap.workflows.common.one_case import only_case
from gliamap.workflows.reports.case_words import Told, image_words
from gliamap.workflows.reports.mask_record import MaskRecord, as_mask_record, read_mask_record
from gliamap.workflows.reports.measures import find_head
from gliamap.workflows.reports.outputs import HTML, PDF, check_output
from gliamap.workflows.reports.shown_case import Mask, read_maps, read_mask, read_shown


class ReportOptions(Settings):
    """What a report shows beside the case and its mask.

    ``reference``: a mask to compare with. ``labels`` and ``reference_labels``: the label convention of either mask,
    where the files do not tell it. ``probabilities`` and ``uncertainty``: files of ``gliamap segment`` (default: those
    that lie beside the mask under their usual names). ``model``: the run or model folder whose card is shown.
    ``pdf``: where to write the sheet. ``pattern``: how files are named where no layout fits. ``overwrite``: replace
    what is there.
    """

    reference: Path | None = None
    labels: str | None = None
    reference_labels: str | None = None
    probabilities: Path | None = None
    uncertainty: Path | None = None
    model: Path | None = None
    pdf: Path | None = None
    pattern: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Report:
    """What was written, and what it says. ``pdf`` is ``None`` where none was asked for."""

    page: Path
    pdf: Path | None
    facts: CaseFacts


def report(case: Path, prediction: Path, out: Path, *, options: ReportOptions | None = None) -> Report:
    """Write the page of the case at ``case``: a case folder, an image, or a data set that has the mask's case.

    ``LayoutError`` where that is not one case; else as :func:`write_report`.
    """
    options = options or ReportOptions()
    files = only_case(case, pattern=options.pattern, called=mask_case(prediction))
    return write_report(files, prediction, out, options=options)


def write_report(
    files: CaseFiles,
    prediction: Path,
    out: Path,
    *,
    options: ReportOptions | None = None,
    about: Mapping[str, Any] | None = None,
    spec: ModelSpec | None = None,
) -> Report:
    """Write the page ``out`` (HTML) of a case and its mask ``prediction``.

    ``about`` is the content of the mask's ``CASE.json``; by default that is read beside the mask, where it is there.
    ``spec`` is the model's own description, by default that of ``options.model``.

    ``OutputError`` where an output is there already (unless ``overwrite``) or its name ends in another way than
    ``.html`` and ``.pdf``, ``GridError`` where mask, reference or maps
    lie on the grid of no image, ``LabelError`` where the convention of a mask is not told or does not fit,
    ``ConfigError`` where the model is not the mask's, ``FileError`` on a damaged file.
    """
    options = options or ReportOptions()
    check_output(out, HTML, overwrite=options.overwrite)
    if options.pdf:
        check_output(options.pdf, PDF, overwrite=options.overwrite)
    record = read_mask_record(prediction, files.case_id) if about is None else as_mask_record(about, prediction)
    case, notes = read_shown(files, prediction, record)
    mask = read_mask(files, prediction, case.grid, options.labels or (record.label_convention if record else None))
    reference = None
    if options.reference:
        reference = read_mask(files, options.reference, case.grid, options.reference_labels)
    told = Told(record, spec or _spec(options.model, record), prediction, files if about is None else None)
    facts = _facts(case, mask, reference, told, notes)
    maps = read_maps(case, prediction, record, entropy=options.uncertainty, probabilities=options.probabilities)
    payload = make_payload(case, mask.labels, reference=reference.labels if reference else None, maps=maps)
    write_text(out, draw_case_page(facts, payload, __version__))
    if options.pdf:
        _write_sheet(options.pdf, facts, case, mask)
    return Report(out, options.pdf, facts)


def _facts(case: Case, mask: Mask, reference: Mask | None, told: Told, notes: tuple[str, ...]) -> CaseFacts:
    head = find_head(case, region_mask(mask.labels, Region.WT))

    def measured(one: Mask) -> Measures:
        return measure_tumour(one.labels, case.grid, regions=one.convention.regions, head=head)

    return CaseFacts(
        case_id=case.case_id,
        images=image_words(case.modalities, case.grid),
        convention=mask.convention,
        told=told.record is not None,
        warnings=told.warnings(empty=not mask.labels.any()),
        measures=measured(mask),
        reference=measured(reference) if reference else None,
        score=_score(mask, reference, case) if reference else None,
        sureness=told.sureness(mask.convention.regions),
        card=told.card,
        made=told.made(__version__),
        notes=notes,
    )


def _spec(model: Path | None, record: MaskRecord | None) -> ModelSpec | None:
    """The description of the model; ``ConfigError`` where the mask was made by others."""
    if model is None:
        return None
    spec = read_spec(resolve_model(model))
    if record and record.made_from.models and spec.weights_sha256 not in record.made_from.models:
        raise ConfigError(
            f"the mask was not made by the model {spec.name}",
            found=f"weights {str(spec.weights_sha256)[:16]}",
            expected=", ".join(one[:16] for one in record.made_from.models),
            remedy="name the model that made it, or leave --model out",
        )
    return spec


def _score(mask: Mask, reference: Mask, case: Case) -> CaseScore:
    """Of the regions that both conventions tell."""
    regions = [region for region in mask.convention.regions if region in reference.convention.regions]
    alike = set(mask.convention.tissues) == set(reference.convention.tissues)
    return score_case(mask.labels, reference.labels, case.grid, regions, classes=alike)


def _write_sheet(pdf: Path, facts: CaseFacts, case: Case, mask: Mask) -> None:
    """With the mosaic of the mask alone: beside that of the reference both would be too small on paper."""
    with TemporaryDirectory() as folder:
        picture = Path(folder, "mosaic.png")
        options = MosaicOptions(convention=mask.convention.name, series=6, width=1150)
        draw_mosaic(case, mask.labels, picture, options=options)
        drawn = draw_case_sheet(facts, picture.read_bytes(), __version__)
    with atomic_path(pdf) as part:
        part.write_bytes(drawn)
