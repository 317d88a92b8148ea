"""nnU-Net's 2D training beside a cross-validation of ours: same cases, same folds, same time, same threads.

    python bench/nnunet_slices.py STUDY DATA --nnunet PYTHON --work FOLDER \\
        --out docs/results/nnunet-slices.json --picture docs/pictures/nnunet-slices.png

STUDY is what ``gliamap cross-validate`` left of the slices in DATA, PYTHON that of an environment with ``nnunetv2``.
Each fold is a data set of nnU-Net's own with the study's training and validation cases: what the fold tests and what
the study closed is not even seen by the plan. nnU-Net learns the labels as classes of their own, with its own plan,
augmentation and validation, in one process with the threads that the study's training had, and in the time that it
took (``--minutes`` says another): see :mod:`nnunet_slices_run`. It ends with its final weights, ours with the best
validated; our test-time flips and its own are both tried.

Time is that of the training with its validations, by the clock: the machine should have nothing else to do. nnU-Net
computes in fp32 on a CPU. The same command goes on where it stopped. The JSON is written anew after every fold; its
tables are those of the kind ``nnunet`` of ``tools/tables.py``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import Any

from nnunet_slices_figure import draw_curves
from nnunet_slices_run import FULL_ITERATIONS, Order
from run import commit, machine

from gliamap.errors import CasesFailed, ConfigError
from gliamap.io.atomic import read_json, write_json, write_text
from gliamap.labels import Convention
from gliamap.scoring.evaluation import Evaluation
from gliamap.scoring.paired import compare_paired
from gliamap.sources.splits import read_split
from gliamap.workflows.common.folds import Fold
from gliamap.workflows.data.export import export_dataset
from gliamap.workflows.data.export_plan import ExportOptions
from gliamap.workflows.prediction.segment import segment
from gliamap.workflows.prediction.segment_settings import SegmentOptions
from gliamap.workflows.scores.evaluate import EvaluateOptions, evaluate

PROGRAM = Path(__file__).with_name("nnunet_slices_run.py")
OURS, THEIRS = "gliamap", "nnU-Net"
FLIPS = ", flips"
POINTS = 100
"""Points of a curve that the JSON holds."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where all is: the data set, nnU-Net's Python, and the folder of what is made on the way."""

    data: Path
    nnunet: Path
    work: Path

    def masks(self, system: str) -> Path:
        """The predictions of all folds by a system, by its title."""
        return self.work / "masks" / system.replace(", ", "-").lower()


def folds_of(study: Path, wanted: Sequence[int]) -> list[Fold]:
    """The folds of the study's first repeat that were asked for, or all; ``ConfigError`` where one is not finished."""
    first = study / "repeat0"
    found = []
    for number in wanted or sorted(int(folder.name.removeprefix("fold")) for folder in first.glob("fold*")):
        folder = first / f"fold{number}"
        split = read_split(folder / "split.json")
        found.append(Fold(f"fold {number}", folder, first / "masks", number, split.seed, split))
    lacking = [f"{fold.name}: {fold.lacks()}" for fold in found if fold.lacks()]
    if lacking or not found:
        said = "; ".join(lacking) or "no folds"
        raise ConfigError(f"the study {study} is not complete", found=said, remedy="finish it with the same command")
    return found


def export_fold(fold: Fold, place: Place) -> str:
    """Write the fold's cases as a data set of nnU-Net's, if they are not there; the name of its folder."""
    options = ExportOptions(split=fold.split_file, name="slices", id=500 + fold.number)
    found = export_dataset(place.data, place.work / "raw", to="nnunet", options=options)
    if found.failed:
        raise CasesFailed(f"{len(found.failed)} cases could not be exported", found=next(iter(found.failed.values())))
    path = found.root / "dataset.json"
    write_json(path, as_classes(read_json(path), found.contents.convention))
    return found.root.name


def as_classes(description: Mapping[str, Any], convention: Convention) -> Row:
    """nnU-Net's ``dataset.json`` with every label as a class of its own, instead of regions that overlap."""
    labels = {"background": 0} | {tissue.name: value for value, tissue in sorted(convention.values.items()) if value}
    return {key: each for key, each in description.items() if key != "regions_class_order"} | {"labels": labels}


