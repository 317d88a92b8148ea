"""From the files of a case to its voxels on one grid, and from results back to files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliamap.case import Case, CaseFiles
from gliamap.errors import FileError, GridError, LabelError, LayoutError
from gliamap.io import images, matlab, mgz, nifti
from gliamap.io.nifti_header import NIFTI_SUFFIXES, is_nifti
from gliamap.io.regrid import onto_grid
from gliamap.labels import CONVENTIONS, LabelMap, get_convention, resolve_convention, to_tissue, values_in
from gliamap.volume import Grid

_log = logging.getLogger(__name__)

NOT_REGISTERED = "not registered: brought onto one grid by scanner coordinates alone"
"""The warning of a case whose files had different grids."""

_Volumes = Iterator[tuple[int | None, NDArray[np.float32], Grid]]


@dataclass(frozen=True)
class _Format:
    """How files of one kind are read, and how a mask made for one ends.

    ``read_volumes`` gives the wanted channels of a file, each once; ``None`` is the only image of a file.
    """

    suffixes: tuple[str, ...]
    read_volumes: Callable[[Path, Collection[int | None]], _Volumes]
    read_labels: Callable[[Path], tuple[NDArray[np.integer], Grid]]
    read_grid: Callable[[Path], Grid]
    mask_suffix: str


def _read_matlab(path: Path, channels: Collection[int | None]) -> _Volumes:
    return ((channel, *matlab.read_image(path)) for channel in channels)


_FORMATS = (
    _Format(NIFTI_SUFFIXES, nifti.read_volumes, nifti.read_labels, nifti.read_grid, ".nii.gz"),
    _Format(mgz.MGZ_SUFFIXES, mgz.read_volumes, mgz.read_labels, mgz.read_grid, ".nii.gz"),
    _Format(images.IMAGE_SUFFIXES, images.read_volumes, images.read_mask, images.read_grid, ".png"),
    _Format((".mat",), _read_matlab, matlab.read_mask, matlab.read_grid, ".png"),
)


def read_case(
    files: CaseFiles,
    *,
    modalities: tuple[str, ...] | None = None,
    may_be_missing: Collection[str] = (),
    convention: str | None = None,
    with_labels: bool = True,
    resample_to: str | None = None,
) -> Case:
    """Read ``modalities`` (default: all, in the source's order) of a case and, if it has any, its labels as tissues.

    Those of ``may_be_missing`` are left out where the case lacks them, as long as one is left.
    ``convention`` overrides what the layout allows. Voxels that are not finite become 0 and leave a warning; so does a
    modality that is a copy of another one in the same image file.
    ``resample_to`` names a modality onto whose grid the others are brought by their affines where theirs differs; it
    need not be among ``modalities``, and the case then carries the warning :data:`NOT_REGISTERED`.
    ``LayoutError`` on a missing modality, ``GridError`` where the files do not share one grid, ``LabelError`` on
    values outside the convention or ambiguous ones, ``FileError`` on a damaged file.
    """
    asked = tuple(files.modalities) if modalities is None else modalities
    wanted = tuple(m for m in asked if m in files.modalities or m not in may_be_missing)
    if not wanted:
        any_of = f"at least one of {', '.join(asked)}" if asked else "at least one modality"
        raise _lacking(files, ", ".join(asked) or "every modality", any_of)
    _check_present(files, wanted if resample_to is None else (*wanted, resample_to))
    warnings: list[str] = []
    first = files.modalities[resample_to or wanted[0]]
    image, grid = _read_channels(files, wanted, resample_to, warnings)
    warnings += _copies(files, wanted)
    labels, named = None, None
    if with_labels and files.labels is not None:
        labels, named = _read_tissues(files.labels, files.conventions, convention, (first, grid))
    for warning in warnings:
        _log.info("a case was read with a remark: %s", warning.split(": ", 1)[-1])
    identity = files.identity
    return Case(identity.case_id, identity.patient_id, wanted, image, grid, labels, named, tuple(warnings))


def read_image_file(path: Path, channel: int | None = None) -> tuple[NDArray[np.float32], Grid]:
    """The voxels ``(X, Y, Z)`` and grid of an image file of any known kind; of one channel, where it holds several."""
    ((_, volume, grid),) = read_volumes(path, (channel,))
    return volume, grid


def read_volumes(path: Path, channels: Collection[int | None]) -> _Volumes:
    """The wanted channels of an image file of any known kind, one at a time, with their grid; ``None`` is the only one.

    The file is read once.
    """
    return _format_of(path).read_volumes(path, channels)


def read_mask_file(path: Path) -> tuple[NDArray[np.integer], Grid]:
    """The label values ``(X, Y, Z)`` and grid of a mask file of any known kind, told by its suffix."""
    return _format_of(path).read_labels(path)


def read_grid(path: Path) -> Grid:
    """The grid of an image file of any known kind, from as little of it as it takes; of a 4D file, its images'."""
    return _format_of(path).read_grid(path)


def write_mask(path: Path, values: NDArray[np.uint8], reference: Path) -> None:
    """Write label values ``(X, Y, Z)`` on the grid of ``reference``; see :func:`mask_suffix` for the kind of file."""
    values = values.astype(np.uint8, copy=False)
    if mask_suffix(reference) == ".png":
        images.write_mask(path, values)
    else:
        _write_volume(path, values, reference)


def write_probabilities(path: Path, probs: NDArray[np.float32], reference: Path) -> None:
    """Write ``(R, X, Y, Z)`` probabilities as a NIfTI file ``(X, Y, Z, R)``, on the grid of ``reference``.

    Images have no format for it: theirs become NIfTI as well, with the grid of the image.
    """
    _write_volume(path, np.moveaxis(probs, 0, -1), reference)


def write_map(path: Path, volume: NDArray[np.float32], reference: Path) -> None:
    """Write one value a voxel, ``(X, Y, Z)``, as a NIfTI file on the grid of ``reference``, for an image as well."""
    _write_volume(path, volume, reference)


def mask_suffix(reference: Path) -> str:
    """How a mask for ``reference`` ends: ``.nii.gz`` for NIfTI and MGZ, ``.png`` for slices."""
    return _format_of(reference).mask_suffix


def _write_volume(path: Path, data: NDArray[np.generic], reference: Path) -> None:
    if is_nifti(reference):
        nifti.write_like(path, data, reference)
    else:
        nifti.write_new(path, data, read_grid(reference))


def _format_of(path: Path) -> _Format:
    found = next((known for known in _FORMATS if path.name.lower().endswith(known.suffixes)), None)
    if found is None:
        raise unknown_kind(path)
    return found


def unknown_kind(path: Path) -> FileError:
    """The error for a file whose name says no kind that is read."""
    return FileError(
        f"{path} is of an unknown kind",
        expected="one of " + ", ".join(suffix for known in _FORMATS for suffix in known.suffixes),
        remedy="convert it, or rename it if only the name is wrong",
    )


def _check_present(files: CaseFiles, wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in files.modalities]
    if missing:
        raise _lacking(files, ", ".join(missing), ", ".join(wanted))


def _lacking(files: CaseFiles, missing: str, expected: str) -> LayoutError:
    return LayoutError(
        f"case {files.case_id} lacks {missing}",
        found=", ".join(files.modalities) or "no image",
        expected=expected,
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
    for at, path, volume, own in _volumes(files, wanted):
        grid = grid or own
        if image is None:
            image = np.empty((len(wanted), *grid.shape), np.float32)
        replaced = nifti.replace_nonfinite(volume)
        if replaced:
            place = f"{path.name} ({wanted[at]})" if wanted[at] in files.channels else path.name
            warnings.append(f"{place}: {replaced} voxels that are not finite were read as 0")
        if resample_to is not None and not own.same_as(grid):
            image[at] = onto_grid(volume, own, grid)
            warnings += [NOT_REGISTERED] if NOT_REGISTERED not in warnings else []
        else:
            _check_grid((first, grid), (path, own))
            image[at] = volume
    assert image is not None and grid is not None  # wanted is not empty, see _check_present
    return image, grid


def _volumes(files: CaseFiles, wanted: Sequence[str]) -> Iterator[tuple[int, Path, NDArray[np.float32], Grid]]:
    """Each wanted modality: its place among them, its file, its volume, its grid. Every file is read once."""
    places: dict[Path, dict[int | None, list[int]]] = {}
    for at, name in enumerate(wanted):
        places.setdefault(files.modalities[name], {}).setdefault(files.channels.get(name), []).append(at)
    for path, by_channel in places.items():
        for channel, volume, grid in read_volumes(path, by_channel):
            for at in by_channel[channel]:
                yield at, path, volume, grid


def _copies(files: CaseFiles, wanted: Sequence[str]) -> Iterator[str]:
    """A remark on each wanted modality that is a copy of another one in the same image file, wanted or not.

    Where one of them is FLAIR, it is taken for the original: the LGG data set of Kaggle fills gaps with it.
    """
    places = {(files.modalities[name], channel): name for name, channel in files.channels.items()}
    for path in dict.fromkeys(files.modalities[name] for name in wanted if name in files.channels):
        for group in images.equal_channels(path) if images.is_image(path) else ():
            names = [places[path, channel] for channel in group if (path, channel) in places]
            original = "flair" if "flair" in names else names[0] if names else ""
            for name in names:
                if name != original and name in wanted:
                    yield f"{name} is a copy of {original}: it stands for a missing modality"


def _check_grid(reference: tuple[Path, Grid], other: tuple[Path, Grid]) -> None:
    if not reference[1].same_as(other[1]):
        raise GridError(
            f"{reference[0]} and {other[0]} do not share a voxel grid",
            found=f"{reference[1].describe()} and {other[1].describe()}",
            expected="the same shape and the same affine",
            remedy="register them to one grid first; gliamap segment --resample-to brings them onto one as they are",
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
