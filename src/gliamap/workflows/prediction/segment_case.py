"""One case of gliamap segment, in three stages: read and prepare it, run the network, write what it says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliamap.case import CaseFiles, Prediction
from gliamap.checks.findings import Finding
from gliamap.checks.prediction import look_at, look_at_images
from gliamap.config import CleanUpConfig, ModelSpec
from gliamap.errors import ConfigError, GliamapError
from gliamap.infer.decode import clean_up_for
from gliamap.infer.predictor import Predictor, Ready
from gliamap.io.atomic import atomic_files, write_json
from gliamap.io.cases import read_case, read_grid, write_map, write_mask, write_probabilities
from gliamap.labels import Convention, LabelMap, Region, from_tissue, get_convention, region_mask, to_tissue
from gliamap.report.figures import MosaicOptions, draw_mosaic, preferred_modality
from gliamap.volume import Grid
from gliamap.workflows.prediction.fit import check_fit
from gliamap.workflows.prediction.overlap import Stages, Stop
from gliamap.workflows.prediction.segment_plan import Outputs
from gliamap.workflows.prediction.segment_record import Provenance, hashes_of
from gliamap.workflows.prediction.segment_settings import SegmentOptions


@dataclass(frozen=True, eq=False)
class _Read:
    """A case that waits for the network. Its own voxels are gone: the picture reads again what it shows."""

    files: CaseFiles
    modalities: tuple[str, ...]
    ready: Ready
    made_from: Mapping[str, Any]
    found: tuple[Finding, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Ran:
    """A case whose probabilities are known, on the prepared grid."""

    read: _Read
    raw: NDArray[np.floating]
    seconds: float


Tell = Callable[[CaseFiles, int, int], None]
"""Hears of a case how many windows of how many are done."""


@dataclass(frozen=True)
class CaseWork:
    """What is done with every case of a run, into the folder ``out``.

    ``options`` are settled: ``modalities`` are the model's own names, ``resample_to`` is canonical. ``chosen``: why
    the model was taken, where the user named none.
    """

    out: Path
    predictor: Predictor
    options: SegmentOptions
    provenance: Provenance
    chosen: str | None = None

    def stages(self, tell: Tell, stop: Stop) -> Stages[CaseFiles, _Read, Ran, dict[str, Any]]:
        """Reading, the network, writing; the last gives the content of ``CASE.json``.

        The network calls ``tell``, and the two others look at ``stop`` between their steps.
        """
        return Stages(partial(self._read, stop), partial(self._run, tell), partial(self._write, stop))

    def made_from(self, files: CaseFiles) -> dict[str, Any]:
        """What a case's mask comes from: its files, the models, the settings."""
        used = (*(self.options.modalities or ()), *([self.options.resample_to] if self.options.resample_to else ()))
        convention, _ = self._convention(files)
        return self.provenance.made_from(files, used) | {"labels": convention.name}

    def fits_beside_others(self, files: CaseFiles) -> bool:
        """Whether memory is enough to read and write such cases while the network is at one."""
        try:
            grid = self._grid(files)
            return grid is None or self.predictor.room.fits_together(grid)
        except (GliamapError, OSError):
            return True  # what is wrong with the file is said when its turn comes

    def _grid(self, files: CaseFiles) -> Grid | None:
        """The grid of a case, from a header; ``None`` where it lacks the file, which is said when it is read."""
        names = [self.options.resample_to] if self.options.resample_to else self.options.modalities or ()
        path = next((files.modalities[name] for name in names if name in files.modalities), None)
        return None if path is None else read_grid(path)

    def _read(self, stop: Stop, files: CaseFiles) -> _Read:
        started = time.perf_counter()
        spec, options = self.predictor.spec, self.options
        grid = self._grid(files)
        if grid is not None:
            with _of_this_case():
                self.predictor.room.check(grid)
        case = read_case(
            files,
            modalities=options.modalities,
            may_be_missing=spec.may_be_missing,
            with_labels=False,
            resample_to=options.resample_to,
        )
        stop.check()
        found = (*look_at_images(case), *check_fit(case, files, spec, force=options.force))
        stop.check()
        with _of_this_case():
            ready = self.predictor.prepare(case)
        made_from = self.made_from(files)
        return _Read(files, case.modalities, ready, made_from, found, time.perf_counter() - started)

    def _run(self, tell: Tell, read: _Read) -> Ran:
        started = time.perf_counter()
        tell(read.files, 0, 1)
        raw = self.predictor.run(read.ready, lambda done, windows: tell(read.files, done, windows))
        return Ran(read, raw, time.perf_counter() - started)

    def _write(self, stop: Stop, ran: Ran) -> dict[str, Any]:
        started = time.perf_counter()
        options, read = self.options, ran.read
        stop.check()
        prediction = self.predictor.finish(
            read.ready,
            ran.raw,
            keep_probabilities=options.probabilities,
            keep_uncertainty=options.uncertainty,
            clean_up=self._clean_up(read),
        )
        convention, why = self._convention(read.files)
        values = from_tissue(prediction.labels, convention, lossy=options.lossy)
        summary = _summary(prediction, values, convention, self.predictor.spec)
        summary |= self._about(read, why)
        told = look_at(read.found, read.ready.prepared, prediction, self.predictor.spec)
        summary["warnings"] = [{"code": one.code, "text": one.text} for one in told]
        with atomic_files(self.out) as folder:
            paths = Outputs.of(read.files, folder)
            self._write_volumes(paths, prediction, values, read, stop)
            if options.pictures:
                stop.check()
                self._draw(paths.picture, to_tissue(values, convention), summary, read)
            if options.report:
                stop.check()
                self._report(paths, summary, read)
            written = [path for path in paths.all if path.exists()]
            seconds = {"read": read.seconds, "network": ran.seconds, "write": time.perf_counter() - started}
            summary |= {
                "mask": paths.mask.name,
                "files": hashes_of(written),
                "seconds": round(sum(seconds.values()), 3),
                "stages": {stage: round(value, 3) for stage, value in seconds.items()},
            }
            write_json(paths.numbers, summary)
            stop.check()
            for path in Outputs.of(read.files, self.out).all:  # a picture of an earlier mask would not fit the new one
                path.unlink(missing_ok=True)
        return summary

    def _write_volumes(self, paths: Outputs, prediction: Prediction, values: LabelMap, read: _Read, stop: Stop) -> None:
        """The mask, and on request probabilities and maps of uncertainty, on the grid of a file that the model read.

        The grids of other files were not checked against it.
        """
        reference = read.files.modalities[self.options.resample_to or read.modalities[0]]
        write_mask(paths.mask, values, reference)
        stop.check()
        if prediction.probabilities is not None:
            write_probabilities(paths.probabilities, prediction.probabilities, reference)
        for path, volume in (
            (paths.entropy, prediction.entropy_map),
            (paths.disagreement, prediction.disagreement_map),
        ):
            if volume is not None:
                stop.check()
                write_map(path, volume, reference)

    def _draw(self, picture: Path, drawn: LabelMap, summary: Mapping[str, Any], read: _Read) -> None:
        """The mosaic, of the one modality that it shows."""
        core = bool(region_mask(drawn, Region.TC).any())
        shown = preferred_modality(read.modalities, core=core)
        case = read_case(read.files, modalities=(shown,), with_labels=False, resample_to=self.options.resample_to)
        notice = _notice(summary)
        draw_mosaic(case, drawn, picture, options=MosaicOptions(convention=summary["label_convention"], notice=notice))

    def _report(self, paths: Outputs, summary: Mapping[str, Any], read: _Read) -> None:
        """The page; what draws it is loaded where it is wanted."""
        from gliamap.workflows.reports.report import write_report

        write_report(read.files, paths.mask, paths.report, about=summary, spec=self.predictor.spec)

    def _clean_up(self, read: _Read) -> CleanUpConfig:
        """As the user asked, in the unit of the scan; else as the model does with such scans."""
        spec = self.predictor.spec
        return clean_up_for(spec, read.ready.grid.unit) if self.options.min_size is None else spec.clean_up

    def _convention(self, files: CaseFiles) -> tuple[Convention, str]:
        """The convention to write, and where it comes from. The input's counts where it can hold the model's labels."""
        if self.options.labels is not None:
            return get_convention(self.options.labels), "asked for"
        own = get_convention(self.predictor.spec.output.convention)
        if own.name in files.conventions:
            return own, "the input's layout"
        for name in files.conventions:
            if set(own.tissues) <= set(get_convention(name).tissues):
                return get_convention(name), "the input's layout"
        return own, "the model's own"

    def _about(self, read: _Read, why: str) -> dict[str, Any]:
        """What of ``CASE.json`` does not depend on the prediction."""
        spec, options, engine = self.predictor.spec, self.options, self.predictor.engine
        return {
            "label_convention_from": why,
            "not_registered": any(one.code == "not-registered" for one in read.found),
            "model": spec.model_dump(include={"name", "weights_sha256", "phantom_only"}) | {"chosen": self.chosen},
            "engine": {"name": engine.name, "precision": engine.precision, "version": engine.version},
            "flips": list("xyz"[: spec.network.dims]) if options.flips else [],
            "spacing": spec.prep.spacing,
            "pixel_mm": spec.prep.pixel_mm,
            "window": read.ready.way.window.model_dump(mode="json"),
            "clean_up": self._clean_up(read).model_dump(mode="json"),
            "versions": {name: version(name) for name in ("gliamap", "torch")},
            "made_from": dict(read.made_from),
            "notice": "Research use only; not a medical device.",
        }


