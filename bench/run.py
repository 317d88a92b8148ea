"""Speed and memory of gliamap on this machine, as JSON on standard output.

Prepares ``brats21/BraTS2021_00006`` of the folder named by ``GLIAMAP_DATA``, or where that is unset a phantom of the
same size. Each figure is ``{"title", "value", "unit"}``. For the table in the docs:

    make bench > bench.json && mv bench.json docs/results/bench.json && make tables
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

from gliamap.workflows.common.machine import machine

__all__ = ["CASE_SHAPE", "ROOT", "anonymous_mib", "commit", "machine"]

ROOT = Path(__file__).resolve().parent.parent
REAL_CASE = "brats21/BraTS2021_00006"
CASE_SHAPE = (240, 240, 155)

Figure = dict[str, Any]


def figure(title: str, value: float, unit: str) -> Figure:
    """One measured figure, rounded to three significant digits."""
    return {"title": title, "value": float(f"{value:.3g}"), "unit": unit}


def commit() -> str:
    """The commit that is checked out, with ``+changes`` where files differ from it."""
    sha = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return sha + ("+changes" if changed.strip() else "")


def anonymous_mib(pid: int) -> float:
    """``RssAnon`` of a process: memory of its own, without the pages of files that it has mapped."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def bench_help(repeats: int = 5) -> list[Figure]:
    """Seconds to the end of ``gliamap --help``, the best of several calls."""
    command = [str(Path(sys.executable).parent / "gliamap"), "--help"]
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return [figure("gliamap --help", min(seconds), "s")]


def write_phantom(folder: Path) -> Path:
    """A phantom of a BraTS case's size as a case folder."""
    from gliamap.io.nifti import write_new
    from gliamap.labels import from_tissue, get_convention
    from gliamap.sources.phantom import make_phantom

    case = make_phantom(0, CASE_SHAPE)
    assert case.labels is not None
    out = folder / "BraTS2021_99999"
    out.mkdir(parents=True)
    for channel, name in zip(case.image, ("t1", "t1ce", "t2", "flair"), strict=True):
        write_new(out / f"{out.name}_{name}.nii.gz", channel.astype("int16"), case.grid)
    write_new(out / f"{out.name}_seg.nii.gz", from_tissue(case.labels, get_convention("brats2021")), case.grid)
    return out


def prepare_here(source: Path, store: Path) -> None:
    """Prepare one case and print seconds and peak memory; run as a child process, so that the peak is its own."""
    from gliamap.workflows.data.prepare import prepare

    started = time.perf_counter()
    prepare([source], store)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "peak_kib": peak_kib()}))


def peak_kib() -> int:
    """Peak resident memory of this process. Not ``ru_maxrss``: on Linux a child starts with its parent's peak."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def bench_prepare(source: Path, store: Path) -> list[Figure]:
    """Seconds and peak memory of preparing one case (reading, cropping, normalising, writing), imports not counted."""
    what = "a BraTS case" if source.name in REAL_CASE else "a phantom of BraTS size"
    child = [sys.executable, __file__, "--prepare", str(source), str(store)]
    measured = json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
    disk = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    return [
        figure(f"prepare {what} (240x240x155, four modalities)", measured["seconds"], "s"),
        figure("peak memory of that", measured["peak_kib"] / 1024, "MiB"),
        figure("prepared case on disk", disk / 2**20, "MiB"),
    ]


def bench_patches(store: Path, patch: tuple[int, int, int], count: int) -> list[Figure]:
    """Training patches a second out of the loader, augmented, one worker, after the first batch."""
    import torch

    from gliamap.config import ModelSpec, NetConfig, OutputConfig, TrainConfig, WindowConfig
    from gliamap.io.store import read_store
    from gliamap.sampling.dataset import PatchDataset
    from gliamap.sampling.loader import Feed, make_share

    info = read_store(store)
    dims: Literal[2, 3] = 2 if patch[2] == 1 else 3
    output = OutputConfig(kind="regions", convention=info.convention)
    network = NetConfig(dims=dims, in_channels=len(info.prep.modalities), out_channels=len(output.channels))
    spec = ModelSpec(name="bench", network=network, output=output, prep=info.prep, window=WindowConfig(patch=patch))
    config = TrainConfig(patch=patch, batch=2, steps=count, workers=1)
    dataset = PatchDataset(store, info.cases, config, spec)
    feed = Feed(dataset, config, make_share(config), first_step=0, device=torch.device("cpu"))
    list(feed)
    started = time.perf_counter()
    made = sum(len(batch.image) for _ in range(count // config.batch - 1) for batch in feed)
    rate = made / (time.perf_counter() - started)
    size = "x".join(str(n) for n in patch[:dims])
    return [figure(f"patches of {size}, four modalities, augmented, one worker", rate, "/s")]


def main() -> None:
    """Measure everything and print it."""
    if sys.argv[1:2] == ["--prepare"]:
        prepare_here(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = os.environ.get("GLIAMAP_DATA")
        source = Path(data) / REAL_CASE if data else write_phantom(folder)
        figures = [
            *bench_help(),
            *bench_prepare(source, folder / "store"),
            *bench_patches(folder / "store", (64, 64, 64), 60),
            *bench_patches(folder / "store", (128, 128, 1), 400),
        ]
    print(json.dumps({"commit": commit(), "machine": machine(), "figures": figures}, indent=1))


if __name__ == "__main__":
    main()
