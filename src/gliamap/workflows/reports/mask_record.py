"""What the ``CASE.json`` beside a mask says of how it was made, as far as gliamap segment wrote it there.

A file that anybody may have made: it is checked when it is read, and what it lacks is not told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gliamap.errors import FileError
from gliamap.io.atomic import read_json
from gliamap.labels import Region
from gliamap.scoring.probabilities import are_channels

_MOST = 100
"""Warnings of a case: there are not as many kinds."""


class Part(BaseModel):
    """A part of a file of JSON: frozen; what other versions of gliamap say beside it is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


_Share = Annotated[float, Field(ge=0, le=1)]


class Warned(Part):
    """A warning: the code of its rule, and what was found in words."""

    code: str
    text: str


class Expected(Part):
    """The Dice that a model expects of its own mask, and between which values it lies in nine of ten cases."""

    estimate: _Share
    low: _Share
    high: _Share


class Doubt(Part):
    """See :class:`gliamap.case.Uncertainty`."""

    entropy: float
    disagreement: float | None = None


class ModelName(Part):
    """Which model: its name, the hash of its weights, and why it was taken where the user named none."""

    name: str
    weights_sha256: str | None = None
    phantom_only: bool = False
    chosen: str | None = None


class EngineName(Part):
    """What ran the network."""

    name: str
    precision: str
    version: str = ""


class MadeFrom(Part):
    """Hashes of the files of each modality, and of the weights of all models."""

    inputs: dict[str, str] = {}
    models: tuple[str, ...] = ()


class Windows(Part):
    """How the network was shown the case."""

    mode: str = "windows"
    patch: tuple[int, ...] = ()
    overlap: float = 0.0


class MaskRecord(Part):
    """What is told of a ``mask``, a file's name: ``regions`` are volumes in ``unit``, ``files`` the hashes of all that
    was written with it, by name.
    """

    case_id: str
    label_convention: str
    mask: str = ""
    unit: Literal["mL", "pixels"] = "mL"
    regions: dict[Region, float] = {}
    modalities: tuple[str, ...] = ()
    missing_modalities: tuple[str, ...] = ()
    not_registered: bool = False
    warnings: Annotated[tuple[Warned, ...], Field(max_length=_MOST)] = ()
    predicted_dice: dict[Region, Expected] = {}
    uncertainty: dict[Region, Doubt] = {}
    probability_channels: tuple[str, ...] = ()
    model: ModelName | None = None
    engine: EngineName | None = None
    window: Windows | None = None
    flips: tuple[str, ...] = ()
    spacing: tuple[float, float, float] | None = None
    clean_up: dict[str, float] = {}
    versions: dict[str, str] = {}
    made_from: MadeFrom = MadeFrom()
    files: dict[str, str] = {}

    @field_validator("probability_channels")
    @classmethod
    def _known(cls, channels: tuple[str, ...]) -> tuple[str, ...]:
        if channels and not are_channels(channels):
            raise ValueError("the channels are neither regions nor tissues")
        return channels


def read_mask_record(mask: Path, case_id: str) -> MaskRecord | None:
    """What ``CASE.json`` beside ``mask`` says; ``None`` where there is none, or it tells of something else.

    ``FileError`` where it is damaged.
    """
    path = mask.with_name(f"{case_id}.json")
    if not path.is_file():
        return None
    said = read_json(path)
    tells = isinstance(said, dict) and said.get("case_id") == case_id and "label_convention" in said
    return as_mask_record(said, path) if tells else None


def as_mask_record(said: Any, path: Path) -> MaskRecord:
    """The content of ``CASE.json``, checked; ``FileError`` names ``path`` where something in it does not fit."""
    return checked(MaskRecord, said, path, remedy="segment the case again, or move the file away")


_Kind = TypeVar("_Kind", bound=Part)


def checked(kind: type[_Kind], said: Any, path: Path, *, remedy: str) -> _Kind:
    """``said``, the content of ``path``, as a ``kind``; ``FileError`` where something in it does not fit."""
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise FileError(
            f"{path} is not what gliamap writes under this name",
            found=f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"[:200],
            remedy=remedy,
        ) from error