def run_nnunet(fold: Fold, place: Place, *, seconds: float, threads: int) -> Row:
    """Train and predict the fold by nnU-Net, or go on with that; what its process reports."""
    folder = place.work / fold.folder.name
    masks = {"plain": str(place.masks(THEIRS)), "flips": str(place.masks(THEIRS + FLIPS))}
    order = Order(export_fold(fold, place), str(place.work), seconds, threads, fold.seed, masks)
    write_json(folder / "order.json", asdict(order))
    log = folder / "log.txt"
    print(f"{fold.name}: nnU-Net for {seconds / 60:.0f} minutes; see {log}", flush=True)
    alike = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    with log.open("ab") as stream:
        command = [str(place.nnunet), "-u", str(PROGRAM), str(folder / "order.json")]
        done = subprocess.run(command, stdout=stream, stderr=stream, env=os.environ | alike, check=False)
    if done.returncode:
        raise RuntimeError(f"nnU-Net ended with {done.returncode}: see {log}")
    return dict(read_json(folder / "report.json"))


def predict_with_flips(fold: Fold, place: Place) -> None:
    """Our network's masks of the cases that the fold holds out, averaged over flips; those that are there are kept."""
    flipped = replace(fold, masks=place.masks(OURS + FLIPS))
    left = flipped.unpredicted()
    if not left:
        return
    # As cross-validation segments them, but for the flips.
    options = SegmentOptions(cases=left, pictures=False, flips=True, force=True, overwrite=True, manifest=False)
    done = segment(place.data, flipped.masks, model=fold.run, options=options)
    if done.failed:
        raise CasesFailed(f"{len(done.failed)} cases could not be predicted", found=next(iter(done.failed.values())))


def our_training(run: Path) -> Row:
    """What a run of ours cost, and its learning curve."""
    settings = read_json(run / "run.json")["settings"]
    with (run / "log.csv").open(newline="", encoding="utf-8") as file:
        # A step that was logged twice, as after resuming, counts as it was logged last.
        rows = list({int(row["step"]): row for row in csv.DictReader(file)}.values())
    regions = [name for name in rows[0] if name.startswith("dice_")]
    validated = [row for row in rows if row[regions[0]]]
    minutes, loss = thinned([(float(row["seconds"]) / 60, float(row["loss"])) for row in rows])
    train = settings["train"]
    return {
        "minutes": round(float(rows[-1]["seconds"]) / 60, 2),
        "iterations": int(rows[-1]["step"]),
        "batch": train["batch"],
        "patch": train["patch"],
        "precision": train["precision"],
        "widths": settings["network"]["widths"],
        "curve": {
            "minutes": minutes,
            "loss": loss,
            "validated": [round(float(row["seconds"]) / 60, 2) for row in validated],
            "dice": {name.removeprefix("dice_"): [float(row[name]) for row in validated] for name in regions},
        },
    }


def their_training(report: Row) -> Row:
    """The same of nnU-Net's report."""
    ends = [round(seconds / 60, 2) for seconds in accumulate(report["epoch_seconds"])]
    plan, schedule = report["plan"], report["schedule"]
    iterations = len(ends) * schedule["iterations"]
    return {
        "minutes": ends[-1],
        "iterations": iterations,
        "full_epochs": round(iterations / FULL_ITERATIONS, 2),
        "batch": plan["batch"],
        "patch": plan["patch"],
        "precision": "fp32",
        "widths": plan["widths"],
        "schedule": schedule,
        "versions": report["versions"],
        "curve": {
            "minutes": ends,
            "loss": report["loss"],
            "validated": ends,
            "dice": {
                name: [epoch[number] for epoch in report["dice"]] for number, name in enumerate(report["classes"])
            },
        },
    }


