"""What gliamap segment is to do, and whether it can: the cases, their modalities, labels and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from gliamap.case import CaseFiles, DataSet
from gliamap.config import ModelSpec, OutputConfig
from gliamap.errors import ConfigError, LayoutError, OutputError
from gliamap.io.cases import mask_suffix
from gliamap.labels import (
    TISSUE_NAMES,
    LabelMap,
    decode_regions,
    from_tissue,
    get_convention,
    merges,
)
from gliamap.sources.detect import scan
from gliamap.sources.modalities import canonical_modality
from gliamap.sources.splits import find_split, read_split
from gliamap.workflows.common.failures import check_folder
from gliamap.workflows.prediction.segment_settings import SegmentOptions

MANIFEST = "segment.json"
_MOSAIC = "_mosaic.png"
_REPORT = "_report.html"


def chosen_modalities(spec: ModelSpec, options: SegmentOptions) -> tuple[str, ...]:
    """The modalities to use, in the model's order; ``ConfigError`` where it cannot do with those asked for."""
    own = spec.prep.modalities
    if options.modalities is None:
        return own
    asked = [canonical_modality(name) or name for name in options.modalities]
    unknown = [name for name in asked if name not in own]
    if unknown or not asked:
        raise ConfigError(
            f"the model {spec.name} knows no modality '{unknown[0]}'" if unknown else "no modality is named",
            expected=f"some of {', '.join(own)}",
            remedy="name these with --modalities, or leave it out",
        )
    needed = [name for name in own if name not in asked and name not in spec.may_be_missing]
    if needed:
        raise ConfigError(
            f"the model {spec.name} cannot do without {', '.join(needed)}",
            found=f"--modalities {','.join(asked)}",
            expected=f"all of {', '.join(m for m in own if m not in spec.may_be_missing)}",
            remedy="leave --modalities out, or train with --recipe any-modality",
        )
    return tuple(name for name in own if name in asked)


def check_convention(output: OutputConfig, options: SegmentOptions) -> tuple[str, ...]:
    """``LabelError`` where the convention asked for cannot hold what the model says; remarks on what it merges."""
    if options.labels is None:
        return ()
    target = get_convention(options.labels)
    spoken = spoken_tissues(output)
    from_tissue(spoken, target, lossy=options.lossy)
    return tuple(
        f"'{TISSUE_NAMES[tissue]}' is written as '{TISSUE_NAMES[wider]}' ({target.name} has no label for it)"
        for tissue, wider in merges(get_convention(output.convention), target)
        if tissue in spoken
    )


def spoken_tissues(output: OutputConfig) -> LabelMap:
    """Every tissue that a model with this output can say, each once."""
    if output.kind == "classes":
        return np.array(output.tissues, np.uint8)
    nested = np.tri(len(output.regions), dtype=np.bool_).T  # the outermost region alone, then with the next, ...
    return decode_regions(nested, output.regions, get_convention(output.convention))


def scan_source(source: Path, pattern: str | None) -> DataSet:
    """The cases of ``source``; ``LayoutError`` where it is something that gliamap made, not scans."""
    for name, what in (
        ("store.json", "a prepared data set"),
        ("run.json", "a run of gliamap train"),
        ("model.json", "a model"),
        (MANIFEST, "an output of gliamap segment"),
        ("*" + _MOSAIC, "an output of gliamap segment"),
    ):
        if source.is_dir() and next(source.glob(name), None):
            raise LayoutError(f"{source} is {what}", expected="scans", remedy="name the folder of the scans")
    return scan(source, pattern)


def chosen_cases(cases: tuple[CaseFiles, ...], models: Sequence[Path], options: SegmentOptions) -> list[CaseFiles]:
    """Those of ``cases`` that were asked for, of several models those in the ``part`` of every one.

    ``LayoutError`` where none is here, ``ConfigError`` where a model has no split to know the part from.
    """
    if options.cases is not None:
        asked = set(options.cases)
        cases = tuple(files for files in cases if files.case_id in asked)
        if not cases:
            raise LayoutError("none of the cases asked for is here", remedy="check the case ids and the folder")
    if options.part is not None:
        for model in models:
            cases = _of_part(cases, model, options.part)
    return list(cases)


def _of_part(cases: tuple[CaseFiles, ...], model: Path, part: str) -> tuple[CaseFiles, ...]:
    split = find_split(model)
    if split is None:
        raise ConfigError(
            f"{model} has no split.json, so there is no part '{part}'",
            remedy="name the run folder with --model, or leave --part out",
        )
    wanted = set(getattr(read_split(split), part))
    chosen = tuple(files for files in cases if files.case_id in wanted)
    if not chosen:
        raise LayoutError(
            f"no case here belongs to the part '{part}' of {split}",
            found=f"{len(cases)} other cases",
            remedy="name the data set that the run was trained on, or leave --part out",
        )
    return chosen


def with_known_modality(options: SegmentOptions, cases: Sequence[CaseFiles]) -> SegmentOptions:
    """The options with the canonical name of ``resample_to``; ``ConfigError`` where no case has it."""
    if options.resample_to is None:
        return options
    name = canonical_modality(options.resample_to) or options.resample_to
    known = sorted({modality for files in cases for modality in files.modalities})
    if name not in known:
        raise ConfigError(
            f"there is no modality '{options.resample_to}' to bring the others onto",
            found=", ".join(known),
            remedy="name one of these with --resample-to",
        )
    return options.model_copy(update={"resample_to": name})


def check_outputs(cases: Sequence[CaseFiles], out: Path, options: SegmentOptions) -> None:
    """``OutputError`` where ``out`` holds the scans, or outputs that are neither to be kept nor replaced.

    Also where a case's numbers would take the name of the run's own file.
    """
    check_folder(out)
    if options.manifest and any(files.case_id + ".json" == MANIFEST for files in cases):
        raise OutputError(
            f"a case is called '{Path(MANIFEST).stem}': its numbers and those of the run would be one file, {MANIFEST}",
            remedy="rename the case",
        )
    sources = {path.parent for files in cases for path in (*files.modalities.values(), files.labels) if path}
    if out.resolve() in {folder.resolve() for folder in sources}:
        raise OutputError(f"{out} holds the scans or their masks", remedy="choose a folder apart from them")
    if options.resume or options.overwrite:
        return
    there = [path for files in cases if files.modalities for path in Outputs.of(files, out).all if path.exists()]
    if there:
        raise OutputError(
            f"{len(there)} files are there already, such as {there[0]}",
            remedy="choose another --out, say --resume to keep what is whole, or --overwrite",
        )


@dataclass(frozen=True)
class Outputs:
    """The files of a case. Only ``mask`` and ``numbers`` are always written."""

    mask: Path
    numbers: Path
    picture: Path
    probabilities: Path
    entropy: Path
    disagreement: Path
    report: Path

    @classmethod
    def of(cls, files: CaseFiles, folder: Path) -> Outputs:
        """Those of a case in ``folder``."""
        maps = (f"_{name}.nii.gz" for name in ("probabilities", "entropy", "disagreement"))
        names = (mask_suffix(next(iter(files.modalities.values()))), ".json", _MOSAIC, *maps, _REPORT)
        return cls(*(folder / (files.case_id + name) for name in names))

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file that a case can have."""
        return tuple(getattr(self, each.name) for each in fields(self))
