"""The nouns that move through gliamap, one a stage, so that data only moves forward. Knows numpy only.

DataSet of CaseFiles (names) -> Case (native voxels) -> PreparedCase (network's voxels) -> Prediction (native voxels)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape
from gliamap.labels import LabelMap, Region
from gliamap.volume import Grid


@dataclass(frozen=True)
class CaseIdentity:
    """Which case this is, and what its data set says about splitting.

    ``case_id`` is one scan session, ``patient_id`` the unit of a split. ``fold`` and ``exclude_when_test_fold`` come
    from the data set's own manifest, where it has one; so do ``aliases``, the names that the patient has in other data
    sets.
    """

    case_id: str
    patient_id: str
    fold: int | None = None
    exclude_when_test_fold: frozenset[int] = frozenset()
    aliases: frozenset[str] = frozenset()


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case.

    ``modalities`` maps names (``t1``, ``t1c``, ``t2``, ``flair``) to files, in the source's order. A path may lead into
    an archive (``Task01.tar/imagesTr/BRATS_001.nii.gz``). ``channels`` says, for files that hold several images, which
    of them a modality is. ``conventions`` names the label conventions that the layout allows; empty where the layout
    does not say.
    """

    identity: CaseIdentity
    modalities: Mapping[str, Path]
    labels: Path | None = None
    conventions: tuple[str, ...] = ()
    channels: Mapping[str, int] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """With plain dictionaries: read-only views cannot be sent to another process."""
        return self.__dict__ | {"modalities": dict(self.modalities), "channels": dict(self.channels)}

    @property
    def case_id(self) -> str:
        """The identity's case id."""
        return self.identity.case_id


@dataclass(frozen=True)
class DataSet:
    """What a folder holds: its layout's name, its cases in order, and what the layout says of all of them.

    ``foreground`` is ``brain`` for skull-stripped images, ``head`` for whole heads, ``None`` where the layout does not
    say. Where ``patients_known`` is
    false, every case counts as its own patient and neighbours in file order may be the same person. ``notes`` are
    remarks for the user, such as folders that were passed over.
    """

    root: Path
    layout: str
    cases: tuple[CaseFiles, ...]
    foreground: Literal["brain", "head"] | None
    patients_known: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Case:
    """One case as its files hold it.

    ``image`` is ``(C, X, Y, Z)`` float32 in file orientation, channels in the order of ``modalities``; ``labels`` is
    an ``(X, Y, Z)`` map of tissues on the same grid, or ``None``. ``convention`` names what the label file used.
    """

    case_id: str
    patient_id: str
    modalities: tuple[str, ...]
    image: NDArray[np.float32]
    grid: Grid
    labels: LabelMap | None = None
    convention: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class GridRecord:
    """What is needed to go from a prepared grid back to the native one.

    ``flips`` and ``axes`` say how native voxel axes became R, A, S: prepared axis i is native axis ``axes[i]``,
    reversed where ``flips[i]``. ``crop`` is the box kept, in the reoriented grid. ``shape`` and ``spacing`` describe
    the prepared grid: the crop's own where nothing was resampled.
    """

    native: Grid
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    crop: Box
    shape: Shape
    spacing: tuple[float, float, float]

    @property
    def resampled(self) -> bool:
        """The prepared grid is not the crop's own."""
        return self.shape != self.crop.shape

    @property
    def voxel_size(self) -> float:
        """What one voxel of the prepared grid adds to a volume: millilitres, or pixels for an image without spacing."""
        return self.native.voxel_size * float(np.prod(self.crop.shape) / np.prod(self.shape))

    def native_boxes(
        self, starts: NDArray[np.integer], stops: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The native voxels that half-open boxes of the prepared grid cover, ``(N, 3)`` starts and stops each.

        Where the grid was resampled, a native voxel that is covered in part belongs to it. What lies outside the
        prepared grid has no native voxels; a box that lies there altogether becomes empty (start = stop).
        """
        shape, kept, moved = (np.array(x, np.int64) for x in (self.shape, self.crop.shape, self.crop.start))
        low, high = (np.clip(x, 0, shape) * kept for x in (starts, stops))
        low, high = low // shape + moved, np.maximum(-(-high // shape), low // shape) + moved
        axes = list(self.axes)
        sizes = np.array(self.native.shape, np.int64)[axes]
        flipped = np.where(self.flips, sizes - high, low), np.where(self.flips, sizes - low, high)
        native = np.empty_like(low), np.empty_like(high)
        for out, turned in zip(native, flipped, strict=True):
            out[:, axes] = turned
        return native


@dataclass(frozen=True)
class Lesion:
    """One 26-connected lesion: its box on the prepared grid, its voxels, its size in mL (pixels for an image)."""

    box: Box
    voxels: int
    size: float


@dataclass(frozen=True, eq=False)
class TumourIndex:
    """Where the tumour is, found once at preparation, so that sampling need not search.

    ``samples`` maps each region present to ``(N, 3)`` int32 voxel positions on the prepared grid, drawn evenly with
    a seeded generator; ``voxels`` counts each region's voxels; ``lesions`` are those of the whole tumour.
    """

    samples: Mapping[Region, NDArray[np.int32]]
    voxels: Mapping[Region, int]
    lesions: tuple[Lesion, ...]


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """One case as a network sees it: ``image`` ``(C, X, Y, Z)`` in RAS+, cropped, normalised; ``labels`` likewise.

    ``present`` says for each of the C modalities whether the case has it: the channel of one that is missing is 0.
    ``None`` says that all are there.
    """

    case_id: str
    patient_id: str
    image: NDArray[np.floating]
    record: GridRecord
    labels: LabelMap | None = None
    index: TumourIndex | None = None
    present: tuple[bool, ...] | None = None


@dataclass(frozen=True)
class Uncertainty:
    """How unsure a model is of each region that it tells, averaged over the voxels in question.

    ``entropy`` in 0..1 (bits); ``disagreement`` in 0..1, the standard deviation of the probability over flips and
    models, ``None`` where there was one answer only. Which voxels those are: :mod:`gliamap.infer.uncertainty`.
    """

    entropy: Mapping[Region, float]
    disagreement: Mapping[Region, float] | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of a case, on its native grid.

    ``labels`` is an ``(X, Y, Z)`` map of tissues; ``probabilities`` is ``(R, X, Y, Z)`` float32 in 0..1 in the order
    of ``channels``, kept only on request, and so are the maps ``(X, Y, Z)`` of ``uncertainty``. ``missing`` names the
    modalities that the model did without. ``predicted_dice`` is what the model expects to score in each region:
    estimate, low, high; empty where it cannot tell.
    """

    case_id: str
    labels: LabelMap
    grid: Grid
    probabilities: NDArray[np.float32] | None = None
    channels: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    uncertainty: Uncertainty | None = None
    predicted_dice: Mapping[Region, tuple[float, float, float]] = field(default_factory=dict)
    entropy_map: NDArray[np.float32] | None = None
    disagreement_map: NDArray[np.float32] | None = None