@contextmanager
def _of_this_case() -> Iterator[None]:
    """Memory that is too small for a case is not too small for every other one: it fails alone."""
    try:
        yield
    except ConfigError as error:
        raise GliamapError(error.what, found=error.found, expected=error.expected, remedy=error.remedy) from error


def _notice(summary: Mapping[str, Any]) -> str:
    """What the picture must not leave unsaid."""
    missing = ", ".join(summary["missing_modalities"])
    codes = {warning["code"] for warning in summary["warnings"]}
    said = (
        f"without {missing}" if missing else "",
        "modalities not registered" if summary["not_registered"] else "",
        "model does not fit" if "foreground-unlike-training" in codes else "",
    )
    return " · ".join(filter(None, said))


def _summary(prediction: Prediction, values: LabelMap, convention: Convention, spec: ModelSpec) -> dict[str, Any]:
    """What ``CASE.json`` says of the prediction: sizes in mL (pixels for images) of labels and regions, and doubts."""
    grid = prediction.grid
    labels = {
        str(value): {"name": tissue.name, "size": round(float((values == value).sum()) * grid.voxel_size, 4)}
        for value, tissue in sorted(convention.values.items())
    }
    regions = {
        str(region): round(float(region_mask(prediction.labels, region).sum()) * grid.voxel_size, 4)
        for region in spec.output.regions
    }
    summary: dict[str, Any] = {
        "case_id": prediction.case_id,
        "unit": "mL" if grid.unit == "mm" else "pixels",
        "regions": regions,
        "labels": labels,
        "label_convention": convention.name,
        "modalities": [name for name in spec.prep.modalities if name not in prediction.missing],
        "missing_modalities": list(prediction.missing),
    }
    if prediction.probabilities is not None:
        summary["probability_channels"] = list(spec.output.channels)
    doubt = prediction.uncertainty
    if doubt is not None:
        apart = doubt.disagreement or {}
        summary["uncertainty"] = {
            str(region): {"entropy": round(entropy, 4)}
            | ({"disagreement": round(apart[region], 4)} if region in apart else {})
            for region, entropy in doubt.entropy.items()
        }
    summary["predicted_dice"] = {
        str(region): dict(zip(("estimate", "low", "high"), (round(value, 3) for value in said), strict=True))
        for region, said in prediction.predicted_dice.items()
    }
    return summary
