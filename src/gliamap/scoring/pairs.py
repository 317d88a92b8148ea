"""Which prediction belongs to which reference, and which label convention each of them uses. Reads names, and values
only where nothing else tells the convention.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gliamap.case import DataSet
from gliamap.errors import FileError, GridError, LabelError
from gliamap.io.cases import mask_suffix, read_grid, read_mask_file
from gliamap.io.images import IMAGE_SUFFIXES
from gliamap.labels import (
    CONVENTIONS,
    Convention,
    LabelMap,
    get_convention,
    resolve_convention,
    to_tissue,
    values_in,
)
from gliamap.scoring.probabilities import ENDING, ProbabilityFile, check_probabilities, find_probabilities
from gliamap.sources.layout import list_folder, natural_key
from gliamap.sources.masks import LAYOUT as BARE_MASKS
from gliamap.sources.masks import declared_convention
from gliamap.volume import Grid

_NIFTI = (".nii.gz", ".nii")

_ENDINGS = ("", "-seg", "_seg")
"""What may stand between the case id and the suffix in the name of a mask."""

_NO_MASKS = (ENDING, "_mosaic", "_comparison", "_entropy", "_disagreement")
"""What follows the case id in the names of other files that gliamap writes."""

_BARE = ("the references are bare masks: every case counts as its own patient",)
_UNKNOWN = "patients are not known: every case counts as its own, so the intervals are too narrow"


@dataclass(frozen=True)
class Pair:
    """A reference mask, the conventions its layout allows, and its prediction, if there is one.

    ``declared`` is the convention that the prediction says or is said to use, ``None`` where it takes that of its
    reference. ``probabilities`` lie beside the prediction, if there are any.
    """

    case_id: str
    patient_id: str
    reference: Path
    allowed: tuple[str, ...]
    prediction: Path | None = None
    declared: str | None = None
    probabilities: ProbabilityFile | None = None


def pairs_of(data: DataSet) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """The reference masks of a data set, or of bare masks, without predictions yet; and remarks."""
    pairs = tuple(
        Pair(case.case_id, case.identity.patient_id, case.labels, case.conventions)
        for case in data.cases
        if case.labels is not None
    )
    if data.layout == BARE_MASKS:
        return pairs, _BARE
    without = len(data.cases) - len(pairs)
    notes = (f"{without} cases without a reference mask were passed over",) if without else ()
    return pairs, notes if data.patients_known else (*notes, _UNKNOWN)


def find_predictions(
    pairs: Sequence[Pair], predictions: Path, chosen: str | None
) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """The pairs completed with their predictions, and the ids of predictions that belong to no pair.

    Looked for: ``CASE.nii.gz`` (``.nii``, or ``.png`` and other images where the references are slices),
    ``CASE-seg.nii.gz``, ``CASE_seg.nii.gz``, and the same inside a folder ``CASE``. The convention is the
    ``label_convention`` of ``CASE.json`` beside the mask, else ``chosen``. ``FileError`` where ``predictions`` is not
    a folder, holds no prediction at all, or several of one case.
    """
    if not predictions.is_dir():
        raise FileError(f"{predictions} is not a folder", expected="a folder of predicted masks")
    suffixes = _suffixes(pairs[0].reference)
    found = tuple(_with_prediction(pair, predictions, suffixes, chosen) for pair in pairs)
    if all(pair.prediction is None for pair in found):
        raise FileError(
            f"{predictions} holds no prediction for any of the {len(pairs)} references",
            expected=f"masks named like {pairs[0].case_id}{suffixes[0]}",
            remedy="check the folder; the mask of a case is named after its case id",
        )
    return found, _surplus(predictions, [pair.case_id for pair in pairs], suffixes)


def check_grids(pairs: Sequence[Pair]) -> None:
    """``GridError`` where a prediction, or its probabilities, do not lie on its reference's grid.

    ``FileError`` where probabilities do not hold the channels named for them. Reads headers only, before any work.
    """
    other = []
    for pair in pairs:
        if pair.prediction is not None:
            own, grid = read_grid(pair.prediction), read_grid(pair.reference)
            if not own.same_as(grid):
                other.append((pair, pair.prediction, own, grid))
            elif pair.probabilities and pair.probabilities.channels:
                check_probabilities(pair.probabilities, grid)
    if other:
        raise _other_grid(*other[0], others=len(other) - 1)


def read_reference(pair: Pair, convention: Convention) -> tuple[LabelMap, Grid]:
    """The tissues of a reference, and its grid."""
    values, grid = read_mask_file(pair.reference)
    _resolved(values_in(values), [convention], pair.reference, "--reference-labels")
    return to_tissue(values, convention), grid


def read_prediction(pair: Pair, path: Path, grid: Grid, reference: Convention) -> tuple[LabelMap, Convention]:
    """The tissues of the prediction at ``path`` and its convention.

    Where none is declared, the reference's is taken; where the values do not fit that, another one of the
    reference's layout that divides the tumour in the same way. ``GridError`` where the grid is not the reference's.
    """
    values, own = read_mask_file(path)
    if not own.same_as(grid):
        raise _other_grid(pair, path, own, grid)
    present = values_in(values)
    candidates = [reference]
    if pair.declared is not None:
        candidates = [get_convention(pair.declared)]
    elif not all(value in reference.values for value in present):
        allowed = (CONVENTIONS[name] for name in pair.allowed)
        candidates = [c for c in allowed if set(c.tissues) == set(reference.tissues)] or [reference]
    convention = _resolved(present, candidates, path, "--labels")
    return to_tissue(values, convention), convention


def _other_grid(pair: Pair, path: Path, own: Grid, grid: Grid, *, others: int = 0) -> GridError:
    more = f"; {others} other prediction{'s do' if others > 1 else ' does'} not either" if others else ""
    return GridError(
        f"{path} does not lie on the grid of its reference {pair.reference}",
        found=own.describe() + more,
        expected=grid.describe(),
        remedy="resample the prediction to the grid of the case it was made for",
    )


def _resolved(present: Collection[int], candidates: Sequence[Convention], path: Path, option: str) -> Convention:
    """:func:`~gliamap.labels.resolve_convention`, with the file and the option for its side in the message."""
    try:
        return resolve_convention(present, candidates)
    except LabelError as error:
        remedy = error.remedy.replace("--labels", option) if error.remedy else None
        raise LabelError(f"{path}: {error.what}", found=error.found, expected=error.expected, remedy=remedy) from error


def _suffixes(reference: Path) -> tuple[str, ...]:
    return IMAGE_SUFFIXES if mask_suffix(reference) in IMAGE_SUFFIXES else _NIFTI


def _case_name(file_name: str, suffixes: Sequence[str]) -> str | None:
    """``CASE`` of ``CASE.nii.gz`` or ``CASE-seg.nii.gz``; ``None`` where the name does not end like a mask's."""
    for suffix in suffixes:
        if file_name.lower().endswith(suffix):
            return file_name[: -len(suffix)].removesuffix("-seg").removesuffix("_seg")
    return None


