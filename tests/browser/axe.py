"""axe-core, which looks for what keeps people from using a page. From npm, for the tests alone; never kept here."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

VERSION = "4.10.3"
INTEGRITY = "Xm7bpRXnDSX2YE2YFfBk2FnF0ep6tmG7xPh8iHee8MIcrgq762Nkce856dYtJYLkuIoYZvGfTs/PbZhideTcEg=="
"""SHA-512 of the package, as npm tells it."""

_SERIOUS = ("serious", "critical")


def serious_findings(frame: Any) -> list[str]:
    """What axe finds in a page or frame that is serious or worse: the rule, and where; empty where all is well.

    Skips the test where the package cannot be had, and fails instead where GLIAMAP_REQUIRE_BROWSER=1.
    """
    frame.evaluate(_source())
    found = frame.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"{one['id']}: {one['help']} - {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
        for one in found
        if one["impact"] in _SERIOUS
        for node in one["nodes"]
    ]


@cache
def _source() -> str:
    package = Path.home() / ".cache" / "gliamap-tests" / f"axe-core-{VERSION}.tgz"
    if not package.is_file():
        _fetch(package)
    content = package.read_bytes()
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode("ascii")
    if digest != INTEGRITY:
        package.unlink()
        pytest.fail(f"axe-core {VERSION} from npm is not what it was: sha512-{digest}")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        script = archive.extractfile("package/axe.min.js")
        if script is None:
            pytest.fail("there is no axe.min.js in the package axe-core")
        return script.read().decode("utf-8")


def _fetch(package: Path) -> None:
    package.parent.mkdir(parents=True, exist_ok=True)
    npm = shutil.which("npm")
    words = [npm or "npm", "pack", f"axe-core@{VERSION}", "--silent", "--pack-destination", str(package.parent)]
    if npm is None or subprocess.run(words, capture_output=True, timeout=120, check=False).returncode:
        said = "axe-core comes from npm, which is not here or cannot reach its registry"
        if os.environ.get("GLIAMAP_REQUIRE_BROWSER") == "1":
            pytest.fail(said)
        pytest.skip(said)
