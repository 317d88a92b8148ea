"""The nouns of a comparison of trainings: what was compared, what each cost, what came out. Nothing here is ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from gliamap.errors import FileError
from gliamap.labels import Region
from gliamap.scoring.estimate import Estimate
from gliamap.volume import Unit

COMPARED: tuple[str, ...] = ("dice", "hd95", "surface_dice", "volume_difference")
"""The figures of a region that comparisons keep, see :class:`~gliamap.scoring.score.RegionScore`."""

Verdict = Literal["baseline", "higher", "lower", "not told apart", "not run"]
"""How an arm's Dice compares with the baseline's, see :func:`~gliamap.comparison.rows.verdict_of`."""

Figures = Mapping[Region, Mapping[str, Estimate]]
"""An estimate for each region and each name in ``COMPARED``."""


@dataclass(frozen=True)
class Budget:
    """What each training may use, its base included: so many optimiser ``steps``, or ``minutes`` of time."""

    kind: Literal["minutes", "steps"]
    amount: float

    def __str__(self) -> str:
        amount = f"{self.amount:.0f}" if self.kind == "steps" else f"{self.amount:g}"
        return f"{amount} {self.kind if self.amount != 1 else self.kind[:-1]}"


@dataclass(frozen=True)
class Cost:
    """What training and using a network takes.

    ``steps`` and ``minutes`` (of wall time, validation included) are those of one training, its base's included.
    ``parameters`` and ``gflops`` are the network's, the latter for one window of the size it is used with (floating
    point operations, a multiplication and an addition being two). ``seconds_per_case``: from a case's files to its
    mask. ``peak_mib``: the highest resident memory of the process that trained.
    """

    steps: int
    minutes: float
    parameters: int
    gflops: float
    seconds_per_case: float
    peak_mib: float


@dataclass(frozen=True)
class CaseFigures:
    """The figures of one case: by region, then by name. ``None`` is what a case does not have."""

    case_id: str
    patient_id: str
    figures: Mapping[Region, Mapping[str, float | None]]


@dataclass(frozen=True)
class RunResult:
    """One training that is asked for: what it took, and the figures of the cases that were kept from it.

    ``lacking`` says why it is not done; there is no ``cost`` and no case then. With ``tested_on`` the cases are of that
    other data set.
    """

    arm: str
    data: str
    seed: int
    fold: int
    cost: Cost | None = None
    cases: tuple[CaseFigures, ...] = ()
    lacking: str = ""
    tested_on: str = ""


@dataclass(frozen=True)
class ArmResult:
    """One arm on one data set.

    ``runs`` of ``runs_wanted`` are done, with these ``seeds`` and ``folds``; ``lacking`` says why each other one is
    not. ``cost`` is the mean over the runs (``peak_mib``: the highest), ``None`` without any. ``gain``: by how much
    Dice is higher than the baseline's, over the runs that both have done. ``each_seed``: mean Dice with each of
    ``seeds``. ``verdict`` is there for the regions of the data set, even where the arm was not run.
    """

    arm: str
    data: str
    seeds: tuple[int, ...]
    folds: tuple[int, ...]
    runs: int
    runs_wanted: int
    lacking: Mapping[str, str]
    cost: Cost | None
    figures: Figures
    gain: Mapping[Region, Estimate]
    each_seed: Mapping[Region, tuple[float, ...]]
    verdict: Mapping[Region, Verdict]


@dataclass(frozen=True)
class Elsewhere:
    """An arm trained on one data set, tested on all labelled cases of another.

    ``runs`` models were tested; a case's figures are averaged over them. ``excluded`` cases are of patients whom
    training may have seen. A foreground is ``brain`` (skull-stripped scans) or ``head``. ``modalities`` maps each one
    that the model wants to what it was given; ``regions`` are those that both label conventions can tell. ``lacking``
    says why nothing could be tested; there are no figures then. ``gain`` and ``verdict``: against the baseline, trained
    and tested on the same data sets. ``scale``: how many times as large as in training
    heads are there, in voxels; ``resampled``: they were brought to the size in training.
    """

    arm: str
    trained_on: str
    tested_on: str
    runs: int
    cases: int
    patients: int
    excluded: int
    trained_foreground: str
    tested_foreground: str
    modalities: Mapping[str, str]
    regions: tuple[Region, ...]
    figures: Figures
    lacking: str = ""
    scale: float = 1.0
    resampled: bool = False
    gain: Mapping[Region, Estimate] = field(default_factory=dict)
    verdict: Mapping[Region, Verdict] = field(default_factory=dict)


@dataclass(frozen=True)
class ComparedData:
    """A data set that arms are trained on: in words how it was divided, and the unit of its distances."""

    name: str
    division: str
    unit: Unit
    patients_known: bool
    fingerprint: str


@dataclass(frozen=True)
class Comparison:
    """All that a table or a page shows of a comparison; rows keep the order in which they were asked for.

    ``budget``: ``None`` where each recipe takes the steps that it names. ``split``: divided by ``patient``, or by
    ``record``, which tears patients apart: such scores are too high on purpose. ``machine`` and ``commit`` are those of
    every training that is done, machines with semicolons between, commits with blanks.
    """

    budget: Budget | None
    split: Literal["patient", "record"]
    baseline: str
    data: tuple[ComparedData, ...]
    arms: tuple[ArmResult, ...]
    elsewhere: tuple[Elsewhere, ...]
    machine: str
    commit: str
    command: str = ""
    notes: tuple[str, ...] = ()


_ADAPTER = TypeAdapter(Comparison)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """What a JSON file holds of it."""
    found: dict[str, Any] = _ADAPTER.dump_python(comparison, mode="json")
    return found


def from_json(content: Any) -> Comparison:
    """The comparison that :func:`as_json` gave; what else the JSON object holds is passed over.

    ``FileError`` where it is none.
    """
    try:
        return _ADAPTER.validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise FileError(
            "this is no comparison", found=f"{where}: {first['msg']}", remedy="name what gliamap compare wrote"
        ) from error
