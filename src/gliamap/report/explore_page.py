"""An exploration as one page of HTML, see :mod:`gliamap.report.page`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from gliamap.checks.findings import RULES
from gliamap.report import page
from gliamap.report.exploration import Exploration
from gliamap.report.explore_figures import colour_of, name_of
from gliamap.survey.cohort import Survey, TissueSum, digits, middle
from gliamap.survey.quality import RING_VOXELS, Measure, Score

LISTED = 30
"""Look-alikes and failed cases that are named; explore.json names all."""


def draw_page(
    found: Exploration,
    figures: Sequence[Mapping[str, bytes]],
    pictures: Sequence[Mapping[int, bytes]],
    version: str,
) -> str:
    """The page. For each survey: PNG ``figures`` by name, and JPEG ``pictures`` of cases by their number in it."""
    title = f"gliamap explore: {', '.join(one.name for one in found.data_sets)}"
    parts: list[str] = []
    for one in found.data_sets:
        parts.append(f"<header>\n<p>gliamap explore</p>\n{page.data_set(one)}\n</header>")
        for survey, drawn, shown in zip(found.surveys, figures, pictures, strict=True):
            if survey.data_set == one.name:
                parts += _survey(survey, drawn, shown)
    parts += [_alike(found), _failed(found.failed), page.notes(found.notes)]
    return page.write_page(title, parts, version)


def _survey(survey: Survey, figures: Mapping[str, bytes], pictures: Mapping[int, bytes]) -> list[str]:
    return [_tissues(survey, figures), _lesions(survey, figures), _places(survey, figures),
            _intensities(survey, figures), _looks(survey, pictures)]  # fmt: skip


def _tissues(survey: Survey, figures: Mapping[str, bytes]) -> str:
    if not survey.tissues:
        return f"<h2>Tissues</h2>\n<p>{_no_tumour(survey)}</p>"
    inside = sum(case.foreground for case in survey.labelled)
    tumour = sum(case.tumour for case in survey.labelled)
    said = (
        f"{_show_tumour(len(survey.with_tumour), len(survey.labelled), survey.noun)} It fills "
        f"<b>{_percent(tumour / inside if inside else math.nan)}</b> of the {survey.foreground}: a network that never "
        "says tumour would be right in all other voxels."
    )
    heads = [survey.size_unit, "of all labels", f"of the {survey.foreground}", f"{survey.noun}s"]
    titles = "".join(f'<th class="number">{title}</th>' for title in heads)
    rows = "\n".join(_tissue(one, survey.foreground) for one in survey.tissues)
    return f"""<h2>Tissues</h2>
<p>{said}</p>
{page.figures(figures, {"balance": f"Shares over all {survey.noun}s with a mask.", "tumour-slices": _slices(survey)})}
<div class="wide"><table>
<thead><tr><th>Tissue</th>{titles}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>"""


def _tissue(one: TissueSum, foreground: str) -> str:
    swatch = f'<span class="swatch" style="background:{colour_of(one.tissue)}"></span>'
    cells = (digits(one.size), _percent(one.of_marked), _percent(one.of_foreground), f"{one.cases:,}")
    numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    return f"<tr><td>{swatch}{name_of(one.tissue, foreground)}</td>{numbers}</tr>"


def _lesions(survey: Survey, figures: Mapping[str, bytes]) -> str:
    cases = survey.with_tumour
    if not cases:
        return ""
    noun = survey.noun
    largest = [case.largest for case in cases]
    said = (
        f"{sum(case.lesions for case in cases):,} lesions, {middle([case.lesions for case in cases]):g} in the median "
        f"{noun} with tumour. The largest of each {noun} measures {digits(middle(largest))} {survey.size_unit} in the "
        f"median, from {digits(min(largest))} to {digits(max(largest))}."
    )
    neighbours = 8 if survey.slices_alone else 26
    captions = {
        "lesion-sizes": f"A lesion is a connected part of the whole tumour ({neighbours} neighbours).",
        "lesion-counts": "Many lesions of a few voxels are often slips of the mask: gliamap check lists them.",
    }
    return f"<h2>Lesions</h2>\n<p>{said}</p>\n{page.figures(figures, captions)}"


def _slices(survey: Survey) -> str:
    if survey.slices_alone:
        return "Slices of a patient in which tumour is marked."
    return "Slices of a case in which tumour is marked: axial ones, or those across the thickest voxels."


def _places(survey: Survey, figures: Mapping[str, bytes]) -> str:
    planes = [name for name in figures if name.startswith("places-")]
    if not planes:
        return ""
    noun = survey.noun
    what = (
        f"How many {noun}s have tumour at a place of the slice."
        if survey.slices_alone
        else f"How many {noun}s have tumour anywhere behind a place, seen through the {survey.foreground}."
    )
    mixed = (
        " Pictures do not tell their plane: where a set mixes axial, coronal and sagittal slices, so does the map."
        if survey.slices_alone and "places-slice" in figures
        else ""
    )
    said = (
        f"{what} Each {noun}'s box around the {survey.foreground} is stretched to one size; this is not a registration "
        f"to an atlas, so places are rough. The line is the outline that half of the {noun}s reach.{mixed}"
    )
    return f"<h2>Where tumours lie</h2>\n<p>{said}</p>\n{page.figures(figures, dict.fromkeys(planes, ''), three=True)}"


def _intensities(survey: Survey, figures: Mapping[str, bytes]) -> str:
    names = [name for name in figures if name.startswith("intensities-")]
    if not names:
        return ""
    said = (
        "As training sees them: each image less its mean, over its standard deviation, inside the "
        f"{survey.foreground}. Tissues whose curves lie over each other cannot be told apart by that modality alone. "
        "The first and the last point hold all that lies beyond."
    )
    if len(survey.labelled) < len(survey.cases):
        said += f" What {survey.noun}s without a mask show counts as rest of the {survey.foreground}, tumours too."
    return f"<h2>Intensities</h2>\n<p>{said}</p>\n{page.figures(figures, dict.fromkeys(names, ''))}"


def _looks(survey: Survey, pictures: Mapping[int, bytes]) -> str:
    worst, best = survey.worst(), survey.best()
    if not worst:
        return ""
    said = f"""<p>Four properties of each normalised image, each compared with the median of this data set; a case is as
