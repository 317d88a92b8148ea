"""What the report of a case says beside its pictures; the page and the sheet of paper show the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gliamap.labels import REGION_NAMES, TISSUE_NAMES, Convention, Region
from gliamap.metrics.diameters import Diameters
from gliamap.metrics.measures import LesionMeasure, Measures, RegionMeasure, SideMeasure
from gliamap.report.figures import format_amount
from gliamap.scoring.figure_names import NAMES
from gliamap.scoring.score import CaseScore
from gliamap.scoring.text_table import NOTHING, TextTable

SHOWN_SCORES = ("dice", "hd95", "surface_dice", "sensitivity", "precision", "volume_difference")
"""The figures of a comparison with a reference that are shown, by their names in ``RegionScore``."""

Rows = tuple[tuple[str, str], ...]
"""What something is, and what is said of it, in plain text."""


@dataclass(frozen=True)
class Remark:
    """A warning about a mask: the code of its rule, what was found, what to do about it (perhaps nothing)."""

    code: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Sureness:
    """What a model expects of its own mask in a region, each ``None`` where it cannot tell.

    ``dice``: estimate, low, high, 90 % of cases lie between. ``entropy`` and ``disagreement``: 0..1, see
    :class:`gliamap.case.Uncertainty`.
    """

    dice: tuple[float, float, float] | None = None
    entropy: float | None = None
    disagreement: float | None = None


@dataclass(frozen=True)
class CaseFacts:
    """All that is said of a case.

    ``images`` describes modalities and grid. ``convention`` is that of the mask. ``told``: something was known of how
    the mask was made, so that no warning means that none was found. ``reference`` and ``score`` are ``None`` without a
    reference. ``card`` describes the model, ``made`` how the mask was made. Every text may come from outside.
    """

    case_id: str
    images: str
    convention: Convention
    told: bool
    warnings: tuple[Remark, ...]
    measures: Measures
    reference: Measures | None
    score: CaseScore | None
    sureness: Mapping[Region, Sureness]
    card: Rows
    made: Rows
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON."""
        score = self.score
        return {
            "format": 1,
            "case_id": self.case_id,
            "images": self.images,
            "label_convention": self.convention.name,
            "warnings": [asdict(one) for one in self.warnings],
            "measures": self.measures.as_json(),
            "reference": self.reference and self.reference.as_json(),
            "scores": score
            and {
                str(region): {name: getattr(one, name) for name in SHOWN_SCORES}
                for region, one in score.regions.items()
            },
            "sureness": {str(region): asdict(one) for region, one in self.sureness.items()},
            "model": dict(self.card),
            "made": dict(self.made),
            "notes": list(self.notes),
            "notice": "Research use only; not a medical device.",
        }


def volume_table(facts: CaseFacts) -> TextTable:
    """A row a region, then a row a tissue: volume, with a reference its own, share of the brain, lesions, diameters."""
    measures, reference = facts.measures, facts.reference
    whole = f"of the {measures.foreground}" if measures.foreground else ""
    across, product = _across(measures)
    head = [
        "",
        _size(measures),
        *(["reference"] if reference else []),
        *([whole] if whole else []),
        "lesions",
        across,
        product,
    ]
    rows = [_region_row(one, facts) for one in measures.regions]
    rows += [_tissue_row(facts, value) for value in sorted(facts.convention.values)]
    return TextTable(f"{_size(measures).capitalize()}s and diameters", tuple(head), tuple(rows))


def _region_row(one: RegionMeasure, facts: CaseFacts) -> tuple[str, ...]:
    cells = [f"{REGION_NAMES[one.region]} ({one.region})", format_amount(one.volume, facts.measures.unit)]
    if facts.reference:
        other = facts.reference.region(one.region)
        cells.append(NOTHING if other is None else format_amount(other.volume, facts.measures.unit))
    if facts.measures.foreground:
        cells.append(_percent(one.share))
    return (*cells, str(one.lesions), *_diameters(one.diameters))


