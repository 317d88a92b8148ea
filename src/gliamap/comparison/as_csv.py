"""A comparison as CSV, for spreadsheets and data frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gliamap.comparison.nouns import COMPARED, ArmResult, Comparison, Cost, Elsewhere, RunResult
from gliamap.comparison.tables import regions_on
from gliamap.labels import Region
from gliamap.scoring.rows import csv_text
from gliamap.scoring.text_table import NOT_RUN


def comparison_rows(comparison: Comparison) -> str:
    """The CSV text: one row an arm, training set, test set and region, empty cells where nothing was run.

    Where an arm is tested on its own training set, the cases are those that were held out.
    """
    bounds = ("mean", "low", "high")
    costs = tuple(Cost.__dataclass_fields__)
    head = ["arm", "data", "tested_on", "region", "verdict", "runs", "runs_wanted", "seeds", "folds"]
    head += ["patients", "cases"]
    head += [f"{name}_{bound}" for name in (*COMPARED, "gain") for bound in bounds] + ["dice_each_seed", *costs]

    def estimates(of: ArmResult | Elsewhere, region: Region) -> Iterator[object]:
        figures = of.figures.get(region, {})
        found = [figures.get(name) for name in COMPARED] + [of.gain.get(region)]
        yield from (getattr(figures.get("dice"), name, None) for name in ("patients", "cases"))
        yield from (getattr(one, bound, None) for one in found for bound in bounds)

    def row(arm: ArmResult, region: Region) -> Iterator[object]:
        yield from (arm.arm, arm.data, arm.data, region.value, arm.verdict.get(region, NOT_RUN))
        yield from (arm.runs, arm.runs_wanted, _joined(arm.seeds), _joined(arm.folds))
        yield from estimates(arm, region)
        yield _joined(arm.each_seed.get(region, ()))
        yield from (getattr(arm.cost, name, None) for name in costs)

    def elsewhere(one: Elsewhere, region: Region) -> Iterator[object]:
        yield from (one.arm, one.trained_on, one.tested_on, region.value, one.verdict.get(region, NOT_RUN), one.runs)
        yield from (None, None, None)
        yield from estimates(one, region)
        yield from [None] * (1 + len(costs))

    rows = [row(arm, region) for arm in comparison.arms for region in regions_on(comparison, arm.data)]
    rows += [elsewhere(one, region) for one in comparison.elsewhere for region in one.regions or (Region.WT,)]
    return csv_text(head, rows)


def run_rows(runs: Sequence[RunResult]) -> str:
    """The CSV text: one row a run, case and region, from which every figure of the tables can be taken anew."""
    head = ["arm", "data", "tested_on", "seed", "fold", "case_id", "patient_id", "region", *COMPARED]
    rows = (
        (run.arm, run.data, run.tested_on or run.data, run.seed, run.fold, case.case_id, case.patient_id, region.value,
         *(figures[name] for name in COMPARED))
        for run in runs
        for case in run.cases
        for region, figures in case.figures.items()
    )  # fmt: skip
    return csv_text(head, rows)


def _joined(values: Iterable[object]) -> str:
    return " ".join(map(str, values))
