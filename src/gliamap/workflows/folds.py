"""The folds of a cross-validation: which cases each holds out, where it lies, how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from gliamap.config import Settings
from gliamap.errors import ConfigError
from gliamap.io.atomic import read_json
from gliamap.io.checkpoint import read_spec
from gliamap.io.store import StoreInfo
from gliamap.recipes.recipe import Recipe
from gliamap.sources.splits import Split, SplitOptions, make_folds, make_split
from gliamap.sources.strata import sizes_in_store
from gliamap.workflows.run_record import is_finished

DEFAULT_FOLDS = 4
"""Drawn where the data set ships no folds and the user names no number."""


class CrossValidateOptions(Settings):
    """What the user may set.

    ``folds``: how many (default: the data set's own, else 4). ``repeats``: how often the whole is done, each time with
    another seed. ``closed_folds``: folds of the data set's own to use for nothing at all. ``only``: train and predict
    these folds alone, score nothing. ``gather``: train nothing, score what is there. ``jobs``: so many folds side by
    side. ``pattern``: how the scans are named where no layout fits, see :mod:`gliamap.sources.pattern`.
    """

    recipe: Recipe = Recipe()
    folds: int | None = Field(default=None, ge=2)
    repeats: int = Field(default=1, ge=1)
    closed_folds: tuple[int, ...] = ()
    seed: int = Field(default=0, ge=0)
    only: tuple[int, ...] = ()
    gather: bool = False
    jobs: int = Field(default=1, ge=1)
    pattern: str | None = None


@dataclass(frozen=True)
class Fold:
    """One fold of one repeat of a study in the folder ``out``; ``split.test`` are the cases that it holds out."""

    out: Path
    repeat: int
    number: int
    seed: int
    split: Split

    @property
    def name(self) -> str:
        """In words."""
        return f"repeat {self.repeat}, fold {self.number}"

    @property
    def folder(self) -> Path:
        """Where its split and its run lie."""
        return self.out / f"repeat{self.repeat}" / f"fold{self.number}"

    @property
    def split_file(self) -> Path:
        """Its split."""
        return self.folder / "split.json"

    @property
    def run(self) -> Path:
        """The run folder of its training."""
        return self.folder / "run"

    @property
    def masks(self) -> Path:
        """Where the masks of all folds of its repeat lie: no case is held out twice."""
        return self.out / f"repeat{self.repeat}" / "masks"

    @property
    def trained(self) -> bool:
        """Its training ended."""
        return is_finished(self.run)

    def unpredicted(self) -> tuple[str, ...]:
        """The held-out cases without a complete prediction by this fold's own, trained model."""
        if not self.trained:
            return self.split.test
        weights = read_spec(self.run / "best").weights_sha256
        return tuple(case_id for case_id in self.split.test if not _predicted(self.masks, case_id, weights))

    def lacks(self) -> str:
        """What is still to be done, in words; nothing where it is complete."""
        if not self.trained:
            return "started, not trained to its end" if (self.run / "run.json").is_file() else "not trained"
        left = len(self.unpredicted())
        return f"{left} of {len(self.split.test)} cases not predicted" if left else ""


def _predicted(masks: Path, case_id: str, weights: str | None) -> bool:
    numbers = masks / f"{case_id}.json"
    if not numbers.is_file():
        return False
    content = read_json(numbers)
    return bool(content["model"]["weights_sha256"] == weights) and (masks / content["mask"]).is_file()


def plan_folds(info: StoreInfo, out: Path, options: CrossValidateOptions) -> tuple[tuple[Fold, ...], str]:
    """All folds of all repeats, and in words how the cases were divided.

    Where every case of the store has a fold of its data set, and so many of them are not closed as ``options.folds``
    says (or it says nothing), these are taken, with what the data set excludes beside them. Else folds are drawn by
    patient, alike in tumour size and enhancement. Repeat r has the seed ``options.seed`` + r, for what is drawn and
    for the training. ``ConfigError`` where the folds cannot be made, or one of them has nothing to test on.
    """
    own = _own_folds(info, options)
    folds = []
    for repeat in range(options.repeats):
        drawn = SplitOptions(
            closed_folds=options.closed_folds, seed=options.seed + repeat, patients_known=info.patients_known
        )
        for number, split in _splits(info, drawn, own, options.folds or DEFAULT_FOLDS):
            folds.append(Fold(out, repeat, number, drawn.seed, split))
    empty = [fold.name for fold in folds if not fold.split.test]
    if empty:
        raise ConfigError(f"there is no case to test on in {', '.join(empty)}", remedy="choose another --folds")
    return tuple(folds), _in_words(own, options, len(folds) // options.repeats)


def _own_folds(info: StoreInfo, options: CrossValidateOptions) -> tuple[int, ...]:
    """The data set's own folds, closed ones left out; none where they are not to be used."""
    each = {entry.fold for entry in info.cases} - set(options.closed_folds)
    known = sorted(fold for fold in each if fold is not None)
    fitting = len(known) == len(each) and len(known) > 1 and options.folds in (None, len(known))
    return tuple(known) if fitting else ()


def _splits(info: StoreInfo, drawn: SplitOptions, own: Sequence[int], count: int) -> Sequence[tuple[int, Split]]:
    identities = [entry.identity for entry in info.cases]
    sizes = sizes_in_store(info)
    if not own:
        return list(enumerate(make_folds(identities, drawn, count, sizes)))
    return [(n, make_split(identities, drawn.model_copy(update={"test_fold": n}), sizes)) for n in own]


def _in_words(own: Sequence[int], options: CrossValidateOptions, count: int) -> str:
    closed = f"; closed: {', '.join(map(str, options.closed_folds))}" if options.closed_folds else ""
    if own:
        return f"the data set's own folds {', '.join(map(str, own))}{closed}"
    return f"{count} folds drawn by patient, alike in tumour size and enhancement{closed}"
