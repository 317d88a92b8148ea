"""A patient's visits: sizes whose change is known, grids that agree or do not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

import make
from gliamap.case import Case
from gliamap.errors import ConfigError, GridError, LayoutError, OutputError
from gliamap.labels import Region, Tissue
from gliamap.metrics.change import Change
from gliamap.viewer.follow_up_page import linked_words, signed_percent
from gliamap.volume import Grid
from gliamap.workflows.reports.follow_up import FollowUpOptions, follow_up

Run = Callable[..., tuple[int, str, str]]


def bar(case_id: str, length: int, *, kind: str = "plain") -> Case:
    """A case whose only tumour is a bar of enhancing voxels along x, which are 1 mm long and 1.5 mm wide."""
    one = make.case(kind, case_id=case_id)
    labels = np.zeros(one.grid.shape, np.uint8)
    labels[3 : 3 + length, 7, 6] = Tissue.ET
    return replace(one, labels=labels)


def write_bars(root: Path, *lengths: int) -> list[Path]:
    return [make.write_brats(root, bar(f"visit{n}", length)) for n, length in enumerate(lengths, 1)]


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time of a page; one test draws them."""
    monkeypatch.setattr("gliamap.viewer.follow_up_page.draw_course", lambda *_: b"PNG")


def test_changes_are_those_of_the_phantoms(tmp_path: Path) -> None:
    found = follow_up(write_bars(tmp_path, 4, 6, 3), tmp_path / "page.html")
    course = found.courses[2]
    assert course.region == Region.ET
    assert course.volumes == pytest.approx((0.012, 0.018, 0.009))  # voxels of 3 mm³
    assert course.products == pytest.approx((6.0, 9.0, 4.5))  # 4 mm x 1.5 mm and so on
    for changes in (course.volume_changes, course.product_changes):
        assert changes[0] == Change()
        assert vars(changes[1]) == pytest.approx({"first": 50, "previous": 50, "smallest": 50})
        assert vars(changes[2]) == pytest.approx({"first": -25, "previous": -50, "smallest": -25})
    page = (tmp_path / "page.html").read_text()
    assert "Size-only change, not a RANO assessment." in page and "research use only" in page
    for said in ("+50 %", "−25 %", "−50 %", "4.0 × 1.5 mm", "9.0 mm²"):
        assert said in page
    assert str(tmp_path) not in page


def test_a_ball_that_doubles(tmp_path: Path) -> None:
    """In a fine grid volumes and products of balls follow the cube and the square of the radius."""
    grid = Grid((80, 80, 80), np.diag([1.0, 1.0, 1.0, 1.0]))
    at = np.indices(grid.shape) - 39.5
    visits = []
    for number, radius in enumerate((16.0, 16.0 * 2 ** (1 / 3)), 1):
        labels = np.where((at**2).sum(axis=0) <= radius**2, np.uint8(Tissue.ED), np.uint8(0))
        image = np.where((at**2).sum(axis=0) <= 38**2, 100.0, 0.0)[None].astype(np.float32)
        one = Case(f"ball{number}", "ball", ("flair",), image, grid, labels, "brats2021")
        visits.append(make.write_brats(tmp_path, one))
    whole = follow_up(visits, tmp_path / "page.html").courses[0]
    assert whole.volume_changes[1].first == pytest.approx(100, abs=1)
    assert whole.product_changes[1].first == pytest.approx(100 * (2 ** (2 / 3) - 1), abs=3)


def test_what_comes_and_goes(tmp_path: Path) -> None:
    found = follow_up(write_bars(tmp_path, 4, 0, 2), tmp_path / "page.html")
    whole = found.courses[0]
    assert [vars(change) for change in whole.volume_changes[1:]] == [
        {"first": -100, "previous": -100, "smallest": -100},
        {"first": -50, "previous": None, "smallest": None},
    ]
    row = re.findall(r"<tr><td>3: visit3</td>(.*?)</tr>", (tmp_path / "page.html").read_text())[0]
    assert re.findall(r">([^<]+)</td>", row)[1:4] == ["−50 %", "new", "new"]


def test_dates_put_visits_in_order(tmp_path: Path) -> None:
    visits = write_bars(tmp_path, 4, 6, 3)
    when = (date(2024, 3, 1), date(2023, 3, 1), date(2024, 2, 1))
    found = follow_up(visits, tmp_path / "page.html", options=FollowUpOptions(dates=when))
    assert [one.case_id for one in found.visits] == ["visit2", "visit3", "visit1"]
    assert [found.days(number) for number in range(3)] == [0, 337, 366]
    assert "366 days" in (tmp_path / "page.html").read_text()


