"""gliamap beside nnU-Net and MONAI: seconds and memory of a case, from its files to its mask. JSON for a table:

    python bench/inference.py --data BRATS --cases ID... --nnunet PYTHON --work FOLDER --out docs/results/inference.json

Every system has a process of its own, gets the same files, and has the same weights: random ones in the network that
nnU-Net plans for BraTS (:mod:`inference_network`), or those of ``--model RUN``, which nnU-Net does not take. ``PYTHON``
is that of an environment with ``nnunetv2``. Start-up (imports, loading, and for ours making the engine ready) is
counted apart. What is done is in the JSON after every system and is not done again; ``--only WORD...`` does the systems
that have one of these words in their titles. ``--widths`` and ``--patch`` make the network small, to try it out.

Seconds are wall time: the machine should have nothing else to do. ``cpu_seconds`` hold on a busy one, too.
The table is the kind ``inference`` of ``tools/tables.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import torch
from inference_network import PATCH, WIDTHS, register, spec_of, write_both
from inference_process import Job
from run import commit, machine

from gliamap.boxes import Shape
from gliamap.config import ModelSpec, NetConfig
from gliamap.errors import ConfigError
from gliamap.infer.engine import cpu_has_fast_bf16
from gliamap.io.atomic import read_json, write_json
from gliamap.io.checkpoint import file_sha256, read_spec
from gliamap.io.nifti import read_labels
from gliamap.models.shipped import resolve_model
from gliamap.nets.cost import count_parameters, forward_gflops
from gliamap.nets.zoo import size_divisor
from gliamap.sources.detect import scan

HERE = Path(__file__).parent
BUNDLE_ROI: Shape = (240, 240, 160)
"""The window of MONAI's BraTS bundle: a whole scan."""

ALIKE = "nnU-Net, windows weighted as gliamap's"
"""nnU-Net with our weight of windows and sums in fp32: shows that nothing else tells the masks apart."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Network:
    """What all systems run: a model folder, and the same weights for nnU-Net where it can have them."""

    spec: ModelSpec
    folder: Path
    for_nnunet: Path | None = None


def network_of(args: argparse.Namespace) -> Network:
    """The run named, or nnU-Net's network with random weights."""
    if args.model:
        folder = resolve_model(args.model)
        return Network(read_spec(folder), folder)
    spec = spec_of(tuple(args.widths), tuple(args.patch))
    return Network(spec, *write_both(args.work, spec))


def cases_of(data: Path, wanted: Sequence[str], modalities: Sequence[str]) -> dict[str, list[str]]:
    """The files of each case, in the order of ``modalities``."""
    there = {files.case_id: files.modalities for files in scan(data).cases}
    lost = [name for name in wanted if name not in there]
    if lost:
        raise ConfigError(f"{data} lacks {', '.join(lost)}", found=", ".join(list(there)[:5]), remedy="see --cases")
    return {name: [str(there[name][modality]) for modality in modalities] for name in wanted}


