"""What is lost with each modality: networks trained with and without leaving some out, on every subset of them.

    python bench/modalities.py --without RUN... --with RUN... --data BRATS --out docs/results/NAME.json

An arm's runs are the folds of one cross-validation: every case is predicted by the one run whose test part holds it,
once for each non-empty subset of the modalities, prepared as if the others had never been scanned. A network that was
never told which modalities are there is shown zeros in the channels of the others. Scores are taken on the native grid.
``--overlap`` is that of the windows, 0.25 unless told: half of the work of the usual 0.5. ``--pictures FOLDER`` draws
``--picture-cases``, by default the first one. The table is the kind ``modalities`` of ``tools/tables.py``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from modalities_sheet import Shown, draw_sheet
from run import commit, machine

from gliamap.case import Case, CaseFiles, PreparedCase
from gliamap.config import PrepConfig
from gliamap.errors import ConfigError
from gliamap.infer.decode import decode
from gliamap.infer.predictor import Predictor, load_predictor
from gliamap.infer.window import predict_windows
from gliamap.inputs import NetworkInput
from gliamap.io.atomic import read_json, write_text
from gliamap.io.cases import read_case
from gliamap.labels import LabelMap
from gliamap.prep.pipeline import prepare, restore
from gliamap.scoring.estimate import estimate
from gliamap.scoring.score import CaseScore, score_case
from gliamap.sources.detect import scan
from gliamap.sources.splits import read_split

ARMS = ("without", "with")

Row = dict[str, Any]
Maps = dict[tuple[str, tuple[str, ...]], tuple[LabelMap, CaseScore]]
"""What was said of one case, by arm and subset."""


@dataclass(frozen=True)
class Run:
    """One trained fold: its model and the cases that it was not trained on."""

    path: Path
    predictor: Predictor
    test: frozenset[str]


def load_run(path: Path, overlap: float) -> Run:
    """A run folder of ``gliamap train``; its windows overlap by ``overlap``."""
    predictor = load_predictor(path)
    window = predictor.spec.window.model_copy(update={"overlap": overlap})
    spec = predictor.spec.model_copy(update={"window": window})
    return Run(path, Predictor(spec, predictor.engine), frozenset(read_split(path / "split.json").test))


def by_case(arm: str, runs: Sequence[Run]) -> dict[str, Run]:
    """Which run predicts which case."""
    found: dict[str, Run] = {}
    for run in runs:
        for case_id in run.test:
            if case_id in found:
                raise ConfigError(
                    f"{case_id} is in the test part of two runs --{arm}: {found[case_id].path}, {run.path}"
                )
            found[case_id] = run
    return found


def modalities_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """The modalities that all runs take, in one order."""
    found = {run.predictor.spec.prep.modalities for run in runs}
    if len(found) > 1:
        raise ConfigError("the runs do not take the same modalities", found=str(sorted(found)))
    return found.pop()


def subsets_of(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Every non-empty subset, the largest first."""
    return [subset for size in range(len(modalities), 0, -1) for subset in combinations(modalities, size)]


def predict(predictor: Predictor, prepared: PreparedCase, voxel_size: float) -> LabelMap:
    """What the network says, on the native grid. Zeros, without a word, for one that needs every modality."""
    spec = predictor.spec
    shown = NetworkInput(prepared.image, spec.inputs, prepared.present if spec.inputs.presence else None)
    probabilities = restore(predict_windows(shown, predictor.engine, spec.window), prepared.record)
    return decode(probabilities, spec.output, spec.clean_up, voxel_size)


def try_case(case: Case, runs: Mapping[str, Run]) -> Maps:
    """Predict and score every subset of the modalities, once an arm."""
    assert case.labels is not None
    found: Maps = {}
    for subset in subsets_of(case.modalities):
        image = case.image[[case.modalities.index(name) for name in subset]]
        part = replace(case, modalities=subset, image=image, labels=None)
        made: dict[PrepConfig, PreparedCase] = {}
        for arm, run in runs.items():
            spec = run.predictor.spec
            if spec.prep not in made:
                made[spec.prep] = prepare(part, spec.prep, may_be_missing=case.modalities)
            labels = predict(run.predictor, made[spec.prep], case.grid.voxel_size)
            found[arm, subset] = labels, score_case(labels, case.labels, case.grid, spec.output.regions)
    return found


def rows_of(case: Case, found: Maps) -> list[Row]:
    """The scores of a case as they go into the file."""
    return [
        {
            "case_id": case.case_id,
            "patient_id": case.patient_id,
            "arm": arm,
            "modalities": list(subset),
            "dice": {region.value: round(one.dice, 5) for region, one in score.regions.items()},
            "hd95": {region.value: round(one.hd95, 3) for region, one in score.regions.items()},
        }
        for (arm, subset), (_, score) in found.items()
    ]


