"""Tables of results: made from JSON alone, 'not run' where there is none."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import collect
import tables
from comparisons import estimate, four, on_other
from gliamap.comparison.nouns import as_json as comparison_as_json
from gliamap.labels import Region, Tissue
from gliamap.scoring.repeats import FoldScores, study_as_json, summarise_study
from gliamap.scoring.rows import as_json
from gliamap.scoring.score import score_case
from gliamap.scoring.summary import ScoredCase, summarise
from gliamap.workflows.training.networks import NetworkCost
from make import case
from tables import filled

RUN = {
    "title": "3D DynUNet",
    "command": "gliamap train store",
    "commit": "0123456789abcdef",
    "seed": 7,
    "steps": 900,
    "wall_seconds": 1500,
    "machine": "2 cores",
    "data_fingerprint": "d1",
    "split_fingerprint": "s1",
}


def evaluation() -> dict[str, Any]:
    """The scores of two patients: one found exactly, one of whom everything but the edema was missed."""
    scored = scored_pair()
    content: dict[str, Any] = json.loads(json.dumps(as_json(summarise(scored), scored)))
    return content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "first.json").write_text(json.dumps({"run": RUN, "evaluation": evaluation()}))
    bench = {
        "commit": "0123456789abcdef",
        "machine": "2 cores",
        "figures": [{"title": "help", "value": 0.25, "unit": "s"}],
    }
    (tmp_path / "speed.json").write_text(json.dumps(bench))
    return tmp_path


def table(what: str, folder: Path) -> list[str]:
    return filled(f"before\n<!-- table: {what} -->\nold\n<!-- end -->\nafter\n", folder).splitlines()[2:-2]


def test_results_by_eye(folder: Path) -> None:
    head, _, first, second = table("results first second", folder)
    assert head == (
        "| Run | Dice WT | Dice TC | Dice ET | HD95 WT, mm | HD95 TC, mm | HD95 ET, mm | Patients | Cases | Missing |"
    )
    cells = first.strip("| ").split(" | ")
    assert cells[0] == "3D DynUNet"
    assert cells[2] == "0.500 [0.000, 1.000]"
    assert cells[-3:] == ["2", "2", "0"]
    assert second == "| second |" + " not run |" * 9


def test_every_kind_makes_a_table_of_equal_rows(folder: Path) -> None:
    for kind in ("results", "pooled", "slices", "enhancing", "runs"):
        rows = table(f"{kind} first second", folder)
        assert len(rows) == 4
        assert len({row.count(" | ") for row in rows}) == 1
        assert "not run" in rows[3]


def scored_pair() -> list[ScoredCase]:
    """A patient of whom everything is found, and one of whom only the edema is."""
    scored = []
    for kind, patient in (("plain", "a"), ("oblique", "b")):
        one = case(kind)
        assert one.labels is not None
        found = one.labels.copy()
        if patient == "b":
            found[found != Tissue.ED] = 0
        scored.append(ScoredCase(patient, patient, score_case(found, one.labels, one.grid, tuple(Region))))
    return scored


def test_folds_by_eye(folder: Path) -> None:
    good, bad = scored_pair()
    study = study_as_json(summarise_study([FoldScores(0, 2, (good,)), FoldScores(0, 3, (bad,))]))
    (folder / "study.json").write_text(json.dumps({"run": RUN, "evaluation": study}, default=str))
    head, _, first, second = table("folds study", folder)
    assert head == "| Fold | Dice WT | Dice TC | Dice ET | Patients | Cases |"
    assert first.startswith("| 3D DynUNet, fold 2 | 1.000") and first.endswith("| 1 | 1 |")
    assert second.startswith("| 3D DynUNet, fold 3 | 0.") and second.split(" | ")[2].startswith("0.000")
    assert table("results study", folder)[2].split(" | ")[2] == "0.500 [0.000, 1.000]"
    assert table("folds nowhere", folder)[2] == "| nowhere |" + " not run |" * 5


def test_grid_by_eye(folder: Path) -> None:
    grid = {"head": ["Patch", "Seconds"], "rows": [["64", 0.25], ["128", None]], "note": "Medians"}
    made = {"commit": "0123456789abcdef+changes", "machine": "2 cores"}
    (folder / "grid.json").write_text(json.dumps(grid | made))
    rows = table("grid grid", folder)
    assert rows[2:4] == ["| 64 | 0.25 |", "| 128 | - |"]
    assert rows[-1] == "Medians. Commit `0123456789+changes` on 2 cores."
    assert table("grid nowhere", folder)[2] == "| not run | not run |"


def test_a_study_is_collected_from_its_folder(tmp_path: Path) -> None:
    for fold, commit in enumerate(("c1", "c1", "c2")):
        run = tmp_path / "repeat0" / f"fold{fold}" / "run"
        run.mkdir(parents=True)
        record = {"commit": commit, "settings": {"train": {"steps": 9}}, "data": {"split": f"s{fold}"}}
        (run / "run.json").write_text(json.dumps(record))
        (run / "log.csv").write_text(f"step,seconds\n5,1\n9,{10 + fold}\n")
    study = {"command": ["gliamap", "cross-validate"], "recipe": {"name": "small"}, "settings": {"seed": 4}}
    (tmp_path / "study.json").write_text(json.dumps(study | {"data": {"fingerprint": "d"}}))
    facts = collect.study_facts("Title", tmp_path)
    assert (facts["commit"], facts["steps"], facts["wall_seconds"], facts["seed"]) == ("c1 c2", 9, 33, 4)
    assert (facts["command"], facts["recipe"]) == ("gliamap cross-validate", {"name": "small"})


def test_bench_by_eye(folder: Path) -> None:
    assert table("bench speed", folder) == [
        "| What | Measured |",
        "| --- | ---: |",
        "| help | 0.25 s |",
        "",
        "Commit `0123456789` on 2 cores.",
    ]


def test_detection_by_eye(folder: Path) -> None:
    row = {"damage": "a cut", "rule": "unreadable", "noticed": 11, "damaged": 12, "false_alarms": 1, "sound": 30}
    content = {"commit": "0123456789abcdef", "machine": "a machine", "figures": [row]}
    (folder / "found.json").write_text(json.dumps(content), encoding="utf-8")
    text = filled("<!-- table: detection found lost -->\n<!-- end -->", folder)
    assert "| a cut | `unreadable` | 11 of 12 | 1 of 30 |" in text
    assert "| lost | not run | not run | not run |" in text
    assert "Commit `0123456789` on a machine." in text


def test_processes_by_eye(folder: Path) -> None:
    result = {
        **{"commit": "0123456789abcdef", "machine": "a machine", "steps": 120, "curves": {}},
        "pairs": [
            {"title": "two patches", "loss": 0.0, "weights": 0.0, "dice": 0.0},
            {"title": "four", "loss": 0.000000123, "weights": 0.0000456, "dice": 0.001},
        ],
        "killed": {"exit_code": 1, "seconds_until_all_stopped": 6.6, "steps_done": 59, "steps_saved": 58},
    }
    (folder / "any.json").write_text(json.dumps(result))
    assert table("processes any lost", folder) == [
        "| The same training | Losses differ by at most | Weights differ by at most | Dice differs by at most |",
        "| --- | ---: | ---: | ---: |",
        "| two patches | 0 | 0 | 0 |",
        "| four | 1e-07 | 5e-05 | 0.001 |",
        "| lost | not run | not run | not run |",
        "",
        "The killed process: the second of two, after 59 of 120 steps; all was over after 7 s with exit code 1, and "
        "58 steps were saved. Commit `0123456789` on a machine.",
    ]


def test_modalities_by_eye(folder: Path) -> None:
    def both(without: float, given: float) -> dict[str, Any]:
        return {"without": {"WT": asdict(estimate(without))}, "with": {"WT": asdict(estimate(given, 0.5, 0.75))}}

    content = {
        **{"commit": "0123456789abcdef", "machine": "a machine", "device": "CPU", "modalities": ["t1c", "flair"]},
        **{"patients": 3, "cases": 4},
        "runs": {
            "without": [{"steps": 50, "modality_dropout": 0.0}],
            "with": [{"steps": 50, "modality_dropout": 0.5}],
        },
        "summary": [
            {"modalities": ["t1c", "flair"], **both(0.9, 0.625)},
            {"modalities": ["flair"], **both(0.1, 0.625)},
            {"modalities": None, **both(0.5, 0.625)},
        ],
    }
    (folder / "any.json").write_text(json.dumps(content), encoding="utf-8")
    assert table("modalities any lost", folder) == [
        "| T1c | FLAIR | WT without | WT with |",
        "| --- | ---: | ---: | ---: |",
        "| ● | ● | 0.900 | 0.625 [0.500, 0.750] |",
        "| ○ | ● | 0.100 | 0.625 [0.500, 0.750] |",
        "| mean |  | 0.500 | 0.625 [0.500, 0.750] |",
        "",
        "Dice, mean over 3 patients (4 cases) [95 % interval]; trained without and with leaving modalities out of 50% "
        "of the patches, 50 steps. Commit `0123456789` on a machine, CPU.",
        "",
        "| lost | Dice |",
        "| --- | ---: |",
        "| not run | not run |",
    ]


def test_comparisons_by_eye(folder: Path) -> None:
    found = replace(four(), elsewhere=(on_other("msd-t1gd-2d", "figshare-t1c", 0.3),))
    (folder / "four.json").write_text(json.dumps(comparison_as_json(found)))
    rows = table("compare four lost", folder)
    assert rows[0].startswith("- Equal time: each training has 15 minutes")
    assert "| WT | dynunet | 0.630 [0.600, 0.660] | +0.030 [+0.010, +0.050] | higher |" in rows
    assert "| WT | swin-unet | not run | not run | not run |" in rows
    assert rows[-5:] == [
        "Commit `0123456789` on a machine.",
        "",
        "| lost | Measured |",
        "| --- | ---: |",
        "| not run | not run |",
    ]
    assert not any("figshare" in row for row in rows)
    matrix = table("matrix four", folder)
    assert "| unet | msd-t1gd-2d (brains) | 0.600 [0.570, 0.630] | 0.300 [0.270, 0.330] |" in matrix
    assert matrix[-1] == "Commit `0123456789` on a machine."


def test_networks_by_eye(folder: Path) -> None:
    cost = NetworkCost("unet", "the classic", 2, (8, 16), (64, 64, 1), 4, 1_940_000, 3.26, 0.0412, "cpu, bf16")
    costs = [cost, replace(cost, name="fcn", parameters=None, lacking="needs torchvision"), replace(cost, dims=3)]
    (folder / "nets.json").write_text(json.dumps([asdict(one) for one in costs]))
    rows = table("networks nets lost", folder)
    assert rows[0] == "**2D, an input of 64 x 64 with 4 modalities, on cpu, bf16**"
    assert rows[4].startswith("| unet | the classic | 1.9 M | 3.3 | ")
    assert rows[5] == "| fcn | the classic; needs torchvision | - | - | - |"
    assert rows[7].startswith("**3D, an input of 64 x 64 x 1 ")
    assert rows[-1] == "| not run | not run |"


def test_filling_twice_changes_nothing(folder: Path) -> None:
    once = filled("<!-- table: runs first -->\n<!-- end -->\n", folder)
    assert "`gliamap train store`" in once
    assert filled(once, folder) == once


def test_a_collected_result_holds_what_was_given() -> None:
    given = evaluation()
    text = collect.as_text(RUN, given)
    read = json.loads(text)
    assert read["run"] == RUN
    assert read["evaluation"].keys() == given.keys()
    assert read["evaluation"]["cases"][1]["regions"]["WT"]["dice"] == pytest.approx(
        given["cases"][1]["regions"]["WT"]["dice"], abs=1e-6
    )
    assert sum(line.startswith('{"case_id"') for line in text.splitlines()) == 2


def test_an_unknown_kind_is_an_error(folder: Path) -> None:
    with pytest.raises(ValueError, match="should name one of results"):
        filled("<!-- table: nonsense first -->\n<!-- end -->", folder)


def test_the_committed_tables_are_true(capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.main(["--check"]) == 0
    assert capsys.readouterr().out == ""
