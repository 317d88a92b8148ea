"""The page of a patient's visits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from gliamap import __version__
from gliamap.case import Case, CaseFiles
from gliamap.config import Settings
from gliamap.errors import ConfigError, GridError, LayoutError
from gliamap.io.atomic import write_text
from gliamap.io.cases import mask_suffix
from gliamap.metrics.measures import measure_tumour
from gliamap.sources.masks import mask_case
from gliamap.viewer.follow_up_page import FollowUp, Visit, draw_page
from gliamap.viewer.payload import Limits, make_payload
from gliamap.volume import Grid
from gliamap.workflows.common.one_case import only_case
from gliamap.workflows.reports.case_words import Told
from gliamap.workflows.reports.mask_record import read_mask_record
from gliamap.workflows.reports.outputs import HTML, check_output
from gliamap.workflows.reports.shown_case import read_mask, read_shown

PAGE = "follow_up.html"
"""The page's name, where no other is asked for."""

_ROOM = 12_000_000  # bytes of all scans in the page, in base64
_FEW = 3  # visits, up to which there is room for two modalities of each
_FIRST = ("t1c", "flair")  # the modalities that are shown rather than others


class FollowUpOptions(Settings):
    """``dates`` of the visits, as they are named: they then come in the order of the dates.

    ``labels``: the label convention of the masks, where it is not told. ``pattern``: how files are named where no
    layout fits. ``overwrite``: replace the page that is there.
    """

    dates: tuple[date, ...] = ()
    labels: str | None = None
    pattern: str | None = None
    overwrite: bool = False


def follow_up(
    visits: Sequence[Path],
    out: Path,
    *,
    predictions: Sequence[Path] = (),
    options: FollowUpOptions | None = None,
) -> FollowUp:
    """Compare the sizes of a tumour at two or more ``visits`` and write the page ``out``.

    ``visits`` are case folders or images, the earliest first (see ``dates``). Their masks are ``predictions``, one a
    visit, or one folder that holds them under the names of the cases; without, the cases' own. Compared are the regions
    that all masks can tell. Planes are linked between visits on one voxel grid; nothing is registered.

    ``ConfigError`` where there are fewer than two visits, or masks or dates are not as many; ``LayoutError`` where a
    visit is not one case or has no mask; ``LabelError`` where a convention is not told or does not fit; ``GridError``
    where a mask and its scan differ, or images are named beside volumes; ``FileError`` on a damaged file;
    ``OutputError`` where the page is there (unless ``overwrite``).
    """
    options = options or FollowUpOptions()
    check_output(out, HTML, overwrite=options.overwrite)
    few = len(visits) <= _FEW
    limits = Limits(base64_bytes=_ROOM // max(_FEW, len(visits)), images=2 if few else 1, surfaces=False)
    grids: list[Grid] = []
    seen: list[Visit] = []
    for when, files, mask in _in_order(visits, predictions, options):
        visit, grid = _look(files, mask, options.labels, limits)
        grids.append(grid)
        if grids[0].unit != grid.unit:
            raise GridError(
                f"case {visit.case_id} cannot be compared with the visit before",
                found=f"sizes in {grid.unit}, before in {grids[0].unit}",
                remedy="compare volumes with volumes, images with images",
            )
        space = next(number for number, other in enumerate(grids) if other.same_as(grid))
        seen.append(replace(visit, space=space, when=when))
    found = FollowUp(tuple(seen))
    write_text(out, draw_page(found, __version__))
    return found


def _look(files: CaseFiles, path: Path, labels: str | None, limits: Limits) -> tuple[Visit, Grid]:
    """What a visit shows; its scan is not kept."""
    record = read_mask_record(path, files.case_id)
    case, remarks = read_shown(files, path, record)
    mask = read_mask(files, path, case.grid, labels)
    warned = Told(record, None, path, files).warnings(empty=not mask.labels.any())
    visit = Visit(
        case_id=case.case_id,
        measures=measure_tumour(mask.labels, case.grid, regions=mask.convention.regions),
        payload=make_payload(_telling_first(case), mask.labels, limits=limits),
        warnings=(*(one.text for one in warned), *remarks),
    )
    return visit, case.grid


def _telling_first(case: Case) -> Case:
    """The case with the modalities in front that tell most of a tumour's course."""
    order = sorted(range(len(case.modalities)), key=lambda number: case.modalities[number] not in _FIRST)
    return replace(case, modalities=tuple(case.modalities[number] for number in order), image=case.image[order])


def _in_order(
    visits: Sequence[Path], predictions: Sequence[Path], options: FollowUpOptions
) -> list[tuple[date | None, CaseFiles, Path]]:
    """The visits by their dates, else as they are named: date, files, mask."""
    if len(visits) < 2:
        raise ConfigError("one visit has nothing to be compared with", remedy="name two or more, the earliest first")
    masks: Sequence[Path | None] = predictions or [None] * len(visits)
    if len(predictions) == 1 and predictions[0].is_dir():
        masks = [predictions[0]] * len(visits)
    each_mask, each_date = "repeat it for each mask, or name the folder of all", "name as many, with commas between"
    for what, given, how in (("--prediction", masks, each_mask), ("--dates", options.dates, each_date)):
        if given and len(given) != len(visits):
            raise ConfigError(
                f"{what} does not name one for each visit",
                found=f"{len(given)} for {len(visits)} visits",
                remedy=f"{how}, in the order of the visits",
            )
    dates = options.dates or (None,) * len(visits)
    each = zip(visits, masks, dates, strict=True)
    named = [(when, *_named(path, mask, options.pattern)) for path, mask, when in each]
    return sorted(named, key=lambda one: one[0] or date.min)


def _named(path: Path, mask: Path | None, pattern: str | None) -> tuple[CaseFiles, Path]:
    """The files of a visit, and its mask: a file, the one for the case in a folder, else the case's own."""
    files = only_case(path, pattern=pattern, called=mask_case(mask) if mask and mask.is_file() else None)
    if mask is not None and mask.is_dir():
        mask = mask / (files.case_id + mask_suffix(next(iter(files.modalities.values()))))
    mask = mask or files.labels
    if mask is None:
        raise LayoutError(f"the visit {path} has no mask", remedy="name its mask with --prediction, one for each visit")
    return files, mask