def summary_of(rows: Sequence[Row]) -> list[Row]:
    """Mean Dice over patients for each subset and arm, and of 'with' less 'without'; then over all subsets."""
    subsets = list(dict.fromkeys(tuple(row["modalities"]) for row in rows))
    return [{"modalities": list(subset) if subset else None, **_estimates(rows, subset)} for subset in (*subsets, None)]


def _estimates(rows: Sequence[Row], subset: tuple[str, ...] | None) -> dict[str, dict[str, Any]]:
    chosen = [row for row in rows if subset is None or tuple(row["modalities"]) == subset]
    arms = {arm: [row for row in chosen if row["arm"] == arm] for arm in ARMS}
    regions = list(rows[0]["dice"])
    found: dict[str, dict[str, Any]] = {}
    for arm, own in arms.items():
        found[arm] = {r: _estimate([(row["patient_id"], row["dice"][r]) for row in own]) for r in regions}
    pairs = list(zip(arms["with"], arms["without"], strict=True))
    found["gain"] = {
        region: _estimate([(a["patient_id"], a["dice"][region] - b["dice"][region]) for a, b in pairs])
        for region in regions
    }
    return found


def _estimate(values: Sequence[tuple[str, float]]) -> dict[str, Any]:
    figures = asdict(estimate(values))
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in figures.items()}


def run_facts(run: Run) -> Row:
    """What the file says of a run."""
    record, spec = read_json(run.path / "run.json"), run.predictor.spec
    return {
        "name": run.path.name,
        "steps": record["settings"]["train"]["steps"],
        "seed": record["settings"]["train"]["seed"],
        "modality_dropout": record["settings"]["train"]["modality_dropout"],
        "data_fingerprint": record["data"]["fingerprint"],
        "weights_sha256": spec.weights_sha256,
        "cases": sorted(run.test),
    }


def as_text(head: Row, rows: Sequence[Row]) -> str:
    """JSON with one line a score, so that a difference can be read."""
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    return json.dumps(head, indent=1).removesuffix("\n}") + f',\n "scores": [\n{lines}\n ]\n}}\n'


def draw(case: Case, found: Maps, modalities: tuple[str, ...], out: Path) -> None:
    """The sheet of a case: all modalities, without FLAIR, without T1c, as far as there are such."""
    wanted = [modalities, *(tuple(m for m in modalities if m != gone) for gone in ("flair", "t1c"))]
    rows = [Shown(subset, {arm: found[arm, subset] for arm in ARMS}) for subset in dict.fromkeys(wanted) if subset]
    draw_sheet(case, rows, out)


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    for arm in ARMS:
        parser.add_argument(f"--{arm}", type=Path, nargs="+", required=True, metavar="RUN", dest=f"{arm}_runs")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--overlap", type=float, default=0.25)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--picture-cases", nargs="+", default=[])
    return parser.parse_args(given)


def cases_of(data: Path, runs: Mapping[str, Mapping[str, Run]]) -> list[CaseFiles]:
    """The cases that both arms test, in the data set's order; what only one of them tests is told."""
    tested = [set(of_arm) for of_arm in runs.values()]
    both = set.intersection(*tested)
    if set.union(*tested) != both:
        print(f"only one arm tests {', '.join(sorted(set.union(*tested) - both))}: left out", file=sys.stderr)
    cases = [files for files in scan(data).cases if files.case_id in both]
    if not both or len(cases) < len(both):
        lost = ", ".join(sorted(both - {files.case_id for files in cases})) or "any case that both arms test"
        raise ConfigError(f"{data} lacks {lost}", remedy="name the data set that the runs were trained on")
    return cases


def main(given: Sequence[str]) -> None:
    """Measure, and write JSON and pictures."""
    args = arguments(given)
    started = time.perf_counter()
    loaded = {arm: [load_run(path, args.overlap) for path in getattr(args, f"{arm}_runs")] for arm in ARMS}
    runs = {arm: by_case(arm, of_arm) for arm, of_arm in loaded.items()}
    modalities = modalities_of([run for of_arm in loaded.values() for run in of_arm])
    cases = cases_of(args.data, runs)
    to_draw = (args.picture_cases or [cases[0].case_id]) if args.pictures else []
    rows: list[Row] = []
    for number, files in enumerate(cases, 1):
        case = read_case(files, modalities=modalities)
        found = try_case(case, {arm: of_arm[case.case_id] for arm, of_arm in runs.items()})
        rows += rows_of(case, found)
        if case.case_id in to_draw:
            draw(case, found, modalities, args.pictures / f"modalities-{case.case_id}.png")
        print(f"{number} of {len(cases)}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    head = {
        "commit": commit(),
        "machine": machine(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "seconds": round(time.perf_counter() - started, 1),
        "overlap": args.overlap,
        "modalities": list(modalities),
        "runs": {arm: [run_facts(run) for run in of_arm] for arm, of_arm in loaded.items()},
        "cases": len(cases),
        "patients": len({files.identity.patient_id for files in cases}),
        "summary": summary_of(rows),
    }
    write_text(args.out, as_text(head, rows))


if __name__ == "__main__":
    main(sys.argv[1:])
