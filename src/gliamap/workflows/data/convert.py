"""Masks from one label convention to another: the verb ``gliamap convert-labels`` as a function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gliamap.case import CaseFiles, DataSet
from gliamap.config import Settings
from gliamap.errors import LabelError, OutputError
from gliamap.io.cases import mask_suffix, read_mask_file, write_mask
from gliamap.io.label_tables import label_tables, write_label_tables
from gliamap.io.slicer import SEGMENTATION_SUFFIX, write_segmentation
from gliamap.labels import TISSUE_NAMES, Convention, Tissue, convert, get_convention, merges, values_in
from gliamap.sources import masks
from gliamap.sources.layout import summarise
from gliamap.workflows.common.conventions import settle_convention
from gliamap.workflows.common.failures import all_failed, check_folder, reason_of


class ConvertOptions(Settings):
    """How to convert. ``labels``: the convention that the masks have, where layout and values do not tell.

    ``lossy``: a tissue that the target lacks becomes the next wider one that it has. ``slicer``: write segmentations
    for 3D Slicer (``.seg.nrrd``). ``pattern``: how files are named where no layout fits. ``overwrite``: replace what
    is there.
    """

    labels: str | None = None
    lossy: bool = False
    slicer: bool = False
    pattern: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Merged:
    """A tissue that the target could not hold, what it became, and in how many masks."""

    tissue: Tissue
    becomes: Tissue
    masks: int

    def describe(self) -> str:
        """In words."""
        masks = f"{self.masks} mask{'' if self.masks == 1 else 's'}"
        return f"{TISSUE_NAMES[self.tissue]} became {TISSUE_NAMES[self.becomes]} in {masks}"


@dataclass(frozen=True)
class Converted:
    """What was made: the file written and the convention found, by case id; what was merged; what failed and why."""

    files: dict[str, Path]
    conventions: dict[str, str]
    merged: tuple[Merged, ...]
    failed: dict[str, str]
    notes: tuple[str, ...] = ()


def convert_labels(
    source: Path,
    out: Path,
    *,
    to: str,
    options: ConvertOptions | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Converted:
    """Write the masks of ``source`` (a mask, a folder of masks, a data set) with the values of the convention ``to``.

    A single mask goes to the file ``out``, or into ``out`` where that names a folder; bare masks keep their names,
    those of a data set are named after their case. Grids and headers are kept, and tables of names and colours for
    3D Slicer and ITK-SNAP are put beside. A file that cannot be converted does not stop the others: it is listed in
    ``failed``. One alone raises its error.

    ``LabelError`` where the convention of the masks is not told, ``LayoutError`` where there is no mask or none can be
    converted, ``OutputError`` where an output exists (unless ``overwrite``) or would replace its own input.
    """
    options = options or ConvertOptions()
    target = get_convention(to)
    found = masks.scan_with_masks(source, options.pattern)
    data = replace(found, cases=tuple(case for case in found.cases if case.labels is not None))
    with _naming_from():
        data = settle_convention(data, options.labels, progress=progress).apply(data)
    files = _outputs(data, out, options)
    _check_free(data, files, target, overwrite=options.overwrite)
    done: dict[str, Path] = {}
    failed: dict[str, str] = {}
    lost: Counter[tuple[Tissue, Tissue]] = Counter()
    for number, case in enumerate(data.cases):
        if progress:
            progress(number, len(data.cases), case.case_id)
        try:
            with _naming_from():
                lost.update(_convert_case(case, files[case.case_id], target, options))
            done[case.case_id] = files[case.case_id]
        except Exception as error:
            if len(data.cases) == 1:
                raise
            failed[case.case_id] = reason_of(error)
    if progress:
        progress(len(data.cases), len(data.cases), "")
    if not done:
        raise all_failed(failed, "converted", "choose another convention, or accept the merges with --lossy")
    for folder in dict.fromkeys(path.parent for path in done.values()):
        write_label_tables(folder, target)
    conventions = {case.case_id: case.conventions[0] for case in data.cases if case.case_id in done}
    merged = tuple(Merged(*pair, count) for pair, count in lost.items())
    return Converted(done, conventions, merged, failed, data.notes)


@contextmanager
def _naming_from() -> Iterator[None]:
    """What is refused in the block names the option of this verb: ``--labels`` of the others is ``--from`` here."""
    try:
        yield
    except LabelError as error:
        remedy = error.remedy.replace("--labels", "--from") if error.remedy else None
        raise LabelError(error.what, found=error.found, expected=error.expected, remedy=remedy) from error


def _outputs(data: DataSet, out: Path, options: ConvertOptions) -> dict[str, Path]:
    """The file to write for each case."""
    named_file = masks.is_mask_file(out) or out.name.endswith(SEGMENTATION_SUFFIX)
    if named_file and not out.is_dir():
        if not data.root.is_file() or data.layout != masks.LAYOUT:
            raise OutputError(f"{out} is named like a file", expected="a folder, for the masks of a folder")
        return {data.cases[0].case_id: _same_kind(out, data.cases[0])}
    check_folder(out)
    return {case.case_id: out / _name(case, data, options) for case in data.cases}


def _same_kind(out: Path, case: CaseFiles) -> Path:
    assert case.labels is not None
    wanted = (".png",) if mask_suffix(case.labels) == ".png" else (".nii.gz", ".nii", SEGMENTATION_SUFFIX)
    if not out.name.endswith(wanted):
        raise OutputError(
            f"{out} cannot hold the mask {case.labels}", expected="a name that ends in " + ", ".join(wanted)
        )
    return out


def _name(case: CaseFiles, data: DataSet, options: ConvertOptions) -> str:
    assert case.labels is not None
    stem = masks.mask_stem(case.labels) if data.layout == masks.LAYOUT else case.case_id
    if options.slicer:
        return stem + SEGMENTATION_SUFFIX
    return stem + (".nii" if case.labels.name.lower().endswith(".nii") else mask_suffix(case.labels))


def _check_free(data: DataSet, files: Mapping[str, Path], target: Convention, *, overwrite: bool) -> None:
    own = {case.labels.resolve() for case in data.cases if case.labels is not None}
    clash = [path for path in files.values() if path.resolve() in own]
    if clash:
        raise OutputError(f"{clash[0]} would replace the mask that it is made from", remedy="choose another output")
    there = [path for path in (*files.values(), *_other_tables(files.values(), target)) if path.exists()]
    if there and not overwrite:
        raise OutputError(
            f"{len(there)} outputs are there already",
            found=summarise(str(path) for path in there),
            remedy="choose another output, or say --overwrite",
        )


def _other_tables(files: Iterable[Path], target: Convention) -> list[Path]:
    """Label tables beside the outputs that are not those of ``target``: masks of another convention lie there."""
    paths = {
        folder / name: text for folder in {path.parent for path in files} for name, text in label_tables(target).items()
    }
    return [path for path, text in paths.items() if path.is_file() and path.read_bytes() != text.encode()]


def _convert_case(
    case: CaseFiles, path: Path, target: Convention, options: ConvertOptions
) -> list[tuple[Tissue, Tissue]]:
    """Write one mask; the merges that it took."""
    assert case.labels is not None
    source = get_convention(case.conventions[0])
    values, grid = read_mask_file(case.labels)
    converted = convert(values, source, target, lossy=options.lossy)
    if path.name.endswith(SEGMENTATION_SUFFIX):
        write_segmentation(path, converted, grid, target)
    else:
        write_mask(path, converted, case.labels)
    present = {source.values[value] for value in values_in(values)}
    return [(tissue, becomes) for tissue, becomes in merges(source, target) if tissue in present]
