"""Score a folder of predictions against references: the verb ``gliamap evaluate`` as a function."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import Field

from gliamap import __version__
from gliamap.case import CaseIdentity, DataSet
from gliamap.config import Settings
from gliamap.errors import ConfigError, GliamapError, LabelError
from gliamap.io.atomic import write_json, write_text
from gliamap.labels import Convention, Region, get_convention
from gliamap.scoring.pairs import (
    Pair,
    find_predictions,
    pairs_of,
    read_prediction,
    read_reference,
)
from gliamap.scoring.score import score_case, score_missing
from gliamap.scoring.table import ScoredCase, Summary, as_json, case_rows, summarise
from gliamap.sources.masks import scan_with_masks
from gliamap.sources.splits import divided_patients, read_split
from gliamap.workflows.conventions import settle_convention
from gliamap.workflows.examples import draw_examples
from gliamap.workflows.failures import check_free

_OTHER_CLASSES = "predictions and references divide the tumour differently: classes are not scored"

OUTPUTS = ("scores.csv", "scores.json")
"""The files that :func:`evaluate` writes."""


class EvaluateOptions(Settings):
    """How to score.

    ``labels`` and ``reference_labels`` name the label convention of either side where the files do not tell it.
    ``cases`` scores these case ids only; ``split`` and ``part`` those of one part of a split file. ``overwrite``
    replaces scores that the output folder holds. ``pattern`` says how the files of the references are named where no
    layout fits, see :mod:`gliamap.sources.pattern`. ``seed`` draws the bootstrap. ``pictures`` draws so many cases,
    from the worst to the best, beside the scores.
    """

    labels: str | None = None
    reference_labels: str | None = None
    cases: tuple[str, ...] | None = None
    split: Path | None = None
    part: Literal["train", "val", "test"] | None = None
    pattern: str | None = None
    overwrite: bool = False
    seed: int = 0
    pictures: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Evaluation:
    """The scores of a set of predictions.

    ``missing`` names the cases without a prediction (scored at their worst), ``surplus`` the predictions without a
    reference (not scored). The conventions are all those that were met on either side. ``notes`` are remarks for the
    user.
    """

    cases: tuple[ScoredCase, ...]
    summary: Summary
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    prediction_conventions: tuple[str, ...]
    reference_conventions: tuple[str, ...]
    notes: tuple[str, ...] = ()


def evaluate(
    predictions: Path,
    references: Path,
    *,
    out: Path | None = None,
    options: EvaluateOptions | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Evaluation:
    """Score the masks in ``predictions`` against ``references``; write ``scores.csv`` and ``scores.json`` to ``out``.

    ``references`` is a data set of any known layout, or a folder of masks ``CASE.nii.gz`` (``.nii``, ``.png``, with
    or without ``-seg``). ``predictions`` is a folder of masks named likewise, or of one folder a case with such a
    mask in it. A prediction's label convention is what the ``CASE.json`` beside it says, else ``options.labels``,
    else that of the references.

    A case without a prediction scores worst and is listed. One case is held in memory at a time. ``progress`` is
    called with the cases done, the cases in all, and the case id. Nothing is written where ``out`` is ``None``.

    Raises ``GridError`` where a prediction does not lie on its reference's grid, ``LabelError`` where values are
    outside their convention or ambiguous, ``ConfigError`` where a case asked for has no reference, ``OutputError``
    where ``out`` holds scores already, ``LayoutError`` or ``FileError`` where there is nothing to score.
    """
    options = options or EvaluateOptions()
    if out is not None:
        check_free(out, OUTPUTS, holding="scores", overwrite=options.overwrite)
    data = scan_with_masks(references, options.pattern)
    told = _reference_conventions(data, options.reference_labels, progress)
    every, notes = pairs_of(data)
    every, surplus = find_predictions(every, predictions, options.labels)
    pairs = _select(every, options)
    conventions = {pair.case_id: told[pair.case_id] for pair in pairs}
    regions, classes = _comparable(pairs, conventions)
    notes += (*_leaks(every, options), *(() if classes else (_OTHER_CLASSES,)))
    cases: list[ScoredCase] = []
    used: set[str] = set()
    for pair in pairs:
        scored, convention = _score(pair, conventions[pair.case_id], regions, classes=classes)
        cases.append(scored)
        used |= {convention.name} if convention else set()
        if progress:
            progress(len(cases), len(pairs), pair.case_id)
    found = Evaluation(
        cases=tuple(cases),
        summary=summarise(cases, seed=options.seed),
        missing=tuple(pair.case_id for pair in pairs if pair.prediction is None),
        surplus=surplus,
        prediction_conventions=tuple(sorted(used)),
        reference_conventions=tuple(sorted({convention.name for convention in conventions.values()})),
        notes=notes,
    )
    if out is None:
        return found
    write_text(out / "scores.csv", case_rows(found.cases))
    write_json(out / "scores.json", _report(found, predictions, references))
    if options.pictures:
        try:
            draw_examples(cases, pairs, conventions, out, references=data, count=options.pictures)
        except GliamapError as error:  # the scores stand, with or without pictures
            found = replace(found, notes=(*found.notes, f"no pictures: {error}"))
    return found


def _select(pairs: Sequence[Pair], options: EvaluateOptions) -> list[Pair]:
    """The pairs that ``options`` asks for."""
    wanted = None if options.cases is None else set(options.cases)
    if (options.split is None) != (options.part is None):
        raise ConfigError("a split file and its part belong together", remedy="give both --split and --part")
    if options.split is not None and options.part is not None:
        split = read_split(options.split)
        in_part = set({"train": split.train, "val": split.val, "test": split.test}[options.part])
        wanted = in_part if wanted is None else wanted & in_part
    if wanted is None:
        return list(pairs)
    unknown = sorted(wanted - {pair.case_id for pair in pairs})
    if unknown:
        raise ConfigError(
            f"{len(unknown)} of the cases to score have no reference mask",
            found=", ".join(unknown[:5]) + (" and others" if len(unknown) > 5 else ""),
            remedy="check the case ids, the split file and the folder of references",
        )
    if not wanted:
        raise ConfigError("no case is left to score", remedy="check the case ids and the part of the split")
    return [pair for pair in pairs if pair.case_id in wanted]


def _reference_conventions(
    data: DataSet, chosen: str | None, progress: Callable[[int, int, str], None] | None
) -> dict[str, Convention]:
    """The label convention of each case's reference; ``LabelError`` where it cannot be told."""
    try:
        told = settle_convention(data, chosen, progress=progress).apply(data)
    except LabelError as error:
        remedy = (error.remedy or "").replace("--labels", "--reference-labels") or None
        raise LabelError(error.what, found=error.found, expected=error.expected, remedy=remedy) from error
    return {case.case_id: get_convention(case.conventions[0]) for case in told.cases if case.labels is not None}


