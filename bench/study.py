"""Run an experiment of ``bench/experiments.py``: train, segment and score every arm, with each seed and test fold.

    python bench/study.py NAME --data DATA --work FOLDER --out docs/results/NAME.json [--arms ARM ...] [--jobs 2]

Each training has one thread; ``--jobs`` of them run side by side. What is done is in the JSON after every run, and is
not done again: an interrupted experiment goes on with the same command, on another machine, too. Minutes are processor
time of the trainings, validation included: that of a busy machine is that of a quiet one. The table is the kind
``arms`` of ``tools/tables.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments import EXPERIMENTS, Experiment
from run import machine

from gliamap.io.atomic import read_json, write_json, write_text
from gliamap.scoring.estimate import estimate
from gliamap.sources.detect import scan
from gliamap.sources.splits import read_split
from gliamap.workflows.scores.evaluate import EvaluateOptions, evaluate

Row = dict[str, Any]

_OF_CASE = ("case_id", "patient_id", "dice", "further")
"""What a case's line holds, in this order. Results of long ago have nothing further."""


@dataclass(frozen=True)
class Run:
    """One arm with one seed and test fold, and the folder of all that belongs to it."""

    arm: str
    seed: int
    fold: int
    folder: Path

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells it from the others of its experiment."""
        return self.arm, self.seed, self.fold


def runs_of(experiment: Experiment, work: Path) -> Iterator[Run]:
    """Every run: all arms of a seed before the next seed, so that what is done early can be compared."""
    for seed, fold, (number, arm) in product(experiment.seeds, experiment.folds, enumerate(experiment.arms)):
        yield Run(arm, seed, fold, work / f"arm{number}-fold{fold}-seed{seed}")


def call(words: Sequence[str], log: Path) -> Row:
    """Run ``gliamap`` with these words; its processor seconds and peak memory."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with log.open("ab") as stream:
        command = [sys.executable, "-m", "gliamap", *words]
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"gliamap {' '.join(words)} ended with {process.returncode}: see {log}")
    return {"cpu_seconds": used.ru_utime + used.ru_stime, "peak_mib": used.ru_maxrss / 1024}


def train_stages(experiment: Experiment, run: Run, store: Path) -> list[Row]:
    """The run's trainings, one after the other. What an interrupted one had used is not known: it is done anew."""
    done = []
    before = ""
    for number, options in enumerate(experiment.arms[run.arm]):
        folder = run.folder / f"stage{number}"
        record = run.folder / f"stage{number}.json"
        if not record.is_file():
            words = ["train", str(store), "-o", str(folder), "--test-fold", str(run.fold), "--seed", str(run.seed)]
            said = options.format(before=before, bench=Path(__file__).parent)
            words += [*experiment.common.split(), *said.split(), "--workers", "0"]
            shutil.rmtree(folder, ignore_errors=True)
            write_json(record, call(words, run.folder / "log.txt"))
        found = read_json(folder / "run.json")
        done.append(read_json(record) | {"steps": found["settings"]["train"]["steps"], "commit": found["commit"]})
        before = str(folder)
    return done


def score(experiment: Experiment, run: Run, data: Path) -> list[Row]:
    """Segment the test part and score it, case by case."""
    last = run.folder / f"stage{len(experiment.arms[run.arm]) - 1}"
    test = set(read_split(last / "split.json").test)
    rows: list[Row] = []
    for name in experiment.data:
        cases = tuple(case.case_id for case in scan(data / name).cases if case.case_id in test)
        if not cases:
            continue
        masks = run.folder / "masks" / name
        words = ["segment", str(data / name), "-o", str(masks), "--model", str(last), "--part", "test"]
        call([*words, "--no-pictures", "--overwrite"], run.folder / "log.txt")
        for scored in evaluate(masks, data / name, options=EvaluateOptions(cases=cases)).cases:
            dice = {region.value: round(found.dice, 5) for region, found in scored.score.regions.items()}
            whole = next(iter(scored.score.regions.values()))
            further = {"accuracy": round(whole.accuracy, 5)}
            if scored.score.mean_iou is not None:
                further["mean_iou"] = round(scored.score.mean_iou, 5)
            rows.append({"case_id": scored.case_id, "patient_id": scored.patient_id, "dice": dice, "further": further})
    return rows


