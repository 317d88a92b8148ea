"""Exploring whole data sets: what is read, what is written, how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import make
import tiny
from gliamap.errors import ConfigError, LabelError, LayoutError, OutputError
from gliamap.report.explore_figures import draw_figures
from gliamap.sources.phantom import write_phantoms
from gliamap.workflows.common.parallel import default_workers
from gliamap.workflows.data import explore as module
from gliamap.workflows.data.explore import ExploreOptions, explore

Run = Callable[..., tuple[int, str, str]]
NAMES = ["BraTS2021_00000", "BraTS2021_00001", "BraTS2021_00002"]


@pytest.fixture(autouse=True)
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time, and is tested elsewhere."""
    monkeypatch.setattr(module, "draw_figures", lambda _: {"balance": b"png"})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make.write_brats_set(tmp_path / "data")
    return tmp_path / "data"


def read(out: Path) -> dict[str, object]:
    return dict(json.loads((out / "explore.json").read_text()))


def test_a_data_set_is_shown_whole(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "draw_figures", draw_figures)
    told: list[tuple[int, int, str]] = []
    out = tmp_path / "out"
    found = explore([data], out, progress=lambda *state: told.append(state))
    (one,) = found.surveys
    assert [case.case_id for case in one.cases] == NAMES
    assert told[-3:] == [(n + 1, 3, name) for n, name in enumerate(NAMES)]
    assert {tissue.tissue.name: tissue.cases for tissue in one.tissues} == {"NCR": 3, "ED": 3, "ET": 2}
    written = tiny.files_in(out)
    assert {"explore.html", "explore.json", "figures/balance.png", "figures/places-axial.png"} <= set(written)
    assert read(out) == json.loads(json.dumps(found.as_json()))
    page = (out / "explore.html").read_text()
    assert page.count("data:image/png") == len(written) - 3 == 11 and page.count("data:image/jpeg") == 2
    assert str(tmp_path) not in page + (out / "explore.json").read_text()


