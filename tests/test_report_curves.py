"""The training curve: what is read from the log, and that the picture comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gliamap.errors import FileError
from gliamap.report.curves import draw_curves, read_log, smooth, spread

LOG = """step,seconds,loss,learning_rate,dice_WT,dice_ET
1,2.0,1.5,0.001,,
2,4.0,nan,0.001,,
3,6.0,1.0,0.001,,
3,9.0,,,0.5,0.25
2,5.0,1.25,0.001,,
6,12.0,0.5,0.001,0.75,nan
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "log.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_log_is_read_with_its_gaps(tmp_path: Path) -> None:
    log = read_log(_write(tmp_path, LOG))
    assert list(log.loss.items()) == [(1, 1.5), (2, 1.25), (3, 1.0), (6, 0.5)]
    assert log.dice == {"WT": {3: 0.5, 6: 0.75}, "ET": {3: 0.25}}
    assert log.seconds == 12.0


@pytest.mark.parametrize(
    "text", ["", "step,seconds,loss,learning_rate\n", "time,value\n1,2\n", "step,seconds,loss\none,2,3\n"]
)
def test_what_is_no_log_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(FileError, match=r"log\.csv"):
        draw_curves(_write(tmp_path, text), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_a_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="gone"):
        read_log(tmp_path / "gone.csv")


def test_smoothing_by_hand() -> None:
    assert smooth(np.array([3.0, 0.0, 3.0, 6.0]), 3).tolist() == [1.5, 2.0, 3.0, 4.5]
    assert smooth(np.array([3.0, 1.0]), 1).tolist() == [3.0, 1.0]
    assert smooth(np.array([2.0]), 40).tolist() == [2.0]


def test_labels_do_not_lie_on_each_other() -> None:
    assert spread([0.5, 0.5, 0.9], 0.1) == pytest.approx([0.5, 0.6, 0.9])
    assert spread([0.98, 0.99], 0.1) == pytest.approx([0.9, 1.0])
    assert spread([]) == []


@pytest.mark.parametrize("text", [LOG, "step,seconds,loss,learning_rate,dice_WT\n1,2.0,1.5,0.001,\n"])
def test_the_picture_is_written_always_the_same(tmp_path: Path, text: str) -> None:
    log = _write(tmp_path, text)
    draw_curves(log, tmp_path / "a.png")
    draw_curves(log, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (1200, 840)
        assert set(image.info) <= {"dpi"}
