"""What training costs beside the network: its memory, its patches, its steps. JSON on standard output, for a table:

    python bench/training.py memory > memory.json && mv memory.json docs/results/loader-memory.json
    python bench/training.py loader > loader.json && mv loader.json docs/results/loader-speed.json
    python bench/training.py steps > steps.json && mv steps.json docs/results/training-steps.json
    make tables

``memory``: the loader's own memory for few and many cases. ``loader``: patches a second. ``steps``: the seconds of a
training step, against a bare loop on tensors that are made once. All of it on phantoms; patches and networks have the
sizes of real ones.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from run import CASE_SHAPE, anonymous_mib, commit, machine
from torch import nn

from gliamap.boxes import Shape
from gliamap.case import Case, CaseFiles, CaseIdentity
from gliamap.config import ModelSpec, NetConfig, OutputConfig, PrepConfig, TrainConfig, WindowConfig
from gliamap.io.store import StoreInfo, case_folder, entry_of, read_store, write_case, write_store
from gliamap.losses.named import deeply_supervised
from gliamap.losses.target import Target
from gliamap.nets.zoo import build_network, heads
from gliamap.prep.pipeline import prepare
from gliamap.recipes.named import find_recipe
from gliamap.sampling.dataset import PatchDataset
from gliamap.sampling.loader import Feed, make_share
from gliamap.sources.phantom import make_phantom
from gliamap.training.devices import Devices
from gliamap.training.optim import update_average
from gliamap.training.progress import Clock
from gliamap.training.state import Learner, make_learner
from gliamap.training.step import Stepper
from gliamap.training.stop import stoppable
from gliamap.volume import image_grid

Table = dict[str, Any]
"""``head`` and ``rows`` of a table, and a ``note`` below it."""

CPU = torch.device("cpu")
PATCHES: Sequence[tuple[Shape, int]] = (((128, 128, 128), 4), ((64, 64, 64), 4), ((256, 256, 1), 1), ((256, 256, 1), 4))
"""Patch and number of modalities."""

LOOKS = 10
"""How often memory is looked at, a batch apart: it swings as batches come and go."""

AHEAD = 6
"""More batches than a worker keeps ready: after so many the loader's own pace shows."""


def write_cases(store: Path, cases: Sequence[Case], modalities: tuple[str, ...]) -> Path:
    """Prepare ``cases`` into ``store``; returns it."""
    prep = PrepConfig(modalities=modalities)
    entries = []
    for case in cases:
        kept = [case.modalities.index(name) for name in modalities]
        one = replace(case, image=case.image[kept], modalities=modalities)
        write_case(store, prepare(one, prep), origin={}, convention="brats2021")
        entries.append(entry_of(store, CaseFiles(CaseIdentity(case.case_id, case.case_id), {})))
    info = StoreInfo(prep=prep, convention="brats2021", layouts=("phantom",), patients_known=True, cases=tuple(entries))
    write_store(store, info)
    return store


def slices_of(case: Case) -> list[Case]:
    """The axial slices of a case that hold tumour, each as a case of its own."""
    assert case.labels is not None
    x, y, depth = case.grid.shape
    return [
        replace(
            case,
            case_id=f"{case.case_id}_{z}",
            image=case.image[..., z : z + 1],
            labels=case.labels[..., z : z + 1],
            grid=image_grid((x, y, 1)),
        )
        for z in range(depth)
        if case.labels[..., z].any()
    ]


def make_store(folder: Path, patch: Shape, modalities: int) -> Path:
    """A store that patches of this size are cut from: two volumes of BraTS' size, or slices larger than the patch."""
    store = folder / f"{'slices' if patch[2] == 1 else 'volumes'}-{modalities}"
    if not (store / "store.json").is_file():
        if patch[2] == 1:
            cases = slices_of(make_phantom(0, (300, 300, 24)))
        else:
            cases = [make_phantom(number, CASE_SHAPE) for number in range(2)]
        write_cases(store, cases, ("t1c", "t1", "t2", "flair")[:modalities])
    return store


def link_cases(source: Path, store: Path, count: int) -> Path:
    """A store of ``count`` cases whose files are links to those of ``source``, in turn; returns it."""
    info = read_store(source)
    entries = [info.cases[n % len(info.cases)].model_copy(update={"case_id": f"Phantom_{n:05d}"}) for n in range(count)]
    for number, entry in enumerate(entries):
        folder = case_folder(store, entry.case_id)
        folder.mkdir(parents=True)
        for path in case_folder(source, info.cases[number % len(info.cases)].case_id).iterdir():
            os.link(path, folder / path.name)
    write_store(store, info.model_copy(update={"cases": tuple(entries)}))
    return store


