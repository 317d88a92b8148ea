"""Whether faster ways to run a trained network give its masks: each against fp32 windows in PyTorch. JSON for a table:

    python bench/faithfulness.py RUN... --data SCANS --out docs/results/NAME.json [--most 40]

The runs are folds of one cross-validation, or any others that do not share test cases: every case is predicted by the
run that held it out, in every engine, precision and window mode that this machine can, and scored on its own grid.
``--most`` takes so many cases of each run, evenly spread. ``--only WORD...`` takes the ways that have one of these
words in their names. The table is the kind ``faithfulness`` of ``tools/tables.py``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from run import commit, machine

from gliamap.case import CaseFiles
from gliamap.config import ModelSpec
from gliamap.errors import ConfigError
from gliamap.infer.engine import EngineChoice, cpu_has_fast_bf16
from gliamap.infer.engines import build_engine
from gliamap.infer.predictor import Predictor
from gliamap.io.atomic import write_text
from gliamap.io.cases import read_case
from gliamap.io.checkpoint import read_spec
from gliamap.labels import region_mask
from gliamap.metrics.overlap import count, dice
from gliamap.models.shipped import resolve_model
from gliamap.scoring.estimate import estimate
from gliamap.sources.detect import scan
from gliamap.sources.splits import read_split

SHARE, LEAST_ML = 0.01, 0.05
"""A volume may change by the larger of these: a share of it, and mL."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """One way to run a network."""

    engine: str
    precision: str
    mode: str

    @property
    def name(self) -> str:
        """As the table has it."""
        return f"{self.engine} {self.precision}, {self.mode}"


REFERENCE = Way("torch", "fp32", "windows")


def ways(words: Sequence[str] = ()) -> list[Way]:
    """The reference, then all others that this machine can and whose name has one of ``words``, if there are any."""
    engines = [(name, "fp32") for name in ("torch", "onnxruntime", "openvino")]
    if cpu_has_fast_bf16():
        engines += [("torch", "bf16"), ("openvino", "bf16")]
    every = [Way(*engine, mode) for mode, engine in product(("windows", "one-pass"), engines)]
    wanted = [way for way in every if not words or any(word in way.name for word in words)]
    return [REFERENCE, *(way for way in wanted if way != REFERENCE)]


def predictors_of(folder: Path, spec: ModelSpec, wanted: Sequence[Way]) -> dict[str, Predictor]:
    """One for each way; those of the two modes share their engine."""
    engines = {}
    found = {}
    for way in wanted:
        key = way.engine, way.precision
        if key not in engines:
            choice = EngineChoice.model_validate({"engine": way.engine, "precision": way.precision})
            engines[key] = build_engine(folder, spec, choice)
        window = spec.window.model_copy(update={"mode": way.mode})
        own = spec.model_copy(update={"window": window, "dice_predictor": None})
        found[way.name] = Predictor(own, engines[key], fixed_mode=True)
    return found


def held_out(run: Path, data: Path, most: int | None) -> tuple[list[CaseFiles], list[str]]:
    """The cases of the run's test part, at most so many, evenly spread; and those that ``data`` has not, or without
    labels.
    """
    test = set(read_split(run / "split.json").test)
    cases = [files for files in scan(data).cases if files.case_id in test and files.labels]
    if not cases:
        raise ConfigError(f"{data} has no case of the test part of {run}", remedy="name the run's own data set")
    count = min(most or len(cases), len(cases))
    lost = sorted(test - {files.case_id for files in cases})
    return [cases[number * len(cases) // count] for number in range(count)], lost


def try_case(files: CaseFiles, predictors: Mapping[str, Predictor]) -> Row:
    """Dice and volume (mL, or pixels) of each region, by the name of the way."""
    spec = next(iter(predictors.values())).spec
    case = read_case(files, modalities=spec.prep.modalities, may_be_missing=spec.may_be_missing)
    assert case.labels is not None  # only such cases were chosen
    modes = {predictor.spec.window.mode: predictor for predictor in predictors.values()}
    ready = {mode: predictor.prepare(case) for mode, predictor in modes.items()}
    dices, volumes = {}, {}
    for name, predictor in predictors.items():
        own = ready[predictor.spec.window.mode]
        found = predictor.finish(own, predictor.run(own)).labels
        counts = {r: count(region_mask(found, r), region_mask(case.labels, r)) for r in spec.output.regions}
        dices[name] = {region.value: round(dice(each), 6) for region, each in counts.items()}
        volumes[name] = {r.value: round(each.predicted * case.grid.voxel_size, 6) for r, each in counts.items()}
    identity = {"case_id": case.case_id, "patient_id": case.patient_id, "unit": case.grid.unit}
    return identity | {"dice": dices, "volume": volumes}


def summary_of(rows: Sequence[Row], wanted: Sequence[Way]) -> list[Row]:
    """A line for each way and region: Dice, how it differs from the reference's, and what became of the volumes."""
    regions = list(rows[0]["dice"][REFERENCE.name])
    return [compared(rows, way.name, region) | asdict(way) for way in wanted for region in regions]