def make_store(experiment: Experiment, arm: str, data: Path, work: Path) -> Path:
    """The prepared data of an arm; what is prepared already is not done again."""
    further = experiment.prepare_arm.get(arm, "")
    store = work / (f"store-arm{list(experiment.arms).index(arm)}" if further else "store")
    folders = [str(data / name) for name in experiment.data]
    words = ["prepare", *folders, "-o", str(store), *experiment.prepare.split(), *further.split()]
    call(words, work / "prepare.txt")
    return store


def do(experiment: Experiment, run: Run, store: Path, data: Path) -> Row:
    """Everything of one run, from its folder where it was done before."""
    record = run.folder / "done.json"
    if not record.is_file():
        run.folder.mkdir(parents=True, exist_ok=True)
        stages = train_stages(experiment, run, store)
        row = {"arm": run.arm, "seed": run.seed, "fold": run.fold, "options": list(experiment.arms[run.arm])}
        row |= {"machine": machine(), "stages": stages, "cases": score(experiment, run, data)}
        write_json(record, row)
    found: Row = read_json(record)
    return found


def summary_of(experiment: Experiment, rows: Sequence[Row]) -> list[Row]:
    """For each arm that was run: its costs, its Dice, and how much more that is than the first arm's.

    A case's scores are averaged over the seeds first; means and intervals are over patients. The gain is over the seeds
    that both arms were run with.
    """
    first = next(iter(experiment.arms))
    found = []
    for arm, stages in experiment.arms.items():
        own = [row for row in rows if row["arm"] == arm]
        if not own:
            continue
        seeds = sorted({row["seed"] for row in own})
        shared = [seed for seed in seeds if any(row["arm"] == first and row["seed"] == seed for row in rows)]
        regions = list(own[0]["cases"][0]["dice"])
        dice = _by_case(own, seeds)
        before = _by_case([row for row in rows if row["arm"] == first], shared)
        after = _by_case(own, shared)
        found.append(
            {
                "arm": arm,
                "options": list(stages),
                "seeds": seeds,
                "steps": [stage["steps"] for stage in own[0]["stages"]],
                "core_minutes": round(fmean(_minutes(row) for row in own), 1),
                "peak_mib": round(max(stage["peak_mib"] for row in own for stage in row["stages"])),
                "dice": {region: _estimate(dice, region) for region in regions},
                "further": _further(own),
                "each_seed": {
                    region: [round(_mean(_by_case(own, [seed]), region), 4) for seed in seeds] for region in regions
                },
                "gain": {} if arm == first or not shared else _gain(after, before),
            }
        )
    return found


Scores = Mapping[tuple[str, str], Mapping[str, float]]
"""Dice of each region, by patient and case."""


def _by_case(rows: Sequence[Row], seeds: Sequence[int]) -> Scores:
    """Each case's Dice, averaged over the seeds."""
    every: dict[tuple[str, str], list[Mapping[str, float]]] = {}
    for row in rows:
        if row["seed"] in seeds:
            for case in row["cases"]:
                every.setdefault((case["patient_id"], case["case_id"]), []).append(case["dice"])
    return {who: {region: fmean(one[region] for one in found) for region in found[0]} for who, found in every.items()}


def _estimate(scores: Scores, region: str) -> Row:
    found = asdict(estimate((patient, dice[region]) for (patient, _), dice in scores.items()))
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in found.items()}


def _mean(scores: Scores, region: str) -> float:
    mean = estimate((patient, dice[region]) for (patient, _), dice in scores.items()).mean
    assert mean is not None
    return mean


