"""An evaluation as one page of HTML, see :mod:`gliamap.report.page`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gliamap.labels import Region
from gliamap.metrics.calibration import MARGIN
from gliamap.metrics.lesions import LesionKind
from gliamap.report import page
from gliamap.report.evaluation_boxes import BOX_FROM
from gliamap.report.evaluation_figures import BOXES, lesions_of, volumes_of
from gliamap.report.evaluation_volumes import signed
from gliamap.report.evaluation_words import DEFINITIONS, EMPTY
from gliamap.scoring.agreement import agreement_of
from gliamap.scoring.evaluation import LISTED, Evaluation
from gliamap.scoring.figure_names import NAMES
from gliamap.scoring.paired_table import changed_table, paired_tables, paired_words
from gliamap.scoring.summary_table import further_tables, judged_cases, strata_table, summary_tables, words_of
from gliamap.volume import volume_unit


def draw_page(found: Evaluation, figures: Mapping[str, bytes], version: str) -> str:
    """The page, with the PNG ``figures`` by name."""
    parts = [
        _header(found),
        _list(words_of(found.summary, found.strata)),
        *map(page.table, summary_tables(found.summary)),
        _definitions(found),
        _paired(found, figures),
        _patients(figures),
        _volumes(found, figures),
        _lesions(found, figures),
        _strata(found, figures),
        _calibration(found, figures),
        _further(found),
        _cases("Missing, scored worst", found.missing),
        _cases("Predictions without a reference, not scored", found.surplus),
        page.notes(found.notes),
    ]
    return page.write_page(f"gliamap evaluate: {found.predictions}", parts, version)


def _header(found: Evaluation) -> str:
    summary = found.summary
    facts = [
        page.count(summary.patients, "patient"),
        page.count(summary.cases, "case"),
        f"protocol {found.protocol.name}",
    ]
    labels = "; ".join(
        f"{side} <b>{page.text(', '.join(names) or 'none')}</b>"
        for side, names in (("predictions", found.prediction_conventions), ("references", found.reference_conventions))
    )
    missing = f' <span class="badge FAIL">{len(found.missing):,} missing, scored worst</span>' if found.missing else ""
    return f"""<header>
<p>gliamap evaluate</p>
<h1>{page.name(found.predictions)}</h1>
<p>against {page.name(found.references)} · {" · ".join(map(page.text, facts))}{missing}<br>
labels: {labels}</p>
</header>"""


def _definitions(found: Evaluation) -> str:
    """What the figures that were taken mean, and the protocol: one click away."""
    taken = {name for one in found.summary.regions.values() for name, figure in one.figures.items() if figure.patients}
    lines = [
        f"<li><b>{page.text(NAMES[name].title(found.summary.unit))}</b>: {page.text(words)}</li>"
        for name, words in DEFINITIONS.items()
        if name in taken
    ]
    return f"""<details><summary>What the figures mean</summary>
