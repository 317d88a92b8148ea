"""The tables of a comparison: made once as text, then shown in a terminal, in Markdown or on a page.

Rows keep the order in which arms were asked for: nothing is sorted by score. What was not run says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gliamap.comparison.nouns import COMPARED, ArmResult, ComparedData, Comparison, Cost, Elsewhere
from gliamap.labels import REGION_NAMES, Region
from gliamap.scoring.estimate import ENOUGH, Estimate, estimate_cell
from gliamap.scoring.text_table import NOT_RUN, NOTHING, TextTable
from gliamap.volume import Unit, volume_unit

_TOLD = ("higher", "lower", "not told apart")
_MANY = 5  # differences, from which on the chance that one of them is told apart by luck is worth a line
_DIGITS = {"dice": 3, "hd95": 1, "surface_dice": 3, "volume_difference": 1}


def tables_of(comparison: Comparison) -> tuple[TextTable, ...]:
    """Every table that there is something to show in: those of each data set, then those of other data sets."""
    return *own_tables(comparison), *elsewhere_tables(comparison)


def own_tables(comparison: Comparison) -> tuple[TextTable, ...]:
    """The tables of each data set that was trained on, its name in their titles."""
    return tuple(
        replace(table, title=f"{data.name}: {table.title}")
        for data in comparison.data
        for table in data_tables(comparison, data.name)
    )


def data_tables(comparison: Comparison, data: str) -> tuple[TextTable, ...]:
    """The tables of one data set: Dice and what it gains, each seed where there are several, other figures, costs."""
    arms = arms_on(comparison, data)
    regions = regions_on(comparison, data)
    unit = next(one.unit for one in comparison.data if one.name == data)
    seeds = list(dict.fromkeys(seed for arm in arms for seed in arm.seeds))
    tables = [_dice(arms, regions)]
    if len(seeds) > 1:
        tables.append(_seeds(seeds, arms, regions))
    return *tables, _others(unit, arms, regions), _costs(arms)


def elsewhere_tables(comparison: Comparison) -> tuple[TextTable, ...]:
    """Dice by training set and test set for each region, what arms gain there, and how each pair was tested.

    Nothing without any.
    """
    if not comparison.elsewhere:
        return ()
    regions = [region for region in Region if any(region in one.regions for one in comparison.elsewhere)]
    matrices = (matrix_table(comparison, region) for region in regions or [Region.WT])
    several = any(one.arm != comparison.baseline for one in comparison.elsewhere)
    gains = (_gains(comparison, regions or [Region.WT]),) if several else ()
    return *matrices, *gains, _mappings(comparison)


def arms_on(comparison: Comparison, data: str) -> tuple[ArmResult, ...]:
    """The arms that are trained on a data set, in their order."""
    return tuple(arm for arm in comparison.arms if arm.data == data)


def regions_on(comparison: Comparison, data: str) -> tuple[Region, ...]:
    """The regions that any arm on a data set is scored for; the whole tumour where none was run yet."""
    scored = {region for arm in arms_on(comparison, data) for region in arm.figures}
    return tuple(region for region in Region if region in scored) or (Region.WT,)


def words_of(comparison: Comparison) -> tuple[str, ...]:
    """What the tables mean, a sentence or two a line: budget, division, intervals, verdicts, regions."""
    lines = [_budget_words(comparison), _split_words(comparison)]
    lines += [_data_words(data, arms_on(comparison, data.name)) for data in comparison.data]
    lines.append(
        "Means are over patients, with 95 % intervals over patients. A difference is taken patient by patient against "
        f"{comparison.baseline}, the baseline; 'not told apart' where its interval holds zero, or with fewer than "
        f"{ENOUGH} patients. Rows stand in the order asked for, not by score."
    )
    if max((len(arm.seeds) for arm in comparison.arms), default=0) == 1:
        lines.append("One seed: how much of a difference is the luck of one training is not known.")
    told = [verdict for arm in comparison.arms for verdict in arm.verdict.values() if verdict in _TOLD]
    counts = [of.patients for arm in comparison.arms for of in (*_each_dice(arm), *arm.gain.values())]
    if any(1 < count < ENOUGH for count in counts):
        lines.append(f"With fewer than {ENOUGH} patients the intervals are too narrow.")
    if len(told) >= _MANY:
        lines.append(
            f"{len(told)} differences were looked at; of those that are none, one in twenty is told apart by chance."
        )
    regions = {region for data in comparison.data for region in regions_on(comparison, data.name)}
    lines.append(", ".join(f"{region.value}: {REGION_NAMES[region]}" for region in Region if region in regions) + ".")
    return tuple(lines)


def lacking_of(comparison: Comparison) -> dict[str, str]:
    """What was not run, and why."""
    runs: dict[str, str] = {}
    for arm in comparison.arms:
        for why in dict.fromkeys(arm.lacking.values()):
            missed = [run for run, reason in arm.lacking.items() if reason == why]
            which = "" if len(missed) == arm.runs_wanted > 1 else f", {' and '.join(missed)}"
            runs[f"{arm.arm} on {arm.data}{which}"] = why
    tests = {
        f"{one.arm}, trained on {one.trained_on}, tested on {one.tested_on}": one.lacking
        for one in comparison.elsewhere
        if one.lacking
    }
    return runs | tests


def _budget_words(comparison: Comparison) -> str:
    budget = comparison.budget
    if budget is None:
        return "No budget: each arm trains for the steps that its recipe names, so neither time nor steps are equal."
    if budget.kind == "minutes":
        return (
            f"Equal time: each training has {budget}, so a slower network takes fewer steps. This is what a user has; "
            "on another machine the steps, and with them the scores, are others."
        )
    return (
        f"Equal steps: each training takes {budget}, however long that is. This is what a network makes of as many "
        "patches; the minutes say what it costs."
    )


def _split_words(comparison: Comparison) -> str:
    if comparison.split == "patient":
        known = "" if all(data.patients_known for data in comparison.data) else ", as far as patients are known"
        return f"Divided by patient: nobody who is tested was trained on or chose a checkpoint{known}."
    return (
        "Divided by record, on purpose: cases of one patient are trained on and tested. These scores are too high; "
        "they show by how much, and are nothing to report."
    )


def _data_words(data: ComparedData, arms: Sequence[ArmResult]) -> str:
    """How a data set was divided, how many were tested, and which arms were tested on fewer."""
    tested = {arm.arm: (dice.patients, dice.cases) for arm in arms for dice in [_any_dice(arm)] if dice is not None}
    if not tested:
        return f"{data.name}: {data.division}; nothing is tested yet."
    patients, cases = max(tested.values())
    whose = f"of {patients:,} patients" if data.patients_known else "of unknown patients"
    fewer = [f"{arm} on {some[1]:,} of these" for arm, some in tested.items() if some != (patients, cases)]
    folds = sorted({fold for arm in arms for fold in arm.folds})
    held_out = f"{cases:,} cases {whose} in fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))}"
    line = ", ".join((f"{data.name}: {data.division}; tested are {held_out}", *fewer))
    narrow = "" if data.patients_known else " Each case counts as a patient, so the intervals are too narrow."
    return f"{line}.{narrow}"


def _each_dice(arm: ArmResult) -> list[Estimate]:
    return [of["dice"] for of in arm.figures.values()]


def _any_dice(arm: ArmResult) -> Estimate | None:
    return next(iter(_each_dice(arm)), None)


def _dice(arms: Sequence[ArmResult], regions: Sequence[Region]) -> TextTable:
    def row(arm: ArmResult, region: Region) -> tuple[str, ...]:
        of = arm.figures.get(region)
        verdict = arm.verdict.get(region, NOT_RUN)
        dice = NOT_RUN if of is None else estimate_cell(of["dice"], 3)
        gain = NOTHING if verdict == "baseline" else NOT_RUN
        if region in arm.gain and verdict != "baseline":
            gain = estimate_cell(arm.gain[region], 3, signed=True)
        return region.value, arm.arm, dice, gain, verdict

    head = ("Region", "Arm", "Dice", "Difference to baseline", "Verdict")
    return TextTable("Dice", head, tuple(row(arm, region) for region in regions for arm in arms), texts=2)


def _seeds(seeds: Sequence[int], arms: Sequence[ArmResult], regions: Sequence[Region]) -> TextTable:
    def row(arm: ArmResult, region: Region) -> tuple[str, ...]:
        means = dict(zip(arm.seeds, arm.each_seed.get(region, ()), strict=False))
        return region.value, arm.arm, *(f"{means[seed]:.3f}" if seed in means else NOT_RUN for seed in seeds)

    head = ("Region", "Arm", *(f"Seed {seed}" for seed in seeds))
    rows = tuple(row(arm, region) for region in regions for arm in arms)
    return TextTable("Mean Dice of each seed", head, rows, texts=2)


def _others(unit: Unit, arms: Sequence[ArmResult], regions: Sequence[Region]) -> TextTable:
    titles = {
        "hd95": f"HD95, {unit}",
        "surface_dice": "Surface Dice",
        "volume_difference": f"Volume error, {volume_unit(unit)}",
    }
    names = [name for name in COMPARED if name in titles]

    def row(arm: ArmResult, region: Region) -> tuple[str, ...]:
        of = arm.figures.get(region)
        if of is None:
            return region.value, arm.arm, *[NOT_RUN] * len(names)
        cells = (estimate_cell(of.get(name), _DIGITS[name], signed=name == "volume_difference") for name in names)
        return region.value, arm.arm, *cells

    head = ("Region", "Arm", *(titles[name] for name in names))
    rows = tuple(row(arm, region) for region in regions for arm in arms)
    return TextTable("Distances and volumes", head, rows, texts=2)


def _costs(arms: Sequence[ArmResult]) -> TextTable:
    head = ("Arm", "Runs", "Steps", "Minutes", "Parameters", "GFLOPs", "Seconds a case", "Peak MiB")
    rows = tuple((arm.arm, f"{arm.runs} of {arm.runs_wanted}", *_cost_cells(arm.cost)) for arm in arms)
    return TextTable("What one training and one case cost", head, rows)


def _cost_cells(cost: Cost | None) -> tuple[str, ...]:
    if cost is None:
        return (NOT_RUN,) * 6
    return (
        f"{cost.steps:,}",
        f"{cost.minutes:.1f}",
        f"{cost.parameters / 1e6:.2f} M",
        f"{cost.gflops:,.1f}",
        f"{cost.seconds_per_case:.2f}",
        f"{cost.peak_mib:,.0f}",
    )


def matrix_table(comparison: Comparison, region: Region) -> TextTable:
    """Dice of a region: a row an arm and training set, a column a test set, whole heads or brains said of each.

    Where an arm is tested on its own training set, the figure is that of the cases that were held out.
    """
    seen = _foregrounds(comparison.elsewhere)
    arms = list(dict.fromkeys((one.arm, one.trained_on) for one in comparison.elsewhere))
    tests = list(dict.fromkeys((*(data for _, data in arms), *(one.tested_on for one in comparison.elsewhere))))
    own = {(arm.arm, arm.data): arm for arm in comparison.arms}
    tested = {(one.arm, one.trained_on, one.tested_on): one for one in comparison.elsewhere}

    def cell(arm: str, trained_on: str, tested_on: str) -> str:
        found = own.get((arm, trained_on)) if trained_on == tested_on else tested.get((arm, trained_on, tested_on))
        if found is None or not found.figures:
            return NOT_RUN
        return estimate_cell(found.figures.get(region, {}).get("dice"), 3)

    rows = tuple((arm, _named(data, seen), *(cell(arm, data, test) for test in tests)) for arm, data in arms)
    head = ("Arm", "Trained on", *(_named(test, seen) for test in tests))
    return TextTable(f"Dice {region.value}: trained on (rows), tested on (columns)", head, rows, texts=2)


def _gains(comparison: Comparison, regions: Sequence[Region]) -> TextTable:
    """What arms gain over the baseline on other data sets."""

    def row(one: Elsewhere, region: Region) -> tuple[str, ...]:
        gain = estimate_cell(one.gain[region], 3, signed=True) if region in one.gain else NOT_RUN
        verdict = one.verdict.get(region, NOT_RUN)
        return region.value, one.arm, f"{one.trained_on} to {one.tested_on}", gain, verdict

    compared = [one for one in comparison.elsewhere if one.arm != comparison.baseline]
    head = ("Region", "Arm", "Data sets", "Difference to baseline", "Verdict")
    rows = tuple(row(one, region) for region in regions for one in compared)
    return TextTable("Dice on other data sets, against the baseline", head, rows, texts=3)


def _foregrounds(elsewhere: Sequence[Elsewhere]) -> dict[str, str]:
    """Whether a data set shows brains or heads, by its name."""
    pairs = (
        pair
        for one in elsewhere
        for pair in ((one.trained_on, one.trained_foreground), (one.tested_on, one.tested_foreground))
    )
    return {name: foreground for name, foreground in pairs if foreground}


def _named(data: str, foregrounds: Mapping[str, str]) -> str:
    return f"{data} ({_scans(foregrounds[data])})" if data in foregrounds else data


def _scans(foreground: str) -> str:
    """What scans of a foreground show, in words."""
    return {"brain": "brains", "head": "heads"}.get(foreground, foreground)


def _mappings(comparison: Comparison) -> TextTable:
    def row(one: Elsewhere) -> tuple[str, ...]:
        scans = f"{_scans(one.trained_foreground)} to {_scans(one.tested_foreground)}"
        modalities = ", ".join(f"{wanted} from {given}" for wanted, given in one.modalities.items())
        size = f"{one.scale:.2f}" + " (resampled)" * one.resampled
        counts = (str(one.patients), str(one.cases), str(one.excluded))
        cells = (NOT_RUN,) * 4 if one.lacking else (size, *counts)
        return one.arm, f"{one.trained_on} to {one.tested_on}", scans, modalities or NOTHING, *cells

    head = ("Arm", "Data sets", "Scans", "Modalities", "Head size", "Patients", "Cases", "Left out")
    return TextTable("How it was tested", head, tuple(row(one) for one in comparison.elsewhere), texts=4)
