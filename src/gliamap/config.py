"""Settings that users write and files hold, checked by pydantic. Knows no files and no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gliamap.labels import Region, Tissue, get_convention

_Count = Annotated[int, Field(ge=1)]
_Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PatchSize = tuple[_Count, _Count, _Count]
"""Voxels along X, Y, Z; a 2D patch has Z = 1."""


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error rather than silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PrepConfig(Settings):
    """How a case is prepared.

    ``foreground``: what is normalised over and cropped to: ``brain`` = the voxels that are not zero (skull-stripped
    images), ``head`` = the voxels brighter than Otsu's threshold, filled (whole heads, photographs of slices).
    ``spacing``: resample to this, in mm (pixels for images); ``None`` keeps the native spacing. ``pixel_mm``: how wide
    pixels of the images are that a network for slices learns from, where their files do not tell: scans in mm are
    brought to such pixels within slices, and stay as far apart. ``normalise``: ``zscore`` by mean and standard
    deviation of the foreground, ``robust`` after cutting its intensities at the 0.5 and 99.5 percentiles.
    """

    modalities: tuple[str, ...] = Field(min_length=1)
    foreground: Literal["brain", "head"] = "brain"
    normalise: Literal["zscore", "robust"] = "zscore"
    spacing: tuple[_Length, _Length, _Length] | None = None
    pixel_mm: _Length | None = None
    crop_margin: int = Field(default=2, ge=0)

    @field_validator("modalities")
    @classmethod
    def _each_once(cls, modalities: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(modalities)) < len(modalities):
            raise ValueError("a modality is named twice")
        return modalities

    @property
    def pixel(self) -> tuple[float, float] | None:
        """Width and height of a pixel of a prepared slice in mm; ``None`` where the native ones are kept."""
        if self.spacing is None and self.pixel_mm is None:
            return None
        x, y, _ = self.spacing_of((1.0, 1.0, 1.0), "mm")
        return x, y

    def spacing_of(self, native: tuple[float, float, float], unit: Literal["mm", "px"]) -> tuple[float, float, float]:
        """What a scan whose voxels have this ``native`` spacing along R, A, S is brought to."""
        if self.pixel_mm is None or unit == "px":
            return self.spacing or native
        x, y, _ = self.spacing or (1.0, 1.0, 1.0)
        return (x * self.pixel_mm, y * self.pixel_mm, native[2])


class OutputConfig(Settings):
    """What a network's channels mean.

    ``regions``: overlapping sigmoid channels, outermost first. ``classes``: softmax over background and the tissues
    of the convention in the order of their values.
    """

    kind: Literal["regions", "classes"]
    convention: str

    @field_validator("convention")
    @classmethod
    def _known(cls, convention: str) -> str:
        return get_convention(convention).name

    @property
    def regions(self) -> tuple[Region, ...]:
        """The convention's regions: the channels where ``kind`` is ``regions``."""
        return get_convention(self.convention).regions

    @property
    def tissues(self) -> tuple[Tissue, ...]:
        """The convention's tissues: the channels after background where ``kind`` is ``classes``."""
        return get_convention(self.convention).tissues

    @property
    def channels(self) -> tuple[str, ...]:
        """A name for each output channel."""
        if self.kind == "regions":
            return tuple(region.value for region in self.regions)
        return ("background", *(tissue.name for tissue in self.tissues))


class InputConfig(Settings):
    """What a network sees beside the modalities, each as further channels, in this order.

    ``mirror``: the modalities again, mirrored left to right about the middle of the prepared grid, so that a voxel
    can be compared with the other hemisphere. ``presence``: a constant 1 for each modality that is there, 0 for one
    that is missing (whose own channel is 0 then, too).
    """

    mirror: bool = False
    presence: bool = False

    def channels(self, modalities: int) -> int:
        """The network's input channels for so many modalities."""
        return modalities * (1 + self.mirror + self.presence)


class NetConfig(Settings):
    """Which network, and its size. ``dims`` 2 or 3; ``widths`` are feature channels from the finest level down.

    ``input_size``: what patches it takes, for a network whose weights depend on that; else ``None``.
    """

    name: str = "dynunet"
    dims: Literal[2, 3]
    in_channels: int = Field(ge=1)
    out_channels: int = Field(ge=1)
    widths: tuple[_Count, ...] = (16, 32, 64, 128, 256)
    deep_supervision: bool = False
    input_size: PatchSize | None = None

    @model_validator(mode="after")
    def _enough_levels(self) -> NetConfig:
        if len(self.widths) < 2:
            raise ValueError("widths needs at least two levels")
        return self


