"""Another prepared data set to learn from, which is neither validated nor tested on.

RUN/auxiliary.json   which of its cases were learned from
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from gliamap.case import CaseIdentity
from gliamap.config import ModelSpec, PrepConfig, Settings
from gliamap.errors import ConfigError, FileError
from gliamap.io.atomic import read_json, write_json
from gliamap.io.store import StoreInfo, read_store
from gliamap.labels import get_convention
from gliamap.sampling.auxiliary import Auxiliary
from gliamap.sources.same_patient import met_elsewhere
from gliamap.sources.splits import Split

logger = logging.getLogger(__name__)

FILE = "auxiliary.json"


class AuxiliaryOptions(Settings):
    """The prepared data set ``store``, the ``share`` of training patches that are cut from it, and which of the data
    set's own folds are used for nothing.
    """

    store: Path
    share: float = Field(default=0.5, gt=0, lt=1)
    closed_folds: tuple[int, ...] = ()


class AuxiliaryRecord(Settings):
    """``auxiliary.json``: from where, how much, and the cases that were learned from."""

    format: Literal[1] = 1
    sources: tuple[str, ...]
    fingerprint: str
    share: float
    modalities: tuple[str, ...]
    left_out: int
    cases: tuple[str, ...]

    @property
    def summary(self) -> dict[str, Any]:
        """What ``run.json`` says of it."""
        return self.model_dump(mode="json", exclude={"format", "cases"}) | {"cases": len(self.cases)}


class Found(NamedTuple):
    """An auxiliary data set, for a training and for its record."""

    auxiliary: Auxiliary
    record: AuxiliaryRecord


def find_auxiliary(options: AuxiliaryOptions | None, info: StoreInfo, *, spec: ModelSpec, split: Split) -> Found | None:
    """What a training of ``spec`` on the cases of ``info`` learns from besides; ``None`` where that is nothing.

    Cases of patients who are not trained on are left out, as far as names tell who they are; so are those of closed
    folds and of their patients. ``ConfigError`` where the network cannot learn from the others. A warning where they
    were prepared in another way.
    """
    if options is None:
        return None
    other = read_store(options.store)
    if other.fingerprint == info.fingerprint:
        raise ConfigError("the auxiliary data set is the one that is trained on", remedy="name another, or none")
    places = tuple(
        other.prep.modalities.index(name) if name in other.prep.modalities else None for name in spec.prep.modalities
    )
    _check(options.store, other, spec, places)
    known = {entry.case_id: entry.identity for entry in info.cases}
    held_out = [known[i] for i in (*split.val, *split.test, *split.left_out) if i in known]
    identities = [entry.identity for entry in other.cases]
    away = {*_closed(options, identities), *met_elsewhere(identities, held_out)}
    entries = tuple(entry for entry in other.cases if entry.case_id not in away)
    if not entries:
        raise ConfigError(f"no case of {options.store} may be learned from", remedy="name another store, or none")
    auxiliary = Auxiliary(options.store, entries, places, options.share)
    record = AuxiliaryRecord(
        sources=other.sources,
        fingerprint=other.fingerprint,
        share=options.share,
        modalities=tuple(name for name, place in zip(spec.prep.modalities, places, strict=True) if place is not None),
        left_out=len(away),
        cases=tuple(entry.case_id for entry in entries),
    )
    return Found(auxiliary, record)


def _check(store: Path, other: StoreInfo, spec: ModelSpec, places: tuple[int | None, ...]) -> None:
    shown, wanted = get_convention(other.convention), spec.output
    if wanted.kind == "regions":
        tells_all = set(wanted.regions) <= set(shown.regions)
    else:
        tells_all = set(wanted.tissues) <= set(shown.tissues)
    lacking = [name for name, place in zip(spec.prep.modalities, places, strict=True) if place is None]
    if len(lacking) == len(places):
        raise ConfigError(
            f"the cases of {store} have none of the modalities {', '.join(spec.prep.modalities)}",
            found=", ".join(other.prep.modalities),
            remedy="name another auxiliary data set, or none",
        )
    if lacking and not spec.inputs.presence:
        raise ConfigError(
            f"the cases of {store} have no {', '.join(lacking)}, which the network cannot do without",
            remedy="take a recipe that drops modalities in training, such as any-modality",
        )
    if not tells_all:
        raise ConfigError(
            f"the masks of {store} do not tell all that the network is to tell",
            found=shown.describe(),
            expected=", ".join(map(str, wanted.channels)),
            remedy="say --output binary to learn tumour alone, or name another auxiliary data set",
        )
    if spec.network.dims == 3 and all(entry.shape[2] == 1 for entry in other.cases):
        raise ConfigError(f"a network for volumes cannot learn from the slices of {store}", remedy="say --dims 2")
    for what, ours, theirs in _preparations(spec.prep, other.prep):
        if ours != theirs:
            logger.warning("%s was prepared with another %s: %s, here %s", store, what, theirs, ours)


def _preparations(ours: PrepConfig, theirs: PrepConfig) -> Iterable[tuple[str, object, object]]:
    for name in ("foreground", "normalise"):
        yield name, getattr(ours, name), getattr(theirs, name)
    if (pixel := ours.pixel) and (other := theirs.pixel):
        yield "pixel in mm", pixel, other


def _closed(options: AuxiliaryOptions, identities: Iterable[CaseIdentity]) -> set[str]:
    identities = tuple(identities)
    missing = set(options.closed_folds) - {identity.fold for identity in identities}
    if missing:
        raise ConfigError(
            f"{options.store} has no fold {', '.join(map(str, sorted(missing)))}", remedy="check which folds to close"
        )
    patients = {identity.patient_id for identity in identities if identity.fold in options.closed_folds}
    return {identity.case_id for identity in identities if identity.patient_id in patients}


def write_auxiliary(run: Path, record: AuxiliaryRecord) -> None:
    """Write ``auxiliary.json`` into the run's folder."""
    write_json(run / FILE, record.model_dump(mode="json"))


def read_auxiliary(run: Path) -> AuxiliaryRecord | None:
    """What :func:`write_auxiliary` wrote; ``None`` where there is none, ``FileError`` where it is damaged."""
    path = run / FILE
    if not path.is_file():
        return None
    try:
        return AuxiliaryRecord.model_validate(read_json(path))
    except ValidationError as error:
        raise FileError(f"{path} does not say what else was learned from", remedy="restore the file") from error