def systems(network: Network, nnunet: Path | None) -> Iterator[tuple[str, Row]]:
    """Title and what is special of each, the peers first."""
    window = network.spec.window.patch
    if nnunet and network.for_nnunet:
        for flips in (False, True):
            yield _title("nnU-Net", flips), {"program": "inference_nnunet.py", "flips": flips}
        yield ALIKE, {"program": "inference_nnunet.py", "choice": {"alike": "yes"}}
    step = size_divisor(network.spec.network)
    whole = tuple(-(-n // step) * step for n in BUNDLE_ROI)
    yield "MONAI, the same windows", {"program": "inference_monai.py"}
    yield "MONAI, windows of its bundle", {"program": "inference_monai.py", "patch": whole}
    engines = [(name, "fp32") for name in ("torch", "onnxruntime", "openvino")]
    if cpu_has_fast_bf16():
        engines += [("torch", "bf16"), ("openvino", "bf16")]
    for flips, mode, (engine, precision) in product((False, True), ("windows", "one-pass"), engines):
        choice = {"engine": engine, "precision": precision, "window": mode}
        title = _title(f"gliamap, {engine} {precision}, {mode}", flips)
        yield title, {"program": "inference_ours.py", "flips": flips, "choice": choice, "patch": window}


def _title(name: str, flips: bool) -> str:
    return f"{name}, flips" if flips else name


def run_one(job: Job, python: Path, work: Path) -> Row:
    """What the process of ``job`` reports; it has its standard error in the work folder."""
    order, log = work / "job.json", work / f"{_plain(job.title)}.log"
    threads = str(job.threads)
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    load = os.getloadavg()[0]
    job.write(order)
    with log.open("wb") as stream:
        command = [str(python), str(HERE / job.program), str(order)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stream, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{job.title} ended with {done.returncode}: see {log}")
    report: Row = json.loads(done.stdout.decode().splitlines()[-1])
    return row_of(job, report) | {"load_before": round(load, 2)}


def _plain(title: str) -> str:
    return title.replace(", ", "-").replace(" ", "-").replace("'", "")


def row_of(job: Job, report: Mapping[str, Any]) -> Row:
    """One system's line: what a case cost, the mean of all."""
    count = len(job.cases)
    return {
        "title": job.title,
        "flips": job.flips,
        "choice": dict(job.choice),
        "windows": list(job.patch),
        "start_up_seconds": round(report["start_up_seconds"], 2),
        "seconds": round(report["seconds"] / count, 3),
        "cpu_seconds": round(report["cpu_seconds"] / count, 3),
        "stages": {stage: round(seconds / count, 3) for stage, seconds in report["stages"].items()},
        "passes": {size: times / count for size, times in report["passes"].items()},
        "peak_mib": round(report["peak_mib"]),
        "versions": report["versions"],
        "network_differs": report["network_differs"],
    }


def gflops_of(config: NetConfig, passes: Mapping[str, float]) -> float:
    """The arithmetic of a case, in 10^9 operations."""

    @cache
    def once(size: str) -> float:
        x, y, z = map(int, size.split("x"))
        return forward_gflops(config, (x, y, z))

    return sum(once(size) * times for size, times in passes.items())


def differing(one: Path, other: Path, cases: Sequence[str]) -> float | None:
    """The share of the voxels that either of two folders calls tumour on which they do not agree; ``None`` for none."""
    wrong = tumour = 0
    for name in cases:
        a, b = (read_labels(folder / f"{name}.nii.gz")[0] for folder in (one, other))
        wrong += int((a != b).sum())
        tumour += int(((a > 0) | (b > 0)).sum())
    return wrong / tumour if tumour else None


def matrix_peaks(threads: int) -> dict[str, float]:
    """GFLOP/s of a product of two large matrices, the best of several: what the processor can do at most."""
    torch.set_num_threads(threads)
    peaks = {}
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        one = torch.randn(2048, 2048).to(kind)
        seconds = []
        for _ in range(4):
            started = time.perf_counter()
            one @ one
            seconds.append(time.perf_counter() - started)
        peaks[name] = round(2 * 2048**3 / min(seconds) / 1e9, 1)
    return peaks


def measure(args: argparse.Namespace, network: Network, rows: list[Row]) -> Iterator[Row]:
    """Run each system that is wanted and not done."""
    cases = cases_of(args.data, args.cases, network.spec.prep.modalities)
    for title, special in systems(network, args.nnunet):
        if title in {row["title"] for row in rows} or (args.only and not any(word in title for word in args.only)):
            continue
        theirs = special["program"] == "inference_nnunet.py"
        out = args.work / _plain(title)
        given: Row = {
            "title": title,
            "weights": str(network.for_nnunet if theirs else network.folder),
            "data": str(args.data),
            "cases": cases,
            "out": str(out),
            "patch": network.spec.window.patch,
            "threads": args.threads,
        }
        if theirs:
            given["choice"] = {"widths": ",".join(map(str, network.spec.network.widths)), **special.pop("choice", {})}
        for old in out.glob("*"):
            old.unlink()
        out.mkdir(exist_ok=True)
        row = run_one(Job(**given | special), args.nnunet if theirs else Path(sys.executable), args.work)
        row["gflops"] = round(gflops_of(network.spec.network, row["passes"]), 1)
        yield row | {"commit": commit()}


def compare_masks(rows: Sequence[Row], args: argparse.Namespace) -> None:
    """Note how far each system's masks are from the first one's that was asked with the same flips, and from those of
    nnU-Net with our weight of windows.
    """

    def between(one: str, other: str) -> float | None:
        folders = [args.work / _plain(title) for title in (one, other)]
        whole = all((folder / f"{name}.nii.gz").is_file() for folder in folders for name in args.cases)
        return differing(folders[0], folders[1], args.cases) if whole else None

    for flips in (False, True):
        same = [row for row in rows if row["flips"] == flips and not row["title"].startswith("MONAI")]
        for row in same:
            row["masks_differ"] = between(same[0]["title"], row["title"])
            row["masks_differ_alike"] = None if flips else between(ALIKE, row["title"])


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cases", nargs="+", required=True, metavar="ID")
    parser.add_argument("--work", type=Path, required=True, help="folder for weights, masks and logs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--nnunet", type=Path, metavar="PYTHON")
    parser.add_argument("--model", type=Path, metavar="RUN")
    parser.add_argument("--only", nargs="+", metavar="WORD")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--widths", type=int, nargs=6, default=WIDTHS)
    parser.add_argument("--patch", type=int, nargs=3, default=PATCH)
    return parser.parse_args(given)


def main(given: Sequence[str]) -> None:
    """Measure, and write the JSON after every system."""
    args = arguments(given)
    args.work.mkdir(parents=True, exist_ok=True)
    register(one_pass=True)
    network = network_of(args)
    weights = network.folder / read_spec(network.folder).weights_file
    before = read_json(args.out) if args.out.is_file() else {}
    if before and (before["network"]["weights_sha256"] != file_sha256(weights) or before["cases"] != args.cases):
        raise ConfigError(f"{args.out} is of other weights or cases", remedy="name another --out, or remove it")
    rows: list[Row] = before.get("systems", [])
    head = {
        "machine": machine(),
        "command": shlex.join(["python", "bench/inference.py", *given]),
        "threads": args.threads,
        "matrix_peak_gflops": before.get("matrix_peak_gflops") or matrix_peaks(args.threads),
        "network": {
            "name": network.spec.name,
            "parameters": count_parameters(network.spec.network),
            "weights_sha256": file_sha256(weights),
            "patch": list(network.spec.window.patch),
        },
        "cases": args.cases,
    }
    for row in measure(args, network, rows):
        rows.append(row)
        compare_masks(rows, args)
        write_json(args.out, head | {"systems": rows})
        print(f"{row['title']}: {row['seconds']:.1f} s a case, {row['peak_mib']} MiB", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