def thinned(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Means of neighbours, so that no more than ``POINTS`` are left."""
    step = -(-len(points) // POINTS)
    groups = [points[start : start + step] for start in range(0, len(points), step)]
    across, up = ([round(fmean(point[axis] for point in group), 4) for group in groups] for axis in (0, 1))
    return across, up


def scored(folds: Sequence[Fold], place: Place) -> dict[str, Evaluation]:
    """The scores of every system, by its title, on the cases that these folds hold out."""
    folders = {OURS: folds[0].masks}
    folders |= {title: place.masks(title) for title in (OURS + FLIPS, THEIRS, THEIRS + FLIPS)}
    options = EvaluateOptions(cases=tuple(case_id for fold in folds for case_id in fold.split.test))
    return {title: evaluate(folder, place.data, options=options) for title, folder in folders.items()}


def system_rows(found: Mapping[str, Evaluation]) -> Iterator[Row]:
    """A line a system. Ours is compared with nnU-Net where both flip, and where neither does."""
    for title, one in found.items():
        summary = one.summary
        regions = {
            region.value: {"dice": asdict(own.figures["dice"]), "pooled_dice": own.pooled_dice}
            for region, own in summary.regions.items()
        }
        peer = found[title.replace(OURS, THEIRS)]
        paired = compare_paired(one.cases, peer.cases).regions if peer is not one else {}
        yield {
            "title": title,
            "missing": summary.missing,
            "regions": regions,
            "pooled_class_dice": dict(summary.pooled_class_dice),
            "difference": {region.value: asdict(each["dice"].difference) for region, each in paired.items()},
        }


def case_rows(found: Mapping[str, Evaluation]) -> Iterator[Row]:
    """A line a case: Dice by system and region."""
    for number, case in enumerate(found[OURS].cases):
        dice = {
            title: {region.value: round(own.dice, 5) for region, own in one.cases[number].score.regions.items()}
            for title, one in found.items()
        }
        yield {"case_id": case.case_id, "patient_id": case.patient_id, "dice": dice}


def as_text(head: Row, by_case: Sequence[Row]) -> str:
    """JSON with one line a case, so that a difference can be read."""
    lines = ",\n".join("  " + json.dumps(row) for row in by_case)
    return json.dumps(head, indent=1).removesuffix("\n}") + f',\n "by_case": [\n{lines}\n ]\n}}\n'


def result_of(folds: Sequence[Fold], trainings: Sequence[Row], place: Place) -> str:
    """All that is known when these folds are done, as JSON."""
    found = scored(folds, place)
    run = read_json(folds[0].run / "run.json")
    summary = found[OURS].summary
    head = {
        "commit": commit(),
        "machine": machine(),
        "study": {
            "recipe": run["recipe"],
            "commit": run["commit"],
            "seed": run["settings"]["train"]["seed"],
            "data_fingerprint": run["data"]["fingerprint"],
            "threads": run["machine"]["threads"],
        },
        "cases": summary.cases,
        "patients": summary.patients,
        "folds": list(trainings),
        "systems": list(system_rows(found)),
    }
    return as_text(head, list(case_rows(found)))


def do_fold(fold: Fold, place: Place, minutes: float | None) -> Row:
    """Train, and predict with and without flips; the facts of both trainings."""
    ours = our_training(fold.run)
    threads = read_json(fold.run / "run.json")["machine"]["threads"]
    report = run_nnunet(fold, place, seconds=60 * (minutes or ours["minutes"]), threads=threads)
    predict_with_flips(fold, place)
    split = {part: len(getattr(fold.split, part)) for part in ("train", "val", "test")}
    return {
        "fold": fold.number,
        "cases": split,
        "split": fold.split.fingerprint,
        OURS: ours,
        THEIRS: their_training(report),
    }


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("study", type=Path, metavar="STUDY")
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--nnunet", type=Path, required=True, metavar="PYTHON")
    parser.add_argument("--work", type=Path, required=True, help="folder for nnU-Net's data, weights, masks and logs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="+", default=[], help="default: all of the study")
    parser.add_argument("--minutes", type=float, help="of nnU-Net's training; default: what ours of the fold took")
    return parser.parse_args(given)


def main(given: Sequence[str]) -> None:
    """Do fold after fold, and write JSON and picture after each."""
    args = arguments(given)
    place = Place(args.data, args.nnunet, args.work.resolve())
    folds, trainings = folds_of(args.study.resolve(), args.folds), list[Row]()
    for number, fold in enumerate(folds, 1):
        trainings.append(do_fold(fold, place, args.minutes))
        write_text(args.out, result_of(folds[:number], trainings, place))
        draw_curves(trainings, args.picture)
        print(f"{fold.name}: done; {number} of {len(folds)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
