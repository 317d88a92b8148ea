"""From the runs of a comparison to its rows.

A case's figures are averaged over the seeds first, then over the cases of a patient; means and intervals are over
patients. What one training gains over another is the difference of the two patient by patient, on the very same cases:
most of what makes patients differ is gone from it, so that its interval is far narrower than those of the two means.
The interval says how much a result depends on which patients were tested, not on the luck of one training: that is what
several seeds are for, and ``each_seed`` shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from gliamap.comparison.nouns import (
    COMPARED,
    ArmResult,
    CaseFigures,
    Cost,
    Figures,
    RunResult,
    Verdict,
)
from gliamap.labels import Region
from gliamap.scoring.estimate import ENOUGH, Estimate, differences, estimate, matched
from gliamap.scoring.summary import ScoredCase


def rows_of(runs: Sequence[RunResult], baseline: str) -> tuple[ArmResult, ...]:
    """A row for each arm on each data set, in the order in which ``runs`` name them first."""
    named = {(run.data, run.arm): None for run in runs}
    return tuple(_row([run for run in runs if run.data == data], arm, baseline) for data, arm in named)


def _row(runs: Sequence[RunResult], arm: str, baseline: str) -> ArmResult:
    """The row of ``arm`` among the ``runs`` on one data set."""
    own = [run for run in runs if run.arm == arm]
    done = {(run.seed, run.fold): run for run in own if not run.lacking}
    before = {(run.seed, run.fold): run for run in runs if run.arm == baseline and not run.lacking}
    both = sorted(done.keys() & before.keys())
    seeds = sorted({seed for seed, _ in done})
    figures = figures_of(over_runs(run.cases for run in done.values()))
    each = [figures_of(over_runs(run.cases for run in done.values() if run.seed == seed)) for seed in seeds]
    gain = {}
    if arm != baseline:
        gain = gain_of(over_runs(done[key].cases for key in both), over_runs(before[key].cases for key in both))
    regions = figures or figures_of([case for run in runs for case in run.cases])
    return ArmResult(
        arm=arm,
        data=own[0].data,
        seeds=tuple(seeds),
        folds=tuple(sorted({fold for _, fold in done})),
        runs=len(done),
        runs_wanted=len(own),
        lacking={f"seed {run.seed}, fold {run.fold}": run.lacking for run in own if run.lacking},
        cost=_mean_cost([run.cost for run in done.values() if run.cost]),
        figures=figures,
        gain=gain,
        each_seed={
            region: tuple(one[region]["dice"].mean or 0.0 for one in each if region in one) for region in figures
        },
        verdict={
            region: "baseline" if arm == baseline and done else verdict_of(gain.get(region)) for region in regions
        },
    )


def _mean_cost(costs: Sequence[Cost]) -> Cost | None:
    """The mean of each figure, but the highest memory; ``None`` without any cost."""
    if not costs:
        return None
    return Cost(
        steps=round(fmean(cost.steps for cost in costs)),
        minutes=fmean(cost.minutes for cost in costs),
        parameters=costs[0].parameters,
        gflops=fmean(cost.gflops for cost in costs),
        seconds_per_case=fmean(cost.seconds_per_case for cost in costs),
        peak_mib=max(cost.peak_mib for cost in costs),
    )


def case_figures(case: ScoredCase) -> CaseFigures:
    """What comparisons keep of a case's scores."""
    figures = {
        region: {name: getattr(score, name) for name in COMPARED} for region, score in case.score.regions.items()
    }
    return CaseFigures(case.case_id, case.patient_id, figures)


def over_runs(runs: Iterable[Sequence[CaseFigures]]) -> tuple[CaseFigures, ...]:
    """Each case once: its figures averaged over the runs that tested it, for the regions that all of these have."""
    every: dict[tuple[str, str], list[CaseFigures]] = {}
    for cases in runs:
        for case in cases:
            every.setdefault((case.patient_id, case.case_id), []).append(case)
    return tuple(
        CaseFigures(
            case_id,
            patient_id,
            {
                region: {name: _mean(one.figures[region][name] for one in found) for name in names}
                for region, names in found[0].figures.items()
                if all(region in one.figures for one in found)
            },
        )
        for (patient_id, case_id), found in every.items()
    )


def figures_of(cases: Sequence[CaseFigures]) -> Figures:
    """Every figure of every region that all ``cases`` have, over their patients."""
    return {
        region: {name: estimate((c.patient_id, c.figures[region][name]) for c in cases) for name in COMPARED}
        for region in _regions(cases)
    }


def gain_of(arm: Sequence[CaseFigures], baseline: Sequence[CaseFigures]) -> dict[Region, Estimate]:
    """By how much the Dice of ``arm`` is higher, over the cases and regions that both have: nothing without any."""
    pairs = matched(arm, baseline)
    return {
        region: estimate(
            differences((a.patient_id, a.figures[region]["dice"], b.figures[region]["dice"]) for a, b in pairs)
        )
        for region in _regions([case for pair in pairs for case in pair])
    }


def verdict_of(gain: Estimate | None) -> Verdict:
    """What a paired difference to the baseline tells.

    ``higher`` or ``lower`` where its 95 % interval leaves zero out, else ``not told apart``, also with fewer than
    ``ENOUGH`` patients; ``not run`` where there is no difference.
    """
    if gain is None or gain.mean is None:
        return "not run"
    few = gain.patients < ENOUGH
    if few or gain.low is None or gain.high is None or gain.low <= 0 <= gain.high:
        return "not told apart"
    return "higher" if gain.low > 0 else "lower"


def _regions(cases: Sequence[CaseFigures]) -> tuple[Region, ...]:
    """The regions that all of the cases have."""
    return tuple(region for region in Region if cases and all(region in case.figures for case in cases))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
