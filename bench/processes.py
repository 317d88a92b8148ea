"""One training on one process and on two: losses, weights, a process that is killed, and going on. JSON for a table:

    python bench/processes.py > processes.json && mv processes.json docs/results/processes.json && make tables

Phantoms, a small network, fp32, one thread a process, gloo. ``--picture PATH`` draws the curves of the result at
``PATH`` (``docs/results/processes.json``) as ``docs/pictures/curves-processes.png`` instead.
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
from pathlib import Path
from typing import Any

import numpy as np
from run import ROOT, commit, machine
from safetensors import safe_open
from safetensors.numpy import load_file

from gliamap.io.checkpoint import read_spec
from gliamap.sources.phantom import write_phantoms
from gliamap.training.progress import StepReport
from gliamap.training.step import Stepper
from gliamap.workflows.data.prepare import prepare
from gliamap.workflows.training.train import TrainOptions, train

STEPS = 100
KILLED_BEFORE = 61
"""The step before which the second process is killed."""

PICTURE = ROOT / "docs" / "pictures" / "curves-processes.png"
SETTINGS: dict[str, Any] = {
    "patch": (24, 24, 24),
    "steps": STEPS,
    "micro_batch": 1,
    "precision": "fp32",
    "validate_every": 50,
}

Result = dict[str, Any]


def train_here(store: Path, run: Path, batch: int, killed: bool) -> None:
    """This process' part of a training. The first writes its losses, one a step, to ``losses.jsonl`` beside it."""
    options = TrainOptions(widths=(8, 16, 32), overlap=0, config=SETTINGS | {"batch": batch})
    if killed and os.environ.get("RANK") == "1":
        _die_in_time()
    with (run.parent / f"{run.name}.jsonl").open("a") as file:

        def observe(report: StepReport) -> None:
            file.write(json.dumps({"step": report.step, "loss": report.loss, "dice": report.dice}) + "\n")
            file.flush()

        train(store, run, options=options, resume=True, observe=observe)


def _die_in_time() -> None:
    honest = Stepper.take

    def take(self: Stepper, *rest: Any) -> None:
        if self._learner.progress.step == KILLED_BEFORE - 1:
            print("killed at", time.time(), file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        honest(self, *rest)

    Stepper.take = take  # type: ignore[assignment, method-assign]


def launch(processes: int, store: Path, run: Path, *, batch: int, killed: bool = False) -> tuple[int, str, float]:
    """Train with so many processes: exit code, what was said on standard error, and when all was over."""
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*start, __file__, "--train", str(store), str(run), str(batch), "yes" if killed else "no"]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    ended = time.time()
    if done.returncode and not killed:
        raise RuntimeError(done.stderr)
    return done.returncode, done.stderr, ended


def reports_of(run: Path) -> dict[int, Result]:
    """What was told of each step; where a step was done twice, the last."""
    lines = (run.parent / f"{run.name}.jsonl").read_text().splitlines()
    return {report["step"]: report for report in map(json.loads, lines)}


def compared(title: str, one: Path, other: Path) -> Result:
    """How far two runs are apart: losses relative, weights relative to the largest of their tensor."""
    a, b = reports_of(one), reports_of(other)
    weights, others = (load_file(run / "last" / read_spec(run / "last").weights_file) for run in (one, other))
    apart = (float(np.abs(w - others[name]).max() / np.abs(w).max()) for name, w in weights.items())
    return {
        "title": title,
        "loss": max(abs(a[step]["loss"] - b[step]["loss"]) / abs(a[step]["loss"]) for step in a),
        "weights": max(apart),
        "dice": max(abs(x - b[step]["dice"][name]) for step in a for name, x in (a[step]["dice"] or {}).items()),
    }


def kill_and_go_on(store: Path, run: Path) -> Result:
    """Kill one of two processes, then go on with one."""
    code, said, ended = launch(2, store, run, batch=2, killed=True)
    (killed_at,) = (float(line.split()[-1]) for line in said.splitlines() if line.startswith("killed at"))
    with safe_open(str(run / "state.safetensors"), framework="np") as file:
        saved = int(json.loads(file.metadata()["progress"])["step"])
    launch(1, store, run, batch=2)
    return {
        "exit_code": code,
        "seconds_until_all_stopped": round(ended - killed_at, 1),
        "root_cause": next(line.split(": ", 1)[1] for line in said.splitlines() if "Signal 9" in line),
        "steps_done": KILLED_BEFORE - 1,
        "steps_saved": saved,
    }


def measure(folder: Path) -> Result:
    """All runs, in ``folder``."""
    store = folder / "store"
    write_phantoms(folder / "scans", 5, seed=0)
    prepare([folder / "scans"], store)
    runs = {}
    for batch in (2, 4):
        for processes in (1, 2):
            runs[batch, processes] = folder / f"batch-{batch}-processes-{processes}"
            launch(processes, store, runs[batch, processes], batch=batch)
    broken = folder / "broken"
    killed = kill_and_go_on(store, broken)
    return {
        "commit": commit(),
        "machine": machine(),
        "steps": STEPS,
        "pairs": [
            compared("2 patches: one process adds up, two take one each", runs[2, 1], runs[2, 2]),
            compared("4 patches: one process adds up, two add up two each", runs[4, 1], runs[4, 2]),
            compared("2 patches: two processes, one killed, then one process", runs[2, 2], broken),
        ],
        "killed": killed,
        "curves": {
            f"{processes} process{'es' if processes > 1 else ''}": [
                float(f"{report['loss']:.9g}") for report in reports_of(runs[4, processes]).values()
            ]
            for processes in (1, 2)
        },
    }


def draw(result: Path) -> None:
    """The two curves over each other, and their difference below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    (first, one), (second, two) = json.loads(result.read_text())["curves"].items()
    steps = range(1, len(one) + 1)
    figure = Figure(figsize=(9, 5.5), dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot(steps, one, color="#9ec1ea", linewidth=5, label=first)
    above.plot(steps, two, color="#22272e", linewidth=1.1, label=second)
    above.set_title("training loss, the same 4 patches a step", loc="left", fontsize=11)
    above.legend(frameon=False)
    below.plot(steps, np.abs(np.array(one) - np.array(two)) / np.abs(one), color="#d9480f", linewidth=1.2)
    below.set_title("relative difference", loc="left", fontsize=11)
    below.set_xlabel("step")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e9edf0")
    figure.savefig(PICTURE, metadata={"Software": None})


def main() -> None:
    """Measure, or do what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--train", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.train:
        store, run, batch, killed = chosen.train
        train_here(Path(store), Path(run), int(batch), killed == "yes")
    elif chosen.picture:
        draw(chosen.picture)
    else:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(Path(folder)), indent=1))


if __name__ == "__main__":
    main()
