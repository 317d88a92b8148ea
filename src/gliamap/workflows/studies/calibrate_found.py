"""What a calibration finds, computed from the held-out cases as their models predicted them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliamap.config import DiceLine, DicePredictor, ModelSpec
from gliamap.errors import ConfigError
from gliamap.infer.confidence import Known, Learned, features_of, learn_line
from gliamap.labels import Region
from gliamap.scoring.estimate import Estimate, differences, estimate
from gliamap.workflows.studies.calibrate_case import Look, Mode

FALL = 0.005
"""By so much the mean Dice of a region may fall in one pass, which then becomes the model's default."""


@dataclass(frozen=True)
class Judged:
    """A held-out case, the Dice that was predicted for one region without its patient, and the one that it has."""

    case_id: str
    patient_id: str
    volume: float
    predicted: float
    dice: float


@dataclass(frozen=True)
class Lesson:
    """What was learned of one region from the predictions that have some of it (``found``), or from the others.

    ``learned`` is ``None`` with too few patients; ``plain_error`` is the mean error without any feature, of who says
    the mean of the other patients for every case.
    """

    region: Region
    found: bool
    cases: int
    patients: int
    learned: Learned | None
    plain_error: float | None
    judged: tuple[Judged, ...]


@dataclass(frozen=True)
class Calibrated:
    """What was found, and written into the ``models``.

    ``dice``: of each mode, by region; ``difference``: one pass less windows, empty where the network takes no other
    size than that of its windows. ``likelihood``: the mean negative log likelihood (nats) of voxels near the tumour at
    temperature 1, and as it is now.
    """

    models: tuple[Path, ...]
    folds: int
    mode: Mode
    dice: Mapping[Mode, Mapping[Region, Estimate]]
    difference: Mapping[Region, Estimate]
    temperature: float
    likelihood: tuple[float, float]
    flips: bool
    lessons: tuple[Lesson, ...]


def dice_of(looks: Sequence[Look], regions: Sequence[Region]) -> dict[Region, Estimate]:
    """The mean Dice of each region over patients."""
    return {region: estimate((look.patient_id, look.dice[region]) for look in looks) for region in regions}


def difference_of(
    windows: Sequence[Look], one_pass: Sequence[Look], regions: Sequence[Region]
) -> dict[Region, Estimate]:
    """One pass less windows, case by case; both are of the same folds and cases in the same order."""
    if not one_pass:
        return {}
    pairs = list(zip(one_pass, windows, strict=True))
    return {
        region: estimate(differences((a.patient_id, a.dice[region], b.dice[region]) for a, b in pairs))
        for region in regions
    }


def best_mode(difference: Mapping[Region, Estimate]) -> Mode:
    """One pass, unless the mean Dice of a region falls by more than ``FALL``, or it cannot be had."""
    falls = [each.mean is None or each.mean < -FALL for each in difference.values()]
    return "windows" if any(falls) or not falls else "one-pass"


def mean_curve(looks: Sequence[Look]) -> NDArray[np.float64]:
    """The likelihood over temperatures: that of each patient's cases averaged first."""
    by_patient: dict[str, list[tuple[float, ...]]] = {}
    for look in looks:
        if look.curve:
            by_patient.setdefault(look.patient_id, []).append(look.curve)
    if not by_patient:
        raise ConfigError(
            "no held-out case has a tumour, and none was predicted: there is nothing to calibrate on",
            remedy="cross-validate on cases with tumour",
        )
    return np.asarray(np.mean([np.mean(each, axis=0) for each in by_patient.values()], axis=0))


def lesson_of(looks: Sequence[Look], region: Region, *, found: bool) -> Lesson:
    """What the cases teach of one region, of which their predictions have some (``found``) or none."""
    own = [look for look in looks if (look.volumes[region] > 0) is found]
    known = [
        Known(look.patient_id, features_of(look.uncertainty, region, look.volumes[region]), look.dice[region])
        for look in own
    ]
    learned = learn_line(known) if known else None
    plain = learn_line([Known(case.patient_id, {}, case.dice) for case in known]) if learned else None
    judged = [
        Judged(look.case_id, look.patient_id, look.volumes[region], said, look.dice[region])
        for look, said in zip(own, learned.said if learned else (), strict=learned is not None)
    ]
    patients = len({look.patient_id for look in own})
    return Lesson(region, found, len(own), patients, learned, plain.line.error if plain else None, tuple(judged))


def told(spec: ModelSpec, found: Calibrated) -> ModelSpec:
    """The spec with what was found."""
    dice = {
        mode: {r: each.mean for r, each in own.items() if each.mean is not None} for mode, own in found.dice.items()
    }
    window = spec.window.model_copy(update={"mode": found.mode})
    new = {"window": window, "temperature": found.temperature, "window_dice": dice, "dice_predictor": predictor(found)}
    return spec.model_copy(update=new)


def predictor(found: Calibrated) -> DicePredictor | None:
    """What the models will say of their own masks; ``None`` where nothing could be learned."""
    lines: dict[bool, dict[Region, DiceLine]] = {True: {}, False: {}}
    for lesson in found.lessons:
        if lesson.learned is not None:
            lines[lesson.found][lesson.region] = lesson.learned.line
    if not any(lines.values()):
        return None
    return DicePredictor(mode=found.mode, flips=found.flips, found=lines[True], none=lines[False])