good as its worst one. 0 is usual, −2 already rare (in robust standard deviations). The index finds cases to look at;
it is no standard of image quality.</p>
<ul class="notes">
<li><b>noise</b>: Immerkaer's estimate (1996): what is left of an image after the difference of two Laplacians</li>
<li><b>sharpness</b>: the 95th percentile of the slope per {_edge(survey)}, along the axis where it is lowest</li>
<li><b>contrast</b>: how differently bright tumour and its surroundings ({RING_VOXELS} voxels) are, from 0 to 1
(Kolmogorov-Smirnov distance), in the modality where most</li>
<li><b>cut off</b>: the share of the foreground at one value that occurs far too often</li>
</ul>"""
    return "\n".join(
        (
            "<h2>Best and worst looking</h2>", said,
            '<h3>Worst</h3>\n<div class="figures">', *(_look(survey, number, pictures) for number in worst), "</div>",
            '<h3>Best</h3>\n<div class="figures">', *(_look(survey, number, pictures) for number in best), "</div>",
        )
    )  # fmt: skip


def _look(survey: Survey, number: int, pictures: Mapping[int, bytes]) -> str:
    case, score = survey.cases[number], survey.scores[number]
    assert score is not None
    alt = "a slice; the mask is outlined" if case.voxels else "a slice"
    picture = page.image(pictures[number], alt) if number in pictures else ""
    return f"""<article>
<div class="picture">{picture}</div>
<div>
<h4>{page.name(case.case_id)} <span class="quiet">index {_index(score)}</span></h4>
<p>{_reason(score, _edge(survey))}</p>
</div>
</article>"""


def _edge(survey: Survey) -> str:
    return "mm" if survey.unit == "mm" else "pixel"


def _index(score: Score) -> str:
    return f"{score.index:z.1f}".replace("-", "−")


def _reason(score: Score, unit: str) -> str:
    """Why the case has its index, in words."""
    if round(score.index, 1) >= 0:
        return "No property is worse than usual."
    measure = score.weakest.measure
    value, usual = f"{score.value:.2f}", f"{score.usual:.2f}"
    if measure == Measure.CUT_OFF:
        value, usual = f"{100 * score.value:.1f} % of the foreground", f"{100 * score.usual:.1f} %"
    elif measure != Measure.CONTRAST:
        value += " standard deviations" + (f" per {unit}" if measure == Measure.SHARPNESS else "")
    return f"Weakest: {page.text(str(score.weakest))}, {value}; usual is {usual}."


def _alike(found: Exploration) -> str:
    if not found.alike:
        return "<h2>The same image twice</h2>\n<p>None was found.</p>" if found.surveys else ""
    counted = Counter(one.finding.code for one in found.alike)
    kinds = "".join(
        f"<li>{page.sentence(RULES[code].title)}: {page.count(number, 'case')}</li>" for code, number in counted.items()
    )
    several = len(found.data_sets) > 1
    rows = [
        f"<li>{page.name(one.case_id)}{f' in {page.name(one.data_set)}' if several else ''}: "
        f"{page.text(one.finding.found)}</li>"
        for one in found.alike
    ]
    return f'<h2>The same image twice</h2>\n<ul class="notes">{kinds}</ul>\n{_first(rows, "Which ones")}'


def _failed(failed: Mapping[str, str]) -> str:
    if not failed:
        return ""
    rows = [f"<li>{page.name(case_id)}: {page.text(why)}</li>" for case_id, why in failed.items()]
    return f"<h2>Cases that could not be read</h2>\n{_first(rows, page.count(len(rows), 'case'))}"


def _first(rows: Sequence[str], title: str) -> str:
    rest = len(rows) - LISTED
    more = f"<li>and {rest} more, named in explore.json</li>" if rest > 0 else ""
    return f'<details><summary>{title}</summary>\n<ul class="notes">{"".join(rows[:LISTED])}{more}</ul></details>'


def _no_tumour(survey: Survey) -> str:
    masks = f"{len(survey.labelled):,} with a mask; no tumour" if survey.labelled else "none with a mask"
    return f"{page.count(len(survey.cases), survey.noun)}, {masks}."


def _show_tumour(number: int, total: int, noun: str) -> str:
    some = "All" if number == total > 1 else f"{number:,} of"
    return f"{some} {page.count(total, noun)} with a mask {'shows' if number == 1 else 'show'} tumour."


def _percent(share: float) -> str:
    if math.isnan(share):
        return "-"
    return f"{100 * share:.1f} %" if share >= 0.01 else f"{100 * share:.2g} %"
