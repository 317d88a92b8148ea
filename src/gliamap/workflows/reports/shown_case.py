"""What a report shows, read: the images on the mask's grid, the mask, a reference, maps of uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliamap.case import Case, CaseFiles
from gliamap.errors import FileError, GridError, LabelError
from gliamap.io.cases import read_case, read_grid, read_image_file, read_mask_file
from gliamap.labels import REGION_NAMES, Convention, LabelMap, get_convention, to_tissue
from gliamap.scoring.probabilities import ENDING, ProbabilityFile, read_probabilities
from gliamap.viewer.payload import ScalarMap
from gliamap.volume import Grid
from gliamap.workflows.common.one_case import with_mask
from gliamap.workflows.reports.mask_record import MaskRecord

_ENTROPY = "_entropy.nii.gz"
_SLACK = 1e-3  # beyond 0 and 1, from rounding


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask as tissues ``(X, Y, Z)`` on the case's grid, and the convention that its file used."""

    labels: LabelMap
    convention: Convention


def read_shown(files: CaseFiles, mask: Path, record: MaskRecord | None) -> tuple[Case, tuple[str, ...]]:
    """The modalities that lie on the grid of ``mask``, those that the model read first; remarks on what is left out.

    Where the record says that grids differed, all are brought onto that grid, as they were for the model.
    ``GridError`` where none lies on it; ``FileError`` on a damaged file.
    """
    grid = read_grid(mask)
    grids = {name: read_grid(path) for name, path in files.modalities.items()}
    fitting = [name for name, own in grids.items() if own.same_as(grid)]
    if not fitting:
        found = "; ".join(f"{name}: {own.describe()}" for name, own in grids.items()) or "no image"
        raise GridError(
            f"{mask} lies on the grid of no image of case {files.case_id}",
            found=found,
            expected=grid.describe(),
            remedy="name the case that the mask was made for",
        )
    together = record is not None and record.not_registered
    names = list(grids) if together else fitting
    read = record.modalities if record else ()
    names.sort(key=lambda name: name not in read)
    case = read_case(files, modalities=tuple(names), with_labels=False, resample_to=fitting[0] if together else None)
    left_out = [name for name in grids if name not in names]
    notes = (f"not shown, because on another grid: {', '.join(left_out)}",) if left_out else ()
    return case, (*notes, *case.warnings)


def read_mask(files: CaseFiles, path: Path, grid: Grid, labels: str | None) -> Mask:
    """The mask at ``path``; ``labels`` names its convention where it is known.

    ``GridError`` where it does not lie on ``grid``, ``LabelError`` where its convention is not told or does not fit.
    """
    (name,) = with_mask(files, path, labels).conventions
    convention = get_convention(name)
    values, own = read_mask_file(path)
    _check_grid(path, own, grid)
    try:
        return Mask(to_tissue(values, convention), convention)
    except LabelError as error:
        raise LabelError(
            f"{path}: {error.what}", found=error.found, expected=error.expected, remedy=error.remedy
        ) from error


def read_maps(
    case: Case, mask: Path, record: MaskRecord | None, *, entropy: Path | None, probabilities: Path | None
) -> tuple[ScalarMap, ...]:
    """Maps to lay over the images: those named, else those beside the mask under their usual names.

    ``GridError`` where one does not lie on the case's grid, ``FileError`` where one is damaged or nothing says what
    the channels of ``probabilities`` are.
    """
    found = []
    doubt = entropy or _beside(mask, f"{case.case_id}{_ENTROPY}")
    if doubt:
        values, own = read_image_file(doubt)
        _check_grid(doubt, own, case.grid)
        found.append(ScalarMap("entropy", "uncertainty (entropy)", _as_entropy(doubt, values), (0.0, 1.0)))
    path = probabilities or _beside(mask, f"{case.case_id}{ENDING}.nii.gz")
    channels = record.probability_channels if record else ()
    if probabilities and not channels:
        raise FileError(
            f"nothing says what the channels of {probabilities} are",
            expected=f"probability_channels in {case.case_id}.json beside the mask",
            remedy="write both with gliamap segment --probabilities",
        )
    if path and channels:
        regions = get_convention(record.label_convention).regions if record else ()
        for region, values in read_probabilities(ProbabilityFile(path, channels), case.grid, regions).items():
            title = f"probability of {REGION_NAMES[region]}"
            found.append(ScalarMap(f"probability-{region}", title, values, (0.0, 1.0)))
    return tuple(found)


def _as_entropy(path: Path, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The map with 0 where nothing is told; ``FileError`` where it is something else, such as a scan."""
    values = np.nan_to_num(values)
    if values.min() < -_SLACK or values.max() > 1 + _SLACK:
        raise FileError(
            f"{path} is no map of uncertainty",
            found=f"values from {values.min():.4g} to {values.max():.4g}",
            expected="entropy, from 0 to 1",
            remedy="name the map that gliamap segment --uncertainty wrote",
        )
    return values


def _beside(mask: Path, name: str) -> Path | None:
    path = mask.with_name(name)
    return path if path.is_file() else None


def _check_grid(path: Path, own: Grid, grid: Grid) -> None:
    if not own.same_as(grid):
        raise GridError(
            f"{path} does not lie on the grid of its case",
            found=own.describe(),
            expected=grid.describe(),
            remedy="name a file that was made for this case",
        )
