"""The training log: one CSV, no row twice."""

from __future__ import annotations

from pathlib import Path

from gliamap.training.track import CsvLog


def test_rows_by_eye(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv", ["WT", "ET"], keep_until=0)
    log.add({"step": 10, "seconds": 1.23456789, "loss": 0.5, "learning_rate": 1e-5})
    log.add({"step": 20, "seconds": 2.5, "loss": 0.25, "learning_rate": 0.001, "dice_WT": 0.75, "dice_ET": 0.0})
    assert (tmp_path / "log.csv").read_text().splitlines() == [
        "step,seconds,loss,learning_rate,dice_WT,dice_ET",
        "10,1.23457,0.5,1e-05,,",
        "20,2.5,0.25,0.001,0.75,0",
    ]


def rows(path: Path) -> list[str]:
    return [line.split(",")[0] for line in path.read_text().splitlines()[1:]]


def filled(path: Path) -> CsvLog:
    log = CsvLog(path, ["WT"], keep_until=0)
    for step in (10, 20, 30):
        log.add({"step": step, "seconds": step / 10, "loss": 1.0, "learning_rate": 0.1})
    return log


def test_a_resumed_log_drops_the_rows_that_come_again(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    filled(path)
    CsvLog(path, ["WT"], keep_until=20)
    assert rows(path) == ["10", "20"]


def test_a_new_log_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    filled(path)
    CsvLog(path, ["WT"], keep_until=0)
    assert rows(path) == []


def test_a_row_cut_short_by_a_crash_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    filled(path)
    for rest in ("12", "12,3.0", "x,1,1,1,"):
        filled(path)
        with path.open("a") as stream:
            stream.write(rest)  # '12' is what is left of step 120
        CsvLog(path, ["WT"], keep_until=30).add({"step": 40, "seconds": 4.0, "loss": 1.0, "learning_rate": 0.1})
        assert rows(path) == ["10", "20", "30", "40"]


def test_each_row_is_on_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = filled(path)
    assert rows(path) == ["10", "20", "30"]
    log.add({"step": 40, "seconds": 4.0, "loss": 1.0, "learning_rate": 0.1})
    assert rows(path)[-1] == "40"
