"""The page of a run, from its folder."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import make
import runs
from gliamap.errors import FileError, LayoutError, OutputError
from gliamap.labels import Region
from gliamap.workflows.reports import cohort as workflow
from gliamap.workflows.reports.cohort import CohortOptions, cohort

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _no_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time of a page."""
    monkeypatch.setattr("gliamap.viewer.cohort_page.draw_boxes", lambda *_, share: b"PNG")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``masks``, a run over two real-looking cases of ``scans`` and one that failed."""
    said = []
    for kind, case_id in (("plain", "BraTS2021_00001"), ("oblique", "BraTS2021_00002")):
        one = make.case(kind, case_id=case_id)
        scan = make.write_brats(tmp_path / "scans", one)
        said.append(runs.write_segmented(tmp_path / "masks", one, scan / f"{case_id}_t1.nii.gz"))
    said[1]["warnings"] = [{"code": "low-confidence", "text": "low confidence: Dice below 0.5"}]
    return runs.write_run(tmp_path / "masks", said, failed={"BraTS2021_00003": "no T1c"})


def test_page_and_pictures(folder: Path) -> None:
    made = cohort(folder)
    assert made.page == folder / "cohort.html" and not made.failed
    page = made.page.read_text()
    for said in ("BraTS2021_00003", "no T1c", "Low confidence: Dice below 0.5", "openvino 2025.3 (bf16)", "tiny"):
        assert said in page
    pictures = re.findall(r'src="(thumbnails/[^"]+)"', page)
    assert sorted(pictures) == ["thumbnails/BraTS2021_00001.jpg", "thumbnails/BraTS2021_00002.jpg"]
    assert all((folder / name).read_bytes().startswith(b"\xff\xd8") for name in pictures)
    assert str(folder.parent) not in page and "<a href" not in page


def test_scores_and_who_the_patients_are(folder: Path, tmp_path: Path) -> None:
    scores = runs.write_scores(tmp_path / "scores", {"BraTS2021_00001": 0.7, "lost": 0.0}, missing=["lost"])
    made = cohort(folder, options=CohortOptions(scores=scores))
    worst = made.cohort.worst_first
    assert [one.case_id for one in worst] == ["lost", "BraTS2021_00003", "BraTS2021_00001", "BraTS2021_00002"]
    assert worst[2].dice[Region.TC] == 0.7 and worst[2].patient_id == "patient of BraTS2021_00001"
    page = made.page.read_text()
    assert "No mask: not in the run" in page and "truth" in page and "HD95 mm" in page


def test_reports_beside_the_page_are_linked(folder: Path, tmp_path: Path) -> None:
    (folder / "BraTS2021_00001_report.html").touch()
    assert 'href="BraTS2021_00001_report.html"' in cohort(folder).page.read_text()
    assert "href" not in cohort(folder, tmp_path / "elsewhere" / "page.html").page.read_text()


def test_names_in_other_encodings_are_linked(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")  # Latin-1
    folder = runs.write_run(tmp_path / "masks", [runs.numbers(name)])
    try:
        (folder / f"{name}_report.html").touch()
    except OSError:
        pytest.skip("this file system holds no such name")
    page = cohort(folder).page.read_text()
    assert 'href="caf%E9_report.html"' in page and "<bdi>caf\\udce9</bdi>" in page


def test_reports_are_made_from_the_scans(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def write_report(files: object, mask: Path, out: Path, **_: object) -> None:
        asked.append((mask.name, out.name))
        if "00002" in out.name:
            raise FileError("it is damaged")
        out.touch()

    monkeypatch.setattr(workflow, "write_report", write_report)
    made = cohort(folder, options=CohortOptions(scans=tmp_path / "scans"))
    assert asked == [(f"BraTS2021_0000{n}.nii.gz", f"BraTS2021_0000{n}_report.html") for n in (1, 2)]
    assert made.failed == {"BraTS2021_00002": "it is damaged."}
    assert [one.report for one in made.cohort.cases] == ["BraTS2021_00001_report.html", "", ""]
    asked.clear()
    cohort(folder, options=CohortOptions(scans=tmp_path / "scans", overwrite=True))
    assert len(asked) == 2
    (folder / "cohort.html").unlink()
    asked.clear()
    cohort(folder, options=CohortOptions(scans=tmp_path / "scans"))
    assert [out for _, out in asked] == ["BraTS2021_00002_report.html"]  # the other one is there


def test_pictures_from_the_scans_where_the_run_drew_none(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow, "write_report", lambda *_, **__: None)
    for path in folder.glob("*_mosaic.png"):
        path.unlink()
    assert "<img" not in re.sub("<figure>.*?</figure>", "", cohort(folder).page.read_text())
    made = cohort(folder, options=CohortOptions(scans=tmp_path / "scans", overwrite=True))
    assert [one.picture for one in made.cohort.cases][:2] == [f"thumbnails/BraTS2021_0000{n}.jpg" for n in (1, 2)]


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    make.write_brats(tmp_path / "others", make.case(case_id="BraTS2021_00009"))
    with pytest.raises(LayoutError, match="none of the cases"):
        cohort(folder, options=CohortOptions(scans=tmp_path / "others"))
    with pytest.raises(FileError, match="does not exist"):
        cohort(folder, options=CohortOptions(scores=tmp_path / "nowhere"))
    cohort(folder)
    with pytest.raises(OutputError, match=r"cohort\.html"):
        cohort(folder)
    with pytest.raises(OutputError, match=r"ends in \.html"):
        cohort(folder, folder / "segment.json", options=CohortOptions(overwrite=True))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("segment.json", {"cases": ["a"]}),
        ("segment.json", {"cases": {"../a": {}}}),
        ("BraTS2021_00001.json", {"case_id": "BraTS2021_00001"}),
        ("BraTS2021_00001.json", [1]),
    ],
)
def test_files_that_somebody_else_made(folder: Path, name: str, content: object) -> None:
    (folder / name).write_text(json.dumps(content))
    with pytest.raises(FileError):
        cohort(folder)


def test_on_the_command_line(command: Run, folder: Path) -> None:
    code, out, err = command("report", "masks")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "page of 3 cases: masks/cohort.html; research use only"
    assert "no mask: no T1c" in out and max(map(len, out.splitlines())) <= 100
    code, out, _ = command("report", "masks", "--overwrite", "--json")
    assert code == 0 and [one["case_id"][-1] for one in json.loads(out)["cases"]] == ["3", "2", "1"]
    code, _, err = command("report", "masks", "--reference", "x")
    assert code == 2 and "--reference does not go with the report of a run" in err