def test_planes_are_linked_on_one_grid_only(tmp_path: Path) -> None:
    plain, other = write_bars(tmp_path / "a", 4, 6), make.write_brats(tmp_path / "b", bar("far", 3, kind="flipped"))
    assert linked_words(follow_up(plain, tmp_path / "1.html"))[0].startswith("Visits 1 and 2 lie on one voxel grid")
    both = follow_up([plain[0], other, plain[1]], tmp_path / "2.html")
    assert [visit.space for visit in both.visits] == [0, 1, 0]
    said = " ".join(linked_words(both))
    assert "Visits 1 and 3 lie on one" in said and "Visit 2 lies on a grid of its own" in said
    assert "are not registered" in linked_words(follow_up([plain[0], other], tmp_path / "3.html"))[0]


def test_masks_from_elsewhere(tmp_path: Path) -> None:
    visits = write_bars(tmp_path / "scans", 4, 6)
    masks = tmp_path / "masks"
    masks.mkdir()
    for visit, other in zip(visits, reversed(visits), strict=True):  # the masks are swapped
        target = masks / f"{visit.name}.nii.gz"
        (other / f"{other.name}_seg.nii.gz").rename(target)
    for predictions in ([masks], [masks / "visit1.nii.gz", masks / "visit2.nii.gz"]):
        found = follow_up(
            visits, tmp_path / "page.html", predictions=predictions, options=FollowUpOptions(overwrite=True)
        )
        assert found.courses[0].volumes == pytest.approx((0.018, 0.012))


def test_a_visit_that_was_drawn_anew_is_warned_of(tmp_path: Path) -> None:
    visits = write_bars(tmp_path, 4, 6)
    said = {"case_id": "visit2", "label_convention": "brats2021", "files": {"visit2_seg.nii.gz": "0" * 64}}
    (visits[1] / "visit2.json").write_text(json.dumps(said))
    found = follow_up(visits, tmp_path / "page.html")
    assert not found.visits[0].warnings and "was changed" in found.visits[1].warnings[0]


def test_images(tmp_path: Path) -> None:
    root = make.write_pairs(tmp_path / "set", 2)
    visits, masks = ([root / name / f"{n}.png" for n in (1, 2)] for name in ("images", "masks"))
    found = follow_up(visits, tmp_path / "page.html", predictions=masks, options=FollowUpOptions(labels="binary255"))
    assert [one.region for one in found.courses] == [Region.WT]
    assert found.visits[0].measures.volume_unit == "px" and "px²" in (tmp_path / "page.html").read_text()


def test_what_is_refused(tmp_path: Path) -> None:
    visits, out = write_bars(tmp_path, 4, 6), tmp_path / "page.html"
    image = make.write_pairs(tmp_path / "set", 1)
    with pytest.raises(ConfigError, match="one visit"):
        follow_up(visits[:1], out)
    with pytest.raises(ConfigError, match="--dates does not name one"):
        follow_up(visits, out, options=FollowUpOptions(dates=(date(2024, 1, 1),)))
    with pytest.raises(ConfigError, match="--prediction does not name one"):
        follow_up(visits, out, predictions=[visits[0] / "visit1_seg.nii.gz"])
    with pytest.raises(GridError, match="cannot be compared"):
        mixed = [visits[0] / "visit1_seg.nii.gz", image / "masks" / "1.png"]
        follow_up([visits[0], image / "images" / "1.png"], out, predictions=mixed)
    (visits[1] / "visit2_seg.nii.gz").unlink()
    with pytest.raises(LayoutError, match="has no mask"):
        follow_up(visits, out)
    out.touch()
    with pytest.raises(OutputError, match=r"page\.html"):
        follow_up(visits, out)


@pytest.mark.parametrize(
    ("value", "words"), [(12.34, "+12 %"), (-8.04, "−8.0 %"), (0, "0 %"), (-0.04, "0 %"), (1234.5, "+1,234 %")]
)
def test_percents(value: float, words: str) -> None:
    assert signed_percent(value) == words


def test_on_the_command_line(command: Run, tmp_path: Path) -> None:
    write_bars(tmp_path, 4, 6)
    words = ("report", "--follow-up", "visit1", "visit2", "--dates", "2024-01-31,2024-05-02")
    code, out, err = command(*words)
    assert (code, err) == (0, "") and (tmp_path / "follow_up.html").is_file()
    assert "Size-only change, not a RANO assessment." in out and "+50 %" in out
    assert max(map(len, out.splitlines())) <= 100
    code, out, _ = command(*words, "--overwrite", "--json")
    said = json.loads(out)
    assert code == 0 and said["visits"][1]["days"] == 92
    assert said["visits"][1]["regions"]["ET"]["volume_change"]["first"] == pytest.approx(50)
    code, _, err = command("report", "--follow-up", "visit1", "visit2", "--dates", "yesterday,2024-05-02")
    assert code == 2 and "such as 2020-01-31" in err


def test_the_figure_is_a_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    follow_up(write_bars(tmp_path, 4, 6), tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().count("data:image/png;base64,iVBOR") == 2
