"""What a cross-validation tells about a model: how it is best shown a case, how sure it may be, how good it will be.

STUDY/calibration/calibration.json   all of it, and every case
                 /calibration.md     the same in words and tables
                 /predicted-dice.png predicted against true Dice
                 /cases/             what each case gave, so that an interrupted call goes on
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gliamap.case import CaseFiles
from gliamap.config import ModelSpec, Settings
from gliamap.errors import ConfigError
from gliamap.infer.engine import EngineChoice
from gliamap.io.checkpoint import read_spec, write_spec
from gliamap.io.lock import alone
from gliamap.io.store import read_store
from gliamap.metrics.temperature import TEMPERATURES, best_temperature
from gliamap.models.shipped import SHIPPED, resolve_model
from gliamap.sources.masks import scan_with_masks
from gliamap.sources.splits import find_split, read_split
from gliamap.workflows.common.conventions import settle_convention
from gliamap.workflows.common.folds import Fold
from gliamap.workflows.common.unchanged import check_unchanged
from gliamap.workflows.studies.calibrate_case import Look, Mode, Way, look_at_fold
from gliamap.workflows.studies.calibrate_files import write_calibration
from gliamap.workflows.studies.calibrate_found import (
    Calibrated,
    best_mode,
    dice_of,
    difference_of,
    lesson_of,
    mean_curve,
    told,
)
from gliamap.workflows.studies.calibrate_study import check_held_out, read_folds
from gliamap.workflows.studies.fold_work import check_scans
from gliamap.workflows.training.seen import collect_seen

FOLDER = "calibration"

_ALIKE: dict[str, bool | set[str]] = {
    "network": True,
    "output": True,
    "prep": True,
    "inputs": True,
    "window": {"patch"},
}

Progress = Callable[[int, int, str], None]


class CalibrateOptions(Settings):
    """What the user may set.

    ``labels`` names the label convention of the masks where the data set does not tell it. ``pattern``: how the files
    are named where no layout fits, see :mod:`gliamap.sources.pattern`. ``flips``: learn to predict Dice from
    predictions that are averaged over all flips, for use with them. ``choice``: what runs the network. ``store``: the
    prepared data set of the trainings, to write into models what the cases were like that they were trained on, too;
    models trained nowadays know that.
    """

    labels: str | None = None
    pattern: str | None = None
    flips: bool = False
    choice: EngineChoice = EngineChoice()
    store: Path | None = None


@dataclass(frozen=True)
class _HeldOut:
    """The folds, the files of the cases that they hold out, and where what becomes of these is kept."""

    folds: tuple[Fold, ...]
    cases: Mapping[str, CaseFiles]
    kept: Path
    choice: EngineChoice

    @property
    def count(self) -> int:
        """Predictions that it takes to see every case once."""
        return sum(len(fold.split.test) for fold in self.folds)

    def look(self, way: Way, tell: Callable[[int, str], None]) -> list[Look]:
        """Every case of every fold, predicted ``way``; ``tell`` hears how many are done, and what is at work."""
        looks: list[Look] = []
        for fold in self.folds:
            own = [self.cases[case_id] for case_id in fold.split.test]
            for look in look_at_fold(fold, own, way, choice=self.choice, kept=self.kept):
                looks.append(look)
                tell(len(looks), f"{fold.name}, {way.mode}: {look.case_id}")
        return looks


def calibrate(
    study: Path,
    scans: Path,
    *,
    model: Path | None = None,
    options: CalibrateOptions | None = None,
    progress: Progress | None = None,
) -> Calibrated:
    """Learn from the folds of a cross-validation, each asked about the cases that it held out, and nobody else.

    Compared are windows and one pass (which becomes the default where no region's mean Dice falls by more than
    ``FALL``). The temperature is that of the highest likelihood near the tumour. Then every case is predicted again
    with both, and lines are learned that predict Dice (:mod:`gliamap.infer.confidence`). All of it is written into the
    spec of ``model``, one that was trained like the folds, on all cases say; by default into those of the folds.

    ``FileError`` where ``study`` is no complete cross-validation; ``ConfigError`` where a fold's model has seen a
    patient that it holds out, ``scans`` lack a case, or ``model`` is of another kind or comes with gliamap;
    ``LabelError`` where the meaning of the masks is not told. ``progress`` is told the predictions done, those in all,
    and what is at work.
    """
    options = options or CalibrateOptions()
    folds = read_folds(study)
    spec = read_spec(resolve_model(folds[0].run))
    models = (resolve_model(model),) if model else tuple(resolve_model(fold.run) for fold in folds)
    for each in models:
        _check_alike(each, spec)
        _check_store(each, options.store)
    held_out = _HeldOut(folds, _cases(scans, folds, options), study / FOLDER / "cases", options.choice)
    check_held_out(folds, held_out.cases)
    with alone(study / FOLDER, wait=True):
        found = _calibrate(held_out, spec, models, flips=options.flips, progress=progress)
        write_calibration(study / FOLDER, found)
        for each in models:
            write_spec(each, _with_seen(told(read_spec(each), found), each, options.store))
    return found


def _check_alike(model: Path, spec: ModelSpec) -> None:
    if model.parent == SHIPPED:
        raise ConfigError(f"{model.name} comes with gliamap and is not changed", remedy="name a model of your own")
    own, theirs = (each.model_dump(mode="json", include=_ALIKE) for each in (read_spec(model), spec))
    remedy = "name a model that was trained with the recipe of the cross-validation on data prepared alike"
    check_unchanged(f"{model} is another model than those of the folds", theirs, own, remedy=remedy)


def _check_store(model: Path, store: Path | None) -> None:
    if store is None:
        return
    known, found = (read_spec(model).training_data.get("fingerprint"), read_store(store).fingerprint)
    if known != found or find_split(model) is None:
        raise ConfigError(
            f"{model} was not trained on the data in {store}, or lies without its run",
            found=found,
            expected=str(known),
            remedy="name the store that it was trained on with --store, or leave it out",
        )


def _with_seen(spec: ModelSpec, model: Path, store: Path | None) -> ModelSpec:
    """The spec, and in it what its training cases in the store are like."""
    split = find_split(model)
    if store is None or split is None:
        return spec
    return spec.model_copy(update={"seen": collect_seen(store, read_store(store), read_split(split).train)})


def _cases(scans: Path, folds: tuple[Fold, ...], options: CalibrateOptions) -> dict[str, CaseFiles]:
    check_scans(scans, folds, options.pattern)
    data = scan_with_masks(scans, options.pattern)
    told = settle_convention(data, options.labels).apply(data)
    return {case.case_id: case for case in told.cases}


def _calibrate(
    held_out: _HeldOut, spec: ModelSpec, models: tuple[Path, ...], *, flips: bool, progress: Progress | None
) -> Calibrated:
    regions = spec.output.regions
    modes: tuple[Mode, ...] = ("windows", "one-pass") if spec.network.input_size is None else ("windows",)
    total = (len(modes) + 1) * held_out.count

    def look(way: Way, stage: int) -> list[Look]:
        def tell(done: int, note: str) -> None:
            if progress:
                progress(stage * held_out.count + done, total, note)

        return held_out.look(way, tell)

    looks = {mode: look(Way(mode), stage) for stage, mode in enumerate(modes)}
    difference = difference_of(looks["windows"], looks.get("one-pass", []), regions)
    mode = best_mode(difference)
    before = mean_curve(looks[mode])
    temperature = best_temperature(before)
    final = look(Way(mode, temperature, flips), len(modes))
    as_it_is = int(np.flatnonzero(TEMPERATURES == 1)[0])
    return Calibrated(
        models=models,
        folds=len(held_out.folds),
        mode=mode,
        dice={name: dice_of(each, regions) for name, each in looks.items()},
        difference=difference,
        temperature=temperature,
        likelihood=(float(before[as_it_is]), float(mean_curve(final)[as_it_is])),
        flips=flips,
        lessons=tuple(lesson_of(final, region, found=some) for region in regions for some in (True, False)),
    )