def _gain(after: Scores, before: Scores) -> Row:
    """How much higher each region's Dice is, patient by patient, for the regions that both have."""
    both = sorted(after.keys() & before.keys())
    regions = [region for region in after[both[0]] if region in before[both[0]]]
    more = {who: {region: after[who][region] - before[who][region] for region in regions} for who in both}
    return {region: _estimate(more, region) for region in regions}


def _further(rows: Sequence[Row]) -> Row:
    """Mean IoU and the accuracy of the outermost region, over patients; nothing where they were not kept."""
    cases = [case for row in rows for case in row["cases"]]
    found = {}
    for name in ("mean_iou", "accuracy"):
        if all(name in case.get("further", ()) for case in cases):
            found[name] = round(estimate((case["patient_id"], case["further"][name]) for case in cases).mean or 0.0, 5)
    return found


def _minutes(row: Row) -> float:
    return float(sum(stage["cpu_seconds"] for stage in row["stages"]) / 60)


def as_text(head: Row, rows: Sequence[Row]) -> str:
    """JSON with one line a case and run, so that a difference can be read."""
    lines = []
    for row in rows:
        lines += [json.dumps({name: value for name, value in row.items() if name != "cases"})]
        lines += [json.dumps([case[name] for name in _OF_CASE if name in case]) for case in row["cases"]]
    return json.dumps(head, indent=1).removesuffix("\n}") + ',\n "scores": [\n' + ",\n".join(lines) + "\n ]\n}\n"


def rows_in(path: Path, experiment: Experiment) -> list[Row]:
    """The runs that :func:`as_text` wrote to ``path``, as far as they are of this experiment as it is declared now."""
    if not path.is_file():
        return []
    saved = read_json(path)
    if any(saved[name] != value for name, value in _shared(experiment).items()):
        return []
    rows: list[Row] = []
    for line in saved["scores"]:
        if isinstance(line, dict):
            rows.append(line | {"cases": []})
        else:
            rows[-1]["cases"].append(dict(zip(_OF_CASE, line, strict=False)))
    return [row for row in rows if row["options"] == list(experiment.arms.get(row["arm"], ()))]


def _shared(experiment: Experiment) -> Row:
    """What all runs of an experiment have in common."""
    return {"data": list(experiment.data), "prepare": experiment.prepare, "common": experiment.common}


def write(out: Path, experiment: Experiment, rows: Sequence[Row], wanted: int) -> None:
    """Write what is there, of so many runs that there should be."""
    head = {
        "title": experiment.title,
        "machine": "; ".join(dict.fromkeys(row["machine"] for row in rows)),
        "commit": " ".join(dict.fromkeys(stage["commit"] for row in rows for stage in row["stages"])),
        **_shared(experiment),
        "arms": summary_of(experiment, rows),
        "runs": len(rows),
        "runs_wanted": wanted,
    }
    write_text(out, as_text(head, rows))


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=EXPERIMENTS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", help="only these")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    experiment = EXPERIMENTS[given.name]
    work = given.work / given.name
    work.mkdir(parents=True, exist_ok=True)
    every = list(runs_of(experiment, work))
    known = {(row["arm"], row["seed"], row["fold"]): row for row in rows_in(given.out, experiment)}
    left = [run for run in every if run.key not in known and run.arm in (given.arms or experiment.arms)]
    stores = {arm: make_store(experiment, arm, given.data, work) for arm in {run.arm for run in left}}
    lock = threading.Lock()
    started = time.perf_counter()

    def one(run: Run) -> None:
        found = do(experiment, run, stores[run.arm], given.data)
        with lock:
            known[run.key] = found
            write(given.out, experiment, [known[other.key] for other in every if other.key in known], len(every))
        print(f"{len(known)} of {len(every)} runs, {time.perf_counter() - started:.0f} s: {run}", file=sys.stderr)

    with ThreadPoolExecutor(given.jobs) as pool:
        for _ in pool.map(one, left):
            pass


if __name__ == "__main__":
    main()
