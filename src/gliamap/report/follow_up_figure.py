"""The course of a size over a patient's visits, a line for each region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gliamap.labels import Region
from gliamap.report.curves import REGION_COLOURS, spread
from gliamap.report.plot import as_png, font, new_diagram

_MARKERS = {Region.WT: "o", Region.TC: "s", Region.ET: "^"}
"""Regions differ by shape as well as by colour."""


def draw_course(title: str, places: Mapping[float, str], sizes: Mapping[Region, Sequence[float]], across: str) -> bytes:
    """The ``sizes`` of each region at every visit as PNG, from zero up.

    ``places`` are those of the visits along the axis (days, or their numbers) with their names, in order; ``across`` is
    the title of that axis.
    """
    figure, axes = new_diagram(title, across, "")
    axes.set_position((0.12, 0.2, 0.67, 0.66))
    at = list(places)
    top = max((size for course in sizes.values() for size in course), default=0) or 1.0
    for region, course in sizes.items():
        axes.plot(
            at, course, color=REGION_COLOURS[region], marker=_MARKERS[region], linewidth=1.8, markersize=5,
            clip_on=False, zorder=3,
        )  # fmt: skip
    ends = sorted((course[-1] / (1.08 * top), region) for region, course in sizes.items())
    for height, (_, region) in zip(spread([end for end, _ in ends], 0.09), ends, strict=True):
        axes.annotate(
            f"{region} {shown_size(sizes[region][-1])}", (1, height), (9, 0), xycoords="axes fraction",
            textcoords="offset points", va="center", color=REGION_COLOURS[region], fontproperties=font(9),
            annotation_clip=False,
        )  # fmt: skip
    axes.set_ylim(0, 1.08 * top)
    axes.set_xticks(_apart(at), [places[place] for place in _apart(at)])
    return as_png(figure)


def shown_size(size: float) -> str:
    """A volume or an area for readers: two digits after the point below 1, one below 100, none from there on."""
    return f"{size:.2f}" if 0 < size < 1 else f"{size:.1f}" if size < 100 else f"{size:,.0f}"


def _apart(places: Sequence[float], share: float = 0.16) -> list[float]:
    """The ``places`` (ascending) that have room for a name: the first, the last, and what fits between."""
    kept, room = [places[0]], share * (places[-1] - places[0])
    for place in places[1:-1]:
        if place - kept[-1] >= room and places[-1] - place >= room:
            kept.append(place)
    return kept if len(places) == 1 else [*kept, places[-1]]
