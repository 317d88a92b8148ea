"""The web app as users have it: ``gliamap serve`` as a process, real jobs, a real browser."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from gliamap.sources.phantom import write_phantoms

pytestmark = pytest.mark.slow

_PATIENCE = 300_000  # ms; a job with a network, on a machine that may be busy


@contextmanager
def serving(data: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The app on a free port, and the link that it prints; ended at the end, if it is still there."""
    words = [sys.executable, "-m", "gliamap", "serve", "--data", str(data), "--port", "0", "--model", "phantom-demo"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"}) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+/enter\?token=\S+", process.stdout.readline())
            assert found, "no link was printed"
            yield process, found[0]
        finally:
            process.terminate()


def enter(page: Page, link: str) -> None:
    page.goto(link)
    page.wait_for_selector("html[data-ready]", state="attached")


def test_from_a_phantom_to_its_report_and_what_a_killed_app_leaves(page: Page, tmp_path: Path) -> None:
    (folder,) = write_phantoms(tmp_path / "phantoms", 1, seed=7)
    data = tmp_path / "data"
    with serving(data) as (process, link):
        enter(page, link)
        page.set_input_files("#folder", folder)
        expect(page.locator(".files li")).to_have_count(5, timeout=_PATIENCE)
        expect(page.locator("#start")).to_be_enabled(timeout=_PATIENCE)
        page.click("#start")
        expect(page.locator("iframe")).to_be_visible(timeout=_PATIENCE)

        report = page.frame_locator("iframe")
        expect(report.locator("html[data-ready]")).to_be_attached(timeout=_PATIENCE)
        expect(report.locator("body")).to_contain_text("Research use only")
        expect(report.locator("body")).to_contain_text("mL")
        assert report.locator("canvas").count() >= 3
        with page.expect_download() as downloaded:
            page.get_by_role("link", name="Save mask").click()
        downloaded.value.save_as(tmp_path / "mask.nii.gz")
        mask = nib.load(tmp_path / "mask.nii.gz")
        scan = nib.load(folder / f"{folder.name}_t1.nii.gz")
        assert mask.shape == scan.shape and np.allclose(mask.affine, scan.affine)
        assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1, 2, 4}

        page.click("#again")
        page.click("#start")
        expect(page.locator("#left")).to_contain_text("%", timeout=_PATIENCE)
        process.send_signal(signal.SIGKILL)
    with serving(data) as (_, link):
        enter(page, link)
        expect(page.locator("#cases .badge")).to_have_text("Interrupted")
        page.locator("#cases a").click()
        page.click("#start")
        expect(page.locator("iframe")).to_be_visible(timeout=_PATIENCE)
