"""A cohort's scores as tables, for a terminal, Markdown or a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gliamap.labels import REGION_NAMES
from gliamap.metrics import overlap
from gliamap.scoring.estimate import ENOUGH, Estimate, estimate_cell, estimates_title
from gliamap.scoring.figure_names import NAMES
from gliamap.scoring.score import lesion_precision, lesion_recall
from gliamap.scoring.strata import Stratum
from gliamap.scoring.summary import EnhancingSummary, Summary
from gliamap.scoring.text_table import NOTHING, TextTable, counted
from gliamap.volume import Unit, volume_unit

Rows = Iterable[tuple[tuple[str, ...], int, Mapping[str, Estimate]]]
"""The words at the beginning of each row, its cases, and its estimates by figure."""

_MAIN = ("dice", "hd95", "surface_dice", "volume_difference")
_LESIONS = ("lesion_dice", "lesion_hd95", "lesion_recall", "lesion_precision")
_FURTHER = {
    "Overlap": ("iou", "boundary_dice", "sensitivity", "precision"),
    "With the background": ("specificity", "accuracy"),
    "Surfaces": ("hd", "assd"),
    "Surfaces, voxel by voxel": ("hd95_voxels", "hd_voxels", "assd_voxels", "surface_dice_voxels"),
    "Volumes": ("reference_volume", "predicted_volume", "volume_difference_percent"),
    "Lesions, mean of a case": ("lesion_tp", "lesion_fn", "lesion_fp", "lesion_f1", "false_positive_volume"),
    "Calibration": ("brier", "ece"),
}


def summary_tables(summary: Summary) -> tuple[TextTable, ...]:
    """The figures that most readers look for, and those of lesions where the protocol has a rule for them."""
    title = f"{counted(summary.patients, 'patient')}, {counted(summary.cases, 'case')}"
    main = _figures_table(title, ("Region",), _by_region(summary), figures=_MAIN, unit=summary.unit)
    if not _has(summary, _LESIONS):
        return (main,)
    return main, _figures_table(
        "Lesion by lesion", ("Region",), _by_region(summary), figures=_LESIONS, unit=summary.unit
    )


def further_tables(summary: Summary) -> tuple[TextTable, ...]:
    """All other figures, as far as any case has them; means beside pooled figures; enhancing tumour apart."""
    tables = [
        _figures_table(title, ("Region",), _by_region(summary), figures=figures, unit=summary.unit)
        for title, figures in _FURTHER.items()
        if _has(summary, figures)
    ]
    enhancing = (_enhancing_table(summary.enhancing, summary.unit),) if summary.enhancing else ()
    return *tables, *_lesion_table(summary), _dice_table(summary), *_class_table(summary), *enhancing


def strata_table(strata: Sequence[Stratum], unit: Unit) -> TextTable:
    """The main figures of every stratum and region."""
    rows = (
        ((one.by, one.name, str(one.patients), region.value), one.cases, figures)
        for one in strata
        for region, figures in one.regions.items()
    )
    head = ("Divided by", "Stratum", "Patients", "Region")
    return _figures_table("Strata", head, rows, figures=_MAIN, unit=unit)


def words_of(summary: Summary, strata: Sequence[Stratum] = ()) -> tuple[str, ...]:
    """What the tables mean, a sentence or two a line."""
    names = ", ".join(f"{region.value}: {REGION_NAMES[region]}" for region in summary.regions)
    lines = [f"{names}.", "Means are over patients, with 95 % intervals over patients; empty masks by the BraTS rule."]
    where = _too_few(summary, strata)
    if where is not None:
        lines.append(f"With fewer than {ENOUGH} patients{where} the intervals are too narrow.")
    if 0 < (judged := judged_cases(summary)) < summary.cases:
        lines.append(
            f"Calibration is that of {judged:,} of {counted(summary.cases, 'case')}: the others have no value."
        )
    return (*lines, *_missing_words(summary))


def judged_cases(summary: Summary) -> int:
    """The cases whose probabilities could be judged, of any region."""
    return max((region.figures["brier"].cases for region in summary.regions.values()), default=0)


def _too_few(summary: Summary, strata: Sequence[Stratum]) -> str | None:
    """Where intervals are of fewer than ``ENOUGH`` patients, in words to put in; ``None`` where none is."""
    if 1 < summary.patients < ENOUGH:
        return ""
    figures = (one.patients for region in summary.regions.values() for one in region.figures.values())
    places = {"strata": (one.patients for one in strata), "figures": figures}
    few = [place for place, counts in places.items() if any(1 < patients < ENOUGH for patients in counts)]
    return f", as behind some {' and '.join(few)}," if few else None


def _missing_words(summary: Summary) -> tuple[str, ...]:
    if not summary.missing:
        return ()
    said = (
        f"{counted(summary.missing, 'case')} without a prediction, at the worst of every figure that has one.",
        "Predicted volumes, volume differences, false positives and calibration are of the other cases.",
    )
    if not _has(summary, _LESIONS):
        return said
    return *said, "Lesions of a case without a prediction are missed: that lowers pooled recall, not pooled precision."


def _has(summary: Summary, figures: Iterable[str]) -> bool:
    """Any case has any of the figures."""
    return any(region.figures[name].patients for region in summary.regions.values() for name in figures)


def _by_region(summary: Summary) -> Rows:
    return (((region.value,), summary.cases, found.figures) for region, found in summary.regions.items())


def _figures_table(title: str, texts: tuple[str, ...], rows: Rows, *, figures: Sequence[str], unit: Unit) -> TextTable:
    rows = tuple(rows)
    title = estimates_title(title, ((found[name], cases) for _, cases, found in rows for name in figures))
    cells = tuple((*words, *(NAMES[name].cell(found[name], of=of) for name in figures)) for words, of, found in rows)
    return TextTable(title, (*texts, *(NAMES[name].title(unit) for name in figures)), cells, len(texts))


def _lesion_table(summary: Summary) -> tuple[TextTable, ...]:
    """The lesions of all cases together, where the protocol has a rule for them."""
    rows = tuple(
        (
            region.value,
            *(f"{n:,}" for n in (counts.tp, counts.fn, counts.fp)),
            *map(_share, (lesion_recall(counts), lesion_precision(counts), overlap.dice(counts))),
        )
        for region, of in summary.regions.items()
        if (counts := of.pooled_lesions) is not None
    )
    head = ("Region", "Found", "Missed", "False positives", "Recall", "Precision", "F1")
    return (TextTable("Lesions of all cases", head, rows),) if rows else ()


def _dice_table(summary: Summary) -> TextTable:
    """The same Dice averaged in other ways, each of which some study reports."""
    rows = []
    for region, of in summary.regions.items():
        dice, present = of.figures["dice"], of.dice_where_present
        others = (dice.median, dice.case_mean, present.case_mean, of.pooled_dice)
        rows.append((region.value, estimate_cell(dice, 3), *map(_share, others)))
    head = ("Region", "Mean of patients", "Median", "Mean of cases", "Cases that have it", "Pooled voxels")
    return TextTable("Dice, averaged in other ways", head, tuple(rows))


def _class_table(summary: Summary) -> tuple[TextTable, ...]:
    if not summary.pooled_class_dice:
        return ()
    dice = tuple((f"Dice {name}, pooled voxels", f"{value:.3f}") for name, value in summary.pooled_class_dice.items())
    mean = "mean IoU, background included", estimate_cell(summary.mean_iou, 3, of=summary.cases)
    return (
        TextTable(estimates_title("Classes", [(summary.mean_iou, summary.cases)]), ("Figure", "Value"), (*dice, mean)),
    )


def _enhancing_table(found: EnhancingSummary, unit: Unit) -> TextTable:
    """Cases with enhancing tumour and cases without apart."""
    volume = volume_unit(unit)
    enough = f"at least {found.least_volume:g} {volume}"
    rows = (
        ("Dice", enough, estimate_cell(found.dice, 3), f"{found.dice.cases:,}"),
        (f"HD95, {unit}", enough, estimate_cell(found.hd95, 1), f"{found.hd95.cases:,}"),
        ("Share in which some was found", "any", estimate_cell(found.detected, 3), f"{found.detected.cases:,}"),
        (
            "Share in which none was found",
            "none",
            estimate_cell(found.rightly_none, 3),
            f"{found.rightly_none.cases:,}",
        ),
        (
            f"Predicted all the same, {volume}",
            "none",
            estimate_cell(found.false_positive_volume, 2),
            f"{found.false_positive_volume.cases:,}",
        ),
    )
    return TextTable("Enhancing tumour", ("Figure", "Cases with", "Mean", "Cases"), rows, texts=2)


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"
