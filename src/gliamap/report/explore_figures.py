"""The figures of an exploration, each a small picture of its own, so that a page can lay them out on any screen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from gliamap.labels import TISSUE_COLOURS, TISSUE_NAMES, Tissue
from gliamap.report.curves import INK, QUIET
from gliamap.report.figures import MODALITY_TITLES
from gliamap.report.plot import DIAGRAM, as_png, font, hide_frame, new_diagram, new_figure, set_title
from gliamap.survey.cohort import Survey
from gliamap.survey.counts import INTENSITY_EDGES, SIZE_EDGES, Places

REST = "#9aa5b1"
"""The colour of brain or head outside all labels."""

_BARS = "#3b6fb6"
_MAP = 2.2  # inches of the longest side of a map, and around it:
_LEFT, _BESIDE, _BELOW, _ABOVE = 0.55, 1.25, 0.5, 0.35
_MANY = 10  # lesions of a case, from which on they are not told apart
_MARKERS = "osD^vPX*h"  # beside the colours, for eyes that tell these badly
_SIDES = {
    "axial": ((0, 1), "patient's right to left", "back to front"),
    "coronal": ((0, 2), "patient's right to left", "feet to head"),
    "sagittal": ((1, 2), "front to back", "feet to head"),
    "slice": ((0, 1), "left to right", "bottom to top"),
}
"""Of a plane: its axes of R, A, S, and where the picture's columns and rows lead."""


def draw_figures(survey: Survey) -> dict[str, bytes]:
    """Every figure that ``survey`` has something to show in, as PNG, by a name fit for a file."""
    figures: dict[str, bytes] = {}
    if survey.tissues:
        figures["balance"] = draw_balance(survey)
        figures["lesion-sizes"] = draw_lesion_sizes(survey)
        figures["lesion-counts"] = draw_lesion_counts(survey)
        if not survey.slices_alone or survey.patients_known:
            figures["tumour-slices"] = draw_tumour_slices(survey)
        for plane in (plane for plane in _SIDES if plane in survey.counts.places):
            figures[f"places-{plane}"] = draw_places(survey, plane)
    for modality in survey.modalities:
        figures[f"intensities-{modality}"] = draw_intensities(survey, modality)
    return figures


def colour_of(tissue: Tissue) -> str:
    """The colour of a tissue; of background, that of the foreground outside all labels."""
    return TISSUE_COLOURS.get(tissue, REST)


def name_of(tissue: Tissue, foreground: str) -> str:
    """What a tissue is called in a legend; background is the rest of the ``foreground``: brain or head."""
    return TISSUE_NAMES[tissue] if tissue else f"rest of the {foreground}"


def draw_balance(survey: Survey) -> bytes:
    """How the foreground, and what is labelled of it, divides into tissues: two bars of 100 %."""
    figure = new_figure(*DIAGRAM)
    shares = {one.tissue: one.of_foreground for one in survey.tissues}
    rest = {Tissue.BACKGROUND: 1 - sum(shares.values())}
    labelled = {one.tissue: one.of_marked for one in survey.tissues}
    for bottom, title, parts in ((0.73, f"all of the {survey.foreground}", rest | shares), (0.38, "labels", labelled)):
        axes = figure.add_axes((0.03, bottom, 0.9, 0.15))
        set_title(axes, title)
        _bar(axes, parts)
        axes.set_xticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
        axes.set_yticks([])
        hide_frame(axes)
    names = [name_of(tissue, survey.foreground) for tissue in (*rest, *shares)]
    handles = [Patch(color=colour_of(tissue)) for tissue in (*rest, *shares)]
    figure.legend(handles, names, loc="lower left", ncols=2, frameon=False, prop=font(8.5), columnspacing=1)
    return as_png(figure)


def _bar(axes: Axes, shares: Mapping[Tissue, float]) -> None:
    left = 0.0
    for tissue, share in shares.items():
        axes.barh(0, 100 * share, left=left, color=colour_of(tissue), edgecolor="white", linewidth=0.8)
        if share >= 0.12:
            words = f"{100 * share:.1f} %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"
            axes.text(left + 50 * share, 0, words, ha="center", va="center", color=INK, fontproperties=font(10))
        left += 100 * share
    axes.set_xlim(0, 100)


def draw_lesion_sizes(survey: Survey) -> bytes:
    """How large lesions are: bars on a logarithmic axis."""
    figure, axes = _plot("lesions by size", f"size of a lesion, {survey.size_unit}", "lesions")
    counted = survey.counts.lesion_sizes
    used = np.flatnonzero(counted)
    first, last = (int(used[0]), int(used[-1])) if used.size else (0, len(counted) - 1)
    shown = slice(max(0, first - 1), last + 2)
    edges = SIZE_EDGES[shown.start : shown.start + len(counted[shown]) + 1]
    axes.bar(edges[:-1], counted[shown], np.diff(edges), align="edge", color=_BARS, edgecolor="white", linewidth=0.8)
    axes.set_xscale("log")
    axes.minorticks_off()
    _powers(axes, edges)
    return as_png(figure)


def draw_lesion_counts(survey: Survey) -> bytes:
    """How many lesions a case has; slices are cases of their own."""
    figure, axes = _plot(f"lesions in a {survey.noun}", f"lesions in a {survey.noun}", f"{survey.noun}s")
    found = np.bincount([min(case.lesions, _MANY) for case in survey.labelled], minlength=2)
    axes.bar(range(len(found)), found, 0.8, color=_BARS)
    names = [str(n) if n < _MANY else f"{_MANY}+" for n in range(len(found))]
    axes.set_xticks(range(len(found)), names)
    return as_png(figure)


