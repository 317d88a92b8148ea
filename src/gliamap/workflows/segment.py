"""From scans to masks, numbers and pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from gliamap.case import Case, CaseFiles, Prediction
from gliamap.config import CleanUpConfig, Settings
from gliamap.errors import ConfigError, GliamapError, LayoutError, OutputError
from gliamap.infer.predictor import Predictor, load_predictor
from gliamap.io.atomic import write_json
from gliamap.io.cases import mask_suffix, read_case, write_mask, write_probabilities
from gliamap.labels import Convention, Region, from_tissue, get_convention, region_mask, to_tissue
from gliamap.report.figures import MosaicOptions, draw_mosaic
from gliamap.sources.detect import scan
from gliamap.sources.phantom import is_phantom
from gliamap.sources.splits import read_split


class SegmentOptions(Settings):
    """What the user may set.

    ``labels``: the convention of the masks written (default: the input's own, else the model's); ``lossy`` allows it
    to merge labels. ``part``: only the cases of this part of the run's split. ``min_size``: remove connected parts
    smaller than this, mL or pixels (default: what the model's spec says). ``overlap``: of windows, likewise.
    """

    labels: str | None = None
    lossy: bool = False
    probabilities: bool = False
    pictures: bool = True
    part: Literal["train", "val", "test"] | None = None
    min_size: float | None = None
    overlap: float | None = None
    precision: Literal["fp32", "bf16"] | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Segmented:
    """What was made: one summary a case, and what failed and why."""

    cases: list[dict[str, Any]]
    failed: dict[str, str] = field(default_factory=dict)


def segment(
    source: Path,
    out: Path,
    *,
    model: Path,
    options: SegmentOptions | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Segmented:
    """Segment a case folder, a folder of cases, an image or a folder of images into the folder ``out``.

    Each case gives ``CASE.nii.gz`` (or ``.png``: exactly the input's grid and header), ``CASE.json`` (volumes,
    model, warnings), ``CASE_mosaic.png`` and on request ``CASE_probabilities.nii.gz``. A case that fails does not
    stop the others; it is listed in ``failed``. A single case that fails raises its error.
    ``OutputError`` where a mask is there already (unless ``overwrite``).
    """
    options = options or SegmentOptions()
    predictor = _configured(load_predictor(model, options.precision), options)
    cases = _chosen(scan(source).cases, model, options)
    _check_outputs(cases, out, overwrite=options.overwrite)
    summaries: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    for number, files in enumerate(cases):
        if progress:
            progress(number, len(cases), files.case_id)
        try:
            summaries.append(_segment_case(files, out, predictor, options))
        except GliamapError as error:
            if len(cases) == 1:
                raise
            failed[files.case_id] = str(error)
    if progress:
        progress(len(cases), len(cases), "")
    return Segmented(summaries, failed)


def _configured(predictor: Predictor, options: SegmentOptions) -> Predictor:
    spec = predictor.spec
    if options.min_size is not None:
        spec = spec.model_copy(update={"clean_up": CleanUpConfig(min_size=options.min_size)})
    if options.overlap is not None:
        window = spec.window.model_validate(spec.window.model_dump() | {"overlap": options.overlap})
        spec = spec.model_copy(update={"window": window})
    return Predictor(spec, predictor.engine)


def _chosen(cases: tuple[CaseFiles, ...], model: Path, options: SegmentOptions) -> list[CaseFiles]:
    if options.part is None:
        return list(cases)
    split = next((p for p in (model / "split.json", model.parent / "split.json") if p.is_file()), None)
    if split is None:
        raise ConfigError(
            f"{model} has no split.json, so there is no part '{options.part}'",
            remedy="name the run folder with --model, or leave --part out",
        )
    wanted = set(getattr(read_split(split), options.part))
    chosen = [files for files in cases if files.case_id in wanted]
    if not chosen:
        raise LayoutError(f"no case here belongs to the part '{options.part}' of {split}")
    return chosen


def _check_outputs(cases: list[CaseFiles], out: Path, *, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file", expected="a folder, new or existing", remedy="choose another --out")
    there = [path for files in cases if (path := _mask_path(files, out)).exists()]
    if there and not overwrite:
        raise OutputError(
            f"{len(there)} of {len(cases)} masks are there already, such as {there[0]}",
            remedy="choose another --out, or say --overwrite",
        )


def _mask_path(files: CaseFiles, out: Path) -> Path:
    return out / (files.case_id + mask_suffix(files.reference))


def _segment_case(files: CaseFiles, out: Path, predictor: Predictor, options: SegmentOptions) -> dict[str, Any]:
    started = time.perf_counter()
    spec = predictor.spec
    case = read_case(files, modalities=spec.prep.modalities, with_labels=False)
    if spec.phantom_only and not is_phantom(case):
        raise ConfigError(
            f"the model {spec.name} was trained on phantoms and says nothing about real scans",
            found=f"case {case.case_id}, which is no phantom of gliamap",
            remedy="train a model on real cases and name it with --model",
        )
    if case.grid.is_2d and spec.network.dims == 3:
        raise ConfigError(
            f"the model {spec.name} takes volumes, {files.reference.name} is a single slice",
            remedy="use a model for slices",
        )
    prediction = predictor.predict(case, keep_probabilities=options.probabilities)
    convention, why = _output_convention(files, predictor, options)
    path = _mask_path(files, out)
    values = from_tissue(prediction.labels, convention, lossy=options.lossy)
    write_mask(path, values, files.reference)
    if prediction.probabilities is not None:
        write_probabilities(out / f"{case.case_id}_probabilities.nii.gz", prediction.probabilities, files.reference)
    if options.pictures:
        drawn = to_tissue(values, convention)
        picture = MosaicOptions(convention=convention.name)
        draw_mosaic(case, drawn, out / f"{case.case_id}_mosaic.png", options=picture)
    summary = _summary(case, prediction, convention, predictor)
    summary |= {"mask": path.name, "label_convention_from": why, "seconds": round(time.perf_counter() - started, 3)}
    write_json(out / f"{case.case_id}.json", summary)
    return summary


def _output_convention(files: CaseFiles, predictor: Predictor, options: SegmentOptions) -> tuple[Convention, str]:
    """The convention to write, and where it comes from. The input's counts where it can hold the model's labels."""
    if options.labels is not None:
        return get_convention(options.labels), "asked for"
    own = get_convention(predictor.spec.output.convention)
    for name in files.conventions:
        if set(own.tissues) <= set(get_convention(name).tissues):
            return get_convention(name), "the input's layout"
    return own, "the model's own"


def _summary(case: Case, prediction: Prediction, convention: Convention, predictor: Predictor) -> dict[str, Any]:
    """The content of ``CASE.json``: sizes in mL (pixels for images) a label and region, and how they came about."""
    size = case.grid.voxel_size
    unit = "mL" if case.grid.unit == "mm" else "pixels"
    values = from_tissue(prediction.labels, convention, lossy=True)
    labels = {
        str(value): {"name": tissue.name, "size": round(float((values == value).sum()) * size, 4)}
        for value, tissue in sorted(convention.values.items())
    }
    regions: tuple[Region, ...] = predictor.spec.output.regions
    spec = predictor.spec
    return {
        "case_id": case.case_id,
        "unit": unit,
        "regions": {str(r): round(float(region_mask(prediction.labels, r).sum()) * size, 4) for r in regions},
        "labels": labels,
        "label_convention": convention.name,
        "warnings": list(prediction.warnings),
        "model": {"name": spec.name, "weights_sha256": spec.weights_sha256, "phantom_only": spec.phantom_only},
        "window": spec.window.model_dump(mode="json"),
        "clean_up": spec.clean_up.model_dump(mode="json"),
        "versions": {name: version(name) for name in ("gliamap", "torch")},
        "notice": "Research use only; not a medical device.",
    }
