"""From scans to masks, numbers and pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gliamap.case import Case, CaseFiles, DataSet, Prediction
from gliamap.config import CleanUpConfig, ModelSpec, OutputConfig, PrepConfig, Settings, WindowConfig
from gliamap.errors import ConfigError, LayoutError, OutputError
from gliamap.infer.flips import FlippedEngine
from gliamap.infer.predictor import Predictor, load_predictor
from gliamap.io.atomic import atomic_files, write_json
from gliamap.io.cases import NOT_REGISTERED, mask_suffix, read_case, write_mask, write_probabilities
from gliamap.io.label_tables import write_label_tables
from gliamap.labels import (
    TISSUE_NAMES,
    Convention,
    LabelMap,
    decode_regions,
    from_tissue,
    get_convention,
    merges,
    region_mask,
    to_tissue,
)
from gliamap.report.figures import MosaicOptions, draw_mosaic
from gliamap.sources.detect import scan
from gliamap.sources.modalities import canonical_modality
from gliamap.sources.splits import find_split, read_split
from gliamap.workflows.failures import all_failed, check_folder, plain_settings, reason_of
from gliamap.workflows.fit import check_fit, odd_images

_MOSAIC = "_mosaic.png"


class SegmentOptions(Settings):
    """What the user may set.

    ``labels``: the convention of the masks written (default: the input's own, else the model's); ``lossy`` allows it
    to merge labels. ``part``: only the cases of this part of the run's split; ``cases``: only these case ids.
    ``min_size``: remove connected parts smaller than this, mL or pixels (default: what the model's spec says).
    ``overlap``: of windows, likewise. ``pattern``: how files are named where no layout fits, see
    :mod:`gliamap.sources.pattern`. ``resample_to``: bring the other modalities onto the grid of this one where theirs
    differ, unregistered; the mask then lies on that grid. ``modalities``: use only these of the model's, as if the
    others were missing. ``flips``: average over all flips of the patches, 8 times the work for a network for volumes
    and 4 times for one for slices. ``spacing``: show the network the scans at this one, in mm (pixels for images),
    instead of that of the model's spec.
    ``force``: segment whole heads with a model of skull-stripped brains, and the reverse.
    """

    labels: str | None = None
    lossy: bool = False
    probabilities: bool = False
    pictures: bool = True
    part: Literal["train", "val", "test"] | None = None
    cases: tuple[str, ...] | None = None
    min_size: float | None = None
    overlap: float | None = None
    precision: Literal["fp32", "bf16"] | None = None
    pattern: str | None = None
    resample_to: str | None = None
    modalities: tuple[str, ...] | None = None
    flips: bool = False
    spacing: tuple[float, float, float] | None = None
    force: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Segmented:
    """What was made: one summary a case, what failed and why, and remarks for the user."""

    cases: list[dict[str, Any]]
    failed: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def segment(
    source: Path,
    out: Path,
    *,
    model: Path,
    options: SegmentOptions | None = None,
    progress: Callable[[float, int, str], None] | None = None,
) -> Segmented:
    """Segment a case folder, a folder of cases, an image or a folder of images into the folder ``out``.

    Each case gives ``CASE.nii.gz`` or ``.png`` (with the input's shape, affine, qform, sform and units), ``CASE.json``
    (volumes, model, warnings), ``CASE_mosaic.png`` and on request ``CASE_probabilities.nii.gz``: all of them, or none
    where the case fails. That does not stop the others; it is listed in ``failed``. A single case that fails raises
    its error. Beside masks of volumes lie ``labels.ctbl`` and ``labels.label``, their names and colours for 3D Slicer
    and ITK-SNAP.

    A case may lack modalities that the model can do without; its ``CASE.json`` and picture say so.

    ``OutputError`` where an output is there already (unless ``overwrite``), ``ConfigError`` where the model does not
    fit the scans, cannot do with the ``modalities`` alone, or no case has the modality ``resample_to``, ``FitError``
    where a single case is a whole head and the model of brains, or the reverse (unless ``force``), ``LabelError`` where
    ``labels`` cannot hold what the model says, ``LayoutError`` where ``source`` is not recognised or no case of it can
    be segmented. ``progress`` is told the cases done, with the share of the running one, the cases in all, and the case
    id.
    """
    options = options or SegmentOptions()
    predictor = _configured(load_predictor(model, options.precision), options)
    options = options.model_copy(update={"modalities": _modalities(predictor.spec, options)})
    merged = _check_convention(predictor.spec.output, options)
    data = _scan(source, options.pattern)
    cases = _chosen(data.cases, model, options)
    options = _with_known_modality(options, cases)
    _check_outputs(cases, out, overwrite=options.overwrite)
    summaries: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    for number, files in enumerate(cases):

        def tell(done: int, windows: int, number: int = number, name: str = files.case_id) -> None:
            if progress:
                progress(number + done / windows, len(cases), name)

        tell(0, 1)
        try:
            summaries.append(_segment_case(files, out, predictor, options, tell))
        except Exception as error:
            if len(cases) == 1:
                raise
            failed[files.case_id] = reason_of(error)
    if progress:
        progress(len(cases), len(cases), "")
    if not summaries:
        raise all_failed(failed, "segmented", "name another folder of scans, or another model")
    _write_tables(out, summaries)
    return Segmented(summaries, failed, (*data.notes, *merged))


def _configured(predictor: Predictor, options: SegmentOptions) -> Predictor:
    spec = predictor.spec
    with plain_settings():
        if options.min_size is not None:
            spec = spec.model_copy(update={"clean_up": CleanUpConfig(min_size=options.min_size)})
        if options.overlap is not None:
            window = WindowConfig.model_validate(spec.window.model_dump() | {"overlap": options.overlap})
            spec = spec.model_copy(update={"window": window})
        if options.spacing is not None:
            prep = PrepConfig.model_validate(spec.prep.model_dump() | {"spacing": options.spacing})
            spec = spec.model_copy(update={"prep": prep})
    engine = FlippedEngine(predictor.engine, range(spec.network.dims)) if options.flips else predictor.engine
    return Predictor(spec, engine)


def _modalities(spec: ModelSpec, options: SegmentOptions) -> tuple[str, ...]:
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


def _check_convention(output: OutputConfig, options: SegmentOptions) -> tuple[str, ...]:
    """``LabelError`` where the convention asked for cannot hold what the model says; remarks on what it merges."""
    if options.labels is None:
        return ()
    target = get_convention(options.labels)
    spoken = _spoken(output)
    from_tissue(spoken, target, lossy=options.lossy)
    return tuple(
        f"'{TISSUE_NAMES[tissue]}' is written as '{TISSUE_NAMES[wider]}' ({target.name} has no label for it)"
        for tissue, wider in merges(get_convention(output.convention), target)
        if tissue in spoken
    )


def _spoken(output: OutputConfig) -> LabelMap:
    """Every tissue that a model with this output can say, each once."""
    if output.kind == "classes":
        return np.array(output.tissues, np.uint8)
    nested = np.tri(len(output.regions), dtype=np.bool_).T  # the outermost region alone, then with the next, ...
    return decode_regions(nested, output.regions, get_convention(output.convention))


def _scan(source: Path, pattern: str | None) -> DataSet:
    """The cases of ``source``; ``LayoutError`` where it is something that gliamap made, not scans."""
    for name, what in (
        ("store.json", "a prepared data set"),
        ("run.json", "a run of gliamap train"),
        ("model.json", "a model"),
        ("*" + _MOSAIC, "an output of gliamap segment"),
    ):
        if source.is_dir() and next(source.glob(name), None):
            raise LayoutError(f"{source} is {what}", expected="scans", remedy="name the folder of the scans")
    return scan(source, pattern)


def _chosen(cases: tuple[CaseFiles, ...], model: Path, options: SegmentOptions) -> list[CaseFiles]:
    if options.cases is not None:
        asked = set(options.cases)
        cases = tuple(files for files in cases if files.case_id in asked)
        if not cases:
            raise LayoutError("none of the cases asked for is here", remedy="check the case ids and the folder")
    if options.part is None:
        return list(cases)
    split = find_split(model)
    if split is None:
        raise ConfigError(
            f"{model} has no split.json, so there is no part '{options.part}'",
            remedy="name the run folder with --model, or leave --part out",
        )
    wanted = set(getattr(read_split(split), options.part))
    chosen = [files for files in cases if files.case_id in wanted]
    if not chosen:
        raise LayoutError(
            f"no case here belongs to the part '{options.part}' of {split}",
            found=f"{len(cases)} other cases",
            remedy="name the data set that the run was trained on, or leave --part out",
        )
    return chosen


def _with_known_modality(options: SegmentOptions, cases: Sequence[CaseFiles]) -> SegmentOptions:
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


def _check_outputs(cases: Sequence[CaseFiles], out: Path, *, overwrite: bool) -> None:
    check_folder(out)
    sources = {path.parent for files in cases for path in (*files.modalities.values(), files.labels) if path}
    if out.resolve() in {folder.resolve() for folder in sources}:
        raise OutputError(f"{out} holds the scans or their masks", remedy="choose a folder apart from them")
    there = [path for files in cases if files.modalities for path in _outputs(files, out) if path.exists()]
    if there and not overwrite:
        raise OutputError(
            f"{len(there)} files are there already, such as {there[0]}",
            remedy="choose another --out, or say --overwrite",
        )


def _outputs(files: CaseFiles, out: Path) -> tuple[Path, Path, Path, Path]:
    """Where mask, numbers, picture and probabilities of a case go."""
    names = (mask_suffix(next(iter(files.modalities.values()))), ".json", _MOSAIC, "_probabilities.nii.gz")
    mask, numbers, picture, probabilities = (out / (files.case_id + name) for name in names)
    return mask, numbers, picture, probabilities


def _segment_case(
    files: CaseFiles, out: Path, predictor: Predictor, options: SegmentOptions, tell: Callable[[int, int], None]
) -> dict[str, Any]:
    started = time.perf_counter()
    spec = predictor.spec
    case = read_case(
        files,
        modalities=options.modalities,
        may_be_missing=spec.may_be_missing,
        with_labels=False,
        resample_to=options.resample_to,
    )
    remarks = check_fit(case, files, spec, force=options.force)
    prediction = predictor.predict(case, keep_probabilities=options.probabilities, progress=tell)
    convention, why = _output_convention(files, predictor, options)
    values = from_tissue(prediction.labels, convention, lossy=options.lossy)
    summary = _summary(case, prediction, values, convention, spec)
    summary["warnings"] += (*odd_images(case), *remarks)
    # A file that the model read: the grids of others were not checked against it.
    reference = files.modalities[options.resample_to or case.modalities[0]]
    with atomic_files(out) as folder:
        mask, numbers, picture, probabilities = _outputs(files, folder)
        write_mask(mask, values, reference)
        if prediction.probabilities is not None:
            write_probabilities(probabilities, prediction.probabilities, reference)
            summary["probability_channels"] = list(predictor.spec.output.channels)
        if options.pictures:
            drawn = to_tissue(values, convention)
            notice = _notice(summary, remarks)
            draw_mosaic(case, drawn, picture, options=MosaicOptions(convention=convention.name, notice=notice))
        seconds = round(time.perf_counter() - started, 3)
        flips = list("xyz"[: spec.network.dims]) if options.flips else []
        summary |= {"mask": mask.name, "label_convention_from": why, "flips": flips, "seconds": seconds}
        write_json(numbers, summary)
        for path in _outputs(files, out):  # a picture of an earlier mask would not fit the new one
            path.unlink(missing_ok=True)
    return summary


def _notice(summary: Mapping[str, Any], remarks: Sequence[str]) -> str:
    """What the picture must not leave unsaid."""
    missing = ", ".join(summary["missing_modalities"])
    said = (
        f"without {missing}" if missing else "",
        "modalities not registered" if summary["not_registered"] else "",
        "model does not fit" if remarks else "",
    )
    return " · ".join(filter(None, said))


def _write_tables(out: Path, summaries: Sequence[dict[str, Any]]) -> None:
    """Names and colours of the labels for viewers of volumes, where all masks have the same labels."""
    used = {summary["label_convention"] for summary in summaries if summary["mask"].endswith(".nii.gz")}
    if len(used) == 1:
        write_label_tables(out, get_convention(used.pop()))


def _output_convention(files: CaseFiles, predictor: Predictor, options: SegmentOptions) -> tuple[Convention, str]:
    """The convention to write, and where it comes from. The input's counts where it can hold the model's labels."""
    if options.labels is not None:
        return get_convention(options.labels), "asked for"
    own = get_convention(predictor.spec.output.convention)
    if own.name in files.conventions:
        return own, "the input's layout"
    for name in files.conventions:
        if set(own.tissues) <= set(get_convention(name).tissues):
            return get_convention(name), "the input's layout"
    return own, "the model's own"


def _summary(
    case: Case, prediction: Prediction, values: LabelMap, convention: Convention, spec: ModelSpec
) -> dict[str, Any]:
    """The content of ``CASE.json``: sizes in mL (pixels for images) a label and region, and how they came about."""
    size = case.grid.voxel_size
    labels = {
        str(value): {"name": tissue.name, "size": round(float((values == value).sum()) * size, 4)}
        for value, tissue in sorted(convention.values.items())
    }
    regions = {
        str(region): round(float(region_mask(prediction.labels, region).sum()) * size, 4)
        for region in spec.output.regions
    }
    return {
        "case_id": case.case_id,
        "unit": "mL" if case.grid.unit == "mm" else "pixels",
        "regions": regions,
        "labels": labels,
        "label_convention": convention.name,
        "warnings": list(prediction.warnings),
        "modalities": [name for name in spec.prep.modalities if name not in prediction.missing],
        "missing_modalities": list(prediction.missing),
        "not_registered": NOT_REGISTERED in case.warnings,
        "model": {"name": spec.name, "weights_sha256": spec.weights_sha256, "phantom_only": spec.phantom_only},
        "spacing": spec.prep.spacing,
        "window": spec.window.model_dump(mode="json"),
        "clean_up": spec.clean_up.model_dump(mode="json"),
        "versions": {name: version(name) for name in ("gliamap", "torch")},
        "notice": "Research use only; not a medical device.",
    }