class AugmentConfig(Settings):
    """How strongly training patches are varied; 0 switches a part off. Probabilities are per patch.

    ``elastic`` bends the anatomy; ``low_resolution`` (thick slices along one axis), ``ghosting``, ``spikes`` and
    ``motion`` imitate what scanners and patients do to MRI.
    """

    flip: bool = True
    affine: float = Field(default=0.3, ge=0, le=1)
    rotate_degrees: float = Field(default=20.0, ge=0)
    scale: float = Field(default=0.15, ge=0, lt=1)
    intensity: float = Field(default=0.3, ge=0, le=1)
    gamma: float = Field(default=0.2, ge=0, le=1)
    noise: float = Field(default=0.15, ge=0, le=1)
    bias: float = Field(default=0.15, ge=0, le=1)
    elastic: float = Field(default=0.0, ge=0, le=1)
    low_resolution: float = Field(default=0.0, ge=0, le=1)
    ghosting: float = Field(default=0.0, ge=0, le=1)
    spikes: float = Field(default=0.0, ge=0, le=1)
    motion: float = Field(default=0.0, ge=0, le=1)


LossName = Literal[
    "dice-ce",
    "ce",
    "weighted-ce",
    "focal",
    "dice",
    "dice-sample",
    "dice-focal",
    "generalised-dice",
    "log-cosh-dice",
    "tversky",
    "focal-tversky",
    "boundary",
    "lesion-dice-ce",
]
"""The losses of :data:`gliamap.losses.named.LOSSES`."""