def _leaks(pairs: Sequence[Pair], options: EvaluateOptions) -> tuple[str, ...]:
    """A remark where the split has a patient in more than one part: the scores then do not hold for new patients."""
    if options.split is None:
        return ()
    identities = [CaseIdentity(pair.case_id, pair.patient_id) for pair in pairs]
    torn = divided_patients(read_split(options.split), identities)
    return (f"leaky split: {len(torn)} patients are in more than one part",) if torn else ()


def _comparable(pairs: Sequence[Pair], references: Mapping[str, Convention]) -> tuple[tuple[Region, ...], bool]:
    """The regions that all references and predictions can tell, and whether all of them have the same classes."""
    declared = [get_convention(pair.declared) for pair in pairs if pair.declared is not None]
    every = [*references.values(), *declared]
    regions = tuple(region for region in Region if all(region in convention.regions for convention in every))
    return regions, len({frozenset(convention.tissues) for convention in every}) == 1


def _score(
    pair: Pair, convention: Convention, regions: tuple[Region, ...], *, classes: bool
) -> tuple[ScoredCase, Convention | None]:
    """The scores of one pair, and the convention of its prediction, if there is one."""
    reference, grid = read_reference(pair, convention)
    if pair.prediction is None:
        score = score_missing(reference, grid, regions, classes=classes)
        return ScoredCase(pair.case_id, pair.patient_id, score), None
    labels, used = read_prediction(pair, pair.prediction, grid, convention)
    score = score_case(labels, reference, grid, regions, classes=classes)
    return ScoredCase(pair.case_id, pair.patient_id, score), used


def _report(found: Evaluation, predictions: Path, references: Path) -> dict[str, object]:
    """What ``scores.json`` holds. Folders are named without their place on the machine."""
    return {
        "format": 1,
        "predictions": predictions.resolve().name,
        "references": references.resolve().name,
        "prediction_conventions": list(found.prediction_conventions),
        "reference_conventions": list(found.reference_conventions),
        "missing": list(found.missing),
        "surplus": list(found.surplus),
        "notes": list(found.notes),
        "versions": {
            "gliamap": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scipy")},
        },
        **as_json(found.summary, found.cases),
    }