def _tissue_row(facts: CaseFacts, value: int) -> tuple[str, ...]:
    tissue, measures = facts.convention.values[value], facts.measures
    volume = measures.tissues.get(tissue, 0.0)
    cells = [f"{TISSUE_NAMES[tissue]} (label {value})", format_amount(volume, measures.unit)]
    if facts.reference:
        cells.append(format_amount(facts.reference.tissues.get(tissue, 0.0), measures.unit))
    if measures.foreground:
        whole = measures.foreground_volume
        cells.append(_percent(volume / whole if whole else None))
    return (*cells, "", "", "")


def lesion_table(measures: Measures) -> TextTable:
    """A row a lesion, the largest first: volume, diameters, side, and the regions in it."""
    sided = any(one.side for one in measures.lesions)
    regions = [one.region for one in measures.regions if one.region != Region.WT]
    head = ("", _size(measures), *(f"of it {region}" for region in regions), *_across(measures))
    rows = tuple(_lesion_row(one, measures, regions, sided=sided) for one in measures.lesions)
    title = "Lesions" if len(rows) == measures.lesion_count else f"The {len(rows)} largest lesions"
    return TextTable(title, (*head, "side") if sided else head, rows)


def _lesion_row(one: LesionMeasure, measures: Measures, regions: Sequence[Region], *, sided: bool) -> tuple[str, ...]:
    amounts = (one.volume, *(one.regions.get(region, 0.0) for region in regions))
    cells = (str(one.number), *(format_amount(amount, measures.unit) for amount in amounts))
    return (*cells, *_diameters(one.diameters), *([side_words(one.side)] if sided else []))


def score_table(facts: CaseFacts) -> TextTable:
    """A row a region against the reference; call it only where there is a score."""
    assert facts.score is not None
    unit = facts.score.unit
    rows = []
    for region, one in facts.score.regions.items():
        figures = ((NAMES[name], getattr(one, name)) for name in SHOWN_SCORES)
        cells = (f"{value:{'+' if name.signed else ''}.{name.digits}f}" for name, value in figures)
        rows.append((f"{REGION_NAMES[region]} ({region})", *cells))
    return TextTable("Against the reference", ("", *(NAMES[name].title(unit) for name in SHOWN_SCORES)), tuple(rows))


def sureness_table(facts: CaseFacts) -> TextTable:
    """A row a region: the Dice that the model expects, and how unsure it is."""
    rows = [
        (
            f"{REGION_NAMES[region]} ({region})",
            NOTHING if one.dice is None else expected_words(one.dice),
            *(NOTHING if value is None else f"{value:.3f}" for value in (one.entropy, one.disagreement)),
        )
        for region, one in facts.sureness.items()
    ]
    return TextTable("How sure the model is", ("", "expected Dice", "mean entropy", "disagreement"), tuple(rows))


def expected_words(dice: tuple[float, float, float]) -> str:
    """``0.91 [0.85, 0.95]``."""
    estimate, low, high = dice
    return f"{estimate:.2f} [{low:.2f}, {high:.2f}]"


def side_words(side: SideMeasure | None) -> str:
    """``left``, ``right, crosses the midline``, ``both sides (60 % left)``."""
    if side is None:
        return NOTHING
    shares = {"both": f"both sides ({side.left_share:.0%} left)".replace("%", " %")}
    return shares.get(side.side.value, side.side.value) + (", crosses the midline" if side.crosses else "")


def _size(measures: Measures) -> str:
    return "size" if measures.unit == "px" else "volume"


def _across(measures: Measures) -> tuple[str, str]:
    return f"diameters, {measures.unit}", f"product, {measures.unit}²"


def _diameters(found: Diameters | None) -> tuple[str, str]:
    if found is None:
        return NOTHING, NOTHING
    return f"{found.longest:.1f} × {found.perpendicular:.1f}", f"{found.product:,.0f}"


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.1f} %"
