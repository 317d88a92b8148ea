"""What the cases of a data set show together, from what was kept and added up. Knows numpy only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from gliamap.labels import Tissue
from gliamap.survey.case import CaseFacts
from gliamap.survey.counts import INTENSITY_EDGES, SIZE_EDGES, Counts, Ints
from gliamap.survey.quality import Score, score_cases
from gliamap.volume import Unit

SHOWN = 4
"""Cases that are shown as the best looking, and as the worst; of few cases, half of them at most."""


@dataclass(frozen=True)
class TissueSum:
    """A tissue over all cases with a mask.

    ``size`` in mL or pixels, ``of_marked`` its share of all voxels that have a label, ``of_foreground`` of the brain
    or head, ``cases`` that have it.
    """

    tissue: Tissue
    voxels: int
    size: float
    of_marked: float
    of_foreground: float
    cases: int


@dataclass(frozen=True, eq=False)
class Survey:
    """The cases of one data set whose grids have one ``unit``, in its order, and their ``counts`` added up.

    ``foreground`` is what the images show. ``scores`` has one for each of ``cases``.
    """

    data_set: str
    unit: Unit
    foreground: Literal["brain", "head"]
    cases: tuple[CaseFacts, ...]
    counts: Counts
    patients_known: bool = True
    scores: tuple[Score | None, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", tuple(score_cases([case.quality for case in self.cases])))

    @property
    def size_unit(self) -> str:
        """The unit of sizes."""
        return "mL" if self.unit == "mm" else "pixels"

    @property
    def labelled(self) -> tuple[CaseFacts, ...]:
        """The cases with a mask, be it empty."""
        return tuple(case for case in self.cases if case.voxels is not None)

    @property
    def with_tumour(self) -> tuple[CaseFacts, ...]:
        """The cases with a voxel of tumour."""
        return tuple(case for case in self.cases if case.tumour)

    @property
    def slices_alone(self) -> bool:
        """Every case is a single slice."""
        return all(case.slices <= 1 for case in self.cases)

    @property
    def noun(self) -> str:
        """What a case is called."""
        return "slice" if self.slices_alone else "case"

    @property
    def tissues(self) -> tuple[TissueSum, ...]:
        """Those that occur, by their number."""
        cases = self.labelled
        inside = sum(case.foreground for case in cases)
        marked = sum(sum((case.voxels or {}).values()) for case in cases)
        found = []
        for tissue in Tissue:
            having = [(count, case) for case in cases if (count := (case.voxels or {}).get(tissue, 0))]
            voxels = sum(count for count, _ in having)
            if voxels:
                size = math.fsum(count * case.voxel_size for count, case in having)
                of_foreground = voxels / inside if inside else math.nan
                found.append(TissueSum(tissue, voxels, size, voxels / marked, of_foreground, len(having)))
        return tuple(found)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities with intensities, in the order in which cases have them."""
        seen = {modality for modality, _ in self.counts.intensities}
        names = dict.fromkeys(name for case in self.cases for name in case.modalities)
        return tuple(name for name in names if name in seen)

    def intensities(self, modality: str) -> dict[Tissue, Ints]:
        """The histogram of each tissue in ``modality``, by the tissue's number."""
        counted = self.counts.intensities
        return {tissue: counted[modality, tissue] for tissue in Tissue if (modality, tissue) in counted}

    @property
    def extent(self) -> tuple[float, float, float]:
        """The mean extent of the foreground along R, A, S in mm or pixels, over the cases with a mask."""
        x, y, z = np.mean([case.extent for case in self.labelled], axis=0)
        return (float(x), float(y), float(z))

    @property
    def patient_slices(self) -> tuple[int, ...]:
        """Of single slices: how many with tumour each patient has."""
        found = dict.fromkeys((case.patient_id for case in self.labelled), 0)
        for case in self.labelled:
            found[case.patient_id] += case.tumour_slices
        return tuple(found.values())

    def best(self) -> tuple[int, ...]:
        """Numbers of the best looking cases, the best first."""
        return tuple(reversed(self._by_index()[-self._shown() :])) if self._shown() else ()

    def worst(self) -> tuple[int, ...]:
        """Numbers of the worst looking cases, the worst first."""
        return tuple(self._by_index()[: self._shown()])

    def _shown(self) -> int:
        return min(SHOWN, len(self._by_index()) // 2)

    def _by_index(self) -> list[int]:
        scored = [(score.index, number) for number, score in enumerate(self.scores) if score is not None]
        return [number for _, number in sorted(scored)]

    def as_json(self) -> dict[str, Any]:
        """What ``explore.json`` holds of a data set, see :func:`gliamap.workflows.data.explore.explore`."""
        return {
            "data_set": self.data_set,
            "size_unit": self.size_unit,
            "foreground": self.foreground,
            "cases_with_mask": len(self.labelled),
            "cases_with_tumour": len(self.with_tumour),
            "foreground_voxels": sum(case.foreground for case in self.labelled),
            "tumour_voxels": sum(case.tumour for case in self.labelled),
            "tissues": [_tissue_json(one) for one in self.tissues],
            "lesion_sizes": {"edges": SIZE_EDGES.tolist(), "lesions": self.counts.lesion_sizes.tolist()},
            "intensities": {
                "edges": INTENSITY_EDGES.round(6).tolist(),
                "voxels": {
                    modality: {tissue.name.lower(): n.tolist() for tissue, n in self.intensities(modality).items()}
                    for modality in self.modalities
                },
            },
            "places": {
                plane: {"cases": one.cases, "cases_with_tumour": one.tumour.tolist()}
                for plane, one in sorted(self.counts.places.items())
            },
            "cases": [_case_json(case, score) for case, score in zip(self.cases, self.scores, strict=True)],
        }


def middle(values: Sequence[float]) -> float:
    """The median; NaN of nothing."""
    return float(np.median(values)) if len(values) else math.nan


def digits(size: float) -> str:
    """A size in mL or pixels for readers: three digits, all those before the point from 100 on."""
    return f"{size:,.0f}" if size >= 100 else f"{size:.3g}"


def _tissue_json(one: TissueSum) -> dict[str, Any]:
    return {
        "tissue": one.tissue.name.lower(),
        "voxels": one.voxels,
        "size": round(one.size, 6),
        "share_of_marked": one.of_marked,
        "share_of_foreground": None if math.isnan(one.of_foreground) else one.of_foreground,
        "cases": one.cases,
    }


def _case_json(case: CaseFacts, score: Score | None) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "patient_id": case.patient_id,
        "foreground_voxels": case.foreground,
        "voxels": None if case.voxels is None else {tissue.name.lower(): n for tissue, n in case.voxels.items()},
        "tumour_size": case.tumour * case.voxel_size,
        "lesions": case.lesions,
        "largest_lesion": case.largest,
        "slices": case.slices,
        "tumour_slices": case.tumour_slices,
        "quality": {str(key): value for key, value in case.quality.items()},
        "quality_index": None if score is None else score.index,
        "weakest": None if score is None else str(score.weakest),
    }
