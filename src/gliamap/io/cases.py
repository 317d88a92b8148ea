"""From the files of a case to its voxels on one grid, and from results back to files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliamap.case import Case, CaseFiles
from gliamap.errors import FileError, GridError, LabelError, LayoutError
from gliamap.io import images, nifti
from gliamap.io.nifti_header import NIFTI_SUFFIXES, is_nifti
from gliamap.io.regrid import onto_grid
from gliamap.labels import CONVENTIONS, LabelMap, get_convention, resolve_convention, to_tissue, values_in
from gliamap.volume import Grid

_log = logging.getLogger(__name__)

NOT_REGISTERED = "not registered: brought onto one grid by scanner coordinates alone"
"""The warning of a case whose files had different grids."""


def read_case(
    files: CaseFiles,
    *,
    modalities: tuple[str, ...] | None = None,
    convention: str | None = None,
    with_labels: bool = True,
    resample_to: str | None = None,
) -> Case:
    """Read ``modalities`` (default: all, in the source's order) of a case and, if it has any, its labels as tissues.

    ``convention`` overrides what the layout allows. Voxels that are not finite become 0 and leave a warning.
    ``resample_to`` names a modality onto whose grid the others are brought by their affines where theirs differs; it
    need not be among ``modalities``, and the case then carries the warning :data:`NOT_REGISTERED`.
    ``LayoutError`` on a missing modality, ``GridError`` where the files do not share one grid, ``LabelError`` on
    values outside the convention or ambiguous ones, ``FileError`` on a damaged file.
    """
    wanted = tuple(files.modalities) if modalities is None else modalities
    _check_present(files, wanted if resample_to is None else (*wanted, resample_to))
    warnings: list[str] = []
    first = files.modalities[resample_to or wanted[0]]
    image, grid = _read_channels(files, wanted, resample_to, warnings)
    labels, named = None, None
    if with_labels and files.labels is not None:
        labels, named = _read_tissues(files.labels, files.conventions, convention, (first, grid))
    for warning in warnings:
        _log.info("a case was read with a remark: %s", warning.split(": ", 1)[-1])
    identity = files.identity
    return Case(identity.case_id, identity.patient_id, wanted, image, grid, labels, named, tuple(warnings))


def read_mask_file(path: Path) -> tuple[NDArray[np.integer], Grid]:
    """The label values ``(X, Y, Z)`` and grid of a NIfTI or image mask, told by its suffix."""
    return images.read_mask(path) if _checked_kind(path) == "image" else nifti.read_labels(path)


def write_mask(path: Path, values: NDArray[np.uint8], reference: Path) -> None:
    """Write label values ``(X, Y, Z)`` on the grid of ``reference``; see :func:`mask_suffix` for the kind of file."""
    if _checked_kind(reference) == "image":
        images.write_mask(path, values)
    else:
        nifti.write_like(path, values.astype(np.uint8, copy=False), reference)


def write_probabilities(path: Path, probs: NDArray[np.float32], reference: Path) -> None:
    """Write ``(R, X, Y, Z)`` probabilities as a NIfTI file ``(X, Y, Z, R)``, on the grid of ``reference``.

    Images have no format for it: theirs become NIfTI as well, with the grid of the image.
    """
    data = np.moveaxis(probs, 0, -1)
    if _checked_kind(reference) == "image":
        nifti.write_new(path, data, images.read_image(reference)[1])
    else:
        nifti.write_like(path, data, reference)


def mask_suffix(reference: Path) -> str:
    """How a mask for ``reference`` ends: ``.nii.gz`` for NIfTI, ``.png`` for images."""
    return ".png" if _checked_kind(reference) == "image" else ".nii.gz"


def _checked_kind(path: Path) -> str:
    if images.is_image(path):
        return "image"
    if is_nifti(path):
        return "nifti"
    raise FileError(
        f"{path} is of an unknown kind",
        expected="one of " + ", ".join((*NIFTI_SUFFIXES, *images.IMAGE_SUFFIXES)),
        remedy="convert it, or rename it if only the name is wrong",
    )


def _check_present(files: CaseFiles, wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in files.modalities]
    if missing or not wanted:
        raise LayoutError(
            f"case {files.case_id} lacks {', '.join(missing) or 'every modality'}",
            found=", ".join(files.modalities) or "no image",
            expected=", ".join(wanted) or "at least one modality",
            remedy=f"add the missing file beside {_beside(files)}, or choose a model that does not need it",
        )


def _beside(files: CaseFiles) -> str:
    paths = [*files.modalities.values(), *([files.labels] if files.labels else [])]
    return str(paths[0]) if paths else "the others"


def _read_channels(
    files: CaseFiles, wanted: Sequence[str], resample_to: str | None, warnings: list[str]
) -> tuple[NDArray[np.float32], Grid]:
    """``(C, X, Y, Z)`` and the grid that all channels share; remarks are added to ``warnings``."""
    first = files.modalities[resample_to or wanted[0]]
    image: NDArray[np.float32] | None = None
    grid = None if resample_to is None else read_grid(first)
    for channel, name in enumerate(wanted):
        path = files.modalities[name]
        volume, own = read_image_file(path, files.channels.get(name))
        grid = grid or own
        if image is None:
            image = np.empty((len(wanted), *grid.shape), np.float32)
        replaced = nifti.replace_nonfinite(volume)
        if replaced:
            warnings.append(f"{path.name}: {replaced} voxels that are not finite were read as 0")
        if resample_to is not None and not own.same_as(grid):
            volume = onto_grid(volume, own, grid)
            warnings += [NOT_REGISTERED] if NOT_REGISTERED not in warnings else []
        else:
            _check_grid((first, grid), (path, own))
        image[channel] = volume
    assert image is not None and grid is not None  # wanted is not empty, see _check_present
    return image, grid


def read_image_file(path: Path, channel: int | None = None) -> tuple[NDArray[np.float32], Grid]:
    """The voxels ``(X, Y, Z)`` and grid of an image file of any known kind; of one channel, where it holds several."""
    if _checked_kind(path) == "image":
        return images.read_image(path, channel)
    return nifti.read_volume(path, channel)


def read_grid(path: Path) -> Grid:
    """The grid of an image file of any known kind, from as little of it as it takes."""
    return images.read_image(path)[1] if _checked_kind(path) == "image" else nifti.read_grid(path)


def _check_grid(reference: tuple[Path, Grid], other: tuple[Path, Grid]) -> None:
    if not reference[1].same_as(other[1]):
        raise GridError(
            f"{reference[0]} and {other[0]} do not share a voxel grid",
            found=f"{reference[1].describe()} and {other[1].describe()}",
            expected="the same shape and the same affine",
            remedy="register the files to one grid first; gliamap segment --resample-to brings them onto one as they are",
        )


def _read_tissues(
    path: Path, candidates: Sequence[str], chosen: str | None, reference: tuple[Path, Grid]
) -> tuple[LabelMap, str]:
    """The tissues of a label file and the name of its convention."""
    values, grid = read_mask_file(path)
    _check_grid(reference, (path, grid))
    names = [chosen] if chosen else list(candidates or CONVENTIONS)
    try:
        found = resolve_convention(values_in(values), [get_convention(name) for name in names])
        return to_tissue(values, found), found.name
    except LabelError as error:
        raise LabelError(
            f"{path}: {error.what}", found=error.found, expected=error.expected, remedy=error.remedy
        ) from error
