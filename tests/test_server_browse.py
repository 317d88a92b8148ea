from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from servers import nifti, settings_in, signed_in


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Scans in a root, secrets beside it, and every kind of way from one to the other."""
    root = tmp_path / "scans"
    (root / "A" / "old").mkdir(parents=True)
    (root / "A" / "A_t1.nii.gz").write_bytes(nifti())
    (root / "A" / "A_t1ce.nii.gz").write_bytes(nifti())
    (root / "A" / "notes.txt").write_text("x")
    (root / "A" / ".hidden.nii").write_text("x")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "S_t1.nii.gz").write_bytes(nifti())
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "A" / "link.nii.gz").symlink_to(tmp_path / "secret" / "S_t1.nii.gz")
    os.mkfifo(root / "A" / "pipe.nii.gz")
    (root / "A" / "folder.nii.gz").mkdir()
    os.mkdir(os.fsencode(root) + b"/\xff\xfe")  # noqa: PTH102 - no text
    return root


@pytest.fixture
def client(tmp_path: Path, root: Path) -> Iterator[TestClient]:
    with signed_in(settings_in(tmp_path, roots=(root,))) as client:
        yield client


def test_folder_shows_scans_and_folders_only(client: TestClient) -> None:
    assert client.get("/api/info").json()["roots"] == ["scans"]
    listing = client.get("/api/browse", params={"root": 0, "path": "A"}).json()
    assert [one["name"] for one in listing["folders"]] == ["folder.nii.gz", "old"]
    assert [one["name"] for one in listing["files"]] == ["A_t1.nii.gz", "A_t1ce.nii.gz"]
    assert listing["files"][0]["bytes"] == len(nifti())
    assert client.get("/api/browse").json()["folders"] == [{"name": "A"}]


AWAY = [
    *("..", "A/../..", "../secret", "/etc", "//etc", "A/./..", ".", "out", "out/S_t1.nii.gz", "A/link.nii.gz"),
    *("A/pipe.nii.gz", "A/notes.txt", "A/.hidden.nii", "nowhere", "A/A_t1.nii.gz/x", "a\0b", "x" * 300, "a/" * 100),
]


@pytest.mark.parametrize("path", AWAY)
def test_no_path_leads_out_of_a_root(client: TestClient, path: str) -> None:
    case_id = client.post("/api/cases").json()["id"]
    looked = client.get("/api/browse", params={"root": 0, "path": path})
    taken = client.post(f"/api/cases/{case_id}/from", json={"root": 0, "path": path})
    if path not in ("/etc", "//etc"):  # there, a folder of the root is meant that does not exist
        assert looked.status_code == 404 or path == "A/A_t1.nii.gz"
    assert taken.status_code in (404, 422)
    assert (
        "secret" not in looked.text + taken.text and str(client.get("/api/cases").json()["cases"][0]["files"]) == "[]"
    )


@pytest.mark.parametrize("root", ["-1", "1", "x", "1e9", "9" * 5000])
def test_roots_are_those_that_were_allowed(client: TestClient, root: str) -> None:
    assert client.get("/api/browse", params={"root": root}).status_code in (400, 404)


def test_scans_of_a_folder_are_copied(client: TestClient, root: Path, tmp_path: Path) -> None:
    case_id = client.post("/api/cases").json()["id"]
    case = client.post(f"/api/cases/{case_id}/from", json={"root": 0, "path": "A"}).json()
    assert [(one["number"], one["modality"]) for one in case["files"]] == [(1, "t1"), (2, "t1c")]
    copy = tmp_path / "data" / case_id / "files" / "1.nii.gz"
    assert copy.read_bytes() == nifti()
    assert copy.stat().st_ino != (root / "A" / "A_t1.nii.gz").stat().st_ino
    one = client.post(f"/api/cases/{case_id}/from", json={"root": 0, "path": "A/A_t1.nii.gz"}).json()
    assert [file["number"] for file in one["files"]] == [1, 2, 3]


def test_copies_at_the_same_time_do_not_take_each_others_numbers(client: TestClient) -> None:
    case_id = client.post("/api/cases").json()["id"]
    with ThreadPoolExecutor() as threads:
        said = {"root": 0, "path": "A"}
        copies = [threads.submit(client.post, f"/api/cases/{case_id}/from", json=said) for _ in range(4)]
        assert [one.result().status_code for one in copies] == [200] * 4
    files = client.get(f"/api/cases/{case_id}").json()["files"]
    assert [one["number"] for one in files] == list(range(1, 9))


def test_folder_that_becomes_a_link_meanwhile_is_not_followed(client: TestClient, root: Path, tmp_path: Path) -> None:
    case_id = client.post("/api/cases").json()["id"]
    (root / "A").rename(root / "B")
    (root / "A").symlink_to(tmp_path / "secret")
    assert client.post(f"/api/cases/{case_id}/from", json={"root": 0, "path": "A"}).status_code == 404


def test_without_roots_nothing_can_be_looked_at(tmp_path: Path) -> None:
    with signed_in(settings_in(tmp_path)) as client:
        assert client.get("/api/browse").status_code == 404