<p>{page.text(_protocol(found))} {page.text(EMPTY)}</p>
<p>TP, FP, FN, TN: voxels in both masks, in the prediction only, in the reference only, in neither.</p>
<ul class="notes">{"".join(lines)}</ul>
</details>"""


def _protocol(found: Evaluation) -> str:
    one, image = found.protocol, found.summary.unit == "px"
    worst = (
        "The worst distance of an image is its diagonal."
        if image
        else f"The worst distance is {one.worst_hd95_mm:g} mm."
    )
    said = f"Protocol {one.name}: {one.description}. {worst}"
    if one.lesions is None:
        return said
    limit = f"{one.lesions.size_limit_mm3:g} {'pixels' if image else 'mm³'}"
    return (
        f"{said} Lesions: the reference is dilated {one.lesions.dilation} times, parts that then touch are one lesion, "
        f"found where a predicted component meets its dilation; lesions of up to {limit} do not count."
    )


def _paired(found: Evaluation, figures: Mapping[str, bytes]) -> str:
    if found.paired is None:
        return ""
    said = "Ours minus the other, a line a patient. Dashed is the mean difference, the band its interval."
    captions = {f"paired-{region}": "" for region in found.paired.regions}
    parts = [
        f"<h2>Against {page.name(found.other)}</h2>",
        _list(paired_words(found.paired)),
        *map(page.table, paired_tables(found.paired)),
        f"<p>{said}</p>",
        page.figures(figures, captions),
        page.table(changed_table(found.paired)) if found.paired.changed else "",
    ]
    return "\n".join(parts)


def _patients(figures: Mapping[str, bytes]) -> str:
    said = (
        "Every dot is a patient, whose cases were averaged. The box holds the middle half of the patients (drawn from "
        f"{BOX_FROM} on), its line is the median; the diamond is the mean with its 95 % interval."
    )
    return _section("Patient by patient", said, figures, {name.replace("_", "-"): "" for name in BOXES})


def _volumes(found: Evaluation, figures: Mapping[str, bytes]) -> str:
    captions = {f"volumes-{region}": _agreement(found, region) for region in found.summary.regions}
    said = (
        "Bland and Altman's diagram: where predicted volumes agree with the reference, dots lie near zero. Between the "
        "limits, mean ± 1.96 standard deviations, 95 % of differences are to be expected. Every dot is a patient."
    )
    return _section("Volumes", said, figures, captions)


def _agreement(found: Evaluation, region: Region) -> str:
    agreement = agreement_of(*volumes_of(found, region))
    if agreement.mean is None:
        return ""
    unit = volume_unit(found.summary.unit)
    said = f"{page.count(agreement.pairs, 'patient')}: mean difference {signed(agreement.mean)} {unit}"
    if agreement.low is None or agreement.high is None:
        return f"{said}."
    return f"{said}, limits of agreement {signed(agreement.low)} to {signed(agreement.high)} {unit}."


def _lesions(found: Evaluation, figures: Mapping[str, bytes]) -> str:
    captions = {f"lesions-{region}": _counted(found, region) for region in found.summary.regions}
    said = (
        "Every dot is a lesion of the reference; below are those that were missed, and predicted components that match "
        "no lesion. Grey: too small to count. lesions.csv has a row for each."
    )
    return _section("Lesions", said, figures, captions)


def _counted(found: Evaluation, region: Region) -> str:
    kinds = [lesion.kind for lesion in lesions_of(found, region)]
    plural = {LesionKind.FALSE_POSITIVE: "false positives"}
    return ", ".join(f"{kinds.count(kind):,} {plural.get(kind, kind.value)}" for kind in LesionKind) + "."


def _strata(found: Evaluation, figures: Mapping[str, bytes]) -> str:
    if not found.strata:
        return ""
    said = f"Patients apart by {' and '.join(dict.fromkeys(one.by for one in found.strata))}, as the reference has it."
    drawn = page.figures(figures, {"strata": "Mean Dice with its interval; in brackets: patients."})
    return f"<h2>Strata</h2>\n<p>{said}</p>\n{drawn}\n{page.table(strata_table(found.strata, found.summary.unit))}"


def _calibration(found: Evaluation, figures: Mapping[str, bytes]) -> str:
    summary = found.summary
    said = (
        f"Voxels within {MARGIN:g} mm (images: pixels) of the region, of "
        f"{judged_cases(summary):,} of {page.count(summary.cases, 'case')} together. Below the dashed line a "
        "network is too sure that voxels are inside, above it not sure enough. ECE: of these voxels; the table's is "
        "the mean over patients."
    )
    return _section("Calibration", said, figures, {"reliability": ""})


def _section(title: str, said: str, figures: Mapping[str, bytes], captions: Mapping[str, str]) -> str:
    """What ``figures`` show of ``captions``, introduced; nothing where there is none of them."""
    if not any(name in figures for name in captions):
        return ""
    return f"<h2>{title}</h2>\n<p>{said}</p>\n{page.figures(figures, captions)}"


def _further(found: Evaluation) -> str:
    tables = "\n".join(map(page.table, further_tables(found.summary)))
    return f"<details><summary>All other figures</summary>\n{tables}</details>"


def _cases(title: str, ids: Sequence[str]) -> str:
    if not ids:
        return ""
    more = f"<li>and {len(ids) - LISTED:,} more, named in scores.json</li>" if len(ids) > LISTED else ""
    items = "".join(f"<li>{page.name(one)}</li>" for one in ids[:LISTED])
    return f"""<details><summary>{title}: {page.count(len(ids), "case")}</summary>
<ul class="ids">{items}{more}</ul></details>"""


def _list(lines: Iterable[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{page.text(line)}</li>" for line in lines)}</ul>'
