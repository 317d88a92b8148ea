"""A web app for tests: models that only have a name, scans of a few voxels, a client that is signed in."""

from __future__ import annotations

import gzip
import io
import json
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from fastapi.testclient import TestClient

from gliamap.models.shipped import PHANTOM_DEMO, shipped_model
from gliamap.server.app import make_app
from gliamap.server.settings import Limits, ServerSettings

HOST = "http://127.0.0.1:8000"
SAME = {"Origin": HOST, "Sec-Fetch-Site": "same-origin"}
FAKE = (sys.executable, str(Path(__file__).with_name("fake_segment.py")))
WAYS = ("quick", "leaving", "slow", "stubborn", "failing", "crashing", "killed")


def fake_models(folder: Path, ways: Sequence[str] = WAYS, modalities: Sequence[str] = ("t1c",)) -> dict[str, Path]:
    """Models without weights; what the stand-in for segment does goes by their names."""
    said = json.loads((shipped_model(PHANTOM_DEMO) / "model.json").read_text())
    said["prep"]["modalities"] = list(modalities)
    said["network"]["in_channels"] = len(modalities)
    made = {}
    for way in ways:
        made[way] = folder / way
        made[way].mkdir(parents=True, exist_ok=True)
        (made[way] / "model.json").write_text(json.dumps(said))
    return made


def settings_in(tmp_path: Path, **changes: Any) -> ServerSettings:
    """Settings whose cases lie in ``tmp_path/data``, with fake models."""
    models = changes.pop("models", None) or fake_models(tmp_path / "models")
    limits = changes.pop("limits", None) or Limits(free_bytes=0)
    given = {"command": FAKE, "grace": 1.0, "heartbeat": 0.2} | changes
    return ServerSettings(tmp_path / "data", models, limits=limits, **given)


@contextmanager
def signed_in(settings: ServerSettings) -> Iterator[TestClient]:
    """A running app and a browser that came by the link."""
    app = make_app(settings)
    with TestClient(app, base_url=HOST, headers=SAME) as client:
        client.get("/enter", params={"token": app.state.desk.sessions.link()})
        yield client


def nifti(shape: tuple[int, ...] = (4, 5, 6), *, packed: bool = True, shift: float = 0.0) -> bytes:
    """A file of ones."""
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[0, 3] = shift
    plain = nib.Nifti1Image(np.ones(shape, np.int16), affine).to_bytes()
    return pack(plain) if packed else plain


def pack(plain: bytes) -> bytes:
    """As gzip."""
    return gzip.compress(plain, mtime=0)


def zipped(members: Mapping[str, bytes]) -> bytes:
    """As a zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def new_case(client: TestClient, model: str | None = "quick", **files: bytes) -> dict[str, Any]:
    """A case with these files, by name without ``.nii.gz`` (default: one T1c)."""
    case = client.post("/api/cases").json()
    for number, (name, content) in enumerate((files or {"A_t1c": nifti()}).items(), 1):
        answer = put(client, case["id"], number, content, f"{name}.nii.gz")
        assert answer.status_code == 200, answer.text
        case = answer.json()
    if model is not None:
        case = client.patch(f"/api/cases/{case['id']}", json={"model": model}).json()
    return case


def put(client: TestClient, case_id: str, number: int, content: bytes, name: str = "") -> Any:
    """Upload a file."""
    headers = {"X-File-Name": name} if name else {}
    return client.put(f"/api/cases/{case_id}/files/{number}", content=content, headers=headers)


def wait_for(client: TestClient, case_id: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The case once it ``fits``; ten seconds at most."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        case: dict[str, Any] = client.get(f"/api/cases/{case_id}").json()
        if fits(case):
            return case
        time.sleep(0.02)
    raise AssertionError(f"the case stayed {case['state']}: {case['job']} {case['error']}")


def in_state(*states: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a case is in one of these states."""
    return lambda case: case["state"] in states
