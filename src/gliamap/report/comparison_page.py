"""A comparison as one page of HTML, see :mod:`gliamap.report.page`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gliamap.comparison.frontier import frontier
from gliamap.comparison.nouns import ComparedData, Comparison
from gliamap.comparison.tables import arms_on, data_tables, elsewhere_tables, lacking_of, regions_on, words_of
from gliamap.report import page

_VERDICTS = {"higher": "PASS", "lower": "WARN"}
"""The look of what is told apart, of :mod:`gliamap.report.page_style`."""


def draw_page(comparison: Comparison, figures: Sequence[Mapping[str, bytes]], version: str) -> str:
    """The page, with the PNG ``figures`` of each data set by name."""
    names = list(dict.fromkeys(arm.arm for arm in comparison.arms))
    title = f"gliamap compare: {', '.join(names)}"
    parts = [_header(comparison, names), _list(words_of(comparison))]
    for data, drawn in zip(comparison.data, figures, strict=True):
        parts.append(_data_set(comparison, data, drawn))
    parts += [_elsewhere(comparison), _lacking(comparison), page.notes(comparison.notes)]
    parts.append(f'<p class="quiet">Commit {page.text(comparison.commit)} on {page.text(comparison.machine)}.</p>')
    return page.write_page(title, parts, version)


def _header(comparison: Comparison, names: Sequence[str]) -> str:
    budget = "no budget" if comparison.budget is None else f"{comparison.budget} each"
    facts = [page.count(len(comparison.data), "data set"), budget, f"divided by {comparison.split}"]
    others = len(names) - 1
    said = f"{page.count(others, 'arm')} against " if others else ""
    warning = ' <span class="badge FAIL">scores too high on purpose</span>' if comparison.split == "record" else ""
    return f"""<header>
<p>gliamap compare</p>
<h1>{said}{page.name(comparison.baseline)}</h1>
<p>{" · ".join(map(page.text, facts))}{warning}</p>
</header>"""


def _data_set(comparison: Comparison, data: ComparedData, figures: Mapping[str, bytes]) -> str:
    """Dice, difference and their figures, then other figures, then costs and what they buy."""
    dice, *others = (page.table(table, _VERDICTS) for table in data_tables(comparison, data.name))
    arms = arms_on(comparison, data.name)
    dots = " Small dots: means of each seed." if any(len(arm.seeds) > 1 for arm in arms) else ""
    scores, costs = {}, {}
    for region in regions_on(comparison, data.name):
        scores[f"gain-{region.value}"] = "Patient by patient, with its interval. Hollow: not told apart."
        scores[f"dice-{region.value}"] = f"Mean over patients with its interval.{dots}"
        costs[f"pareto-{region.value}"] = (
            "With intervals. The line leads from the fastest arm to each slower one that is told to be better."
            if frontier(arms, region)
            else "With intervals. No line: no slower arm is told to be better than the fastest."
        )
    parts = [
        f"<h2>{page.name(data.name)}</h2>",
        dice,
        page.figures(figures, scores),
        *others,
        page.figures(figures, costs),
    ]
    return "\n".join(parts)


def _elsewhere(comparison: Comparison) -> str:
    tables = [page.table(table) for table in elsewhere_tables(comparison)]
    if not tables:
        return ""
    said = (
        "A row is what was trained on, a column what was tested on; where both are the same, the cases held out. "
        "Brains are skull-stripped scans, heads are whole ones. Head size: how many times as large as in training, in "
        "voxels, and whether they were resampled to the size there. Left out are cases of patients whom training may "
        "have seen."
    )
    return "\n".join(("<h2>On other data sets</h2>", f"<p>{said}</p>", *tables))


def _lacking(comparison: Comparison) -> str:
    lines = [f"{what}: {why}" for what, why in lacking_of(comparison).items()]
    return f"<h2>Not run</h2>\n{_list(lines)}" if lines else ""


def _list(lines: Sequence[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{page.text(line)}</li>" for line in lines)}</ul>'
