"""All checks of one case: every file is read once, one volume at a time; whatever is wrong becomes a finding."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliamap.case import CaseFiles
from gliamap.checks.anatomy import Foreground, stripped_or_head
from gliamap.checks.contrast import swapped_modalities
from gliamap.checks.findings import RULES, CaseReport, Finding, gather
from gliamap.checks.fingerprint import Fingerprint, fingerprint_of
from gliamap.checks.fit import mask_fits
from gliamap.checks.geometry import check_brain_size, check_geometry
from gliamap.checks.intensity import ImageSummary, check_images, summarise_image
from gliamap.checks.masks import check_place, check_specks, check_values
from gliamap.errors import GliamapError, LabelError
from gliamap.io.cases import read_mask_file, read_volumes
from gliamap.io.facts import FileFacts, read_facts
from gliamap.io.nifti import replace_nonfinite
from gliamap.labels import (
    CONVENTIONS,
    LabelMap,
    Region,
    Tissue,
    get_convention,
    region_mask,
    resolve_convention,
    to_tissue,
    values_in,
)
from gliamap.volume import Grid

logger = logging.getLogger(__name__)

MASK = "mask"
"""What the label file is called among the files of a case."""

_ORDER = list(RULES)
_SHOWS = {"brain": "a skull-stripped brain", "head": "a whole head"}


@dataclass(frozen=True)
class Expected:
    """What the data set says of its cases: a case that differs is worth a finding.

    ``modalities`` are those that most cases have; ``conventions`` the label conventions asked for (empty: those that
    each case allows); ``foreground`` as in :class:`gliamap.case.DataSet`.
    """

    modalities: tuple[str, ...] = ()
    conventions: tuple[str, ...] = ()
    foreground: Foreground | None = None


@dataclass(frozen=True, eq=False)
class CheckedCase:
    """What one look at a case gives: the report, its headers, and what is compared across cases.

    ``facts`` by modality, the mask's as ``mask``; files whose header cannot be read are missing. ``foreground`` is
    what the voxels show, ``None`` where that is not sure; ``label_values`` are the mask's own, without 0.
    ``fingerprint`` is ``None`` where no image could be read.
    """

    report: CaseReport
    facts: Mapping[str, FileFacts] = field(default_factory=dict)
    foreground: Foreground | None = None
    label_values: tuple[int, ...] = ()
    fingerprint: Fingerprint | None = None


@dataclass(frozen=True, eq=False)
class _Images:
    """A summary of every image that could be read, and ``(C, X, Y, Z)`` of those on ``grid`` that show something."""

    summaries: Mapping[str, ImageSummary]
    names: tuple[str, ...]
    image: NDArray[np.float32]
    grid: Grid | None


def check_case(files: CaseFiles, expected: Expected) -> CheckedCase:
    """Read the files of a case and look for everything that one case can tell; never raises for a hostile file.

    Findings come in the order of ``findings.RULES``, at most one a rule. What asks for several modalities at a time
    looks at those that share a grid. Free of state, so that a pool of processes may run it.
    """
    faults: dict[str, str] = {}
    facts = _read_facts(files, faults)
    missing = [name for name in expected.modalities if name not in files.modalities]
    found = [Finding("missing-modality", ", ".join(missing))] if missing else []
    found += check_geometry(facts)
    images = _read_images(files, facts, faults)
    shows = stripped_or_head(images.image) if images.names else None
    found += _check_images(images, shows, expected, sized=any(one.code == "spacing-implausible" for one in found))
    values = _read_mask(files, facts, faults, found)
    tissues = None
    if values is not None:
        conventions = expected.conventions or files.conventions
        found += check_values(values, conventions)
        tissues = _tissues(values, conventions)
        found += _check_mask(values, tissues, facts[MASK].grid, images, shows)
    found += _check_contrast(images, tissues, shows, found)
    found += gather("unreadable", faults)
    found.sort(key=lambda finding: _ORDER.index(finding.code))
    report = CaseReport(files.case_id, files.identity.patient_id, tuple(found))
    return CheckedCase(
        report, facts, shows, () if values is None else values_in(values), _fingerprint(images, values, facts)
    )


def _read_facts(files: CaseFiles, faults: dict[str, str]) -> dict[str, FileFacts]:
    facts: dict[str, FileFacts] = {}
    for name, path in files.modalities.items():
        with _noted(faults, name, path):
            facts[name] = read_facts(path, files.channels.get(name))
    if files.labels is not None:
        with _noted(faults, MASK, files.labels):
            facts[MASK] = read_facts(files.labels)
    return facts


def _read_images(files: CaseFiles, facts: Mapping[str, FileFacts], faults: dict[str, str]) -> _Images:
    readable = [name for name in files.modalities if name in facts]
    shared = _shared_grid([facts[name].grid for name in readable])
    summaries: dict[str, ImageSummary] = {}
    kept: list[str] = []
    image = np.empty((len(readable), *(shared.shape if shared else (0, 0, 0))), np.float32)
    inside: dict[Path, dict[int | None, list[str]]] = {}
    for name in readable:
        inside.setdefault(files.modalities[name], {}).setdefault(files.channels.get(name), []).append(name)
    for path, channels in inside.items():
        with _noted(faults, ", ".join(name for names in channels.values() for name in names), path):
            for channel, volume, grid in read_volumes(path, channels):
                summary = summarise_image(volume, replace_nonfinite(volume))
                summaries.update(dict.fromkeys(channels[channel], summary))
                if shared is None or not grid.same_as(shared) or summary.minimum == summary.maximum:
                    continue
                for name in channels[channel]:
                    image[len(kept)] = volume
                    kept.append(name)
    return _Images(summaries, tuple(kept), image[: len(kept)], shared)


def _shared_grid(grids: Sequence[Grid]) -> Grid | None:
    """The grid that most files have, the first of those; ``None`` without files."""
    return max(grids, key=lambda grid: sum(grid.same_as(other) for other in grids), default=None)


def _check_images(images: _Images, shows: Foreground | None, expected: Expected, *, sized: bool) -> list[Finding]:
    """What the images alone tell; ``sized`` where their size is known to be wrong."""
    kinds = {shows, expected.foreground} - {None}
    found = check_images(images.summaries, stripped=kinds == {"brain"})
    if shows and len(kinds) > 1:
        found.append(Finding("foreground-unexpected", f"looks like {_SHOWS[shows]}"))
    if shows == "brain" and images.grid is not None and not sized:
        found += check_brain_size(_brain(images), images.grid)
    return found


def _brain(images: _Images) -> NDArray[np.bool_]:
    brain = np.zeros(images.image.shape[1:], np.bool_)
    for name, channel in zip(images.names, images.image, strict=True):
        np.logical_or(brain, channel != images.summaries[name].background, out=brain)
    return brain


def _read_mask(
    files: CaseFiles, facts: Mapping[str, FileFacts], faults: dict[str, str], found: list[Finding]
) -> NDArray[np.integer] | None:
    """The values of the mask, ``None`` where there is none or it cannot be read; ``found`` is told why."""
    if files.labels is None or MASK not in facts:
        return None
    with _noted(faults, MASK, files.labels):
        try:
            return read_mask_file(files.labels)[0]
        except LabelError as error:
            found.append(Finding("labels-not-whole", error.found or error.what))
    return None


def _tissues(values: NDArray[np.integer], conventions: Sequence[str]) -> LabelMap | None:
    """The tissues of a mask, ``None`` where its values leave doubt."""
    try:
        known = [get_convention(name) for name in conventions or CONVENTIONS]
        return to_tissue(values, resolve_convention(values_in(values), known))
    except LabelError:
        return None


def _check_mask(
    values: NDArray[np.integer], tissues: LabelMap | None, grid: Grid, images: _Images, shows: Foreground | None
) -> list[Finding]:
    """Where the tumour lies; beside the image only where both share a grid."""
    tumour = values != 0 if tissues is None else region_mask(tissues, Region.WT)
    found = check_specks(tumour)
    if not images.names or images.grid is None or not grid.same_as(images.grid):
        return found
    found += check_place(tumour, images.image, [images.summaries[name].background for name in images.names])
    labels = np.where(tumour, np.uint8(Tissue.TUMOUR), np.uint8(0)) if tissues is None else tissues
    misfit = mask_fits(images.image, images.names, labels, images.grid) if shows == "brain" else None
    return found if misfit is None else [*found, misfit]


def _check_contrast(
    images: _Images, tissues: LabelMap | None, shows: Foreground | None, found: Sequence[Finding]
) -> list[Finding]:
    """Whether modalities look swapped, which a copy in place of one would seem to be."""
    codes = {finding.code for finding in found}
    copied, misfit = "copied-channel" in codes, "mask-does-not-fit" in codes
    if shows != "brain" or copied or not images.names:
        return []
    fits = tissues is not None and tissues.shape == images.image.shape[1:] and not misfit
    return swapped_modalities(images.image, images.names, tissues if fits else None)


def _fingerprint(
    images: _Images, values: NDArray[np.integer] | None, facts: Mapping[str, FileFacts]
) -> Fingerprint | None:
    if not images.names or images.grid is None:
        return None
    fits = values is not None and facts[MASK].grid.same_as(images.grid)
    labels = values.astype(np.uint8) if values is not None and fits else None
    return fingerprint_of(images.image, images.names, images.grid, labels)


@contextmanager
def _noted(faults: dict[str, str], name: str, path: Path) -> Iterator[None]:
    """Whatever goes wrong while a file is read is said of it, and the others are still looked at."""
    try:
        yield
    except GliamapError as error:
        what = error.what.replace(str(path), path.name)
        faults[name] = what + (f" ({error.found.replace(str(path), path.name)})" if error.found else "")
    except Exception as error:  # a preflight goes on past what nobody foresaw: the file is to blame, not the user
        logger.error("a file could not be read in a way that nobody foresaw: %s", type(error).__name__)
        faults[name] = f"{path.name} cannot be read (unexpected {type(error).__name__})"
