"""The stages from data sets to scores that nobody was trained on, in their order."""

from __future__ import annotations

from typing import Any

from modalities import subsets_of

from collect import slim
from gliamap.config import modality_subset
from gliamap.errors import CasesFailed
from gliamap.io.checkpoint import read_spec
from gliamap.io.store import read_store
from gliamap.scoring.repeats import StudyScores, study_as_json
from gliamap.sources.manifest import MANIFEST
from gliamap.workflows.common.folds import Fold
from gliamap.workflows.common.unchanged import deciding
from gliamap.workflows.data.prepare import PrepareOptions, prepare
from gliamap.workflows.prediction.segment_settings import SegmentOptions
from gliamap.workflows.studies.calibrate import calibrate
from gliamap.workflows.studies.calibrate_files import as_json
from gliamap.workflows.studies.calibrate_study import read_folds
from gliamap.workflows.studies.cross_validate import cross_validate, score_folds
from model_clean_up import apply_sizes, choose_sizes
from model_facts import by_class, cases_of, classes_in, dice_of, enhancing_rule, worst
from model_making import Making, Row, key_of, say, state_of, tell_cases, tell_study


def prepared(making: Making) -> None:
    """The stores; what they have already is not done again. ``CasesFailed`` where a case cannot be prepared."""
    wanted = [(making.plan, making.scans, making.store)]
    if making.plan.beside and making.auxiliary:
        other = making.plan.beside
        wanted.append((other, other.scans(making.data, making.folder / "beside"), making.auxiliary.store))
    for plan, scans, store in wanted:
        options = PrepareOptions(spacing=plan.spacing, pixel_mm=plan.pixel_mm)
        done = prepare([scans], store, options=options, progress=tell_cases("prepare"))
        if done.failed:
            first, why = next(iter(done.failed.items()))
            raise CasesFailed(f"{len(done.failed)} cases could not be prepared", found=f"{first}: {why}")
        say(f"prepare: {len(done.info.cases)} cases, {done.reused} of them done before")


def cross_validated(making: Making) -> tuple[Fold, ...]:
    """The folds, trained and predicted. ``CasesFailed`` where one cannot be."""

    def work() -> Row:
        done = cross_validate(
            making.store, making.scans, out=making.study, options=making.options, observe=tell_study()
        )
        if done.failed:
            first, why = next(iter(done.failed.items()))
            raise CasesFailed(f"{len(done.failed)} folds failed", found=f"{first}: {why}")
        return {"division": done.division, "notes": list(done.notes)}

    making.once("cross-validate", _made_from(making), work)
    return read_folds(making.study)


def _made_from(making: Making) -> Row:
    closed, data = list(making.options.closed_folds), making.info.fingerprint
    return {
        "recipe": deciding(making.recipe),
        "data": data,
        "closed": closed,
        "repeats": making.plan.repeats,
        "val_share": making.plan.val_share,
    } | ({"auxiliary": read_store(making.auxiliary.store).fingerprint} if making.auxiliary else {})


def _weights_of(folds: tuple[Fold, ...]) -> Row:
    """What decides over predictions before anything is written into the models."""
    return {"weights": [read_spec(fold.run / "best").weights_sha256 for fold in folds]}


def cleaned_up(making: Making, folds: tuple[Fold, ...]) -> Row:
    """The sizes of :func:`~model_clean_up.choose_sizes`, written into the models of the folds."""
    made_from = _weights_of(folds) | {"sizes": list(making.plan.sizes)}
    found = making.once("clean-up", made_from, lambda: choose_sizes(making, folds))
    apply_sizes(folds, found["of_fold"])
    return found


def calibrated(making: Making, folds: tuple[Fold, ...], sizes: Row) -> Row:
    """What ``gliamap calibrate`` finds, written into the models of the folds, which clean up as ``sizes`` say."""

    def work() -> Row:
        found = as_json(calibrate(making.study, making.scans, progress=tell_cases("calibrate")))
        lessons = [{name: lesson[name] for name in lesson if name != "judged"} for lesson in found["lessons"]]
        return found | {"lessons": [lesson | _learned(lesson.pop("learned")) for lesson in lessons]}

    return making.once("calibrate", _weights_of(folds) | {"sizes": sizes["of_fold"]}, work)


def _learned(learned: dict[str, Any] | None) -> Row:
    """The figures of a line, without those of every case."""
    return {"line": learned and learned["line"], "held": learned and learned["held"]}


def scored(making: Making, folds: tuple[Fold, ...]) -> Row:
    """The scores of all held-out cases, predicted as the model will: cleaned up, in its window mode.

    A study as JSON (:func:`~gliamap.scoring.repeats.study_as_json`), each case slim, with ``by_class``,
    ``enhancing_rule`` and ``worst``.
    """
    state = state_of(folds)

    def work() -> Row:
        there = making.predict(folds, making.folder / f"held-out-{key_of(state)}", SegmentOptions(probabilities=True))
        return facts_of(making, score(making, there))

    return making.once("scores", state, work)


def score(making: Making, folds: tuple[Fold, ...]) -> StudyScores:
    """Score the masks of these folds."""
    repeats = len({fold.repeat for fold in folds})
    options = making.options.model_copy(update={"repeats": repeats})
    return score_folds(making.scans, making.info, folds=folds, options=options, tell=tell_study())[0]


def facts_of(making: Making, scores: StudyScores) -> Row:
    """All that is said of scores."""
    found, cases = study_as_json(scores), cases_of(scores)
    found |= {"cases": [slim(case) for case in found["cases"]], "worst": worst(cases)}
    if making.plan.class_column:
        found["by_class"] = by_class(cases, classes_in(making.scans / MANIFEST, making.plan.class_column))
    rule = enhancing_rule(cases)
    return found | ({"enhancing_rule": rule} if rule else {})


def subsets(making: Making, folds: tuple[Fold, ...]) -> dict[str, Row]:
    """Dice with each subset of the modalities, and enhancing tumour by its rule, by the subset's name.

    Empty where the model needs all of them. Of several repeats the first.
    """
    first = tuple(fold for fold in folds if fold.repeat == 0)
    spec = read_spec(first[0].run / "best")
    if not spec.may_be_missing:
        return {}
    modalities, state = spec.prep.modalities, state_of(first)
    found = {}
    for some in subsets_of(modalities):
        name = modality_subset(some, modalities)

        def work(some: tuple[str, ...] = some, name: str = name) -> Row:
            place = making.folder / f"subsets-{key_of(state)}" / name
            scores = score(making, making.predict(first, place, SegmentOptions(modalities=some)))
            dice = {region: vars(of) for region, of in dice_of(scores).items()}
            return {"dice": dice, "enhancing_rule": enhancing_rule(cases_of(scores))}

        found[name] = making.once(f"subset-{name}", state, work)
    return found
