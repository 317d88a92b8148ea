"""A process of ``bench/inference.py``: ``gliamap segment`` as users run it, without pictures."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inference_network import register
from inference_process import STAGES, Report, read_job
from numpy.typing import NDArray

from gliamap.config import ModelSpec, WindowConfig
from gliamap.infer.engine import Precision
from gliamap.infer.predictor import Predictor
from gliamap.io.cases import read_case
from gliamap.io.checkpoint import read_spec
from gliamap.nets.zoo import size_divisor
from gliamap.sources.detect import scan
from gliamap.workflows.prediction.segment import Segmented, SegmentOptions, segment


class Counter:
    """An engine that answers zeros and counts what it is shown, each of them ``times`` times."""

    name, version = "counter", ""
    precision: Precision = "fp32"

    def __init__(self, spec: ModelSpec, report: Report, times: int) -> None:
        self.channels, self.divisor = len(spec.output.channels), size_divisor(spec.network)
        self._report, self._times = report, times

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Zeros."""
        self._report.count(patches.shape[2:], len(patches) * self._times)
        return np.zeros((len(patches), self.channels, *patches.shape[2:]), np.float32)


def count_passes(report: Report, windows: dict[str, Any]) -> None:
    """How often the network was asked, found by asking for the same ``windows`` of each case again."""
    job = report.job
    spec = read_spec(Path(job.weights))
    for files in scan(Path(job.data)).cases:
        if files.case_id in windows:
            window = WindowConfig.model_validate(windows[files.case_id])
            own = spec.model_copy(update={"window": window})
            predictor = Predictor(own, Counter(own, report, times=2**spec.network.dims if job.flips else 1))
            case = read_case(files, modalities=spec.prep.modalities, with_labels=False)
            predictor.run(predictor.prepare(case))


def run(report: Report) -> Segmented:
    """Segment the cases. That work has begun is told when the first one has been read: this is made good later, but for
    ``cpu_seconds``.
    """
    job = report.job
    given = {"cases": tuple(job.cases), "labels": "msd", "lossy": True, "pictures": False, "flips": job.flips}

    def tell(*_: object) -> None:
        if not report.start_up_seconds:
            report.begin()

    options = SegmentOptions.model_validate(given | dict(job.choice))
    done = segment(Path(job.data), Path(job.out), model=Path(job.weights), options=options, progress=tell)
    report.end()
    if done.failed:
        raise RuntimeError(f"{job.title}: {done.failed}")
    return done


def main() -> None:
    """Do the job."""
    job = read_job()
    torch.set_num_threads(job.threads)
    register(one_pass=job.choice["window"] == "one-pass")
    report = Report(job, {name: version(name) for name in ("torch", "openvino", "onnxruntime")})
    done = run(report)
    first = done.cases[0]["stages"]["read"]
    report.start_up_seconds -= first
    report.seconds += first
    report.stages |= {stage: done.manifest["stages"][stage] for stage in STAGES}
    count_passes(report, {case["case_id"]: case["window"] for case in done.cases})
    report.write()


if __name__ == "__main__":
    main()
