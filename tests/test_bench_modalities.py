"""The bench of missing modalities, on tiny networks: every subset, each case by the run that did not train on it."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tiny
from gliamap.config import InputConfig, PrepConfig, WindowConfig
from gliamap.errors import ConfigError
from gliamap.sources.splits import Split, write_split
from gliamap.workflows.prediction.segment import SegmentOptions, segment

TWO = ("t1c", "flair")
BENCH = Path(__file__).resolve().parent.parent / "bench"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    import modalities  # noqa: PLC0415

    return modalities


def write_run(folder: Path, *test: str, dropout: float, bias: tuple[float, ...] = ()) -> Path:
    network = tiny.spec().network.model_copy(update={"in_channels": 4 if dropout else 2})
    prep, window = PrepConfig(modalities=TWO), WindowConfig(patch=(32, 32, 32))  # one window a case
    spec = tiny.spec(network=network, prep=prep, window=window)
    if dropout:
        changes = {"inputs": InputConfig(presence=True), "may_be_missing": TWO}
        spec = spec.model_copy(update=changes)
    tiny.write_model(folder / "best", spec, bias=bias)
    write_split(folder / "split.json", Split(train=(), val=(), test=test, seed=0))
    settings = {"train": {"steps": 5, "seed": 0, "modality_dropout": dropout}}
    (folder / "run.json").write_text(json.dumps({"settings": settings, "data": {"fingerprint": "d1"}}))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, list[str]]:
    """Two folds without, and one run that tests both of their cases with."""
    one, two = "Phantom_00001", "Phantom_00002"
    without = [write_run(tmp_path / "a1", one, dropout=0), write_run(tmp_path / "a2", two, dropout=0, bias=(-50,) * 3)]
    return {"without": [str(run) for run in without], "with": [str(write_run(tmp_path / "b", one, two, dropout=0.5))]}


def measure(bench: ModuleType, tmp_path: Path, runs: dict[str, list[str]], *more: str) -> dict[str, Any]:
    given = [word for arm, paths in runs.items() for word in (f"--{arm}", *paths)]
    bench.main([*given, "--data", str(tmp_path / "scans"), "--out", str(tmp_path / "out.json"), *more])
    found: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
    return found


def test_every_case_subset_and_arm_is_scored_once(
    bench: ModuleType, runs: dict[str, list[str]], tmp_path: Path
) -> None:
    tiny.write_set(tmp_path / "scans", 3)
    found = measure(bench, tmp_path, runs, "--pictures", str(tmp_path))
    rows = found["scores"]
    assert len({(r["case_id"], r["arm"], *r["modalities"]) for r in rows}) == len(rows) == 2 * 3 * 2
    assert (found["cases"], found["patients"], len(found["summary"])) == (2, 2, 4)
    assert [run["name"] for run in found["runs"]["without"]] == ["a1", "a2"]
    # The second fold's network never says tumour, and that fold alone predicted the second case without.
    silent = [r["dice"]["WT"] == 0 for r in rows if r["case_id"] == "Phantom_00002" and r["arm"] == "without"]
    assert silent == [True] * 3
    assert any(r["dice"]["WT"] > 0 for r in rows if r["case_id"] == "Phantom_00001" and r["arm"] == "without")
    first, *_, mean = found["summary"]
    assert first["modalities"] == list(TWO) and mean["modalities"] is None
    whole = [r["dice"]["WT"] for r in rows if r["modalities"] == list(TWO) and r["arm"] == "with"]
    assert first["with"]["WT"]["mean"] == pytest.approx(np.mean(whole), abs=1e-4)
    assert first["gain"]["WT"]["mean"] == pytest.approx(
        first["with"]["WT"]["mean"] - first["without"]["WT"]["mean"], abs=1e-4
    )
    assert mean["with"]["TC"]["cases"] == 6 and mean["with"]["TC"]["patients"] == 2
    with Image.open(tmp_path / "modalities-Phantom_00001.png") as picture:
        assert picture.width == 1600


def test_there_are_fifteen_subsets_of_four(bench: ModuleType) -> None:
    subsets = bench.subsets_of(("t1", "t1c", "t2", "flair"))
    assert len(set(subsets)) == len(subsets) == 15 and () not in subsets
    assert subsets[0] == ("t1", "t1c", "t2", "flair") and subsets[-1] == ("flair",)


def test_a_network_for_any_is_asked_as_users_ask_it(
    bench: ModuleType, runs: dict[str, list[str]], tmp_path: Path
) -> None:
    tiny.write_set(tmp_path / "scans", 2)
    rows = measure(bench, tmp_path, runs, "--overlap", "0.5")["scores"]
    options = SegmentOptions(modalities=("t1c",), pictures=False)
    segment(tmp_path / "scans", tmp_path / "masks", model=Path(runs["with"][0]), options=options)
    from gliamap.workflows.scores.evaluate import evaluate  # noqa: PLC0415

    scores = evaluate(tmp_path / "masks", tmp_path / "scans", out=tmp_path / "scores")
    expected = {one.case_id: one.score.regions for one in scores.cases}
    chosen = [r for r in rows if r["modalities"] == ["t1c"] and r["arm"] == "with"]
    assert len(chosen) == 2
    for row in chosen:
        for region, score in expected[row["case_id"]].items():
            assert row["dice"][region] == pytest.approx(score.dice, abs=1e-4)
            assert row["hd95"][region] == pytest.approx(score.hd95, abs=1e-2)


def test_what_does_not_compare_is_refused(bench: ModuleType, runs: dict[str, list[str]], tmp_path: Path) -> None:
    tiny.write_set(tmp_path / "scans", 1)
    with pytest.raises(ConfigError, match="lacks Phantom_00002"):
        measure(bench, tmp_path, runs)
    with pytest.raises(ConfigError, match="Phantom_00001 is in the test part of two runs --with"):
        measure(bench, tmp_path, runs | {"with": [*runs["with"], runs["without"][0]]})
