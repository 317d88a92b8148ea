"""Random requests to the app: no error of its own, no file outside its folder, none of a client's name."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from fuzz import mutated, time_to_spend
from gliamap.server.settings import Limits
from servers import HOST, fake_models, new_case, nifti, settings_in, signed_in, zipped

LIMITS = Limits(file_bytes=100_000, case_bytes=400_000, files=5, cases=30, queue=2, free_bytes=0, idle=2.0)
OURS = re.compile(
    r"\.lock|[a-z2-7]{26}(/(case|process|words)\.json|/(files|input|out)"
    r"|/files/\d+\.(nii|nii\.gz|png|jpg|tif)|/(input|out)/(case-[a-z2-7]{8}[\w.]*|segment\.json))?"
)


def png() -> bytes:
    out = io.BytesIO()
    Image.new("L", (9, 7), 3).save(out, "PNG")
    return out.getvalue()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
modality = st.sampled_from(["t1c", "t1", "flair", "x", None])
fitting = st.fixed_dictionaries(
    {},
    optional={
        "title": st.text(max_size=90),
        "model": st.sampled_from(["quick", "failing", "../x", None]),
        "modalities": st.dictionaries(st.sampled_from(["1", "2", "0", "-1", "x", "9" * 30]), modality, max_size=2),
        "options": st.fixed_dictionaries({}, optional={"flips": st.booleans(), "resample_to": modality}),
        "root": st.sampled_from([0, 1, -1, 10**30]),
        "path": st.sampled_from(
            ["", "A", "../data", "A/../..", "link", "/etc/passwd", "A/A_t1c.nii.gz", "\0", "\ud800"]
        ),
    },
)
some_json = (values | fitting).map(lambda value: json.dumps(value).encode())
content = st.one_of(
    *(
        mutated(data)
        for data in (nifti(), nifti(packed=False), png(), zipped({"a_t1.nii.gz": nifti(), "b.png": png()}))
    ),
    *(st.just(data) for data in (nifti(), png(), zipped({"../a.nii": nifti()}))),
    st.binary(max_size=200),
)
piece = st.one_of(
    st.sampled_from(["ID", "ID", "files", "1", "2", "mask", "report", "events", "start", "cancel", "from", "..", ""]),
    st.binary(max_size=12).map(lambda raw: quote_from_bytes(raw, safe="")),
)
path = st.one_of(
    st.sampled_from(["/api/cases", "/api/cases/ID", "/api/cases/ID/files", "/api/cases/ID/files/2"]),
    st.sampled_from(["/api/cases/ID/from", "/api/cases/ID/start", "/api/cases/ID/cancel", "/api/login", "/api/info"]),
    st.lists(piece, max_size=5).map(lambda parts: "/api/cases/" + "/".join(parts)),
    st.lists(piece, max_size=4).map(lambda parts: "/" + "/".join(parts)),
)
header = st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=40).map(lambda t: t.encode("latin-1"))
names = st.sampled_from([b"../../evil_t1.nii.gz", b"%2e%2e%2fevil", b"%ff%fe_t1c", b"evil%00"]) | header
extra = st.dictionaries(
    st.sampled_from(["X-File-Name", "Cookie", "Sec-Purpose", "Range", "Content-Type", "Accept", "If-None-Match"]),
    names,
    max_size=2,
)
query = st.dictionaries(st.sampled_from(["root", "path", "download", "token"]), st.text(max_size=10), max_size=2)
requests = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST", "PUT", "PUT", "PATCH", "DELETE", "HEAD"]),
        "path": path,
        "body": some_json | content,
        "headers": extra,
        "query": query,
    }
)


class Attacked:
    """A running app, the case that requests are about, and what lay beside its folder before."""

    def __init__(self, client: TestClient, folder: Path) -> None:
        self.client, self.folder = client, folder
        self.cookie = f"gliamap-8000={client.cookies['gliamap-8000']}"
        self.before = self.outside()
        self.case_id = str(new_case(client)["id"])

    def outside(self) -> dict[str, bytes | None]:
        data = self.folder / "data"
        there = (p for p in self.folder.rglob("*") if p != data and data not in p.parents)
        return {str(p): p.read_bytes() if p.is_file() else None for p in there}

    def send(self, said: dict[str, Any]) -> None:
        """One request, and a look at what it did."""
        if said["path"].endswith("/events") and said["method"] == "GET":
            return  # goes on for ever
        if self.client.get(f"/api/cases/{self.case_id}").status_code == 404:
            for case in self.client.get("/api/cases").json()["cases"]:
                assert self.client.delete(f"/api/cases/{case['id']}").status_code == 204
            self.case_id = str(new_case(self.client)["id"])
        answer = self.client.request(
            said["method"],
            HOST + said["path"].replace("ID", self.case_id),  # whole, for a path may begin with several slashes
            content=said["body"],
            headers={"Cookie": self.cookie} | said["headers"],
            params=said["query"],
        )
        full = answer.status_code == 503 and answer.json()["error"]["code"] == "full"
        assert answer.status_code < 500 or full, answer.text
        assert "content-security-policy" in answer.headers
        if answer.status_code >= 400 and answer.content and said["path"] not in ("/", "/enter"):
            assert str(self.folder) not in answer.text

    def look_around(self) -> None:
        """Nothing outside the folder changed, and inside there are names of ours only."""
        assert self.outside() == self.before
        data = self.folder / "data"
        assert [n for p in data.rglob("*") if not OURS.fullmatch(n := p.relative_to(data).as_posix())] == []


@pytest.fixture
def attacked(tmp_path: Path) -> Iterator[Attacked]:
    root = tmp_path / "root"
    (root / "A").mkdir(parents=True)
    (root / "A" / "A_t1c.nii.gz").write_bytes(nifti())
    (root / "link").symlink_to("/etc")
    models = fake_models(tmp_path / "models", ["quick", "failing"])
    with signed_in(settings_in(tmp_path, models=models, limits=LIMITS, roots=(root,))) as client:
        yield Attacked(client, tmp_path)


def attack(attacked: Attacked, examples: int, number: int) -> None:
    @seed(number)
    @settings(max_examples=examples, derandomize=False)
    @given(requests)
    def try_one(said: dict[str, Any]) -> None:
        attacked.send(said)

    try_one()
    attacked.look_around()


def test_random_requests_do_no_harm(attacked: Attacked) -> None:
    attack(attacked, 150, 0)


@pytest.mark.slow
def test_random_requests_do_no_harm_for_long(attacked: Attacked) -> None:
    for number in time_to_spend(1):
        attack(attacked, 1000, number)
