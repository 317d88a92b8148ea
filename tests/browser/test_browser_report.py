"""The report of a case in a real browser, from disk with the network cut."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from axe import serious_findings
from PIL import Image
from playwright.sync_api import Page, expect

import make
import tiny
from gliamap.io.atomic import write_json
from gliamap.sources.detect import scan
from gliamap.workflows.reports.report import ReportOptions, report, write_report

OpenPage = Callable[..., Page]
CASE = "Phantom_00001"
HOSTILE = "</script><script>window.hit = 1</script><img src=x onerror='window.hit = 1'>\u202e\"'&"


@pytest.fixture
def html(tmp_path: Path) -> str:
    """The report of a phantom, whose own mask is prediction and reference, with a record full of hostile words."""
    folder = make.write_brats(tmp_path / "scans", tiny.phantom(kind="flipped"))
    mask = folder / f"{CASE}_seg.nii.gz"
    said = {"case_id": CASE, "label_convention": "brats2021", "model": {"name": HOSTILE}}
    write_json(folder / f"{CASE}.json", said | {"warnings": [{"code": "empty-mask", "text": HOSTILE}]})
    return report(folder, mask, tmp_path / "report.html", options=ReportOptions(reference=mask)).page.read_text()


def columns_of(page: Page, label: str) -> tuple[float, int]:
    """Where the brightest pixels of a plane lie across it on the mean, and how wide it is."""
    url = page.evaluate(
        "label => document.querySelector(`.viewer-screen canvas[aria-label^='${label}']`).toDataURL()", label
    )
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("L")).astype(int)
    _, columns = np.nonzero(shown[40:-40] > 240)  # without the bar of 50 mm
    return float(columns.mean()), shown.shape[1]


def test_the_page_shows_everything_and_nothing_runs_that_it_was_told(open_page: OpenPage, html: str) -> None:
    page = open_page(html)
    expect(page.get_by_role("heading", level=1)).to_have_text(CASE)
    expect(page.get_by_text("Research use only").first).to_be_visible()
    expect(page.get_by_label("Warnings")).to_contain_text("<img src=x")
    expect(page.locator(".viewer-screen canvas").first).to_be_visible()
    page.wait_for_selector("#case-surfaces[data-ready]", state="attached")
    assert page.evaluate("window.hit") is None
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_whole_page_is_fit_for_everyone(open_page: OpenPage, html: str, scheme: str) -> None:
    assert not serious_findings(open_page(html, scheme=scheme))


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_is_cut_off_at_the_side(open_page: OpenPage, html: str, width: int) -> None:
    page = open_page(html, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_can_be_printed(open_page: OpenPage, html: str) -> None:
    assert open_page(html).pdf().startswith(b"%PDF")


def test_without_script_the_figures_are_there(page: Page, html: str, tmp_path: Path) -> None:
    plain = page.context.browser
    assert plain is not None
    context = plain.new_context(java_script_enabled=False)
    shown = context.new_page()
    (tmp_path / "plain.html").write_text(html)
    shown.goto((tmp_path / "plain.html").as_uri())
    assert (
        "<noscript><p>The pictures need JavaScript" in html
    )  # which no browser shows that a debugger told to run none
    expect(shown.get_by_role("heading", name="Volumes and diameters")).to_be_visible()
    context.close()


@pytest.mark.parametrize("kind", make.KINDS)
def test_the_patients_left_is_on_the_right_whatever_the_file_says(
    open_page: OpenPage, tmp_path: Path, kind: str
) -> None:
    """A bright ball in the left half of the head, in world coordinates, goes from NIfTI to the screen."""
    grid = make.grid(kind)
    at = np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    middle = at.reshape(-1, 3).mean(axis=0)
    left = np.linalg.norm(at - (middle - (4.5, 0, 0)), axis=-1) < 3
    folder = tmp_path / "Marked"
    folder.mkdir()
    values = np.where(left, 1000, 300).astype(np.int16)
    nib.Nifti1Image(values, grid.affine).to_filename(folder / "Marked_t1.nii.gz")
    nib.Nifti1Image(left.astype(np.uint8), grid.affine).to_filename(tmp_path / "Marked.nii.gz")
    options = ReportOptions(labels="binary", pattern="{case}_{modality}.nii.gz")
    done = report(folder, tmp_path / "Marked.nii.gz", tmp_path / "report.html", options=options)
    page = open_page(done.page.read_text())
    for label in ("Axial", "Coronal"):
        column, width = columns_of(page, label)
        assert column > width / 2, label


def test_a_real_case_is_small_and_quick(open_page: OpenPage, page: Page, data_root: Path, tmp_path: Path) -> None:
    """Two modalities at 1 mm with everything: at most 8 MB; drawn within a second of the browser's processor time.

    The clock on the wall tells of the machine's other work as well.
    """
    (files,) = scan(data_root / "brats21" / "BraTS2021_00006").cases
    two = replace(files, modalities={name: files.modalities[name] for name in ("t1c", "flair")})
    assert files.labels is not None
    options = ReportOptions(labels="brats2021", reference=files.labels, reference_labels="brats2021")
    done = write_report(two, files.labels, tmp_path / "report.html", options=options)
    assert done.page.stat().st_size <= 8_000_000
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    open_page(done.page.read_text())
    figures = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
    assert figures["ProcessTime"] < 1.0
