"""The training log: one CSV, no row twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from gliamap.errors import OutputError
from gliamap.report.curves import draw_curves, read_log
from gliamap.training.track import STAGES, CsvLog

STAGE_COLUMNS = "seconds_load,seconds_forward,seconds_backward,seconds_update,seconds_validate,seconds_save"


def test_rows_by_eye(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv", ["WT", "ET"], keep_until=0)
    first = {"step": 10, "seconds": 1.23456789, "loss": 0.5, "learning_rate": 1e-5, "gradient_norm": 2.5}
    stages = dict(zip(STAGES, (0.125, 0.25, 0.5, 0.0625, 0.0, 0.0), strict=True))
    log.add(first | {f"seconds_{stage}": seconds for stage, seconds in stages.items()})
    log.add({"step": 20, "seconds": 2.5, "loss": 0.25, "learning_rate": 0.001, "dice_WT": 0.75, "dice_ET": 0.0})
    assert (tmp_path / "log.csv").read_text().splitlines() == [
        f"step,seconds,loss,learning_rate,gradient_norm,{STAGE_COLUMNS},dice_WT,dice_ET",
        "10,1.23457,0.5,1e-05,2.5,0.125,0.25,0.5,0.0625,0,0,,",
        "20,2.5,0.25,0.001,,,,,,,,0.75,0",
    ]


def test_the_curves_read_the_log(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv", ["WT"], keep_until=0)
    row = {"seconds": 3.0, "learning_rate": 0.1, "gradient_norm": 7.0, "seconds_load": 5.0}
    log.add({"step": 10, "loss": 1.0} | row)
    log.add({"step": 20, "loss": 0.5, "dice_WT": 0.75} | row)
    read = read_log(tmp_path / "log.csv")
    assert (read.loss, read.dice, read.seconds) == ({10: 1.0, 20: 0.5}, {"WT": {20: 0.75}}, 3.0)
    draw_curves(tmp_path / "log.csv", tmp_path / "curves.png")


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


def test_a_log_with_fewer_columns_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,seconds,loss,learning_rate,dice_WT\n10,1,0.5,0.1,\n20,2,0.25,0.1,0.75\n")
    CsvLog(path, ["WT"], keep_until=20).add({"step": 30, "loss": 0.125, "gradient_norm": 1.5})
    assert path.read_text().splitlines()[1:] == [
        "10,1,0.5,0.1,,,,,,,,",
        "20,2,0.25,0.1,,,,,,,,0.75",
        "30,,0.125,,1.5,,,,,,,",
    ]


@pytest.mark.parametrize(
    "rest",
    [
        "12",  # of step 120
        "12,3.0",
        "12,3.0\n",
        "x,1,1,1,1,,,,,,,\n",
        "25,3.0,1,0.1,1,1,1,1,1,1,1,0.7",  # of a Dice of 0.75: nothing but the end of the line is missing
    ],
)
def test_a_row_cut_short_by_a_crash_is_dropped(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "log.csv"
    filled(path)
    with path.open("a") as stream:
        stream.write(rest)
    CsvLog(path, ["WT"], keep_until=30).add({"step": 40, "seconds": 4.0, "loss": 1.0, "learning_rate": 0.1})
    assert rows(path) == ["10", "20", "30", "40"]


def test_each_row_is_on_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = filled(path)
    assert rows(path) == ["10", "20", "30"]
    log.add({"step": 40, "seconds": 4.0, "loss": 1.0, "learning_rate": 0.1})
    assert rows(path)[-1] == "40"


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    log = filled(tmp_path / "log.csv")
    (tmp_path / "log.csv").unlink()
    (tmp_path / "log.csv").mkdir()
    with pytest.raises(OutputError, match=r"log\.csv cannot be written.*--resume"):
        log.add({"step": 40, "loss": 1.0})