def test_several_processes_find_the_same(data: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        explore([data], tmp_path / str(workers), options=ExploreOptions(workers=workers))
    for name in module.OUTPUTS:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_the_order_in_which_cases_are_done_is_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explore([data], tmp_path / "1")
    backwards = lambda look, jobs, workers: [(n, look(jobs[n])) for n in (2, 0, 1)]  # noqa: E731
    monkeypatch.setattr(module, "in_parallel", backwards)
    explore([data], tmp_path / "2")
    for name in module.OUTPUTS:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_phantoms_from_end_to_end(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "phantoms", 1, seed=1)
    (one,) = explore([tmp_path / "phantoms"], tmp_path / "out").surveys
    assert len(one.with_tumour) == 1 and set(one.counts.places) == {"axial", "coronal", "sagittal"}


def test_slices_are_counted_in_pixels_and_doubles_are_found(tmp_path: Path) -> None:
    make.write_pairs(tmp_path / "data", 4)
    rng = np.random.default_rng(0)
    for number in range(1, 5):  # large enough to be known again
        seed = 1 if number in (1, 3) else number
        pixels = np.random.default_rng(seed).normal(120, 30, (64, 64)).clip(1, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / "images" / f"{number}.png")
        mask = np.zeros((64, 64), np.uint8)
        mask[10 : 20 + number, 5 : 5 + int(rng.integers(10, 20))] = 255
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{number}.png")
    found = explore([tmp_path / "data"], tmp_path / "out", options=ExploreOptions(foreground="head"))
    assert found.surveys[0].size_unit == "pixels"
    assert [(one.case_id, one.finding.code) for one in found.alike] == [("1", "duplicate"), ("3", "duplicate")]


def test_what_cannot_be_read_is_listed(data: Path, tmp_path: Path) -> None:
    (data / NAMES[1] / f"{NAMES[1]}_t2.nii.gz").write_bytes(b"damaged")
    found = explore([data], tmp_path / "out")
    assert [case.case_id for case in found.surveys[0].cases] == [NAMES[0], NAMES[2]]
    assert list(found.failed) == [NAMES[1]] and "t2" in found.failed[NAMES[1]]
    assert NAMES[1] in (tmp_path / "out" / "explore.html").read_text()
    for name in (NAMES[0], NAMES[2]):
        (data / name / f"{name}_t1.nii.gz").write_bytes(b"damaged")
    with pytest.raises(LayoutError, match="none of the 3 cases could be read"):
        explore([data], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_process_that_dies_takes_one_case_with_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module, "in_parallel", lambda look, jobs, workers: ((n, look(job) if n else None) for n, job in enumerate(jobs))
    )
    found = explore([data], tmp_path / "out")
    assert list(found.failed) == [NAMES[0]] and "ended the process" in found.failed[NAMES[0]]


def test_several_data_sets_stand_beside_each_other(data: Path, tmp_path: Path) -> None:
    make.write_pairs(tmp_path / "pairs")
    found = explore([data, tmp_path / "pairs"], tmp_path / "out")
    assert [(one.data_set, one.unit, one.foreground) for one in found.surveys] == [
        ("data", "mm", "brain"),
        ("pairs", "px", "head"),
    ]
    assert {"figures/1/balance.png", "figures/2/balance.png"} <= set(tiny.files_in(tmp_path / "out"))


def test_volumes_and_pictures_of_one_set_are_not_added_up(tmp_path: Path) -> None:
    (tmp_path / "mixed").mkdir()
    nib.Nifti1Image(np.full((9, 8, 7), 5, np.int16), np.eye(4)).to_filename(tmp_path / "mixed" / "a.nii.gz")
    Image.fromarray(np.full((9, 8), 5, np.uint8)).save(tmp_path / "mixed" / "b.png")
    options = ExploreOptions(pattern="{case}", foreground="brain")
    found = explore([tmp_path / "mixed"], tmp_path / "out", options=options)
    assert [(one.unit, len(one.cases)) for one in found.surveys] == [("mm", 1), ("px", 1)]


def test_nothing_is_replaced_unasked(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "explore.json").write_text("mine")
    with pytest.raises(OutputError, match="holds a report already"):
        explore([data], out)
    assert (out / "explore.json").read_text() == "mine"
    explore([data], out, options=ExploreOptions(overwrite=True))
    assert read(out)["format"] == 1


def test_doubt_is_refused(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabelError, match="no label convention called"):
        explore([data], tmp_path / "out", options=ExploreOptions(labels="none"))
    scanned = module.scan_all([data], None)[0]["data"]
    vague = replace(scanned, cases=tuple(replace(case, conventions=("msd", "brats2023")) for case in scanned.cases))
    monkeypatch.setattr(module, "scan_all", lambda *_: ({"data": vague}, ()))
    monkeypatch.setattr("gliamap.workflows.common.conventions.read_mask_file", lambda _: (np.array([1, 2, 3]), None))
    monkeypatch.setattr("gliamap.workflows.common.conventions._by_anatomy", lambda *_: (None, "too dark"))
    with pytest.raises(LabelError, match="--labels"):
        explore([data], tmp_path / "out")
    monkeypatch.setattr(module, "settle_foreground", lambda _: (None, "too dark"))
    with pytest.raises(ConfigError, match="--foreground"):
        explore([data], tmp_path / "out", options=ExploreOptions(labels="brats2021"))


def test_the_command_prints_and_leaves_a_page(command: Run, data: Path) -> None:
    code, out, err = command("explore", "data", "-o", "out", "--workers", "1")
    assert (code, err) == (0, "")
    assert out.startswith("data: 3 cases, 3 of them with tumour\n")
    for words in ("edema", "of the brain", "worst looking: ", "page in out/explore.html"):
        assert words in out
    code, _, err = command("explore", "data", "-o", "out", "--workers", "1")
    assert code == 2 and "--overwrite" in err


def test_the_command_tells_no_mask_from_no_tumour(command: Run, data: Path) -> None:
    for names, words in (
        (NAMES[:1], "3 cases, 2 with a mask, 2 of them with tumour"),
        (NAMES, "3 cases, none with a mask"),
    ):
        for name in names:
            (data / name / f"{name}_seg.nii.gz").unlink(missing_ok=True)
        code, out, _ = command("explore", "data", "-o", "out", "--workers", "1", "--overwrite")
        assert code == 0 and out.startswith(f"data: {words}\n")


def test_the_command_as_json_and_with_failures(command: Run, data: Path) -> None:
    (data / NAMES[0] / f"{NAMES[0]}_seg.nii.gz").write_bytes(b"damaged")
    code, out, err = command("explore", "data", "-o", "out", "--workers", "1", "--json")
    assert code == 1 and "1 of 3 cases failed" in err
    assert list(json.loads(out)["failed"]) == [NAMES[0]]


@pytest.mark.slow
def test_real_cases(data_root: Path, tmp_path: Path) -> None:
    options = ExploreOptions(workers=default_workers())
    (one,) = explore([data_root / "brats21"], tmp_path / "out", options=options).surveys
    voxels = {case.case_id[-5:]: [n for _, n in sorted((case.voxels or {}).items())] for case in one.cases}
    assert voxels["00006"] == [25506, 85957, 26448] and voxels["01484"] == [135025, 27678]
    assert one.cases[one.worst()[0]].case_id == "BraTS2021_01482"  # known to be poor
