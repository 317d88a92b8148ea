"""What users rely on: the public names, a light import, a fast --help."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import gliamap

PUBLIC = [
    *("__version__", "calibrate", "check", "compare", "convert_labels", "cross_validate", "evaluate", "explore"),
    *("export_dataset", "export_model", "inspect", "make_phantoms", "networks", "patches", "plan", "prepare"),
    *("report_case", "report_cohort", "report_follow_up"),
    *("segment", "split", "train", "view"),
]

LIGHT = [
    "gliamap",
    "gliamap.labels",
    "gliamap.case",
    "gliamap.config",
    "gliamap.io.nifti",
    "gliamap.sources.detect",
    "gliamap.scoring.summary",
    "gliamap.workflows.data.check",
    "gliamap.workflows.data.inspect",
    "gliamap.workflows.reports.report",
]


def test_public_names() -> None:
    assert sorted(gliamap.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(gliamap, name) is not None
    assert set(PUBLIC) <= set(dir(gliamap))


def test_public_functions_are_documented() -> None:
    for name in PUBLIC[1:]:
        assert getattr(gliamap, name).__doc__


def test_no_module_hides_a_public_function() -> None:
    """A sub-package named like a verb would replace it as soon as it is imported (decision 0006)."""
    for module in pkgutil.walk_packages(gliamap.__path__, "gliamap."):
        import_module(module.name)
    assert all(callable(getattr(gliamap, name)) for name in PUBLIC[1:])


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        gliamap.nonsense  # noqa: B018


@pytest.mark.parametrize("module", LIGHT)
def test_import_does_not_load_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_answers_in_under_half_a_second() -> None:
    """Of processor time: other programs may have the processor meanwhile."""
    command = [str(Path(sys.executable).parent / "gliamap"), "--help"]
    seconds = []
    for _ in range(3):
        before = os.times()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(seconds) < 0.5
    for verb in ("inspect", "check", "prepare", "train", "segment", "evaluate", "phantom", "demo"):
        assert verb in done.stdout
