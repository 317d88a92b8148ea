"""Folds: which cases each holds out, where it lies, how far it is; and how the cases of a store are dealt to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from gliamap.config import Settings
from gliamap.errors import ConfigError
from gliamap.io.atomic import read_json
from gliamap.io.checkpoint import read_spec
from gliamap.io.store import StoreInfo
from gliamap.recipes.recipe import Recipe
from gliamap.sources.splits import Split, SplitOptions, make_folds, make_split, read_split, write_split
from gliamap.sources.strata import sizes_in_store
from gliamap.workflows.common.auxiliary import AuxiliaryOptions
from gliamap.workflows.common.run_record import is_finished

DEFAULT_FOLDS = 4
"""Drawn where the data set ships no folds and the user names no number."""


class CrossValidateOptions(Settings):
    """What the user may set.

    ``folds``: how many (default: the data set's own, else 4). ``repeats``: how often the whole is done, each time with
    another seed. ``val_share`` of the training side's patients to choose a run's best by; none where they are so few
    that all shall be trained on, and the last weights are taken then. ``closed_folds``: folds of the data set's own to
    use for nothing at all. ``auxiliary``: another data set that every fold learns from, too. ``only``: train and
    predict these folds alone, score nothing. ``gather``: train nothing, score what is there. ``jobs``: so many folds
    side by side. ``pattern``: how the scans are named where no layout fits, see :mod:`gliamap.sources.pattern`.
    """

    recipe: Recipe = Recipe()
    folds: int | None = Field(default=None, ge=2)
    repeats: int = Field(default=1, ge=1)
    val_share: float = SplitOptions.model_fields["val_share"].default
    closed_folds: tuple[int, ...] = ()
    auxiliary: AuxiliaryOptions | None = None
    seed: int = Field(default=0, ge=0)
    only: tuple[int, ...] = ()
    gather: bool = False
    jobs: int = Field(default=1, ge=1)
    pattern: str | None = None


@dataclass(frozen=True)
class Fold:
    """A training on all folds but one; ``split.test`` are the cases that it holds out.

    ``folder`` is where its split and its run lie, ``masks`` where its predictions do. Its training has the ``seed``.
    """

    name: str
    folder: Path
    masks: Path
    number: int
    seed: int
    split: Split
    repeat: int = 0

    @property
    def split_file(self) -> Path:
        """Its split."""
        return self.folder / "split.json"

    @property
    def run(self) -> Path:
        """The run folder of its training."""
        return self.folder / "run"

    @property
    def trained(self) -> bool:
        """Its training ended."""
        return is_finished(self.run)

    def unpredicted(self) -> tuple[str, ...]:
        """The held-out cases without a complete prediction by this fold's own, trained model."""
        if not self.trained:
            return self.split.test
        weights = read_spec(self.run / "best").weights_sha256
        return tuple(case_id for case_id in self.split.test if not is_predicted(self.masks, case_id, weights))

    def lacks(self) -> str:
        """What is still to be done, in words; nothing where it is complete."""
        if not self.trained:
            return "started, not trained to its end" if (self.run / "run.json").is_file() else "not trained"
        left = len(self.unpredicted())
        return f"{left} of {len(self.split.test)} cases not predicted" if left else ""


def is_predicted(masks: Path, case_id: str, weights: str | None) -> bool:
    """``gliamap segment`` has written the mask of a case into the folder ``masks``, with a model of these weights."""
    numbers = masks / f"{case_id}.json"
    if not numbers.is_file():
        return False
    content = read_json(numbers)
    return bool(content["model"]["weights_sha256"] == weights) and (masks / content["mask"]).is_file()


def runs_of(models: Sequence[Path]) -> tuple[Path, ...]:
    """Each model's own path; those of all folds where the folder of a cross-validation is named."""
    return tuple(run for path in models for run in sorted(path.glob("repeat*/fold*/run")) or [path])


def settle_splits(folds: Sequence[Fold]) -> None:
    """Write the split of each fold, or see that the one there is the same; ``ConfigError`` where it is not."""
    for fold in folds:
        if not fold.split_file.is_file():
            write_split(fold.split_file, fold.split)
        elif read_split(fold.split_file) != fold.split:
            raise ConfigError(
                f"the cases are divided in another way than in {fold.split_file}",
                remedy="take another --out, or the settings and the version of gliamap that began this study",
            )


@dataclass(frozen=True)
class Division:
    """How the cases of a store are dealt to folds: the split of each by its number, and in ``words`` how."""

    splits: Mapping[int, Split]
    words: str


def plan_folds(info: StoreInfo, out: Path, options: CrossValidateOptions) -> tuple[tuple[Fold, ...], str]:
    """All folds of all repeats of a study in ``out``, and in words how the cases were divided (:func:`divide`).

    Repeat r has the seed ``options.seed`` + r, for what is drawn and for the training.
    """
    folds, words = [], ""
    for repeat in range(options.repeats):
        folder, seed = out / f"repeat{repeat}", options.seed + repeat
        how = SplitOptions(closed_folds=options.closed_folds, val_share=options.val_share, seed=seed)
        division = divide(info, how, options.folds)
        words = division.words
        for number, split in division.splits.items():
            name = f"repeat {repeat}, fold {number}"
            folds.append(Fold(name, folder / f"fold{number}", folder / "masks", number, seed, split, repeat))
    return tuple(folds), words


def divide(info: StoreInfo, how: SplitOptions, count: int | None = None) -> Division:
    """Deal the cases of a store to folds.

    Where every case has a fold of its data set, and so many of them are not closed as ``count`` says (or it says
    nothing), these are taken, with what the data set excludes beside them. Else folds are drawn by patient, alike in
    tumour size and enhancement, four where nothing is said. Where the unit of ``how`` is the case, folds are drawn
    always, as many as the data set has of its own unless ``count`` says it. ``ConfigError`` where the folds cannot be
    made, or one of them has nothing to test on.
    """
    how = how.model_copy(update={"patients_known": info.patients_known})
    identities, sizes = [entry.identity for entry in info.cases], sizes_in_store(info)
    own = _own_folds(info, how, count)
    if own and how.unit == "patient":
        splits = {n: make_split(identities, how.model_copy(update={"test_fold": n}), sizes) for n in own}
        words = f"the data set's own folds {', '.join(map(str, own))}"
    else:
        drawn = make_folds(identities, how, count or len(own) or DEFAULT_FOLDS, sizes)
        splits = dict(enumerate(drawn))
        words = f"{len(drawn)} folds drawn by {how.unit}, alike in tumour size and enhancement"
    empty = [f"fold {number}" for number, split in splits.items() if not split.test]
    if empty:
        raise ConfigError(f"there is no case to test on in {', '.join(empty)}", remedy="choose another --folds")
    closed = f"; closed: {', '.join(map(str, how.closed_folds))}" if how.closed_folds else ""
    return Division(splits, words + closed)


def _own_folds(info: StoreInfo, how: SplitOptions, count: int | None) -> tuple[int, ...]:
    """The data set's own folds, closed ones left out; none where they are not to be used."""
    each = {entry.fold for entry in info.cases} - set(how.closed_folds)
    known = sorted(fold for fold in each if fold is not None)
    return tuple(known) if len(known) == len(each) and len(known) > 1 and count in (None, len(known)) else ()
