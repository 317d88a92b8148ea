"""Score a folder of predictions against references: the verb ``gliamap evaluate`` as a function."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from gliamap.case import CaseIdentity, DataSet
from gliamap.config import Settings
from gliamap.errors import ConfigError, GliamapError, LabelError
from gliamap.labels import Convention, Region, get_convention
from gliamap.scoring.evaluation import Evaluation
from gliamap.scoring.paired import compare_paired
from gliamap.scoring.pairs import Pair, check_grids, find_predictions, pairs_of
from gliamap.scoring.protocols import PROTOCOLS, Protocol
from gliamap.scoring.strata import strata_of
from gliamap.scoring.summary import summarise
from gliamap.sources.layout import summarise as summarise_names
from gliamap.sources.masks import scan_with_masks
from gliamap.sources.splits import divided_patients, read_split
from gliamap.workflows.common.conventions import settle_convention
from gliamap.workflows.common.failures import check_free
from gliamap.workflows.scores.evaluate_case import KEPT, Job, Scored, discard_kept, score_all
from gliamap.workflows.scores.evaluate_files import OUTPUTS, write_evaluation
from gliamap.workflows.scores.examples import draw_examples

_OTHER_CLASSES = "predictions and references divide the tumour differently: classes are not scored"
_NO_MM = "the images have no spacing: the protocol's size limit of lesions, in mm3, is taken in pixels"

Progress = Callable[[int, int, str], None]


class EvaluateOptions(Settings):
    """How to score.

    ``labels`` and ``reference_labels`` name the label convention of either side where the files do not tell it.
    ``cases`` scores these case ids only; ``split`` and ``part`` those of one part of a split file. ``overwrite``
    replaces scores that the output folder holds. ``pattern`` says how the files of the references are named where no
    layout fits, see :mod:`gliamap.sources.pattern`. ``seed`` draws the bootstrap. ``pictures`` draws so many cases,
    from the worst to the best, beside the scores. ``protocol`` is one of :data:`~gliamap.scoring.protocols.PROTOCOLS`.
    ``against`` is a second folder of predictions, to be compared with the first case by case. ``workers`` are the
    processes that score, 1 for this one; no result depends on it.
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
    protocol: str = "legacy"
    against: Path | None = None
    workers: int = Field(default=1, ge=1)


