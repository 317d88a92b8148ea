"""Break important functions on purpose, one at a time, and count how many breaks a test notices.

Each break replaces one piece of text in a copy of the package; the tests named beside it then run against the copy.
A break whose text is gone, or whose tests do not exist, is an error: the list must follow the code. Ends with 1 where
a break went unnoticed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Break:
    """In ``file`` of the package, ``old`` (which occurs once) becomes ``new``; ``tests`` should notice."""

    file: str
    old: str
    new: str
    tests: str


BREAKS = (
    Break(
        "labels.py",
        '"msd", "MSD Task01 and nnU-Net BraTS sets", {1: Tissue.ED, 2: Tissue.NCR',
        '"msd", "MSD Task01 and nnU-Net BraTS sets", {1: Tissue.NCR, 2: Tissue.ED',
        "test_labels",
    ),
    Break("labels.py", "- {Tissue.BACKGROUND, Tissue.RC}", "- {Tissue.BACKGROUND}", "test_labels"),
    Break("labels.py", "if len(meanings) > 1:", "if len(meanings) > 9:", "test_labels"),
    Break("labels.py", "_widened(tissue, value_of) if lossy else tissue", "_widened(tissue, value_of)", "test_labels"),
    Break(
        "labels.py",
        "for region in (r for r in Region if r in regions)",
        "for region in [r for r in Region if r in regions][::-1]",
        "test_labels",
    ),
    Break("labels.py", "(Tissue.BACKGROUND, *tissues)])", "(*tissues, Tissue.BACKGROUND)])", "test_labels"),
    Break("boxes.py", "max(0, a - margin)", "a - margin", "test_boxes"),
    Break("boxes.py", "int(line[-1]) + 1", "int(line[-1])", "test_boxes"),
    Break("boxes.py", "-(-(size - patch) // step) + 1", "(size - patch) // step + 1", "test_boxes"),
    Break("boxes.py", "return np.array(part)", "return part", "test_boxes"),
    Break("volume.py", "<= GRID_TOLERANCE_MM", "<= 1.0", "test_volume"),
    Break("volume.py", "if cosines[world, voxel] >= 0", "if cosines[world, voxel] < 0", "test_volume"),
    Break("volume.py", "left[:, voxel] = -1", "pass", "test_volume"),
    Break("volume.py", "** 2).sum(axis=0))\n        return", "** 2).sum(axis=1))\n        return", "test_volume"),
    Break("components.py", "connectivity=26", "connectivity=6", "test_components"),
    Break("components.py", ">= min_voxels", "> min_voxels", "test_components"),
    Break("components.py", "(-c.voxels, c.number)", "(c.voxels, c.number)", "test_components"),
    Break("config.py", "return get_convention(convention).name", "return convention", "test_config"),
    Break("io/atomic.py", "        _remove(part)", "        pass", "test_io_atomic"),
)


def noticed(one: Break, folder: Path) -> bool:
    """Whether a test fails with this break; ``folder`` holds a copy of ``src`` that is whole before and after."""
    path = folder / "gliamap" / one.file
    text = path.read_text(encoding="utf-8")
    if text.count(one.old) != 1:
        raise ValueError(f"{one.file} holds {text.count(one.old)} times, not once: {one.old}")
    tests = sorted(str(p) for p in (ROOT / "tests").glob(f"{one.tests}*.py"))
    if not tests:
        raise ValueError(f"there is no test file tests/{one.tests}*.py")
    path.write_text(text.replace(one.old, one.new), encoding="utf-8")
    try:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    finally:
        path.write_text(text, encoding="utf-8")
    return done.returncode == 1


def main() -> int:
    """Try every break and print what happened."""
    unnoticed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "src" / "gliamap", folder / "gliamap", ignore=shutil.ignore_patterns("__pycache__"))
        for one in BREAKS:
            seen = noticed(one, folder)
            unnoticed += not seen
            print(f"{'noticed' if seen else 'UNNOTICED':10} {one.file}: {one.old!r} -> {one.new!r}")
    print(f"{len(BREAKS) - unnoticed} of {len(BREAKS)} breaks noticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