def compared(rows: Sequence[Row], way: str, region: str) -> Row:
    """One way and region. ``turned``: empty in one of both only; ``beyond``: volumes that changed too much."""
    pairs = [(row["volume"][way][region], row["volume"][REFERENCE.name][region]) for row in rows]
    changes = [(row["patient_id"], row["dice"][way][region] - row["dice"][REFERENCE.name][region]) for row in rows]
    own = [(row["patient_id"], row["dice"][way][region]) for row in rows]
    shares = [abs(a - b) / b for a, b in pairs if b]
    return {
        "region": region,
        "dice": asdict(estimate(own)),
        "change": asdict(estimate(changes)),
        "largest_change": max((change for _, change in changes), key=abs),
        "turned": sum((a > 0) != (b > 0) for a, b in pairs),
        "beyond": sum(not within(a, b, in_ml=row["unit"] == "mm") for (a, b), row in zip(pairs, rows, strict=True)),
        "largest_volume_change": max(shares, default=0.0),
        "cases": len(rows),
    }


def within(volume: float, reference: float, *, in_ml: bool) -> bool:
    """The volume changed by no more than it may; of an image, in pixels, only the share counts."""
    return abs(volume - reference) <= max(SHARE * reference, LEAST_ML if in_ml else 0.0) + 1e-9


def every_case(args: argparse.Namespace, wanted: Sequence[Way]) -> Iterator[tuple[Row, Row]]:
    """Each run's facts with each of its cases."""
    seen: dict[str, Path] = {}
    for run in args.runs:
        folder = resolve_model(run)
        spec = read_spec(folder)
        cases, lost = held_out(run, args.data, args.most)
        if lost:
            every = len(read_split(run / "split.json").test)
            said = f"{len(lost)} of {every} held-out cases are not in {args.data}, or have no labels there"
            print(f"{run}: {said}: {', '.join(lost[:5])}", file=sys.stderr)
        facts: Row = {"name": spec.name, "weights_sha256": spec.weights_sha256, "network": spec.network.model_dump()}
        facts["lost"] = lost
        predictors = predictors_of(folder, spec, wanted)
        for files in cases:
            if files.case_id in seen:
                raise ConfigError(f"{files.case_id} was held out by two runs: {seen[files.case_id]} and {run}")
            seen[files.case_id] = run
            yield facts, try_case(files, predictors)


def as_text(head: Row, rows: Sequence[Row]) -> str:
    """JSON with one line a case, so that a difference can be read."""
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    return json.dumps(head, indent=1).removesuffix("\n}") + f',\n "by_case": [\n{lines}\n ]\n}}\n'


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int)
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD")
    return parser.parse_args(given)


def main(given: Sequence[str]) -> None:
    """Measure, and write the JSON."""
    args = arguments(given)
    started = time.perf_counter()
    wanted = ways(args.only)
    rows: list[Row] = []
    runs: dict[str, Row] = {}
    for facts, row in every_case(args, wanted):
        runs.setdefault(facts["weights_sha256"], facts | {"cases": 0})["cases"] += 1
        rows.append(row)
        print(f"{len(rows)} cases: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    head = {
        "commit": commit(),
        "machine": machine(),
        "command": shlex.join(["python", "bench/faithfulness.py", *given]),
        "seconds": round(time.perf_counter() - started, 1),
        "runs": list(runs.values()),
        "patients": len({row["patient_id"] for row in rows}),
        "summary": summary_of(rows, wanted),
    }
    write_text(args.out, as_text(head, rows))


if __name__ == "__main__":
    main(sys.argv[1:])