def _with_prediction(pair: Pair, folder: Path, suffixes: Sequence[str], chosen: str | None) -> Pair:
    paths = _masks_of(pair.case_id, folder, suffixes)
    if not paths:
        return pair
    if len(paths) > 1:
        raise FileError(
            f"{folder} holds several predictions of the case {pair.case_id}",
            found=", ".join(str(path.relative_to(folder)) for path in paths),
            expected="one mask of each case",
            remedy="move all but one away",
        )
    path = paths[0]
    return replace(
        pair,
        prediction=path,
        declared=declared_convention(path, pair.case_id) or chosen,
        probabilities=find_probabilities(path, pair.case_id),
    )


def _masks_of(case_id: str, folder: Path, suffixes: Sequence[str]) -> list[Path]:
    places = (
        where / f"{case_id}{end}{s}" for where in (folder, folder / case_id) for end in _ENDINGS for s in suffixes
    )
    return [place for place in places if place.is_file()]


def _surplus(folder: Path, known: Sequence[str], suffixes: Sequence[str]) -> tuple[str, ...]:
    """Ids of masks in ``folder`` that no reference has. The other files that gliamap writes there are none."""
    inside = list_folder(folder)
    names = {_case_name(file.name, suffixes) or "" for file in inside.files}
    names |= {sub.name for sub in inside.folders if _masks_of(sub.name, folder, suffixes)}
    left = (name for name in names - {"", *known} if not name.endswith(_NO_MASKS))
    return tuple(sorted(left, key=natural_key))