def draw_tumour_slices(survey: Survey) -> bytes:
    """In how many slices tumour is seen: of a volume; of a patient, where cases are slices."""
    whose = "patient" if survey.slices_alone else "case"
    found = survey.patient_slices if survey.slices_alone else [case.tumour_slices for case in survey.labelled]
    figure, axes = _plot(f"slices with tumour in a {whose}", f"slices with tumour in a {whose}", f"{whose}s")
    step = -(-(max(found) + 1) // 20)
    counted = np.bincount(np.array(found) // step)
    axes.bar(np.arange(len(counted)) * step, counted, 0.9 * step, align="edge" if step > 1 else "center", color=_BARS)
    return as_png(figure)


def draw_places(survey: Survey, plane: str) -> bytes:
    """In how many cases tumour lies behind each place of a plane, in true mean proportions, with the mean outline."""
    places = survey.counts.places[plane]
    (across, up), columns, rows = _SIDES[plane]
    # One scale and one size for all planes of the survey.
    scale = _MAP / max(survey.extent)
    width, height = survey.extent[across] * scale, survey.extent[up] * scale
    tallest = scale * max(survey.extent[_SIDES[one][0][1]] for one in survey.counts.places)
    figure = new_figure(_MAP + _BESIDE, tallest + _BELOW + _ABOVE)
    axes = _place(figure, (_LEFT, _BELOW, width, height))
    share = np.ma.masked_equal(100 * _turned(places, places.tumour), 0)
    image = axes.imshow(share, extent=(0, 100, 0, 100), cmap="YlOrBr", vmin=0, aspect="auto", origin="lower")
    centres = (np.arange(len(share)) + 0.5) * 100 / len(share)
    around = np.concatenate([[-0.5], centres, [100.5]])
    outline = np.pad(_turned(places, places.foreground), 1)
    axes.contour(around, around, outline, levels=[0.5], colors=[QUIET], linewidths=1.2)
    set_title(axes, plane if plane != "slice" else "slices as they lie")
    axes.set_xlabel(f"{columns}, %", color=QUIET, fontproperties=font(9))
    axes.set_ylabel(f"{rows}, %", color=QUIET, fontproperties=font(9))
    axes.set_xlim(-3, 103)
    axes.set_ylim(-3, 103)
    hide_frame(axes)
    beside = _place(figure, (_LEFT + width + 0.1, _BELOW, 0.1, height))
    bar = figure.colorbar(image, cax=beside, ticks=MaxNLocator(5), format="%g")
    bar.set_label(f"{survey.noun}s with tumour, %", color=QUIET, fontproperties=font(9))
    hide_frame(beside)
    return as_png(figure)


def _place(figure: Figure, inches: tuple[float, float, float, float]) -> Axes:
    """Axes at a place in inches: left, bottom, width, height."""
    x, y, width, height = inches
    wide, high = figure.get_size_inches()
    return figure.add_axes((x / wide, y / high, width / wide, height / high))


def _turned(places: Places, counted: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shares of cases as rows from the bottom up; columns run against R or A, so that the right is on the left."""
    return np.asarray((counted / places.cases).T[:, ::-1])


def draw_intensities(survey: Survey, modality: str) -> bytes:
    """How bright each tissue is in a modality, normalised as training sees it."""
    title = MODALITY_TITLES.get(modality, modality)
    across = f"standard deviations from the mean of the {survey.foreground}"
    figure, axes = _plot(title, across, "share of the tissue, %", whole=False)
    middles = (INTENSITY_EDGES[:-1] + INTENSITY_EDGES[1:]) / 2
    for number, (tissue, counted) in enumerate(survey.intensities(modality).items()):
        share = 100 * counted / counted.sum()
        (line,) = axes.plot(
            middles, share, linewidth=1.6, color=colour_of(tissue), label=name_of(tissue, survey.foreground),
            marker=_MARKERS[number], markersize=4, markevery=(2 * number, 10),
        )  # fmt: skip
        line.set_path_effects([Stroke(linewidth=2.4, foreground=INK), Normal()])
    axes.set_xlim(INTENSITY_EDGES[0], INTENSITY_EDGES[-1])
    axes.set_ylim(0, 1.6 * axes.get_ylim()[1])  # room for the legend
    axes.legend(loc="upper right", frameon=False, prop=font(8.5), labelcolor=INK)
    return as_png(figure)


def _plot(title: str, across: str, up: str, *, whole: bool = True) -> tuple[Figure, Axes]:
    """A diagram, the axis upwards in ``whole`` numbers."""
    figure, axes = new_diagram(title, across, up)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=whole))
    return figure, axes


def _powers(axes: Axes, edges: NDArray[np.float64]) -> None:
    """Powers of ten along a logarithmic axis from the first to the last edge, written out."""
    powers = np.arange(np.ceil(np.log10(edges[0]) - 1e-9), np.floor(np.log10(edges[-1]) + 1e-9) + 1)
    axes.set_xticks(10.0**powers, [f"{10.0**power:,g}" for power in powers])
    axes.set_xlim(edges[0], edges[-1])
