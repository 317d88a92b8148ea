"""What tests/fuzz.py has its process do with a file, besides the readers themselves."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import numpy as np

from gliamap.cli import app
from gliamap.errors import FileError
from gliamap.io.nifti import read_grid, read_labels, write_like

MAX_WRITTEN = 10**6


def write_beside(path: Path) -> None:
    """Write a mask on the grid of ``path``, and find it again there."""
    grid = read_grid(path)
    if np.prod(grid.shape) > MAX_WRITTEN:
        return
    values = (np.arange(np.prod(grid.shape)) % 5).astype(np.uint8).reshape(grid.shape)
    mask = path.parent / "mask.nii"
    write_like(mask, values, path)
    found, own = read_labels(mask)
    np.testing.assert_array_equal(found, values)
    assert own.same_as(grid), f"{own.describe()} instead of {grid.describe()}"


def inspect_folder(path: Path) -> None:
    """``gliamap inspect`` on a data set that holds the file twice; ``FileError`` where it ends with an error."""
    for part in ("t1", "seg"):
        link = path.parent / "set" / "case1" / f"case1_{part}{''.join(path.suffixes)}"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(path)
    written = io.StringIO()
    argv = ["gliamap", "inspect", str(path.parent / "set")]
    with mock.patch.object(sys, "argv", argv), redirect_stdout(written), redirect_stderr(written):
        try:
            app.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
    text = written.getvalue()
    assert code in (0, 2) and "Traceback" not in text and "unexpected" not in text, text
    if code:
        raise FileError(f"{path}: {text}")
