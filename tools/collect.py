"""Put one run's evidence together as ``docs/results/NAME.json``, from which ``tools/tables.py`` makes the tables.

    .venv/bin/python tools/collect.py NAME 'Title of the row' RUN_FOLDER SCORES_JSON [COMMIT]
    .venv/bin/python tools/collect.py NAME 'Title of the row' STUDY_FOLDER

RUN_FOLDER is what ``gliamap train`` wrote, SCORES_JSON what ``gliamap evaluate`` wrote, STUDY_FOLDER what ``gliamap
cross-validate`` wrote. Collect on the machine that trained. COMMIT is the one that trained, where the code has changed
since (default: the one checked out).
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from gliamap.io.atomic import read_json, write_text

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))

from run import commit, machine  # noqa: E402 (bench is no package)


def run_facts(title: str, run: Path, trained_at: str) -> dict[str, Any]:
    """What the table of runs says of a training."""
    record, split, last = read_json(run / "run.json"), read_json(run / "split.json"), last_row(run)
    return {
        "title": title,
        "command": " ".join(record["command"]),
        "commit": trained_at,
        "seed": record["settings"]["train"]["seed"],
        "steps": int(last["step"]),
        "wall_seconds": float(last["seconds"]),
        "machine": machine(),
        "data_fingerprint": record["data"]["fingerprint"],
        "split_fingerprint": hashlib.sha256(json.dumps(split, sort_keys=True).encode()).hexdigest()[:16],
    }


def study_facts(title: str, study: Path) -> dict[str, Any]:
    """The same of all trainings of a cross-validation together."""
    record = read_json(study / "study.json")
    runs = sorted(study.glob("repeat*/fold*/run"))
    each = [read_json(run / "run.json") for run in runs]
    splits = json.dumps([one["data"]["split"] for one in each])
    return {
        "title": title,
        "command": " ".join(record["command"]),
        "recipe": record["recipe"],
        "commit": " ".join(dict.fromkeys(one["commit"] for one in each)),
        "seed": record["settings"]["seed"],
        "steps": each[0]["settings"]["train"]["steps"],
        "wall_seconds": sum(float(last_row(run)["seconds"]) for run in runs),
        "machine": machine(),
        "data_fingerprint": record["data"]["fingerprint"],
        "split_fingerprint": hashlib.sha256(splits.encode()).hexdigest()[:16],
    }


def last_row(run: Path) -> dict[str, str]:
    """The last row of a run's log."""
    with (run / "log.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))[-1]


def slim(case: dict[str, Any]) -> dict[str, Any]:
    """A case of a study with the figures that tables and intervals are made of: a study has thousands of them."""
    regions = {
        region: {name: figures[name] for name in ("dice", "hd95", "reference_volume", "predicted_volume")}
        for region, figures in case["regions"].items()
    }
    return {name: case[name] for name in ("repeat", "fold", "case_id", "patient_id")} | {"regions": regions}


def compact(value: Any) -> Any:
    """Floats to six decimals: hundreds of slices stay small, and no table shows more than three."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: compact(item) for key, item in value.items()}
    return [compact(item) for item in value] if isinstance(value, list) else value


def as_text(run: dict[str, Any], evaluation: dict[str, Any]) -> str:
    """The result as JSON, one line a case, so that a difference can be read."""
    head = {"run": run, "evaluation": {key: value for key, value in evaluation.items() if key != "cases"}}
    cases = ",\n".join(json.dumps(case) for case in compact(evaluation["cases"]))
    text = json.dumps(compact(head), indent=1).removesuffix("\n }\n}")
    return f'{text},\n  "cases": [\n{cases}\n  ]\n }}\n}}\n'


def main() -> None:
    """Write the result named on the command line."""
    name, title, folder, *scored = sys.argv[1:]
    out = ROOT / "docs" / "results" / f"{name}.json"
    if scored:
        scores, *trained_at = scored
        run = run_facts(title, Path(folder), *(trained_at or [commit()]))
        write_text(out, as_text(run, read_json(Path(scores))))
    else:
        scores = read_json(Path(folder) / "scores.json")
        scores["cases"] = [slim(case) for case in scores["cases"]]
        write_text(out, as_text(study_facts(title, Path(folder)), scores))
    print(f"{out.relative_to(ROOT)} written; now make tables")


if __name__ == "__main__":
    main()