def make_spec(store: Path, patch: Shape) -> ModelSpec:
    """A DynUNet for patches of this size, with the widths that training takes by itself in 3D."""
    info = read_store(store)
    output = OutputConfig(kind="regions", convention=info.convention)
    dims: Literal[2, 3] = 2 if patch[2] == 1 else 3
    network = NetConfig(dims=dims, in_channels=len(info.prep.modalities), out_channels=len(output.channels))
    return ModelSpec(name="bench", network=network, output=output, prep=info.prep, window=WindowConfig(patch=patch))


def make_feed(store: Path, config: TrainConfig) -> Feed:
    """The loader of a training."""
    dataset = PatchDataset(store, read_store(store).cases, config, make_spec(store, config.patch))
    return Feed(dataset, config, make_share(config), first_step=0, device=CPU)


def title(patch: Shape, modalities: int) -> str:
    """A patch in words."""
    size = "x".join(str(n) for n in patch if n > 1)
    return f"{size}, {modalities} {'modality' if modalities == 1 else 'modalities'}"


def hold(store: Path, workers: int, patches: int) -> list[float | None]:
    """Memory of this process and of its largest worker, each after a third of ``patches`` and after all of them."""
    config = TrainConfig(patch=(64, 64, 64), batch=2, steps=10**6, workers=workers)
    feed = make_feed(store, config)
    own: list[float | None] = []
    worker: list[float | None] = []
    for count in (patches // 3, patches - patches // 3):
        for _ in range(count // 2 - LOOKS):
            list(feed)
        looks, theirs = list[float](), list[float]()
        for _ in range(LOOKS):
            list(feed)
            looks.append(anonymous_mib(os.getpid()))
            theirs += [anonymous_mib(child.pid) for child in active_children() if child.pid]
        own.append(max(looks))
        worker.append(max(theirs, default=None))
    return own + worker


def bench_memory(cases: Sequence[int], patches: int) -> Table:
    """The loader's memory for so many cases, without and with workers, each in a process of its own."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = write_cases(
            folder / "source", [make_phantom(n, (96, 96, 96)) for n in range(4)], ("t1", "t1c", "t2", "flair")
        )
        for count in cases:
            store = link_cases(source, folder / str(count), count)
            for workers in (0, 2):
                child = [sys.executable, __file__, "hold", str(store), str(workers), str(patches)]
                found = json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
                rows.append([count, workers, *found])
    early, late = patches // 3, patches
    head = ["Cases", "Workers", f"Process that trains, after {early} patches", f"after {late}"]
    head += [f"Largest worker, after {early}", f"after {late}"]
    note = (
        "RssAnon in MiB, the largest of ten looks; cases of 96x96x96 voxels, patches of 64x64x64, four modalities, "
        "two a batch, no network"
    )
    return {"head": head, "rows": rows, "note": note}


def rate(feed: Feed, workers: int, seconds: float) -> float:
    """Patches a second, once what was loaded ahead is used up."""
    for _ in range(AHEAD * max(1, workers)):
        list(feed)
    made, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        made += sum(len(batch.image) for batch in feed)
    return made / (time.perf_counter() - started)


def bench_loader(seconds: float) -> Table:
    """Patches a second of each kind, as trainings vary them by default and strongly."""
    strong = find_recipe("strong").config["augment"]
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for patch, modalities in PATCHES:
            store = make_store(Path(name), patch, modalities)
            for augment, words in (({}, "default"), (strong, "strong")):
                row: list[Any] = [title(patch, modalities), words]
                for workers in (0, 1, 2):
                    settings: dict[str, Any] = {
                        "patch": patch,
                        "batch": 2,
                        "steps": 10**6,
                        "workers": workers,
                        "augment": augment,
                    }
                    row.append(rate(make_feed(store, TrainConfig.model_validate(settings)), workers, seconds))
                rows.append(row)
    head = ["Patch", "Variation", "no worker", "1 worker", "2 workers"]
    return {"head": head, "rows": rows, "note": "Patches a second; files in the page cache"}


class BareLoop:
    """Forward, loss, backward, clipping, optimiser and weight average on tensors that are made once."""

    def __init__(self, config: TrainConfig, spec: ModelSpec) -> None:
        self._config, self._spec = config, spec
        self._learner = make_learner(build_network(spec.network), config)
        flat = config.patch[2] == 1
        shape = config.patch[:2] if flat else config.patch
        self._image = torch.randn(config.batch, spec.network.in_channels, *shape)
        self._target = (torch.rand(config.batch, spec.network.out_channels, *shape) < 0.1).to(torch.uint8)

    def take(self) -> None:
        """One step."""
        model, optimiser = self._learner.model, self._learner.optimiser
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._config.precision == "bf16"):
            levels = heads(model(self._image), self._spec.network)
        torch.autograd.backward(deeply_supervised(levels, Target(self._target), self._spec.output.kind))
        nn.utils.clip_grad_norm_(model.parameters(), self._config.clip_norm)
        optimiser.step()
        update_average(self._learner.average, model, 1000, self._config.ema_decay)


def pause(workers: Sequence[int], *, paused: bool) -> None:
    """Stop the loader's workers, or let them go on: they must not disturb the bare loop."""
    for pid in workers:
        os.kill(pid, signal.SIGSTOP if paused else signal.SIGCONT)


def compare_steps(store: Path, config: TrainConfig, rounds: int, steps: int) -> list[Any]:
    """Medians of bare steps and of training steps, taken in turns, and where the latter's time went."""
    spec = make_spec(store, config.patch)
    torch.manual_seed(0)
    bare = BareLoop(config, spec)
    dataset = PatchDataset(store, read_store(store).cases, config, spec)
    clock, stages = Clock(), dict[str, float]()
    seconds: dict[str, list[float]] = {"bare": [], "training": []}
    devices = Devices()
    with stoppable(devices) as stop:
        learner: Learner = make_learner(build_network(spec.network), config)
        stepper = Stepper(learner, dataset, config, spec, devices)
        workers = [child.pid for child in active_children() if child.pid]
        for _ in range(rounds):
            pause(workers, paused=True)
            try:
                seconds["bare"] += [timed(bare.take) for _ in range(steps + 1)][1:]
            finally:
                pause(workers, paused=False)
            for number in range(AHEAD + steps):
                taken = timed(lambda: stepper.take(clock, stop))
                spent = clock.take()
                if number >= AHEAD:
                    seconds["training"].append(taken)
                    stages = {name: stages.get(name, 0.0) + value for name, value in spent.items()}
    bare_step, step = (float(np.median(seconds[kind])) for kind in ("bare", "training"))
    whole = sum(seconds["training"])
    return [bare_step, step, 100 * (step / bare_step - 1), 100 * stages["load"] / whole]


def timed(act: Any) -> float:
    """The seconds that a call takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def bench_steps(rounds: int, steps: int) -> Table:
    """Training steps against bare ones, in 3D and 2D."""
    rows = []
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as name:
        for patch, batch in (((64, 64, 64), 2), ((256, 256, 1), 16)):
            store = make_store(Path(name), patch, 4)
            config = TrainConfig(patch=patch, batch=batch, steps=10**6, workers=1)
            rows.append([f"{title(patch, 4)}, batch {batch}", *compare_steps(store, config, rounds, steps)])
    head = ["Patch", "Bare step, s", "Training step, s", "Overhead, %", "Waiting for patches, %"]
    note = (
        f"Medians of {rounds * steps} steps each, taken in turns; DynUNet, widths 16 to 256, bf16, "
        f"{threads} threads, 1 worker"
    )
    return {"head": head, "rows": rows, "note": note}


def rounded(cell: Any) -> Any:
    """Numbers to three significant digits."""
    return float(f"{cell:.3g}") if isinstance(cell, float) else cell


def main() -> None:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    memory = verbs.add_parser("memory")
    memory.add_argument("--cases", type=int, nargs="+", default=[4, 12, 48])
    memory.add_argument("--patches", type=int, default=600)
    loader = verbs.add_parser("loader")
    loader.add_argument("--seconds", type=float, default=8)
    steps = verbs.add_parser("steps")
    steps.add_argument("--rounds", type=int, default=4)
    steps.add_argument("--steps", type=int, default=8)
    child = verbs.add_parser("hold")
    child.add_argument("store", type=Path)
    child.add_argument("workers", type=int)
    child.add_argument("patches", type=int)
    given = parser.parse_args()
    if given.verb == "hold":
        print(json.dumps(hold(given.store, given.workers, given.patches)))
        return
    if given.verb == "memory":
        table = bench_memory(given.cases, given.patches)
    elif given.verb == "loader":
        table = bench_loader(given.seconds)
    else:
        table = bench_steps(given.rounds, given.steps)
    table["rows"] = [[rounded(cell) for cell in row] for row in table["rows"]]
    print(json.dumps({"commit": commit(), "machine": machine(), **table}, indent=1))


if __name__ == "__main__":
    main()