def evaluate(
    predictions: Path,
    references: Path,
    *,
    out: Path | None = None,
    options: EvaluateOptions | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score the masks in ``predictions`` against ``references``; write tables, JSON and a page to ``out``.

    ``references`` is a data set of any known layout, or a folder of masks ``CASE.nii.gz`` (``.nii``, ``.png``, with
    or without ``-seg``). ``predictions`` is a folder of masks named likewise, or of one folder a case with such a
    mask in it. A prediction's label convention is what the ``CASE.json`` beside it says, else ``options.labels``,
    else that of the references. ``CASE_probabilities.nii.gz`` beside a prediction adds calibration.

    A case without a prediction scores worst and is listed. One case a process is held in memory at a time. With
    ``out``, an interrupted evaluation goes on where it stopped; cases whose files or settings changed are scored anew.
    What is written: :func:`~gliamap.workflows.scores.evaluate_files.write_evaluation`. ``progress`` is called with the
    cases done, the cases in all, and the case id.

    Raises ``GridError`` where predictions, or probabilities, do not lie on their references' grids (told by the
    headers, before any case is scored), ``LabelError`` where values are outside their convention or ambiguous,
    ``ConfigError`` where a case asked for has no reference, there is no such protocol or pictures have no ``out``,
    ``OutputError`` where ``out`` holds scores already, ``LayoutError`` or ``FileError`` where there is nothing to
    score, or a case has several predictions.
    """
    options = options or EvaluateOptions()
    if out is None and options.pictures:
        raise ConfigError("pictures need a folder to be drawn into", remedy="name one with --out")
    if out is not None:
        check_free(out, OUTPUTS, holding="scores", overwrite=options.overwrite)
    plan = _plan(predictions, references, options, progress)
    scored = score_all(plan.jobs, workers=options.workers, kept=out and out / KEPT, progress=progress)
    found = _evaluation(plan, scored, options.seed)
    if out is None:
        return found
    write_evaluation(out, found, [one.case for one in scored[len(found.cases) :]])
    discard_kept(out / KEPT)
    if options.pictures:
        try:
            pairs, count = plan.sides[0].pairs, options.pictures
            draw_examples(found.cases, pairs, plan.conventions, out, references=plan.references, count=count)
        except GliamapError as error:  # the scores stand, with or without pictures
            found = replace(found, notes=(*found.notes, f"no pictures: {error}"))
    return found


@dataclass(frozen=True)
class _Side:
    """A folder of predictions: what of it is scored, and what has no reference.

    ``regions`` and ``classes`` are what it has in common with the references; ``notes`` say what it has not.
    """

    folder: Path
    pairs: tuple[Pair, ...]
    surplus: tuple[str, ...]
    regions: tuple[Region, ...]
    classes: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Plan:
    """What is to be scored, and how: known before any case is read, but for the values that tell a convention.

    ``sides``: the predictions, then those to compare them with, each with the same cases. ``conventions`` are those of
    the references, by case.
    """

    protocol: Protocol
    references: DataSet
    sides: tuple[_Side, ...]
    conventions: Mapping[str, Convention]
    notes: tuple[str, ...]

    @property
    def jobs(self) -> list[Job]:
        """One for each case of each side."""
        return [
            Job(pair, self.conventions[pair.case_id].name, side.regions, side.classes, self.protocol.name)
            for side in self.sides
            for pair in side.pairs
        ]


def _plan(predictions: Path, references: Path, options: EvaluateOptions, progress: Progress | None) -> _Plan:
    protocol = _protocol(options.protocol)
    data = scan_with_masks(references, options.pattern)
    conventions = _reference_conventions(data, options.reference_labels, progress)
    every, notes = pairs_of(data)
    sides = []
    for folder in (predictions, options.against):
        if folder is not None:
            found, surplus = find_predictions(every, folder, options.labels)
            pairs = _select(found, options)
            sides.append(_Side(folder, pairs, surplus, *_comparable(pairs, conventions, protocol.regions)))
    check_grids([pair for side in sides for pair in side.pairs])
    return _Plan(protocol, data, tuple(sides), conventions, (*notes, *_leaks(every, options)))


def _protocol(name: str) -> Protocol:
    if name not in PROTOCOLS:
        raise ConfigError(
            f"there is no protocol '{name}'", expected=", ".join(PROTOCOLS), remedy="name one of these with --protocol"
        )
    return PROTOCOLS[name]


def _select(pairs: Sequence[Pair], options: EvaluateOptions) -> tuple[Pair, ...]:
    """The pairs that ``options`` asks for."""
    wanted = None if options.cases is None else set(options.cases)
    if (options.split is None) != (options.part is None):
        raise ConfigError("a split file and its part belong together", remedy="give both --split and --part")
    if options.split is not None and options.part is not None:
        split = read_split(options.split)
        in_part = set({"train": split.train, "val": split.val, "test": split.test}[options.part])
        wanted = in_part if wanted is None else wanted & in_part
    if wanted is None:
        return tuple(pairs)
    unknown = sorted(wanted - {pair.case_id for pair in pairs})
    if unknown:
        raise ConfigError(
            f"{len(unknown)} of the cases to score have no reference mask",
            found=", ".join(unknown[:5]) + (" and others" if len(unknown) > 5 else ""),
            remedy="check the case ids, the split file and the folder of references",
        )
    if not wanted:
        raise ConfigError("no case is left to score", remedy="check the case ids and the part of the split")
    return tuple(pair for pair in pairs if pair.case_id in wanted)


def _reference_conventions(data: DataSet, chosen: str | None, progress: Progress | None) -> dict[str, Convention]:
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


def _comparable(
    pairs: Sequence[Pair], references: Mapping[str, Convention], wanted: Sequence[Region]
) -> tuple[tuple[Region, ...], bool, tuple[str, ...]]:
    """The regions of ``wanted`` that all references and predictions can tell, whether all of them have the same
    classes, and remarks on what is not scored for want of that.
    """
    declared = {pair.case_id: get_convention(pair.declared) for pair in pairs if pair.declared is not None}
    sides = {"references": {pair.case_id: references[pair.case_id] for pair in pairs}, "predictions": declared}
    every = [convention for side in sides.values() for convention in side.values()]
    regions = tuple(region for region in wanted if all(region in convention.regions for convention in every))
    same = len({frozenset(convention.tissues) for convention in every}) == 1
    expected = {region for convention in sides["references"].values() for region in convention.regions}
    lost = [region for region in wanted if region in expected and region not in regions]
    why = [blame for name, side in sides.items() for blame in _blame(name, side, lost)]
    notes = (f"not scored: {' and '.join(lost)}, because {' and '.join(why)}",) if lost else ()
    return regions, same, (*(() if same else (_OTHER_CLASSES,)), *notes)


def _blame(side: str, conventions: Mapping[str, Convention], lost: Collection[Region]) -> Iterator[str]:
    """Which cases of a side have labels that cannot tell all of ``lost``, in words, by convention."""
    for name in sorted({convention.name for convention in conventions.values()}):
        if not set(lost) <= set(get_convention(name).regions):
            cases = [case_id for case_id, convention in conventions.items() if convention.name == name]
            yield f"the {side} of {summarise_names(cases)} have the labels {name}"


def _evaluation(plan: _Plan, scored: Sequence[Scored], seed: int) -> Evaluation:
    """All that is said of the first side; of a second one how they differ, and what it lacks."""
    count = len(plan.sides[0].pairs)
    cases, others = (tuple(one.case for one in part) for part in (scored[:count], scored[count:]))
    summary = summarise(cases, seed=seed)
    notes = [*plan.notes, *plan.sides[0].notes, *_silent(plan)]
    if summary.unit == "px" and plan.protocol.lesions:
        notes.append(_NO_MM)
    found = Evaluation(
        cases=cases,
        summary=summary,
        missing=_missing(plan.sides[0]),
        surplus=plan.sides[0].surplus,
        prediction_conventions=_conventions(scored[:count]),
        reference_conventions=tuple(sorted({plan.conventions[case.case_id].name for case in cases})),
        notes=tuple(notes),
        protocol=plan.protocol,
        predictions=_name(plan.sides[0].folder),
        references=_name(plan.references.root),
        strata=strata_of(cases, seed=seed),
    )
    if not others:
        return found
    other, labels, missing = _name(plan.sides[1].folder), _conventions(scored[count:]), _missing(plan.sides[1])
    notes += [f"{other}: {note}" for note in plan.sides[1].notes]
    if labels != found.prediction_conventions:
        notes.append(f"{other} has the labels {', '.join(labels)}")
    if missing:
        notes.append(f"{other}: {len(missing)} without a prediction, scored worst: {summarise_names(missing)}")
    return replace(found, notes=tuple(notes), other=other, paired=compare_paired(cases, others, seed=seed))


def _missing(side: _Side) -> tuple[str, ...]:
    return tuple(pair.case_id for pair in side.pairs if pair.prediction is None)


def _conventions(scored: Sequence[Scored]) -> tuple[str, ...]:
    return tuple(sorted({one.convention for one in scored if one.convention}))


def _silent(plan: _Plan) -> list[str]:
    """A remark on probabilities of which nobody knows what they are."""
    files = [pair.probabilities for side in plan.sides for pair in side.pairs if pair.probabilities]
    silent = sum(not file.channels for file in files)
    if not silent:
        return []
    said = (
        "1 file of probabilities is not used: its"
        if silent == 1
        else f"{silent} files of probabilities are not used: their"
    )
    return [f"{said} CASE.json names no probability_channels"]


def _name(folder: Path) -> str:
    """A folder without its place on the machine."""
    return folder.resolve().name
