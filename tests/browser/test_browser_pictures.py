"""The pictures of pages in the docs, of BraTS 2021 cases: ``GLIAMAP_PICTURES=docs/pictures pytest -m slow THIS_FILE``.

The masks are the references, bent on purpose, so that there is something to compare: the figures on the pages are no
results. Without ``GLIAMAP_PICTURES`` the pictures are made and thrown away, which shows that they can be made.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from app_server import AppServer
from playwright.sync_api import Page, expect
from scipy.ndimage import gaussian_filter, map_coordinates

from gliamap.case import CaseFiles
from gliamap.io.atomic import write_json
from gliamap.io.cases import read_mask_file, write_mask
from gliamap.labels import LabelMap, Region, get_convention, region_mask, to_tissue
from gliamap.server.nouns import CaseRecord
from gliamap.server.results import read_result
from gliamap.sources.detect import scan
from gliamap.workflows.reports.cohort import CohortOptions, cohort
from gliamap.workflows.reports.report import ReportOptions, write_report
from gliamap.workflows.scores.evaluate import EvaluateOptions, evaluate

pytestmark = pytest.mark.slow

OpenPage = Callable[..., Page]
SHOWN = "BraTS2021_00006"
EXAMPLE = {"model": {"name": "example"}, "engine": {"name": "openvino", "precision": "fp32"}}
BORDER = {"code": "tumour-at-border", "text": "tumour at the border of the scan"}


@pytest.fixture(scope="module")
def files(data_root: Path) -> dict[str, CaseFiles]:
    """The BraTS 2021 cases."""
    return {one.case_id: one for one in scan(data_root / "brats21").cases}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures go."""
    return Path(os.environ.get("GLIAMAP_PICTURES") or tmp_path_factory.mktemp("pictures")).absolute()


def bent(labels: LabelMap, seed: int, amount: float) -> LabelMap:
    """Labels whose borders wander by ``amount`` voxels, as a standard deviation along each axis."""
    rng = np.random.default_rng(seed)
    noise = [gaussian_filter(rng.standard_normal(labels.shape), 5) for _ in range(labels.ndim)]
    places = [axis + amount * one / one.std() for axis, one in zip(np.indices(labels.shape), noise, strict=True)]
    return np.asarray(map_coordinates(labels, places, order=0)).astype(labels.dtype)


@pytest.fixture(scope="module")
def run(files: dict[str, CaseFiles], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as ``gliamap segment`` leaves it."""
    folder = tmp_path_factory.mktemp("made") / "brats2021"
    folder.mkdir()
    told = {}
    for number, (case_id, one) in enumerate(files.items()):
        assert one.labels is not None
        values, grid = read_mask_file(one.labels)
        mask = bent(values, number, 1 + 0.7 * (number % 4))
        write_mask(folder / f"{case_id}.nii.gz", mask, one.labels)
        tissues = to_tissue(mask, get_convention("brats2021"))
        regions = {str(r): float(region_mask(tissues, r).sum()) * grid.voxel_size for r in Region}
        told[case_id] = EXAMPLE | {
            "case_id": case_id,
            "mask": f"{case_id}.nii.gz",
            "label_convention": "brats2021",
            "unit": "mL",
            "regions": regions,
            "seconds": 12.0,
            "warnings": [BORDER] if number % 4 == 3 else [],
        }
        write_json(folder / f"{case_id}.json", told[case_id])
    write_json(folder / "segment.json", {"cases": told, "models": [{"name": "example"}], "finished": True})
    return folder


def test_picture_of_a_report(
    open_page: OpenPage, files: dict[str, CaseFiles], run: Path, pictures: Path, tmp_path: Path
) -> None:
    options = ReportOptions(reference=files[SHOWN].labels)
    made = write_report(files[SHOWN], run / f"{SHOWN}.nii.gz", tmp_path / "report.html", options=options)
    page = open_page(made.page.read_text(), width=1280, height=1500)
    page.wait_for_selector("#case-surfaces[data-ready]", state="attached")
    page.screenshot(path=pictures / "report.png")


def test_picture_of_a_cohort(
    page: Page, files: dict[str, CaseFiles], run: Path, pictures: Path, tmp_path: Path
) -> None:
    references = files[SHOWN].modalities["t1"].parents[1]
    evaluate(run, references, out=tmp_path / "scores", options=EvaluateOptions())
    made = cohort(run, options=CohortOptions(scores=tmp_path / "scores", scans=references))
    page.set_viewport_size({"width": 1280, "height": 1100})
    page.goto(made.page.as_uri())
    page.wait_for_load_state("networkidle")
    page.screenshot(path=pictures / "cohort.png")


def test_picture_of_the_app(page: Page, files: dict[str, CaseFiles], run: Path, pictures: Path, tmp_path: Path) -> None:
    app = AppServer(tmp_path, "quick")
    app.stop()
    for number, case_id in enumerate(("BraTS2021_01483", "BraTS2021_01481", SHOWN)):
        case = CaseRecord("abc"[number] * 26, f"2026-01-0{number + 5}T09:12:00+00:00", case_id, state="done")
        out = app.data / case.id / "out"
        out.mkdir(parents=True)
        for ending in (".nii.gz", ".json"):
            shutil.copy(run / f"{case_id}{ending}", out / f"{case.short}{ending}")
        write_report(files[case_id], run / f"{case_id}.nii.gz", out / f"{case.short}_report.html")
        write_json(out / "segment.json", {"finished": True})
        write_json(out.parent / "case.json", replace(case, result=read_result(out, case.short)).to_disk())
    app.start()
    try:
        page.set_viewport_size({"width": 1440, "height": 1000})
        app.enter(page)
        page.locator("#cases a").first.click()
        expect(page.frame_locator("iframe").locator("html[data-ready]")).to_be_attached(timeout=60_000)
        page.screenshot(path=pictures / "app.png")
    finally:
        app.stop()
