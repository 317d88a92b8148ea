"""Comparisons to show, made up: what arms scored, gained and cost is said in a line each."""

from __future__ import annotations

from collections.abc import Mapping

from gliamap.comparison.nouns import (
    COMPARED,
    ArmResult,
    Budget,
    ComparedData,
    Comparison,
    Cost,
    Elsewhere,
    Figures,
)
from gliamap.comparison.rows import verdict_of
from gliamap.labels import Region
from gliamap.scoring.estimate import Estimate

QUARTER = Budget("minutes", 15)
MSD = ComparedData("msd-t1gd-2d", "folds 0 and 1 of the data set's own, fold 4 closed", "px", True, "0123456789abcdef")
FIGSHARE = ComparedData("figshare-t1c", "fold 0 of the data set's own", "px", False, "fedcba9876543210")


def estimate(mean: float | None, low: float | None = None, high: float | None = None, patients: int = 45) -> Estimate:
    """The mean over patients with nine cases each, and its interval."""
    return Estimate(mean, low, high, mean, mean, cases=9 * patients, patients=patients)


def figures(dice: float, *regions: Region) -> Figures:
    """Dice with an interval of 0.03 to each side, other figures that go with it."""
    some = {
        "dice": estimate(dice, dice - 0.03, dice + 0.03),
        "hd95": estimate(100 * (1 - dice), 90 * (1 - dice), 110 * (1 - dice)),
        "surface_dice": estimate(dice / 2, dice / 2 - 0.02, dice / 2 + 0.02),
        "volume_difference": estimate(20.0, -5.0, 45.0),
    }
    return {region: {name: some[name] for name in COMPARED} for region in regions or (Region.WT,)}


def cost(seconds: float = 0.2, *, steps: int = 2000, parameters: int = 5_650_000) -> Cost:
    """What an arm costs, which needs so many seconds a case."""
    return Cost(steps, 14.96, parameters, 12.5 * seconds, seconds, 1234.4)


def arm(
    name: str,
    dice: float = 0.6,
    gain: tuple[float, float, float] | None = None,
    *,
    seconds: float = 0.2,
    data: str = MSD.name,
    regions: tuple[Region, ...] = (Region.WT,),
    each_seed: tuple[float, ...] = (),
) -> ArmResult:
    """An arm that was run with each of its seeds on folds 0 and 1; the baseline where it gains ``None``."""
    seeds = tuple(range(max(1, len(each_seed))))
    found = None if gain is None else estimate(*gain)
    return ArmResult(
        name, data, seeds, (0, 1), 2 * len(seeds), 2 * len(seeds), {}, cost(seconds),
        figures(dice, *regions),
        {} if found is None else dict.fromkeys(regions, found),
        dict.fromkeys(regions, each_seed or (dice,)),
        dict.fromkeys(regions, "baseline" if found is None else verdict_of(found)),
    )  # fmt: skip


def not_run(name: str, why: Mapping[str, str] | None = None, data: str = MSD.name) -> ArmResult:
    """An arm of which no run is done."""
    return ArmResult(name, data, (), (), 0, 2, why or {}, None, {}, {}, {}, {})


def on_other(trained_on: str, tested_on: str, dice: float | None, *, arm: str = "unet", lacking: str = "") -> Elsewhere:
    """An arm tested on another data set; figshare shows heads, all others brains."""
    brains = ["head" if name == FIGSHARE.name else "brain" for name in (trained_on, tested_on)]
    regions = (Region.WT,) if dice is not None else ()
    return Elsewhere(
        arm, trained_on, tested_on, 2, 300, 30, 4, brains[0], brains[1], {"t1c": "t1gd"}, regions,
        {} if dice is None else figures(dice), lacking, 1.96 if brains[0] == brains[1] else 1.1, brains[0] == brains[1],
    )  # fmt: skip


def comparison(
    *arms: ArmResult,
    budget: Budget | None = QUARTER,
    data: tuple[ComparedData, ...] = (MSD,),
    elsewhere: tuple[Elsewhere, ...] = (),
    split: str = "patient",
) -> Comparison:
    """All of it; the first arm is the baseline."""
    return Comparison(
        budget, split, arms[0].arm, data, arms, elsewhere, "a machine", "0123456789abcdef0123",  # type: ignore[arg-type]
    )  # fmt: skip


def four(regions: tuple[Region, ...] = (Region.WT,)) -> Comparison:
    """A baseline, one that is higher, one not told apart, one lower; a fifth was not run."""
    return comparison(
        arm("unet", 0.60, seconds=0.2, regions=regions),
        arm("dynunet", 0.63, (0.03, 0.01, 0.05), seconds=0.4, regions=regions),
        arm("attention-unet", 0.61, (0.01, -0.01, 0.03), seconds=0.3, regions=regions),
        arm("lraspp", 0.55, (-0.05, -0.08, -0.02), seconds=0.1, regions=regions),
        not_run("swin-unet", {"seed 0, fold 0": "out of memory"}),
    )