class TrainConfig(Settings):
    """How a network is trained.

    ``batch``: patches a step, over all processes. ``micro_batch``: how many of them go through the network at once;
    the loss is taken over these and its gradients are averaged, so that one process that accumulates and several that
    share the work do the same. ``None``: a process takes all of its share at once. ``balance``: what is drawn evenly
    where a patch shall hold tumour: the ``cases`` that have some, the ``regions`` (rare ones stay frequent), or lesion
    ``sizes`` (small lesions as often as large ones). ``ratio``: where patches come from a patch table, how many with
    tumour for how many healthy ones (``1:2``), only ``tumour``, only ``healthy``, or all of them (``natural``); each at
    most once an epoch. ``modality_dropout``: the share of patches that lose some of their modalities. ``loss``: see
    :mod:`gliamap.losses.named`. ``level_weight``: where the network answers at several levels, what the loss of each
    weighs against that of the next finer one. ``soft_weight``: how much of the loss is the teachers', where there are
    any.
    ``freeze_encoder_steps`` and ``transferred_rate`` (a factor of the learning rate) hold back what was taken over from
    another network, where something was.
    """

    steps: int = Field(default=1000, ge=1)
    batch: int = Field(default=2, ge=1)
    micro_batch: int | None = Field(default=None, ge=1)
    patch: PatchSize = (64, 64, 64)
    optimiser: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    schedule: Literal["poly", "cosine"] = "cosine"
    warmup_steps: int = Field(default=50, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    foreground_share: float = Field(default=0.5, ge=0, le=1)
    balance: Literal["cases", "regions", "sizes"] = "regions"
    ratio: str = "natural"
    modality_dropout: float = Field(default=0.0, ge=0, le=1)
    loss: LossName = "dice-ce"
    level_weight: float = Field(default=0.5, ge=0, le=1)
    soft_weight: float = Field(default=0.5, ge=0, le=1)
    freeze_encoder_steps: int = Field(default=0, ge=0)
    transferred_rate: float = Field(default=1.0, gt=0, le=1)
    precision: Literal["fp32", "bf16"] = "bf16"
    augment: AugmentConfig = AugmentConfig()
    validate_every: int = Field(default=250, ge=1)
    save_every_minutes: float = Field(default=5.0, gt=0)
    workers: int = Field(default=1, ge=0)
    seed: int = Field(default=0, ge=0)

    @field_validator("ratio")
    @classmethod
    def _ratio_of_two(cls, ratio: str) -> str:
        if not re.fullmatch(r"natural|tumour|healthy|[1-9]\d{0,3}:[1-9]\d{0,3}", ratio):
            raise ValueError("the ratio is not natural, tumour, healthy or two numbers such as 1:2")
        return ratio


OF_THE_MACHINE = ("workers", "micro_batch", "save_every_minutes")
"""The fields of :class:`TrainConfig` that suit a machine and do not change the result, a micro-batch hardly."""

FREELY_CHOSEN = ("balance", "foreground_share")
"""Those that patches of a patch table do not have: they are drawn by their ``ratio`` alone."""


class WindowConfig(Settings):
    """How a network is shown a case.

    ``mode``: slid over it in ``windows``, or all of it in ``one-pass``. Windows: ``patch``, ``overlap`` (share of the
    patch). ``batch``: so many windows at once; so many slices, where a network for slices sees whole ones in one pass.
    """

    patch: PatchSize
    overlap: float = Field(default=0.5, ge=0, lt=1)
    batch: int = Field(default=1, ge=1)
    mode: Literal["windows", "one-pass"] = "windows"


class CleanUpConfig(Settings):
    """What is removed from a prediction: connected parts of a region smaller than this many mL (pixels for images)."""

    min_size: float = Field(default=0.0, ge=0)


DiceFeature = Literal["entropy", "disagreement", "log_volume"]
"""What a Dice is predicted from: mean entropy, mean disagreement, and the logarithm of 1 + the predicted volume."""


class DiceLine(Settings):
    """A Dice as a linear function of features of a prediction, learned from cases that the model had never seen.

    ``low`` and ``high`` are added to it: they bound 90 % of what was found, less what this line, learned without that
    patient, said. ``error`` is the mean absolute difference. ``patients`` it was learned from, with ``cases`` of them.
    """

    slopes: dict[DiceFeature, float] = {}
    intercept: float
    low: float
    high: float
    error: float
    patients: int
    cases: int


class DicePredictor(Settings):
    """Says from a prediction alone how good its masks probably are.

    ``found``: the line of each region where the prediction has some of it; ``none`` where it has none, and the Dice is
    1 or 0. It holds for the window ``mode`` and the ``flips`` that it was learned with.
    """

    mode: Literal["windows", "one-pass"]
    flips: bool
    found: dict[Region, DiceLine]
    none: dict[Region, DiceLine]


class ValidatedDice(Settings):
    """A cross-validated Dice: mean over ``patients`` with 95 % interval, of ``cases`` that were not trained on.

    ``patients``: ``None`` where nobody knows who they are. Each case counts as one then: the interval is too narrow.
    """

    dice: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    patients: int | None = Field(ge=1)
    cases: int = Field(ge=1)


Range = tuple[float, float]
"""The smallest and the largest of a figure."""


class Seen(Settings):
    """What the training cases were like, each figure from its smallest to its largest, to tell cases unlike them.

    Of ``cases``, ``without_tumour`` of which have none. ``unit``: mm, with volumes in mL; px, with sizes in pixels.
    ``spacing``: of the native voxels along R, A, S; ``extent``: the sides of the box around the foreground.
    ``volumes``: of each region, where a case has it; ``most_lesions``: of one case, specks not counted.
    ``intensities``: of each modality, the quantiles of the prepared image. How cases are measured, and what is unlike:
    :mod:`gliamap.checks.likeness`.
    """

    cases: int = Field(ge=1)
    without_tumour: int = Field(default=0, ge=0)
    unit: Literal["mm", "px"]
    spacing: tuple[Range, Range, Range]
    extent: tuple[Range, Range, Range]
    volumes: dict[Region, Range] = {}
    most_lesions: int = Field(default=0, ge=0)
    intensities: dict[str, tuple[Range, ...]] = {}


class ModelSpec(Settings):
    """What a checkpoint says of itself: everything that inference needs, and where the weights come from.

    ``weights_file`` lies beside this description. ``may_be_missing``: modalities without which a case can still be
    segmented, as long as one is there. ``summary``: what it is for, one sentence; ``licence``: its licence and whom to
    name. The fields after ``clean_up`` are filled as they become known; empty means not measured. ``validated``: the
    Dice of each region with all modalities; ``dice_per_modality_subset``: with only some, named as
    :func:`modality_subset` does.
    """

    format: Literal[1] = 1
    name: str
    summary: str = ""
    licence: str = ""
    network: NetConfig
    output: OutputConfig
    prep: PrepConfig
    inputs: InputConfig = InputConfig()
    window: WindowConfig
    may_be_missing: tuple[str, ...] = ()
    clean_up: CleanUpConfig = CleanUpConfig()
    planes: tuple[str, ...] = ()
    phantom_only: bool = False
    temperature: float = Field(default=1.0, gt=0)
    window_dice: dict[Literal["windows", "one-pass"], dict[Region, float]] = {}
    dice_predictor: DicePredictor | None = None
    seen: Seen | None = None
    validated: dict[Region, ValidatedDice] = {}
    dice_per_modality_subset: dict[str, dict[Region, float]] = {}
    training_data: dict[str, str] = {}
    metrics: dict[str, float] = {}
    versions: dict[str, str] = {}
    weights_file: str = Field(default="weights.safetensors", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$")
    weights_sha256: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_old_fields(cls, said: Any) -> Any:
        """Older files hold two fields that nothing was ever written into; ``seen`` took their place."""
        old = {"intensity_ranges", "volume_range"}
        return {k: v for k, v in said.items() if v or k not in old} if isinstance(said, dict) else said

    @model_validator(mode="after")
    def _told_what_is_missing(self) -> ModelSpec:
        if not set(self.may_be_missing) <= set(self.prep.modalities):
            raise ValueError("may_be_missing names modalities that the network is never shown")
        if self.may_be_missing and not self.inputs.presence:
            raise ValueError("modalities may be missing, but the network is not told which are there (inputs.presence)")
        return self


def modality_subset(modalities: Iterable[str], of: tuple[str, ...]) -> str:
    """The name of some of a model's modalities: those that are there, joined by '+' in the model's order."""
    there = set(modalities)
    return "+".join(name for name in of if name in there)
